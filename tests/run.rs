//! `portcullis run` from outside: what it says of bad input, and what it does when a version is down.
#![cfg(test)]

#[path = "support/process.rs"]
#[allow(dead_code, reason = "shared with the tests of commands that print an answer")]
mod process;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use process::{Running, eventually, finish, request};

/// An address on which nothing listens.
fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn carts() -> (Running, String) {
    let carts = Running::start(&["carts", "--tag", "0.8.1", "--listen", "127.0.0.1:0"]);
    let address = carts.address("listening on ").to_string();
    (carts, address)
}

#[test]
fn a_broken_configuration_is_refused_with_every_problem_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portcullis.yaml");
    let text = "listen: 127.0.0.1:0\nweigth: 10%\nservices:\n  - name: carts\n    stable: {version: v1, endpoints: []}\n    alpha: 7\n";
    std::fs::write(&file, text).unwrap();
    let ended = finish(&["run", file.to_str().unwrap()]);
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    for part in ["weigth", ":2:", "endpoints", ":5:", "alpha", ":6:", "hint:"] {
        assert!(ended.stderr.contains(part), "{part} is missing in:\n{}", ended.stderr);
    }
}

#[test]
fn gates_that_cannot_fire_are_refused_before_any_traffic_moves() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portcullis.yaml");
    let state = folder.path().join("state");
    let text = format!(
        "listen: 127.0.0.1:0\nstate: {}\nservices:\n  - name: carts\n    stable: {{version: v1, endpoints: [\"127.0.0.1:1\"]}}\n    \
         canary: {{version: v2, endpoints: [\"127.0.0.1:2\"]}}\n    gates: [\"p95 > 1s\", \"p99 < 1m\", \"errors < 1%\"]\n    \
         expected_traffic: 1/min\n    burst_tolerance: 2h\n    plan: {{express: true, hold: 1s}}\n",
        state.display()
    );
    std::fs::write(&file, text).unwrap();
    let ended = finish(&["run", file.to_str().unwrap()]);
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    for part in [":7:18", "write 'p95 < 1s'", "burst_tolerance", "at most 60 s", "express", "holds no step"] {
        assert!(ended.stderr.contains(part), "{part} is missing in:\n{}", ended.stderr);
    }
    let text = std::fs::read_to_string(&file).unwrap().replace("\"p95 > 1s\", ", "").replace("burst_tolerance: 2h", "watch: 1s");
    std::fs::write(&file, text.replace("express: true, ", "")).unwrap();
    let ended = finish(&["run", file.to_str().unwrap()]);
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    for part in ["'p99 < 60 s' can never fire by its limit", "'errors < 1%' cannot pass step 1 in time", "377 clean requests", "2 d 14 h"] {
        assert!(ended.stderr.contains(part), "{part} is missing in:\n{}", ended.stderr);
    }
    assert!(!state.exists(), "nothing was begun");
}

#[test]
fn a_broken_perfspec_is_refused_before_any_traffic_moves() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("perfspec.json");
    let text = std::fs::read_to_string("tests/data/compat/perfspec_dynatrace.json").unwrap();
    std::fs::write(&file, text.replace("upperSevere", "uperSevere").replace("metricScore", "metricsScore")).unwrap();
    let state = folder.path().join("state");
    let (file, state) = (file.to_str().unwrap(), state.to_str().unwrap());
    let args = [
        "run",
        "--listen",
        "127.0.0.1:0",
        "--state",
        state,
        "--stable",
        "v1=127.0.0.1:1",
        "--canary",
        "v2=127.0.0.1:2",
        "--perfspec",
        file,
    ];
    let ended = finish(&args);
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    for part in ["uperSevere", "upperSevere", "metricsScore", "metricScore"] {
        assert!(ended.stderr.contains(part), "{part} is missing in:\n{}", ended.stderr);
    }
    assert!(!folder.path().join("state").exists(), "nothing was begun");
}

#[test]
fn a_canary_without_a_gate_is_refused() {
    let ended = finish(&["run", "--listen", "127.0.0.1:0", "--stable", "v1=127.0.0.1:1", "--canary", "v2=127.0.0.1:2"]);
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    assert!(ended.stderr.contains("--gate"), "{}", ended.stderr);
}

#[test]
fn a_port_in_use_is_named_also_when_another_portcullis_uses_it() {
    let folder = tempfile::tempdir().unwrap();
    let state = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let run = |listen: &str, state: &str| {
        finish(&["run", "--listen", listen, "--admin", "127.0.0.1:0", "--state", state, "--stable", "v1=127.0.0.1:1"])
    };
    let ended = run(&address, &state("a"));
    assert_eq!(ended.code, Some(69), "{}", ended.stderr);
    assert!(ended.stderr.contains(&address) && ended.stderr.contains("hint:"), "{}", ended.stderr);

    let first =
        Running::start(&["run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--state", &state("b"), "--stable", "v1=127.0.0.1:1"]);
    let listen = first.address("listening on ").to_string();
    let ended = run(&listen, &state("c"));
    assert_eq!(ended.code, Some(69), "a second instance shares the port: {}", ended.stderr);
    assert_eq!(first.terminate(), Some(0));
}

#[test]
fn an_unwritable_state_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").unwrap();
    let state = file.join("state").to_str().unwrap().to_owned();
    let ended = finish(&["run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--state", &state, "--stable", "v1=127.0.0.1:1"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains(&state) && ended.stderr.contains("--state"), "{}", ended.stderr);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "not a folder");
}

