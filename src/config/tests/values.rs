//! Endpoints that are names, and listeners that may look alike.

use super::*;

fn endpoints(text: &str) -> Vec<String> {
    let settings = loaded(&SMALL.replace("\"127.0.0.1:8081\"", text)).settings;
    settings.services[0].stable.endpoints.iter().map(ToString::to_string).collect()
}

#[test]
fn a_name_stands_for_its_addresses_of_one_family() {
    assert_eq!(endpoints("carts.internal:80"), ["10.0.0.1:80", "10.0.0.2:80"]);
    assert_eq!(endpoints("six.internal:80"), ["[fd00::1]:80"]);
    assert_eq!(endpoints("'[::1]:80', 127.0.0.1:81"), ["[::1]:80", "127.0.0.1:81"]);
}

#[test]
fn this_machine_resolves_localhost_without_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.yaml");
    fs::write(&path, SMALL.replace("127.0.0.1:8081", "localhost:8081")).unwrap();
    let around = Surroundings { variable: &variable, ..Surroundings::real() };
    let settings = load(Some(&path), &Flags::default(), &around).unwrap().settings;
    assert!(
        settings.services[0]
            .stable
            .endpoints
            .iter()
            .all(|e| e.address().is_some_and(|address| address.ip().is_loopback() && address.port() == 8081))
    );
    assert!(settings.workers >= 1);
}

#[test]
fn free_ports_never_collide_and_families_differ() {
    let listen = |text: &str| loaded(&SMALL.replace("listen: 127.0.0.1:8080", text)).settings.listen.len();
    assert_eq!(listen("admin: 127.0.0.1:0\nlisten: [127.0.0.1:0, 127.0.0.1:0]"), 2);
    assert_eq!(listen("listen: [127.0.0.1:8080, '[::1]:8080']"), 2);
}
