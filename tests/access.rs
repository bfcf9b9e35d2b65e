//! The program's admin API over a Unix socket, a loopback address and TLS, asked by its own command line.
#![cfg(test)]

#[path = "support/process.rs"]
#[allow(dead_code, reason = "shared with the tests of commands that print an answer")]
mod process;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;

use process::{Finished, Running, command, finish, request};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};

/// What every proxy here stands before: nobody.
const SERVICE: &str = "services: [{name: carts, stable: {version: v1, endpoints: [\"127.0.0.1:1\"]}}]\n";

fn secret(folder: &Path, name: &str) -> String {
    let file = folder.join(name);
    fs::write(&file, format!("{name}-{}", "0123456789abcdef".repeat(4))).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file.to_str().unwrap().to_owned()
}

fn proxy(folder: &Path, admin: &str) -> Running {
    let file = folder.join("portcullis.yaml");
    fs::write(&file, format!("listen: 127.0.0.1:0\nstate: state\nworkers: 1\nadmin: {admin}\n{SERVICE}")).unwrap();
    Running::start(&["run", file.to_str().unwrap()])
}

#[track_caller]
fn said(ended: &Finished, code: i32, parts: &[&str]) {
    let all = format!("{}{}", ended.stdout, ended.stderr);
    assert!(ended.code == Some(code) && parts.iter().all(|part| all.contains(part)), "{:?}: {all}", ended.code);
}

#[test]
fn commands_come_over_a_socket_that_only_its_owner_may_open() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("run/admin.sock");
    let at = format!("unix:{}", socket.display());
    fs::create_dir(folder.path().join("run")).unwrap();
    drop(UnixListener::bind(&socket).unwrap());
    let running = proxy(folder.path(), &format!("\"{at}\""));
    assert_eq!(running.line("admin on "), at, "the file that nobody listened on any more was replaced");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    said(&finish(&["status", "--admin", &at]), 0, &["carts"]);
    said(&finish(&["abort", "carts", "--admin", &at]), 0, &["no rollout of carts is progressing"]);
    let second = finish(&["run", folder.path().join("portcullis.yaml").to_str().unwrap()]);
    said(&second, 69, &["cannot listen on unix:", "another process listens there"]);
    assert_eq!(running.terminate(), Some(0));
    assert!(!socket.exists(), "a clean stop removes the file");
    said(&finish(&["status", "--admin", &at]), 2, &["got no answer", "unix:"]);
}

#[test]
fn without_a_word_in_the_configuration_commands_go_to_the_usual_socket() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portcullis.yaml");
    // A service at port 9090 of another test must not be in the way: only the client's side of the default is run here.
    let socket = folder.path().join("portcullis/admin.sock");
    fs::write(
        &file,
        format!("listen: 127.0.0.1:0\nstate: state\nadmin: {{listen: [\"unix:{}\", 127.0.0.1:0]}}\n{SERVICE}", socket.display()),
    )
    .unwrap();
    let running = Running::start(&["run", file.to_str().unwrap()]);
    let address = running.address("admin on http://");
    let usual = |args: &[&str]| {
        let ended =
            command(args).env("XDG_RUNTIME_DIR", folder.path()).env_remove("PORTCULLIS_ADMIN").stdout(Stdio::piped()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Finished { code: ended.status.code(), stdout: text(ended.stdout), stderr: text(ended.stderr) }
    };
    said(&usual(&["status"]), 0, &["carts"]);
    said(&usual(&["abort", "carts"]), 0, &["no rollout"]);
    let shown = address.to_string();
    said(&finish(&["status", "--admin", &shown]), 0, &["carts"]);
    let refused = finish(&["abort", "carts", "--admin", &shown]);
    said(&refused, 2, &["this address only shows", &format!("--admin unix:{}", socket.display()), "admin.tokens"]);
}

#[test]
fn a_token_gives_its_holder_a_role_and_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let (ann, vic, eve) = (secret(folder.path(), "ann"), secret(folder.path(), "vic"), secret(folder.path(), "eve"));
    let running = proxy(
        folder.path(),
        "{listen: 127.0.0.1:0, tokens: [{name: ann, role: operator, file: ann}, {name: vic, role: viewer, file: vic}]}",
    );
    let at = running.line("admin on ");
    let abort = |token: &str| finish(&["abort", "carts", "--admin", &at, "--admin-token-file", token]);
    said(&abort(&ann), 0, &["no rollout of carts"]);
    said(&abort(&vic), 2, &["takes the role operator, and vic is viewer"]);
    said(&abort(&eve), 2, &["nobody here has this token"]);
    said(&finish(&["abort", "carts", "--admin", &at]), 2, &["takes the role operator", "--admin-token-file"]);
    said(&finish(&["status", "--admin", &at]), 0, &["carts"]);

    let body = r#"{"service": "carts", "canary": {"name": "v2", "endpoints": ["127.0.0.1:2"]}, "actor": "bob"}"#;
    let token = fs::read_to_string(&ann).unwrap();
    let head = format!("POST /v1/rollouts HTTP/1.1\r\nauthorization: Bearer {token}\r\nx:");
    let answer = request(at.trim_start_matches("http://").parse().unwrap(), &head, body);
    // No gate is written, so that nothing could be judged; it is asked for all the same, in both names.
    assert!(answer.starts_with("HTTP/1.1 202") || answer.starts_with("HTTP/1.1 409"), "{answer}");
    for output in [abort(&eve).stderr, abort(&vic).stderr, answer] {
        assert!(!output.contains("0123456789abcdef"), "no secret is shown: {output}");
    }
}

