//! Where the admin API is, who may do what there, and what is too open to start.

use std::os::unix::fs::PermissionsExt;

use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::config::admin::usual_sockets;
use crate::domain::rank::Rank;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A folder with a token, a certificate and its key.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    secret(folder.path(), "ann", SECRET, 0o600);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["a.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(folder.path().join("a.pem"), certificate.pem()).unwrap();
    fs::write(folder.path().join("a.key"), key.serialize_pem()).unwrap();
    folder
}

fn secret(folder: &Path, name: &str, text: &str, mode: u32) {
    fs::write(folder.join(name), text).unwrap();
    fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).unwrap();
}

fn with(folder: &Path, admin: &str) -> Result<Loaded, Vec<Problem>> {
    load_in(folder, format!("admin: {admin}\n{SMALL}"), &Flags::default())
}

#[test]
fn a_socket_takes_commands_and_an_address_shows_where_nothing_is_written() {
    let usual = |variable: &dyn Fn(&str) -> Option<OsString>| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("portcullis.yaml");
        fs::write(&path, SMALL).unwrap();
        let admin = load(Some(&path), &Flags::default(), &Surroundings { variable, ..around() }).unwrap().settings.admin;
        let listen: Vec<String> = admin.listen.iter().map(|one| one.address.to_string()).collect();
        assert!(admin.listen.iter().all(|one| one.mode == 0o600));
        (listen.join(" "), admin.open)
    };
    let of = |wanted: &'static str, value: &'static str| move |name: &str| (name == wanted || name == "HOME").then(|| value.into());
    let at = |path: &str| format!("unix:{path} 127.0.0.1:9090");
    assert_eq!(usual(&of("RUNTIME_DIRECTORY", "/run/p:/run/q")), (at("/run/p/admin.sock"), Rank::Viewer));
    assert_eq!(usual(&of("XDG_RUNTIME_DIR", "/run/user/7")), (at("/run/user/7/portcullis/admin.sock"), Rank::Viewer));
    let state = "/h/.local/state/portcullis/127.0.0.1-8080/admin.sock";
    assert_eq!(usual(&of("HOME", "/h")), (at(state), Rank::Viewer));
    let long: &'static str = Box::leak(format!("/{}", "x".repeat(100)).into_boxed_str());
    assert_eq!(usual(&of("HOME", long)), ("127.0.0.1:9090".to_owned(), Rank::Admin), "there is no room for a socket");

    let sockets = usual_sockets(&of("XDG_RUNTIME_DIR", "/run/user/7"));
    assert_eq!(sockets, [Path::new("/run/user/7/portcullis/admin.sock"), Path::new("/run/portcullis/admin.sock")]);
}

#[test]
fn tokens_names_and_hosts_are_read_and_no_secret_is_kept() {
    let folder = folder();
    let text = "{listen: [\"unix:/run/p/a.sock\", {address: \"unix:/run/p/b.sock\", mode: 0660}, 127.0.0.1:0], \
                tokens: [{name: ann, role: operator, file: ann}], clients: [{name: \"spiffe://x/ops\", role: admin}], hosts: [Gate.Example]}";
    let admin = with(folder.path(), text).unwrap_or_else(|problems| panic!("{}", shown(&problems))).settings.admin;
    let modes: Vec<u32> = admin.listen.iter().map(|one| one.mode).collect();
    assert_eq!((modes, admin.open), (vec![0o600, 0o660, 0o600], Rank::Viewer));
    assert_eq!((admin.tokens[0].name.as_str(), admin.tokens[0].rank), ("ann", Rank::Operator));
    assert_eq!((admin.clients[0].1, admin.hosts[0].as_str()), (Rank::Admin, "gate.example"));
    assert!(!format!("{admin:?}").contains(SECRET));
    let plain = with(folder.path(), "127.0.0.1:0").unwrap().settings.admin;
    assert_eq!(plain.open, Rank::Admin, "an address written alone is as it always was");
}

