//! The admin listener while the data plane is saturated, or has used up every descriptor: an abort must not wait for the traffic it
//! is to stop.
#![cfg(test)]

#[path = "support/desk.rs"]
#[allow(dead_code, reason = "shared with the tests of the admin listener")]
mod desk;
#[path = "support/process.rs"]
#[allow(dead_code, reason = "shared with the tests of commands that print an answer")]
mod process;
#[path = "support/saturation.rs"]
mod saturation;

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use desk::{Desk, eventually};
use process::{Running, request};
use saturation::{Load, upstream};
use serde_json::json;

/// Aborts that are measured.
const ABORTS: usize = 11;

#[test]
fn an_abort_is_answered_in_a_tenth_of_a_second_while_the_data_plane_is_saturated() {
    let upstream = upstream();
    let desk = Desk::before(upstream);
    let load = Load::start(&desk);
    eventually("answers", || (load.answers() > 1_000).then_some(()));
    let canary = json!({"service": "carts", "canary": {"name": "0.8.2", "endpoints": [upstream.to_string()]}}).to_string();
    let (begun, before) = (Instant::now(), load.answers());
    let mut took = Vec::new();
    for _ in 0..ABORTS {
        let started = desk.post("/v1/rollouts", &canary);
        assert_eq!(started.status, 202, "{}", started.body);
        // Some of the traffic goes to the canary by now.
        let trial = Arc::clone(&desk.routes.current().routes[0].epoch.canary.as_ref().expect("a canary").trial);
        eventually("canary requests", || (trial.started() > 100).then_some(()));
        let asked = Instant::now();
        let aborted = desk.post("/v1/rollouts/carts/abort", "");
        took.push(asked.elapsed());
        assert_eq!((aborted.status, &aborted.json()["changed"]), (200, &json!(true)), "{}", aborted.body);
        assert_eq!(desk.routes.current().routes[0].epoch.weight().basis_points(), 0);
    }
    let rate = (load.answers() - before) as f64 / begun.elapsed().as_secs_f64();
    took.sort();
    let (median, worst) = (took[ABORTS / 2], took[ABORTS - 1]);
    println!("{ABORTS} aborts beside {rate:.0} requests/s: median {median:?}, worst {worst:?}");
    assert!(median <= Duration::from_millis(100), "median {median:?}, worst {worst:?}");
    // One alone may meet a stall of the machine.
    assert!(worst <= Duration::from_secs(1), "{took:?}");
}

/// How many descriptors the process below may have, the reserve of the admin listener among them.
const DESCRIPTORS: usize = 128;
/// Clients that come at once: each takes a descriptor, and one more for its request to an upstream.
const BURST: usize = 60;

/// Starts an upstream that lets everybody in and never answers.
fn silent() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        // Held until the test ends.
        let mut held = Vec::new();
        held.extend(listener.incoming().map_while(Result::ok));
    });
    address
}

/// Starts the proxy of a canary under a limit of open files.
fn limited(folder: &std::path::Path, stable: SocketAddr, canary: SocketAddr) -> Running {
    let text = format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nworkers: 1\nstate: state\ntimeouts: {{response: 5m}}\nservices:\n  - name: carts\n    \
         stable: {{version: v1, endpoints: ['{stable}']}}\n    canary: {{version: v2, endpoints: ['{canary}']}}\n    \
         gates: ['p95 < 50s']\n    outcome_deadline: 55s\n    plan: {{start: 10%, hold: 10s}}\n"
    );
    std::fs::write(folder.join("portcullis.yaml"), text).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n \"$1\" && exec \"$0\" run portcullis.yaml", env!("CARGO_BIN_EXE_portcullis"), &DESCRIPTORS.to_string()]);
    command.current_dir(folder).env_remove("PORTCULLIS_CONFIG").env_remove("STATE_DIRECTORY");
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    Running::spawn(command)
}

/// Sends requests that nobody answers until the process has no descriptor left, and returns their connections.
fn exhaust(proxy: &Running, listen: SocketAddr) -> Vec<TcpStream> {
    let folder = format!("/proc/{}/fd", proxy.id());
    let open = || std::fs::read_dir(&folder).unwrap().count();
    eventually("no descriptor left", || {
        let burst: Vec<TcpStream> = (0..BURST)
            .map(|_| {
                let mut socket = TcpStream::connect(listen).unwrap();
                socket.write_all(b"GET / HTTP/1.1\r\nHost: carts.test\r\n\r\n").unwrap();
                socket
            })
            .collect();
        let until = Instant::now() + Duration::from_secs(2);
        // The process may have noticed in time that it is short of them; then they come anew.
        while Instant::now() < until {
            if open() >= DESCRIPTORS {
                return Some(burst);
            }
            std::thread::yield_now();
        }
        None
    })
}

#[test]
fn an_abort_is_answered_while_no_descriptor_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = limited(folder.path(), silent(), silent());
    let (listen, admin) = (proxy.address("listening on "), proxy.address("admin on http://"));
    let held = exhaust(&proxy, listen);
    // More often than there are descriptors in reserve: each is taken back.
    for _ in 0..40 {
        let shown = request(admin, "GET /v1/rollouts/carts", "");
        assert!(shown.starts_with("HTTP/1.1 200 ") && shown.contains("\"progressing\""), "{shown}");
    }
    // Those who say nothing take all of the reserve, and give way.
    let silent: Vec<TcpStream> = (0..30).map(|_| TcpStream::connect(admin).unwrap()).collect();
    let asked = Instant::now();
    let aborted = request(admin, "POST /v1/rollouts/carts/abort", "");
    let took = asked.elapsed();
    assert!(aborted.starts_with("HTTP/1.1 200 ") && aborted.contains("\"changed\":true"), "{aborted}");
    assert!(took <= Duration::from_secs(1), "{took:?}");
    println!("aborted after {took:?} without a descriptor left");
    let shown = request(admin, "GET /v1/rollouts/carts", "");
    assert!(shown.contains("\"aborted\"") && shown.contains("\"durable\":true"), "{shown}");
    drop((held, silent));
    assert_eq!(proxy.terminate(), Some(0));
}