#[test]
fn a_robot_with_an_old_token_is_kept_waiting_and_the_socket_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (ann, eve) = (secret(folder.path(), "ann"), secret(folder.path(), "eve"));
    let socket = format!("unix:{}", folder.path().join("admin.sock").display());
    let running =
        proxy(folder.path(), &format!("{{listen: [\"{socket}\", 127.0.0.1:0], tokens: [{{name: ann, role: operator, file: ann}}]}}"));
    let at = running.line("admin on http://");
    let status = |token: &str| finish(&["status", "--admin", &at, "--admin-token-file", token]);
    for _ in 0..10 {
        said(&status(&eve), 2, &["nobody here has this token"]);
    }
    let abort = |at: &str, token: &[&str]| finish(&[&["abort", "carts", "--admin", at][..], token].concat());
    for token in [&eve, &ann] {
        said(&status(token), 2, &["too many wrong tokens came from 127.0.0.1; come again in 60 s"]);
    }
    said(&abort(&at, &["--admin-token-file", &ann]), 0, &["no rollout of carts"]);
    said(&abort(&socket, &[]), 0, &["no rollout of carts"]);
    said(&finish(&["status", "--admin", &at]), 0, &["carts"]);
    let metrics = request(at.parse().unwrap(), "GET /metrics", "");
    for (family, count) in [("wrong_tokens", 10), ("lockouts", 1), ("locked_out_requests", 2)] {
        assert!(metrics.contains(&format!("\nportcullis_admin_{family}_total {count}\n")), "{family}: {metrics}");
    }
    assert_eq!(running.terminate(), Some(0));
}

/// An authority with a certificate for 127.0.0.1 and one for a client.
struct Authority {
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::from_params(&params, &key);
        for (stem, name, usage) in [
            ("server", SanType::IpAddress([127, 0, 0, 1].into()), ExtendedKeyUsagePurpose::ServerAuth),
            ("ops", SanType::URI("spiffe://test/ops".try_into().unwrap()), ExtendedKeyUsagePurpose::ClientAuth),
            ("other", SanType::URI("spiffe://test/other".try_into().unwrap()), ExtendedKeyUsagePurpose::ClientAuth),
        ] {
            let (own, mut params) = (KeyPair::generate().unwrap(), CertificateParams::new(Vec::new()).unwrap());
            params.subject_alt_names = vec![name];
            params.extended_key_usages = vec![usage];
            fs::write(folder.path().join(format!("{stem}.pem")), params.signed_by(&own, &issuer).unwrap().pem()).unwrap();
            fs::write(folder.path().join(format!("{stem}.key")), own.serialize_pem()).unwrap();
        }
        Self { folder }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

#[test]
fn other_machines_come_over_tls_with_a_certificate_or_a_token() {
    let authority = Authority::new();
    let token = secret(authority.folder.path(), "ann");
    let tls = "tls: {certificates: [{chain: server.pem, key: server.key}], client_ca: ca.pem}";
    // All addresses of the machine, so that nobody is taken for a neighbour.
    let admin = format!(
        "{{listen: {{address: \"0.0.0.0:0\", {tls}}}, clients: [{{name: \"spiffe://test/ops\", role: operator}}], tokens: [{{name: ann, role: admin, file: ann}}]}}"
    );
    let running = proxy(authority.folder.path(), &admin);
    let at = running.line("admin on ").replace("0.0.0.0", "127.0.0.1");
    assert!(at.starts_with("https://"), "{at}");
    let (ca, pem, key) = (authority.file("ca.pem"), authority.file("ops.pem"), authority.file("ops.key"));
    said(&finish(&["abort", "carts", "--admin", &at, "--ca", &ca, "--cert", &pem, "--key", &key]), 0, &["no rollout of carts"]);
    let (other, other_key) = (authority.file("other.pem"), authority.file("other.key"));
    let unknown = ["status", "--admin", &at, "--ca", &ca, "--cert", &other, "--key", &other_key];
    said(&finish(&unknown), 2, &["takes the role viewer"]);
    said(&finish(&[&unknown[..], &["--admin-token-file", &token]].concat()), 0, &["carts"]);
    said(&finish(&["status", "--admin", &at, "--ca", &ca]), 2, &["got no answer"]);
    said(&finish(&["status", "--admin", &at, "--cert", &pem, "--key", &key]), 2, &["no TLS connection"]);
    let plain = at.replace("https", "http");
    said(&finish(&["status", "--admin", &plain]), 2, &["got no answer"]);
}

#[test]
fn an_address_that_others_can_reach_is_refused_without_tls_and_somebody_to_be_known() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let ended = finish(&[
        "run",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "0.0.0.0:0",
        "--state",
        state.to_str().unwrap(),
        "--stable",
        "v1=127.0.0.1:1",
    ]);
    said(&ended, 78, &["can be reached from other machines and has no TLS", "hint:", "tls:", "tokens:", "127.0.0.1"]);
}
