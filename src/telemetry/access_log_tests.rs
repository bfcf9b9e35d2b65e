//! Claims about the access log: what a line says, that it cannot be forged, and that it never stands in a request's way.

use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::outcome::{Failure, Role};
use crate::domain::trace::TraceId;
use crate::seam::access;

const PATIENCE: Duration = Duration::from_secs(20);

fn line(path: &str) -> Line {
    Line {
        client: Some("10.0.0.7".parse::<IpAddr>().unwrap()),
        method: "POST".to_owned(),
        path: path.to_owned(),
        protocol: http::Version::HTTP_2,
        host: "carts.example".to_owned(),
        service: Some("carts".parse().unwrap()),
        version: Some("0.8.2".parse().unwrap()),
        role: Some(Role::Canary),
        generation: 7,
        rollout: 3,
        status: 201,
        response_time: Some(Duration::from_micros(1_500)),
        duration: Duration::from_nanos(2_000_001),
        bytes: 42,
        failure: None,
        uploaded: 0,
        rescued: None,
        refusal: None,
        trace: None,
    }
}

fn rendered(line: &Line) -> String {
    let mut text = String::new();
    render(line, "2026-11-23T10:00:00.000Z", &mut text);
    text
}

fn parsed(line: &Line) -> Value {
    serde_json::from_str(&rendered(line)).unwrap()
}

#[test]
fn a_line_tells_who_asked_what_which_version_answered_and_how_long_it_took() {
    let expected = json!({
        "@timestamp": "2026-11-23T10:00:00.000Z", "client.address": "10.0.0.7", "http.request.method": "POST",
        "server.address": "carts.example", "url.path": "/carts/1/items", "http.response.status_code": 201,
        "http.response.body.bytes": 42, "event.duration": 2_000_001, "response_time_ms": 1.5, "service": "carts",
        "upstream.version": "0.8.2", "role": "canary", "decision.epoch": 7,
    });
    assert_eq!(parsed(&line("/carts/1/items")), expected);
    let recorded = Line { trace: Some(TraceId::drawn(0xab)), ..line("/") };
    assert_eq!(parsed(&recorded)["trace.id"], json!(format!("{}ab", "0".repeat(30))));
}

#[test]
fn a_failure_names_its_kind_and_who_is_to_blame() {
    let failed = Line { failure: Some(Failure::ResponseTimeout), status: 504, response_time: None, ..line("/") };
    let parsed = parsed(&failed);
    assert_eq!((&parsed["error.type"], &parsed["error.blame"]), (&json!("response_timeout"), &json!("upstream")));
    assert_eq!(parsed.get("response_time_ms"), None);
}

#[test]
fn a_refused_request_has_a_reason_and_a_decision_epoch_but_no_version() {
    let refused = Line { service: None, version: None, role: None, generation: 0, refusal: Some("no \"Host\""), status: 400, ..line("/") };
    let parsed = parsed(&refused);
    assert_eq!((&parsed["refusal.reason"], &parsed["decision.epoch"]), (&json!("no \"Host\""), &json!(0)));
    for absent in ["service", "upstream.version", "role"] {
        assert_eq!(parsed.get(absent), None);
    }
}

#[test]
fn an_ipv4_client_on_an_ipv6_socket_is_written_as_ipv4() {
    let mapped = Line { client: Some("::ffff:10.0.0.7".parse().unwrap()), ..line("/") };
    assert_eq!(parsed(&mapped)["client.address"], "10.0.0.7");
}

#[test]
fn nothing_a_client_sends_leaves_its_place() {
    let evil = "/\r\n{\"role\":\"stable\"}\u{1b}[31m\0\u{7f}\u{85}\u{9b}\u{2028}\u{2029}\u{202e}\u{2066}\u{200f}\u{feff}\\\"😀";
    let evil = Line { method: evil.to_owned(), host: evil.to_owned(), ..line(evil) };
    let text = rendered(&evil);
    assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text}");
    let parsed = parsed(&evil);
    assert_eq!((&parsed["url.path"], &parsed["role"]), (&json!(evil.path), &json!("canary")));
    assert_eq!(parsed["server.address"], parsed["http.request.method"]);
}

proptest! {
    #[test]
    fn any_text_comes_back_as_it_was_from_one_ascii_line(path in any::<String>(), host in any::<String>()) {
        let odd = Line { host: host.clone(), ..line(&path) };
        let text = rendered(&odd);
        prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        let parsed: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&parsed["url.path"], &json!(path));
        prop_assert_eq!(&parsed["server.address"], &json!(host));
    }
}

