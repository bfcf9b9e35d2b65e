//! Endpoints that are names, and listeners that may look alike.

use std::time::Duration;

use super::*;
use crate::domain::way_back::{Terms, WayBack};

fn endpoints(text: &str) -> Vec<String> {
    let settings = loaded(&SMALL.replace("\"127.0.0.1:8081\"", text)).settings;
    settings.services[0].stable.endpoints.iter().map(ToString::to_string).collect()
}

#[test]
fn a_name_stays_a_name_and_leads_to_its_addresses_of_one_family() {
    let led = |name: &str| {
        let service = loaded(&SMALL.replace("127.0.0.1:8081", name)).settings.services.remove(0);
        let [(of, addresses)] = service.names.as_slice() else { panic!("{:?}", service.names) };
        assert_eq!((of.to_string(), service.stable.endpoints[0].to_string()), (name.to_owned(), name.to_owned()));
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(led("carts.internal:80"), ["10.0.0.1:80", "10.0.0.2:80"]);
    assert_eq!(led("six.internal:80"), ["[fd00::1]:80"]);
    assert_eq!(endpoints("'[::1]:80', 127.0.0.1:81"), ["[::1]:80", "127.0.0.1:81"]);
}

#[test]
fn a_name_that_cannot_be_resolved_yet_is_a_note_where_it_is_awaited() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.yaml");
    let awaited = Surroundings { awaits_names: true, ..around() };
    for name in ["gone.internal:80", "empty.internal:80"] {
        fs::write(&path, SMALL.replace("127.0.0.1:8081", name)).unwrap();
        assert!(load(Some(&path), &Flags::default(), &around()).is_err());
        let loaded = load(Some(&path), &Flags::default(), &awaited).unwrap();
        assert_eq!(loaded.settings.services[0].stable.endpoints[0].to_string(), name);
        assert!(loaded.settings.services[0].names.is_empty(), "it leads nowhere so far");
        assert!(loaded.notes[0].message.contains("cannot be resolved") && loaded.notes[0].line == Some(4), "{:?}", loaded.notes);
    }
    fs::write(&path, SMALL.replace("127.0.0.1:8081", "a b:80")).unwrap();
    assert!(load(Some(&path), &Flags::default(), &awaited).is_err(), "what is no name is none later either");
}

#[test]
fn a_resolver_that_hangs_delays_the_start_once() {
    let (hang, hung) = std::sync::mpsc::channel::<()>();
    let hung = std::sync::Arc::new(std::sync::Mutex::new(hung));
    let hurried = Hurried::new(Duration::from_millis(50), move |address| {
        if address == "hangs:80" {
            let _ = hung.lock().unwrap().recv();
        }
        Ok(vec!["10.0.0.1:80".parse().unwrap()])
    });
    assert_eq!(hurried.resolve("fast:80").unwrap().len(), 1);
    assert_eq!(hurried.resolve("hangs:80").unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(hurried.resolve("fast:80").unwrap_err().kind(), io::ErrorKind::TimedOut, "nobody waits a second time");
    drop(hang);
}

#[test]
fn this_machine_resolves_localhost_without_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.yaml");
    fs::write(&path, SMALL.replace("127.0.0.1:8081", "localhost:8081")).unwrap();
    let around = Surroundings { variable: &variable, ..Surroundings::real() };
    let settings = load(Some(&path), &Flags::default(), &around).unwrap().settings;
    let [(name, led)] = settings.services[0].names.as_slice() else { panic!("{:?}", settings.services[0].names) };
    assert_eq!(name.to_string(), "localhost:8081");
    assert!(!led.is_empty() && led.iter().all(|address| address.ip().is_loopback() && address.port() == 8081));
    assert!(settings.workers >= 1);
}

#[test]
fn free_ports_never_collide_and_families_differ() {
    let listen = |text: &str| loaded(&SMALL.replace("listen: 127.0.0.1:8080", text)).settings.listen.len();
    assert_eq!(listen("admin: 127.0.0.1:0\nlisten: [127.0.0.1:0, 127.0.0.1:0]"), 2);
    assert_eq!(listen("listen: [127.0.0.1:8080, '[::1]:8080']"), 2);
}

