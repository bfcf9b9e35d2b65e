//! Plays all cases on both ports, and on a server that does nothing, which must reach next to none.

use std::thread;
use std::time::Duration;

use super::case::Case;
use super::ends::Outcome;
use super::peer::{self, Peer};
use super::table;
use super::talk::Port;
use super::{generic, hpack, kinds, messages, streams};
use crate::authority::Authority;
use crate::corpora::lane::in_lanes;
use crate::process::Running;
use crate::support::PATIENCE;
use crate::support::frames::{ACK, SETTINGS, frame};
use crate::support::upstream::Upstream;

/// All cases, for this port: 147, one of them in strict mode alone.
fn cases(peer: &Peer) -> Vec<Case> {
    let all = [generic::cases(peer), streams::cases(peer), kinds::cases(peer), messages::cases(peer), hpack::cases(peer)].concat();
    let strict = all.iter().filter(|case| case.strict).count();
    assert_eq!((all.len(), strict), (147, 1), "the suite is whole");
    all
}

/// Answers every request with ten bytes.
fn upstream() -> Upstream {
    Upstream::start(|peer| {
        while let Some(request) = peer.request() {
            let body = if request.line[0] == "HEAD" { "" } else { "0123456789" };
            if !peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{body}").as_bytes()) {
                return;
            }
        }
    })
}

#[test]
fn every_case_ends_as_accepted_on_both_ports() {
    let (upstream, authority, folder) = (upstream(), Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.sign("a", "a.test");
    let file = folder.path().join("portcullis.yaml");
    let text = format!(
        "listen:\n  - 127.0.0.1:0\n  - address: 127.0.0.1:0\n    tls: {{certificates: [{{chain: {}, key: {}}}]}}\n\
         admin: 127.0.0.1:0\nstate: {}\nworkers: 1\nservices:\n  - name: spec\n    stable: {{version: v1, endpoints: [\"{}\"]}}\n",
        files.chain.display(),
        files.key.display(),
        folder.path().join("state").display(),
        upstream.address
    );
    std::fs::write(&file, text).unwrap();
    let proxy = Running::start(&["run", file.to_str().unwrap()]);
    let [plain, encrypted] = [None, Some(authority.client(&["h2"], None))].map(|tls| {
        let port = Port { address: proxy.address("listening on "), tls, patience: PATIENCE };
        let cases = cases(&port.peer());
        let outcomes = in_lanes(cases.len(), || (), |(), number| port.play(&cases[number]));
        (cases, outcomes)
    });
    let rows: Vec<table::Row<'_>> =
        plain.0.iter().zip(plain.1.iter().zip(&encrypted.1)).map(|(case, (plain, encrypted))| (case, [plain, encrypted])).collect();
    let wrong: Vec<String> = rows
        .iter()
        .filter(|(_, outcomes)| outcomes.iter().any(|outcome| !outcome.reached))
        .map(|(case, [plain, encrypted])| format!("{} ({}): {plain:?}, {encrypted:?}; accepted: {}", case.id, case.title, case.ends))
        .collect();
    assert!(wrong.is_empty(), "{} cases end otherwise than accepted:\n{}", wrong.len(), wrong.join("\n"));
    table::check(&rows);
}

#[test]
fn a_server_that_greets_and_does_nothing_more_reaches_the_greeting_alone() {
    const SILENCE: Duration = Duration::from_secs(2);
    let mute = Upstream::start(|peer| {
        peer.send(&[peer::settings(&[(peer::CONCURRENT_STREAMS, 100)]), frame(SETTINGS, ACK, 0, b"")].concat());
        peer.until_closed();
    });
    let port = Port { address: mute.address, tls: None, patience: PATIENCE };
    let cases = cases(&port.peer());
    let port = Port { patience: SILENCE, ..port };
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let played: Vec<_> = cases.iter().map(|case| scope.spawn(|| port.play(case))).collect();
        played.into_iter().map(|played| played.join().unwrap()).collect()
    });
    let reached: Vec<&str> = cases.iter().zip(&outcomes).filter(|(_, o)| o.reached).map(|(case, _)| case.id.as_str()).collect();
    assert_eq!(reached, ["generic/1/1", "http2/3.5/1"]);
}
