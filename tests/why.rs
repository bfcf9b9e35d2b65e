//! `portcullis status` and `portcullis why` beside a real proxy and after its end.
#![cfg(test)]

#[path = "support/process.rs"]
mod process;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use portcullis::control::controller::ServiceStore;
use portcullis::domain::rollout::Entry;
use portcullis::store::Store;
use process::{Finished, Running, eventually, finish, request};
use serde_json::Value;

/// An address on which nothing listens.
fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A proxy before a stable version that is down, whose canary is down too and has been braked for it.
struct Braked {
    folder: tempfile::TempDir,
    proxy: Running,
    admin: SocketAddr,
}

impl Braked {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state").to_str().unwrap().to_owned();
        let (stable, canary) = (format!("v1={}", closed_port()), format!("v2={}", closed_port()));
        let args = ["run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1", "--service", "carts", "--state", &state];
        let versions = ["--stable", &stable, "--canary", &canary, "--weight", "50%", "--gate", "p95 < 1s"];
        let proxy = Running::start(&[&args[..], &versions].concat());
        let listen = proxy.address("listening on ");
        let admin = proxy.address("admin on ");
        eventually("the brake", || {
            let _ = request(listen, "GET /", "");
            request(admin, "GET /v1/rollouts/carts", "").contains(r#""phase":"braked""#).then_some(())
        });
        Self { folder, proxy, admin }
    }

    fn state(&self) -> String {
        self.folder.path().join("state").to_str().unwrap().to_owned()
    }
}

fn said(ended: &Finished, code: i32, parts: &[&str]) {
    let text = format!("{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.code, Some(code), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

fn json(ended: &Finished) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", ended.stdout, ended.stderr))
}

/// Journals an entry again with a change.
fn forge(state: &str, change: impl FnOnce(&mut Entry)) {
    let store: ServiceStore = Store::open(Path::new(state)).unwrap().store;
    let newest = |entries: Vec<(u64, portcullis::store::Stored<Entry>)>| entries.into_iter().filter_map(|(_, e)| e.known()).next_back();
    let mut entry = store.journal(1_000).map(newest).unwrap().unwrap();
    let record = store.record(&entry.service).unwrap().unwrap().known().unwrap();
    change(&mut entry);
    store.put(&entry.service.clone(), &record, &entry).unwrap();
}

#[test]
fn a_brake_is_told_and_verified_beside_the_proxy_and_after_its_end() {
    let braked = Braked::start();
    let (admin, state) = (format!("http://{}", braked.admin), braked.state());

    let status = finish(&["status", "--admin", &admin]);
    said(
        &status,
        0,
        &["carts: owned by v1", "1 of v2 against v1", "braked with 0% of the traffic", "for the breach to be confirmed within"],
    );
    let status = json(&finish(&["status", "carts", "--admin", &admin, "--json"]));
    assert_eq!(status["rollout"]["policy"]["burst_tolerance_seconds"], 1.0, "{status}");
    assert_eq!(status["rollout"]["plan"]["steps"][0]["weight"], 5_000, "{status}");
    said(&finish(&["status", "orders", "--admin", &admin]), 2, &["there is no service orders"]);

    let story = ["carts, rollout 1 of v2 against v1: braked", "0% → 50%  by plan", "50% → 0%  by gate", "verified: recomputed ln E = "];
    said(&finish(&["why", "--admin", &admin]), 0, &story);
    said(&finish(&["why", "carts/v2", "--admin", &braked.admin.to_string()]), 0, &story);
    said(&finish(&["why", "carts/7", "--admin", &admin]), 2, &["there is no rollout 7 of carts; there are 1 (v2, braked)"]);
    said(&finish(&["why", "--state", &state]), 2, &["in use by a running proxy", "--admin"]);

    let journal = request(braked.admin, "GET /v1/rollouts/carts/journal?last=1", "");
    let (_, body) = journal.split_once("\r\n\r\n").unwrap();
    let line: Value = serde_json::from_str::<Value>(body).unwrap()["entries"][0].clone();
    assert_eq!((&line["sequence"], &line["entry"]["phase"]), (&Value::from(2), &Value::from("braked")), "{journal}");
    assert!(line["entry"]["at"].as_str().unwrap().ends_with('Z'), "{journal}");

    assert_eq!(braked.proxy.terminate(), Some(0));
    said(&finish(&["why", "carts", "--state", &state]), 0, &story);
    let told = json(&finish(&["why", "--state", &state, "--json"]));
    assert_eq!(
        (&told["verified"], &told["rollouts"][0]["entries"][1]["checks"][0]["result"]),
        (&true.into(), &"verified".into()),
        "{told}"
    );

    forge(&state, |entry| entry.evidence.as_mut().unwrap().log_e = Some(20.0));
    said(&finish(&["why", "--state", &state]), 1, &["does NOT verify: the evidence is recorded as ln E = 20", "1 piece(s) of evidence"]);
    assert_eq!(json(&finish(&["why", "--state", &state, "--json"]))["verified"], false);
}

#[test]
fn a_killed_proxys_story_is_read_without_touching_what_it_left() {
    let Braked { folder, proxy, .. } = Braked::start();
    drop(proxy);
    let state = folder.path().join("state");
    let before = std::fs::read(state.join("state.redb")).unwrap();
    said(&finish(&["why", "--state", state.to_str().unwrap()]), 0, &["rollout 1 of v2", "verified: recomputed"]);
    assert!(std::fs::read(state.join("state.redb")).unwrap() == before, "the state file was changed");
}

#[test]
fn what_cannot_be_asked_or_read_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (nobody, empty) = (format!("http://{}", closed_port()), folder.path().to_str().unwrap());
    for command in ["status", "why"] {
        said(&finish(&[command, "--admin", &nobody]), 2, &["got no answer", "is the proxy running"]);
        said(&finish(&[command, "--admin", "https://elsewhere"]), 2, &["write the address of an admin listener"]);
    }
    said(&finish(&["why", "--state", empty]), 2, &["there is no state in", "--state"]);
    said(&finish(&["why", "a/b/c"]), 2, &["write SERVICE or SERVICE/ROLLOUT"]);
    said(&finish(&["why", "--state", empty, "--admin", &nobody]), 2, &["cannot be used with"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made");
}