#[test]
fn lines_are_appended_to_a_file_that_others_cannot_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    for round in 0..2 {
        let (sender, receiver) = access::channel();
        let log = AccessLog::start(receiver, &Destination::File(path.clone()), LogFormat::Json).unwrap();
        for number in 0..300 {
            sender.send(Box::new(line(&format!("/{round}/{number}"))));
        }
        drop(sender);
        assert!(log.finish(PATIENCE));
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let paths: Vec<String> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["url.path"].as_str().unwrap().to_owned()).collect();
    let expected: Vec<String> = (0..2).flat_map(|round| (0..300).map(move |number| format!("/{round}/{number}"))).collect();
    assert_eq!(paths, expected);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o007, 0);
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (_sender, receiver) = access::channel();
    let error = AccessLog::start(receiver, &Destination::File(folder.path().join("missing/access.log")), LogFormat::Json).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_full_disk_drops_and_counts_every_line() {
    let (sender, receiver) = access::channel();
    let log = AccessLog::start(receiver, &Destination::File("/dev/full".into()), LogFormat::Json).unwrap();
    let dropped = log.dropped();
    for _ in 0..1_000 {
        sender.send(Box::new(line("/")));
    }
    drop(sender);
    assert!(log.finish(PATIENCE));
    assert_eq!(dropped.load(Ordering::Relaxed), 1_000);
}

#[test]
fn a_reader_that_takes_nothing_never_holds_a_request_up() {
    let (mut reader, writer) = io::pipe().unwrap();
    let (sender, receiver) = access::channel();
    let dropped = Arc::clone(&receiver.dropped);
    let writing = thread::spawn(move || run(&receiver, Output::new(writer, LogFormat::Json)));
    let sent = 40_000;
    let begun = Instant::now();
    for _ in 0..sent {
        sender.send(Box::new(line("/")));
    }
    assert!(begun.elapsed() < PATIENCE);
    let lost = dropped.load(Ordering::Relaxed);
    assert!(lost > 10_000, "{lost} lines were dropped");
    drop(sender);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    writing.join().unwrap();
    assert_eq!(text.lines().count() as u64 + dropped.load(Ordering::Relaxed), sent, "every line is written or counted");
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
}

/// A disk with room for some bytes that are given to it from outside.
struct Disk {
    room: Receiver<usize>,
    left: usize,
    content: Arc<std::sync::Mutex<Vec<u8>>>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left == 0 {
            self.left = self.room.try_recv().unwrap_or(0);
        }
        let count = bytes.len().min(self.left);
        if count == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.left -= count;
        self.content.lock().unwrap().extend_from_slice(&bytes[..count]);
        Ok(count)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn after_a_torn_line_the_next_one_stands_on_its_own() {
    let (give, room) = sync_channel(8);
    let content = Arc::default();
    let mut output = Output::new(Disk { room, left: 0, content: Arc::clone(&content) }, LogFormat::Json);
    let mut write = |paths: &[&str]| {
        for path in paths {
            output.push(&line(path), "2026-11-23T10:00:00.000Z");
        }
        output.write()
    };
    let length = rendered(&line("/1")).len() + 1;
    give.send(length + 10).unwrap();
    assert_eq!(write(&["/1", "/2", "/3"]), 2, "the second is torn, the third never began");
    assert_eq!(write(&["/4"]), 1);
    give.send(100 * length).unwrap();
    assert_eq!(write(&["/5", "/6"]), 0);
    let text = String::from_utf8(content.lock().unwrap().clone()).unwrap();
    let whole: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).map(|l| l["url.path"].clone()).collect();
    assert_eq!(whole, [json!("/1"), json!("/5"), json!("/6")], "{text}");
    assert_eq!(text.lines().count(), 4, "{text}");
}

#[test]
fn a_connection_without_http_has_bytes_both_ways_and_nothing_of_a_request() {
    let tcp = Line {
        client: Some("10.0.0.7".parse().unwrap()),
        service: Some("mail".parse().unwrap()),
        version: Some("v1".parse().unwrap()),
        role: Some(Role::Stable),
        generation: 7,
        bytes: 42,
        uploaded: 6,
        ..Line::default()
    };
    let expected = json!({
        "@timestamp": "2026-11-23T10:00:00.000Z", "client.address": "10.0.0.7", "network.transport": "tcp", "client.bytes": 6,
        "server.bytes": 42, "event.duration": 0, "service": "mail", "upstream.version": "v1", "role": "stable", "decision.epoch": 7,
    });
    assert_eq!(parsed(&tcp), expected);
}

#[test]
fn the_common_format_has_what_every_reader_knows_and_then_the_version() {
    let told = |line: &Line| {
        let mut text = String::new();
        common(line, "2026-11-23T10:00:00.000Z", &mut text);
        text
    };
    assert_eq!(
        told(&line("/carts/1/items")),
        "10.0.0.7 - - [23/Nov/2026:10:00:00 +0000] \"POST /carts/1/items HTTP/2.0\" 201 42 carts 0.8.2 canary 7 0.002000"
    );
    let forged = Line { client: None, status: 0, service: None, version: None, role: None, ..line("/\" 200 1\n10.0.0.1 \u{1b}[31m\\é") };
    assert_eq!(
        told(&forged),
        "- - - [23/Nov/2026:10:00:00 +0000] \"POST /\\\" 200 1\\x0a10.0.0.1 \\x1b[31m\\\\\\xc3\\xa9 HTTP/2.0\" - 42 - - - 7 0.002000"
    );
}
