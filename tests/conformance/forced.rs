//! H-06, I2, I13: a version that a signed token forces, never past a trip and never as evidence.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use portcullis::domain::outcome::Role;
use portcullis::domain::time::Timestamp;
use portcullis::seam::choice::{Choice, Force};
use portcullis::seam::clock::unix_seconds;
use portcullis::seam::keys::Keys;
use portcullis::seam::token;

use crate::process::{self, Running};
use crate::split::{Split, count, keys, name, named, trip, version};
use crate::support::client::Client;
use crate::support::upstream::Upstream;

fn force() -> Force {
    Force { header: Some(http::HeaderName::from_static("x-portcullis-version")), cookie: Some("try".to_owned()), keys: keys() }
}

/// A split that can be forced, with v9 beside it.
fn split() -> (Split, Upstream) {
    let v9 = named("v9");
    let others = vec![version("v9", v9.address)];
    (Split::new(Choice { force: Some(force()), others: others.into(), ..Choice::default() }), v9)
}

fn token(rollout: u64, version: &str) -> String {
    token::force(&keys(), &name("carts"), rollout, &name(version), unix_seconds() + 60)
}

fn field(token: &str) -> String {
    format!("X-Portcullis-Version: {token}\r\n")
}

/// Returns how many tokens forced something, and how many did not.
fn counts(split: &Split) -> (u64, u64) {
    let counters = &split.proxy.counters.choices;
    (count(&counters.forced), count(&counters.force_refused))
}

#[test]
fn a_token_forces_its_version_by_header_or_cookie_and_goes_no_further() {
    let (mut split, v9) = split();
    let trial = split.shift(3, Some(1));
    for version in ["v1", "v2", "v9"] {
        let token = token(3, version);
        assert_eq!(split.who(&field(&token)), version);
        assert_eq!(split.who(&format!("Cookie: a=1; try={token}\r\n")), version);
        for line in [split.proxy.line(), split.proxy.line()] {
            assert_eq!((line.role, line.version.unwrap().as_str()), (Some(Role::Beside), version));
        }
    }
    assert_eq!(counts(&split), (6, 0));
    let mut passed = split.fields();
    passed.extend(v9.requests().into_iter().flat_map(|request| request.fields));
    assert!(passed.iter().all(|(name, value)| !name.starts_with("x-portcullis") && !value.contains("try=")), "{passed:?}");
    // I13: none of them is evidence, and all of them are counted for their version.
    for version in ["v1", "v2", "v9"] {
        assert_eq!(split.proxy.beside_ended(version, 2).answered, 2);
    }
    assert_eq!(trial.started(), 0);
    assert_eq!((split.proxy.window(Role::Stable).decided, split.proxy.window(Role::Canary).decided), (0, 0));
}