#[test]
fn a_name_that_cannot_be_resolved_yet_keeps_no_proxy_from_its_start() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state").to_str().unwrap().to_owned();
    let (_carts, carts) = carts();
    let flags = ["run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--gate", "p95 < 1s"];
    let run = |versions: &[&str]| Running::start(&[&flags[..], &["--state", &state], versions].concat());
    let alone = run(&["--stable", "v1=carts.invalid:80"]);
    let listen = alone.address("listening on ");
    let status = |answer: String| answer.split(' ').nth(1).map(str::to_owned).unwrap_or_default();
    assert_eq!(status(request(listen, "GET /", "")), "503");
    assert_eq!(alone.terminate(), Some(0));
    // A canary that is not there yet takes nothing from stable.
    let stable = format!("v1={carts}");
    let both = run(&["--stable", &stable, "--canary", "v2=carts.invalid:80", "--weight", "100%"]);
    let listen = both.address("listening on ");
    for _ in 0..20 {
        assert_eq!(status(request(listen, "GET /health", "")), "200");
    }
    assert_eq!(both.terminate(), Some(0));
}

#[test]
fn a_stable_version_that_is_down_gives_502_and_the_proxy_stays() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state").to_str().unwrap().to_owned();
    let stable = format!("v1={}", closed_port());
    let proxy = Running::start(&["run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--state", &state, "--stable", &stable]);
    let listen = proxy.address("listening on ");
    for _ in 0..3 {
        let answer = request(listen, "GET /", "");
        assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
        assert!(answer.to_lowercase().contains("error=connection_refused"), "{answer}");
    }
    assert_eq!(proxy.terminate(), Some(0));
}

#[test]
fn a_canary_that_is_down_is_rolled_back_and_stable_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state").to_str().unwrap().to_owned();
    let (_carts, address) = carts();
    let (stable, canary) = (format!("v1={address}"), format!("v2={}", closed_port()));
    let args = ["run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1", "--state", &state, "--stable", &stable];
    let proxy = Running::start(&[&args[..], &["--canary", &canary, "--weight", "50%", "--gate", "p95 < 1s"]].concat());
    let listen = proxy.address("listening on ");
    let started = std::time::Instant::now();
    let ask = || {
        let answer = request(listen, "GET /version", "");
        assert!(answer.contains("Version = v1"), "stable answers what the canary fails: {answer}");
        assert!(started.elapsed() < process::PATIENCE, "it was never rolled back");
    };
    let admin = proxy.address("admin on http://");
    let rescues = || {
        let metrics = request(admin, "GET /metrics", "");
        let line = metrics.lines().find(|line| line.starts_with("portcullis_rescues_total{") && line.contains("canary")).map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    while rescues() < 3 {
        ask();
    }
    (0..40).for_each(|_| ask());
    // While braked a probe goes to it twice a second at most.
    let probes = 1 + 2 * started.elapsed().as_secs();
    let rescued = rescues();
    assert!((3..=3 + probes).contains(&rescued), "three of three refusals suffice, {rescued} were seen");
    assert_eq!(proxy.terminate(), Some(0));

    // Nothing is lost: the next start still knows it.
    let proxy = Running::start(&[&args[..], &["--canary", &canary, "--weight", "50%", "--gate", "p95 < 1s"]].concat());
    let listen = proxy.address("listening on ");
    eventually("forty good answers after the restart", || {
        (0..40).all(|_| request(listen, "GET /version", "").contains("Version = v1")).then_some(())
    });
    assert_eq!(proxy.terminate(), Some(0));
}

/// What the metrics count.
const FORCED: &str = "portcullis_forced_requests_total{kind=\"forced\"}";
const REFUSED: &str = "portcullis_config_reloads_total{class=\"failure\"}";

/// Asks for the version with a token that is to force one.
fn forced(listen: SocketAddr, token: &str) -> String {
    let mut socket = TcpStream::connect(listen).unwrap();
    socket.set_read_timeout(Some(process::PATIENCE)).unwrap();
    write!(socket, "GET /version HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\nx-portcullis-version: {token}\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_key_that_is_replaced_counts_without_a_signal_and_a_bad_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let ((_one, stable), (_other, other)) = (carts(), carts());
    std::fs::write(path("key"), [b'a'; 32]).unwrap();
    let text = format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nstate: state\nservices:\n  - name: carts\n    stable: {{version: v1, endpoints: ['{stable}']}}\n    \
         others: [{{version: v9, endpoints: ['{other}']}}]\n    force: {{keys: [{{id: k, file: key}}]}}\n"
    );
    std::fs::write(path("portcullis.yaml"), text).unwrap();
    let token = || {
        let made = ["token", "--config", &path("portcullis.yaml"), "--service", "carts", "--version", "v9", "--rollout", "0"];
        finish(&made).stdout.trim().to_owned()
    };
    let proxy = Running::spawn({
        let mut command = process::command(&["run", "portcullis.yaml"]);
        command.current_dir(folder.path());
        command
    });
    let (listen, admin) = (proxy.address("listening on "), proxy.address("admin on http://"));
    let counted = |name: &str| {
        let metrics = request(admin, "GET /metrics", "");
        let line = metrics.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or_default()
    };
    let forces = |token: &str| {
        let before = counted(FORCED);
        assert!(forced(listen, token).starts_with("HTTP/1.1 200"));
        counted(FORCED) > before
    };
    let old = token();
    assert!(forces(&old));
    std::fs::write(path("key"), "too short").unwrap();
    eventually("the bad key is refused", || (counted(REFUSED) > 0).then_some(()));
    assert!(forces(&old), "what is in force stays");
    std::fs::write(path("key"), [b'b'; 32]).unwrap();
    let new = token();
    eventually("the new key counts", || forces(&new).then_some(()));
    assert!(!forces(&old));
    assert_eq!(proxy.terminate(), Some(0));
}