#[test]
fn how_endpoints_are_kept_up_is_read_with_its_defaults() {
    let version = |rest: &str| {
        let text = SMALL.replace("endpoints: [\"127.0.0.1:8081\"]", &format!("endpoints: [\"127.0.0.1:8081\"]{rest}"));
        loaded(&text).settings.services.remove(0).stable.upkeep
    };
    assert!(version("").is_default());
    let health = version(", health: {}").health.unwrap();
    assert_eq!((health.path, health.interval.as_secs(), health.healthy, health.unhealthy), (None, 5, 2, 3));
    let all = version(
        ", health: {path: /health, interval: 2s, timeout: 500ms, healthy: 1, unhealthy: 4}, limits: {requests: 100, pending: 9}, dns_refresh: 30s",
    );
    let health = all.health.clone().unwrap();
    assert_eq!((health.path.as_deref(), health.timeout.as_millis(), health.unhealthy), (Some("/health"), 500, 4));
    assert_eq!((all.limits.requests, all.limits.pending, all.dns_refresh().as_secs()), (Some(100), Some(9), 30));
    let rules = |rest: &str| loaded(&format!("{SMALL}{rest}")).settings.services.remove(0).mutual;
    assert_eq!((rules("").rescue, rules("").failover), (true, false));
    let other = rules("    rescue: false\n    failover: allow\n    min_body: 2KiB\n");
    assert_eq!((other.rescue, other.failover, other.min_body), (false, true, 2048));
    assert_eq!(rules("").min_body, 0);
}

#[test]
fn the_way_back_is_as_written() {
    let way_back = |rest: &str| loaded(&format!("{SMALL}{rest}")).settings.services.remove(0).way_back;
    let shed = |most, seconds| WayBack::Shed(Terms { most, lasts: Duration::from_secs(seconds) });
    assert_eq!([way_back(""), way_back("    way_back: {policy: at_once}\n")], [WayBack::AtOnce; 2]);
    assert_eq!(way_back("    way_back: {policy: shed}\n"), shed(None, 60));
    assert_eq!(way_back("    way_back: {policy: shed, max_in_flight: 200, lasts: 5m}\n"), shed(Some(200), 300));
    let ramp = |seconds| WayBack::Ramp(Duration::from_secs(seconds));
    assert_eq!(way_back("    way_back: {policy: ramp}\n"), ramp(30));
    assert_eq!(way_back("    way_back: {policy: ramp, within: 60s}\n"), ramp(60));
    for (written, key, why) in [
        ("{policy: slowly}", "policy", "no way back"),
        ("{policy: ramp, within: 61s}", "within", "at most"),
        ("{policy: ramp, within: 500ms}", "within", "at least"),
        ("{policy: ramp, lasts: 5s}", "lasts", "with the policy ramp nothing is refused"),
        ("{policy: shed, within: 5s}", "within", "write 'policy: ramp'"),
        ("{policy: at_once, within: 5s}", "within", "no effect"),
        ("{lasts: 5s}", "", "policy"),
        ("{policy: shed, lasts: 11m}", "lasts", "at most"),
        ("{policy: shed, max_in_flight: 0}", "max_in_flight", "not a number in range"),
        ("{policy: at_once, lasts: 5s}", "lasts", "no effect"),
        ("{policy: shed, most: 3}", "most", "unknown"),
        ("shed", "", ""),
    ] {
        let problems = refused(&format!("{SMALL}    way_back: {written}\n"));
        let found = problems.iter().any(|problem| problem.path.ends_with(key) && problem.to_string().contains(why));
        assert!(found, "{written}: {}", shown(&problems));
    }
}

#[test]
fn what_is_wrong_with_the_upkeep_of_endpoints_says_how_to_mend_it() {
    for (written, said) in [
        (", health: {path: health}", "write a path such as /health"),
        (", health: {interval: 1s, timeout: 2s}", "write a 'timeout' of at most the 'interval'"),
        (", health: {healthy: 0}", "1 to 100"),
        (", health: {url: /x}", "url"),
        (", limits: {requests: 0}", "1 to 65535"),
        (", dns_refresh: 1h", "at most"),
    ] {
        let text = SMALL.replace("endpoints: [\"127.0.0.1:8081\"]", &format!("endpoints: [\"127.0.0.1:8081\"]{written}"));
        let problems = shown(&refused(&text));
        assert!(problems.contains(said), "{written}: {problems}");
    }
    let problems = shown(&refused(&format!("{SMALL}    failover: maybe\n")));
    assert!(problems.contains("write deny, or allow"), "{problems}");
}