#[test]
fn what_others_can_reach_needs_tls_and_somebody_to_be_known() {
    let folder = folder();
    let tls = "tls: {certificates: [{chain: a.pem, key: a.key}]}";
    let mutual = "tls: {certificates: [{chain: a.pem, key: a.key}], client_ca: a.pem}";
    let (token, client) = ("tokens: [{name: ann, role: operator, file: ann}]", "clients: [{name: a.test, role: viewer}]");
    let remote = |tls: &str, who: &str| format!("{{listen: [{{address: \"0.0.0.0:9443\"{tls}}}]{who}}}");
    for (tls, who) in [(tls, token), (mutual, client), (mutual, token)] {
        let text = remote(&format!(", {tls}"), &format!(", {who}"));
        assert!(with(folder.path(), &text).is_ok(), "{text}");
    }
    for (text, lacks) in [
        ("0.0.0.0:9090".to_owned(), "has no TLS"),
        ("\"[::]:9090\"".to_owned(), "has no TLS"),
        ("10.0.0.7:9090".to_owned(), "has no TLS"),
        (remote("", &format!(", {token}")), "has no TLS"),
        (remote(&format!(", {tls}"), ""), "asks for no token and no client certificate"),
        (remote(&format!(", {tls}"), &format!(", {client}")), "asks for no token and no client certificate"),
        (remote(&format!(", {mutual}"), ""), "knows no token and no name"),
    ] {
        let problems = with(folder.path(), &text).expect_err(&text);
        assert!(problems.len() == 1 && problems[0].message.contains(lacks), "{text}: {}", shown(&problems));
        let hint = problems[0].hint.as_deref().unwrap();
        assert!(["tls:", "tokens:", "client_ca", "127.0.0.1"].iter().all(|part| hint.contains(part)), "{hint}");
    }
}

#[test]
fn what_cannot_be_used_says_where_and_how_to_mend_it() {
    let folder = folder();
    secret(folder.path(), "open", SECRET, 0o644);
    secret(folder.path(), "short", "abc", 0o600);
    let token = |rest: &str| format!("{{listen: 127.0.0.1:0, tokens: [{{{rest}}}]}}");
    for (text, path, message, hint) in [
        (token("name: a, role: root, file: ann"), "admin.tokens[0].role", "root", "viewer, operator or admin"),
        (token("name: a b, role: viewer, file: ann"), "admin.tokens[0].name", "no name for the journal", "visible ASCII"),
        (token("name: hand-over, role: admin, file: ann"), "admin.tokens[0].name", "part of the program", "such as ann"),
        (token("name: ' Gate ', role: viewer, file: ann"), "admin.tokens[0].name", "part of the program", "such as ann"),
        (
            "{listen: 127.0.0.1:0, clients: [{name: webhook, role: operator}]}".to_owned(),
            "admin.clients[0].name",
            "part of the program",
            "such as ann",
        ),
        (token("name: a, role: viewer, file: nothing"), "admin.tokens[0].file", "cannot be read", "may read"),
        (token("name: a, role: viewer, file: open"), "admin.tokens[0].file", "everybody may read", "chmod 600"),
        (token("name: a, role: viewer, file: short"), "admin.tokens[0].file", "not 32 to 512", "openssl rand -hex 32"),
        (token("name: a, role: viewer"), "admin.tokens[0].file", "missing", "openssl rand"),
        ("{tokens: []}".to_owned(), "admin.listen", "missing", "unix:/run"),
        ("{listen: []}".to_owned(), "admin", "listens nowhere", "unix:/run"),
        ("{listen: [127.0.0.1:7, 127.0.0.1:7]}".to_owned(), "admin.listen[1]", "twice", "one of the two"),
        ("{listen: {address: 127.0.0.1:7, protocol: tcp}}".to_owned(), "admin.listen.protocol", "HTTP", "leave"),
    ] {
        let problems = with(folder.path(), &text).expect_err(&text);
        let problem = &problems[0];
        assert_eq!(problem.path, path, "{text}: {}", shown(&problems));
        let told = problem.hint.as_deref().unwrap_or_default();
        assert!(problem.message.contains(message) && told.contains(hint), "{text}: {problem}");
    }
}