#[test]
fn h06_whatever_was_not_signed_for_this_is_an_ordinary_request() {
    let (mut split, _v9) = split();
    split.shift(3, Some(0));
    let (keys, carts, later) = (keys(), name("carts"), unix_seconds() + 60);
    let good = token(3, "v9");
    let stranger = Keys::new([(name("k"), [8; 32])]).unwrap();
    let long = "x".repeat(9_000);
    let refused = [
        "v9".to_owned(),
        "1".to_owned(),
        long,
        good[..good.len() - 1].to_owned(),
        good.replace("~v9~", "~v2~"),
        token(3, "v8"),
        token(2, "v9"),
        token(4, "v9"),
        token::force(&keys, &name("other"), 3, &name("v9"), later),
        token::force(&stranger, &carts, 3, &name("v9"), later),
        token::force(&keys, &carts, 3, &name("v9"), unix_seconds()),
        // The canary has no share.
        token(3, "v2"),
    ];
    for (token, number) in refused.iter().zip(1..) {
        assert_eq!(split.who(&field(token)), "v1", "{token}");
        assert_eq!(counts(&split), (0, number), "{token}");
        assert_eq!(split.who(&format!("Cookie: try={}\r\n", &token[..token.len().min(8_000)])), "v1", "{token}");
        split.proxy.counters.choices.force_refused.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
    assert_eq!(split.who(&field(&good)), "v9", "the good one is good");
    assert_eq!(split.who("X-Canary: 1\r\nX-Version: v2\r\n"), "v1");
    assert_eq!(split.who(&format!("{}{}", field(&good), field(&good))), "v1", "two tokens are none");
}

#[test]
fn i2_no_token_leads_past_a_trip_a_rollback_or_an_expired_epoch() {
    let (mut split, _v9) = split();
    let forced = field(&token(3, "v2"));
    let trial = split.shift(3, Some(1));
    assert_eq!(split.who(&forced), "v2");
    trip(&trial);
    assert_eq!(split.who(&forced), "v1", "tripped");
    split.publish(3, Some(1), Timestamp::ZERO);
    assert_eq!(split.who(&forced), "v1", "expired");
    split.shift(3, None);
    assert_eq!(split.who(&forced), "v1", "rolled back");
    split.shift(4, Some(1));
    assert_eq!(split.who(&forced), "v1", "replayed in the next rollout");
    assert_eq!(counts(&split), (1, 4));
}

#[test]
fn a_name_among_the_others_does_not_lead_past_a_trip_of_the_canary_of_that_name() {
    let twin = named("twin");
    let others = vec![version("v2", twin.address)];
    let mut split = Split::new(Choice { force: Some(force()), others: others.into(), ..Choice::default() });
    let trial = split.shift(3, Some(1));
    trip(&trial);
    assert_eq!(split.who(&field(&token(3, "v2"))), "v1");
    assert!(twin.requests().is_empty());
}

#[test]
fn without_the_policy_a_good_token_is_no_more_than_a_field_that_is_removed() {
    let mut split = Split::new(Choice::default());
    split.shift(3, Some(0));
    assert_eq!(split.who(&field(&token(3, "v2"))), "v1");
    assert!(split.fields().iter().all(|(name, _)| !name.starts_with("x-portcullis")));
    assert_eq!(counts(&split), (0, 0));
}

/// Writes a configuration whose admin listener is there, with v9 beside the split.
fn configure(folder: &Path, admin: SocketAddr, v1: SocketAddr, v9: SocketAddr) -> String {
    let path = folder.join("portcullis.yaml");
    let text = format!(
        "listen: 127.0.0.1:0\nadmin: {admin}\nstate: state\nworkers: 1\nservices:\n  - name: carts\n    stable: {{version: v1, endpoints: \"{v1}\"}}\n    \
         others: [{{version: v9, endpoints: \"{v9}\"}}]\n    force: {{keys: [{{id: k, file: key}}]}}\n"
    );
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_program_takes_the_tokens_that_it_makes() {
    let (v1, v9, folder) = (named("v1"), named("v9"), tempfile::tempdir().unwrap());
    let key = folder.path().join("key");
    std::fs::write(&key, [7; 32]).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = configure(folder.path(), ([127, 0, 0, 1], 0).into(), v1.address, v9.address);
    let running = Running::start(&["run", &config]);
    let (listen, admin) = (running.address("listening on "), running.address("admin on "));
    configure(folder.path(), admin, v1.address, v9.address);
    let make = |rest: &[&str]| process::finish(&[&["token", "--config", &config, "--service", "carts"], rest].concat());
    let who = |token: &str| Client::connect(listen).ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", field(token.trim_end()))).body;
    for rest in [&["--version", "v9"][..], &["--version", "v9", "--ttl", "30s", "--rollout", "0"]] {
        let made = make(rest);
        assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""));
        assert_eq!(who(&made.stdout), b"v9", "{}", made.stdout);
    }
    assert_eq!(who(&make(&["--version", "v9", "--rollout", "7"]).stdout), b"v1");
    assert_eq!(running.terminate(), Some(0));
    let unanswered = make(&["--version", "v9"]);
    assert_eq!(unanswered.code, Some(2));
    assert!(unanswered.stderr.contains("--rollout"), "{}", unanswered.stderr);
    let unknown = process::finish(&["token", "--config", &config, "--service", "other", "--version", "v9"]);
    assert!(unknown.code == Some(2) && unknown.stderr.contains("there is carts"), "{}", unknown.stderr);
}
