//! What is not left to the draw: off unless it is written, secrets from files alone, and what is refused.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use super::*;
use crate::seam::choice::{By, Choice, MirrorTo};

/// Loads the smallest configuration with these lines for its service, in a folder with the keys `good` (0600), `open` (0644)
/// and `short`.
fn load_with(lines: &str) -> Result<Loaded, Vec<Problem>> {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, mode) in [("good", 32, 0o600), ("open", 32, 0o644), ("short", 31, 0o600)] {
        let path = folder.path().join(name);
        fs::write(&path, vec![7; bytes]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let text: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    load_in(folder.path(), format!("{SMALL}{text}"), &Flags::default())
}

fn choice(lines: &str) -> Choice {
    let loaded = load_with(lines).unwrap_or_else(|problems| panic!("{lines}: {}", shown(&problems)));
    assert_eq!(loaded.notes, [], "{lines}");
    Choice::clone(loaded.settings.services[0].choice.as_ref().unwrap())
}

const OTHER: &str = "others: [{version: v9, endpoints: ['127.0.0.1:8089']}]";

#[test]
fn everything_is_left_to_the_draw_unless_something_is_written() {
    assert_eq!(load_with("").unwrap().settings.services[0].choice, None);
}

#[test]
fn what_is_left_out_has_its_default() {
    let force = choice("force: {keys: [{id: k, file: good}]}").force.unwrap();
    assert_eq!((force.header.unwrap().as_str(), force.cookie), ("x-portcullis-version", None));
    let force = choice("force: {cookie: try, keys: [{id: k, file: good}]}").force.unwrap();
    assert_eq!((force.header, force.cookie.as_deref()), (None, Some("try")));
    let sticky = choice("sticky: {cookie: stay, keys: [{id: k, file: good}]}").sticky.unwrap();
    assert_eq!(sticky.by, By::OwnCookie { name: "stay".to_owned(), age: Duration::from_secs(86_400) });
    let mirror = choice("mirror: {to: canary}").mirror.unwrap();
    assert_eq!((mirror.to, mirror.share.to_string().as_str(), mirror.most, mirror.bytes), (MirrorTo::Canary, "10%", 64, 65_536));
    assert_eq!((mirror.methods, mirror.deadline), (vec![http::Method::GET, http::Method::HEAD], Duration::from_secs(5)));
}

#[test]
fn everything_can_be_written() {
    let keys = "keys: [{id: new, file: good}, {id: old, file: good}]";
    for (key, by) in [
        ("header X-User", By::Header(http::HeaderName::from_static("x-user"))),
        ("cookie session", By::Cookie("session".to_owned())),
        ("client address", By::Client),
    ] {
        assert_eq!(choice(&format!("sticky: {{key: {key}, {keys}}}")).sticky.unwrap().by, by);
    }
    let mirror = "mirror: {to: v9, share: 2.5%, methods: GET, most: 5, deadline: 300ms, bytes: 1 MiB}";
    let choice = choice(&format!("{OTHER}\n{mirror}\nforce: {{header: x-try, {keys}}}"));
    let mirror = choice.mirror.unwrap();
    assert_eq!((mirror.share.basis_points(), mirror.most, mirror.deadline, mirror.bytes), (250, 5, Duration::from_millis(300), 1 << 20));
    assert_eq!(mirror.to, MirrorTo::Other("v9".parse().unwrap()));
    assert!(choice.others.find("v9").is_some());
    assert_eq!(format!("{:?}", choice.force.unwrap().keys), r#"["new", "old"]"#, "no secret is shown");
}

#[test]
fn an_idempotency_key_is_nobodys_promise_unless_it_is_written() {
    for (lines, repeat) in [
        ("idempotency_key: 64KiB", Some(65_536)),
        ("idempotency_key: 0B", Some(0)),
        ("idempotency_key: yes", None),
        ("idempotency_key: 2 MiB", None),
    ] {
        match (load_with(lines), repeat) {
            (Ok(loaded), Some(_)) => assert_eq!(loaded.settings.services[0].choice.as_ref().unwrap().repeat, repeat),
            (Err(problems), None) => assert!(shown(&problems).contains("idempotency_key"), "{}", shown(&problems)),
            (found, _) => panic!("{lines}: {found:?}"),
        }
    }
    assert_eq!(load_with("idempotency_key: off").unwrap().settings.services[0].choice, None);
}

#[test]
fn a_key_that_others_may_read_is_told_and_used() {
    let loaded = load_with("force: {keys: [{id: k, file: open}]}").unwrap();
    assert!(loaded.notes.len() == 1 && loaded.notes[0].message.contains("others than its owner"), "{}", shown(&loaded.notes));
    assert!(loaded.settings.services[0].choice.as_ref().unwrap().force.is_some());
}

#[test]
fn what_cannot_work_is_refused_with_its_place() {
    for (lines, path, message, hint) in [
        ("force: {}", "force.keys", "keys is missing", "key-1"),
        ("force: {keys: []}", "force.keys", "no key", "key-1"),
        ("force: {keys: [{id: k, file: absent}]}", "force.keys[0].file", "cannot be read", "urandom"),
        ("force: {keys: [{id: k, file: .}]}", "force.keys[0].file", "not a file", "urandom"),
        ("force: {keys: [{id: k, file: short}]}", "force.keys[0].file", "has 31 bytes", "urandom"),
        ("force: {keys: [{id: 'a~b', file: good}]}", "force.keys[0].id", "not a name", "key-1"),
        ("force: {keys: [{id: k, file: good}, {id: k, file: good}]}", "force.keys[1].id", "twice", "of its own"),
        ("force: {header: x-portcullis-x, keys: [{id: k, file: good}]}", "force.header", "taken out", "another"),
        ("force: {cookie: 'a b', keys: [{id: k, file: good}]}", "force.cookie", "not the name of a cookie", "letters"),
        ("sticky: {keys: [{id: k, file: good}]}", "sticky", "a cookie or a key", "client address"),
        ("sticky: {cookie: a, key: client address, keys: [{id: k, file: good}]}", "sticky", "a cookie or a key", "either"),
        ("sticky: {key: ip, keys: [{id: k, file: good}]}", "sticky.key", "not what a user is known by", "client address"),
        ("sticky: {key: client address, max_age: 1h, keys: [{id: k, file: good}]}", "sticky.max_age", "sets none", "leave"),
        ("sticky: {cookie: a, max_age: 1s, keys: [{id: k, file: good}]}", "sticky.max_age", "out of range", "at least 60 s"),
        ("mirror: {}", "mirror.to", "to is missing", "canary"),
        ("mirror: {to: v7}", "mirror.to", "nothing can be mirrored to \"v7\"", "others"),
        ("mirror: {to: canary, bytes: 2MiB}", "mirror.bytes", "not a size in range", "64KiB"),
        ("mirror: {to: canary, bytes: 64}", "mirror.bytes", "not a size in range", "64KiB"),
        ("mirror: {to: canary, most: 0}", "mirror.most", "not a number in range", "1 to 10000"),
        ("mirror: {to: canary, methods: get}", "mirror.methods", "not a method", "GET"),
        (
            "others: [{version: v1, endpoints: ['127.0.0.1:8089']}]\nmirror: {to: v1}",
            "others[0].version",
            "another version \"v1\"",
            "its build",
        ),
        ("others: [{version: v9, endpoints: ['127.0.0.1:8080']}]\nmirror: {to: v9}", "others[0].endpoints", "this proxy itself", "listens"),
    ] {
        let problems = load_with(lines).map(|loaded| panic!("{lines}: {:?}", loaded.settings)).unwrap_err();
        let problem = &problems[0];
        assert_eq!((problems.len(), problem.path.as_str()), (1, format!("services[0].{path}").as_str()), "{lines}\n{}", shown(&problems));
        assert!(problem.message.contains(message), "{lines}: {problem}");
        assert!(problem.hint.as_deref().unwrap().contains(hint), "{lines}: {problem}");
    }
    let both = "force: {cookie: a, keys: [{id: k, file: good}]}\nsticky: {cookie: a, keys: [{id: k, file: good}]}";
    assert!(load_with(both).unwrap_err()[0].message.contains("already carries the token"));
}

#[test]
fn what_has_no_effect_or_a_double_one_is_told() {
    assert!(load_with(OTHER).unwrap().notes[0].message.contains("nothing can reach this version"));
    let relative = "canary: {version: v2, endpoints: ['127.0.0.1:8082']}\ngates: ['p95 <= stable * 1.1', 'p95 < 1s']";
    assert_eq!(load_with(relative).unwrap().notes, []);
    let notes = load_with(&format!("{relative}\nsticky: {{cookie: a, keys: [{{id: k, file: good}}]}}")).unwrap().notes;
    assert!(
        notes.len() == 1 && notes[0].path == "services[0].gates[0]" && notes[0].message.contains("users are drawn"),
        "{}",
        shown(&notes)
    );
    assert!(load_with("mirror: {to: canary, methods: POST}").unwrap().notes[0].message.contains("a second time"));
}
