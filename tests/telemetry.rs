//! What the built program tells of its traffic: labels from nobody but the operator, no secret anywhere, and trace context passed on.
#![cfg(test)]

#[path = "support/process.rs"]
#[expect(dead_code, reason = "the proxy's output goes to files here, which others do not need")]
mod process;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use process::{PATIENCE, command, eventually, finish, request};

/// Begins with what no other text begins with.
const SECRET: &str = "s3cr3t-Zq7";

/// A version that keeps the heads of all requests and answers 200.
#[derive(Clone, Default)]
struct Version {
    heads: Arc<Mutex<Vec<String>>>,
}

impl Version {
    fn start() -> (Self, SocketAddr) {
        let version = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = version.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let version = serving.clone();
                std::thread::spawn(move || version.serve(socket));
            }
        });
        (version, address)
    }

    fn serve(&self, mut socket: TcpStream) {
        let mut read = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            while let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&read[..end]).into_owned();
                read.drain(..end + 4);
                let lower = head.to_ascii_lowercase();
                let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0_usize);
                while read.len() < length {
                    let Ok(count @ 1..) = socket.read(&mut buffer) else { return };
                    read.extend_from_slice(&buffer[..count]);
                }
                read.drain(..length);
                let bodyless = head.starts_with("HEAD ");
                self.heads.lock().unwrap().push(head);
                let body = if bodyless { "" } else { "ok" };
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nset-cookie: session={SECRET}-answer\r\n\r\n{body}");
                if socket.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
            let Ok(count @ 1..) = socket.read(&mut buffer) else { return };
            read.extend_from_slice(&buffer[..count]);
        }
    }
}

/// A running proxy whose output goes to files.
struct Proxy {
    folder: tempfile::TempDir,
    child: Child,
    listen: SocketAddr,
    admin: SocketAddr,
}

impl Proxy {
    /// Starts it with a configuration in which `{…}` has been filled in.
    fn start(folder: tempfile::TempDir, text: &str) -> Self {
        let path = folder.path().join("portcullis.yaml");
        let state = folder.path().join("state");
        std::fs::write(&path, format!("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nworkers: 1\nstate: {}\n{text}", state.display())).unwrap();
        let mut command = command(&["run", path.to_str().unwrap()]);
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        command.stdout(file("stdout")).stderr(file("stderr")).env("RUST_LOG", "debug");
        let mut child = command.spawn().unwrap();
        let line = |beginning: &str| {
            let out = std::fs::read_to_string(folder.path().join("stdout")).unwrap();
            out.lines().find_map(|line| line.strip_prefix(beginning)?.parse().ok())
        };
        let found = eventually("the proxy to listen", || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{}", std::fs::read_to_string(folder.path().join("stderr")).unwrap());
            Some((line("listening on ")?, line("admin on http://")?))
        });
        Self { folder, child, listen: found.0, admin: found.1 }
    }

    fn file(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.path().join(name)).unwrap()).into_owned()
    }

    fn ask(&self, path: &str) -> String {
        request(self.admin, &format!("GET {path}"), "")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends bytes and returns all that is answered.
fn raw(to: SocketAddr, text: &str) -> String {
    let mut socket = TcpStream::connect(to).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(text.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A refusal may reset the connection behind its answer.
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn service(stable: SocketAddr, canary: SocketAddr) -> String {
    format!(
        "services:\n  - name: carts\n    stable: {{version: v1, endpoints: ['{stable}']}}\n    canary: {{version: v2, endpoints: ['{canary}']}}\n    \
         gates: [errors < 50%]\n    plan: {{steps: [{{weight: 50%, hold: 1h}}, {{weight: 100%, hold: 1h}}]}}\n"
    )
}

#[test]
fn trace_context_is_passed_on_as_it_is_and_none_is_made_up() {
    let (version, address) = Version::start();
    let proxy = Proxy::start(tempfile::tempdir().unwrap(), &service(address, address));
    let fields = [
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "tracestate: rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
        "baggage: userId=alice,serverNode=DF%2028",
        "b3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90",
        "x-b3-traceid: 80f198ee56343ba864fe8b2a57d3eff7",
        "x-b3-spanid: e457b5a2e4d86bd1",
        "x-b3-parentspanid: 05e3ac9a4f6e3b90",
        "x-b3-sampled: 1",
        "x-b3-flags: 1",
    ];
    let answer = raw(proxy.listen, &format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{}\r\n\r\n", fields.join("\r\n")));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let head = version.heads.lock().unwrap().pop().unwrap();
    for field in fields {
        assert!(head.lines().any(|line| line.eq_ignore_ascii_case(field)), "{field} is missing in\n{head}");
    }
    // By their names: our entry in Via ends with digits by chance, which may be "b3" too.
    let traced = |head: &str| {
        let names: Vec<String> = head.lines().filter_map(|line| Some(line.split_once(':')?.0.to_ascii_lowercase())).collect();
        names.iter().any(|name| ["traceparent", "tracestate", "baggage", "b3"].contains(&name.as_str()) || name.starts_with("x-b3-"))
    };
    assert!(traced(&head));
    raw(proxy.listen, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let head = version.heads.lock().unwrap().pop().unwrap();
    assert!(!traced(&head), "{head}");
}

#[test]
fn answers_tell_of_their_version_only_where_that_is_wanted() {
    let (_, address) = Version::start();
    for wanted in [false, true] {
        let answers =
            if wanted { "answers: {version: true, server_timing: true}\naccess_log: ./log\naccess_log_format: common\n" } else { "" };
        let proxy = Proxy::start(tempfile::tempdir().unwrap(), &format!("{answers}{}", service(address, address)));
        let answer = request(proxy.listen, "GET /a", "").to_ascii_lowercase();
        let version = ["v1", "v2"].iter().any(|name| answer.contains(&format!("\r\nx-portcullis-version: {name}\r\n")));
        let timing = ["v1", "v2"].iter().any(|name| answer.contains(&format!("\r\nserver-timing: upstream;desc=\"{name}\";dur=")));
        assert_eq!((version, timing), (wanted, wanted), "{answer}");
        if wanted {
            let line = eventually("the line of the log", || Some(proxy.file("log")).filter(|log| log.ends_with('\n')));
            assert!(line.starts_with("127.0.0.1 - - [") && line.contains("] \"GET /a HTTP/1.1\" 200 2 carts v"), "{line}");
        }
    }
}

#[test]
fn a_hundred_thousand_paths_methods_and_hosts_become_no_label() {
    const REQUESTS: usize = 100_000;
    const AT_ONCE: usize = 250;
    const THREADS: usize = 4;
    let (version, address) = Version::start();
    let text = service(address, address).replace("    gates:", "    hosts: [carts.test]\n    gates:");
    let proxy = Proxy::start(tempfile::tempdir().unwrap(), &text);
    let series = |text: &str| -> BTreeSet<String> {
        text.lines().filter(|line| line.starts_with("portcullis_")).map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    let before = series(&proxy.ask("/metrics"));
    let begun = Instant::now();
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let listen = proxy.listen;
            threads.spawn(move || {
                let mut socket = TcpStream::connect(listen).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                let mut number = thread as u64 + 1;
                let mut draw = move || {
                    number ^= number << 13;
                    number ^= number >> 7;
                    number ^= number << 17;
                    number
                };
                for _ in 0..REQUESTS / THREADS / AT_ONCE {
                    let mut heads = String::new();
                    for index in 0..AT_ONCE {
                        // One in twenty-five goes to a version; nobody answers for the other hosts.
                        let host = if index % 25 == 0 { "carts.test".to_owned() } else { format!("zqhost{:x}.test", draw()) };
                        heads.push_str(&format!(
                            "ZQ{:X} /zqpath{:x}?zqquery={:x} HTTP/1.1\r\nhost: {host}\r\n\r\n",
                            draw(),
                            draw(),
                            draw()
                        ));
                    }
                    socket.write_all(heads.as_bytes()).unwrap();
                    let (mut answered, mut kept, mut buffer) = (0, Vec::new(), vec![0; 64 * 1024]);
                    while answered < AT_ONCE {
                        let count = socket.read(&mut buffer).unwrap();
                        assert!(count > 0, "the connection ended after {answered} answers");
                        kept.extend_from_slice(&buffer[..count]);
                        answered = kept.windows(9).filter(|nine| *nine == b"HTTP/1.1 ").count();
                    }
                }
            });
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(240), "{:?}", begun.elapsed());
    let seen = version.heads.lock().unwrap().len();
    assert!(seen >= REQUESTS / 25, "only {seen} requests came through");
    let text = proxy.ask("/metrics");
    let after = series(&text);
    assert!(!text.to_ascii_lowercase().contains("zq"), "something of a request became a label");
    let new: Vec<&String> = after.difference(&before).collect();
    assert!(new.len() <= 16 && after.len() < 1_000, "{} series, new: {new:?}", after.len());
}

#[test]
fn no_secret_is_told_anywhere() {
    let (_version, stable) = Version::start();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let keep = |name: &str, text: &str| {
        use std::os::unix::fs::OpenOptionsExt;
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(folder.path().join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    keep("force.secret", &format!("{SECRET}-force-key-of-more-than-32-bytes"));
    keep("sticky.secret", &format!("{SECRET}-sticky-key-of-more-than-32-bytes"));
    keep("token", &format!("{SECRET}-event-token-of-more-than-32-bytes"));
    // The canary is down, so that errors, a brake and an end are told too.
    let text = format!(
        "access_log: ./access.log\nanswers: {{version: true, server_timing: true}}\ndelivery:\n  external: {{within: 10m}}\n  token_file: token\n  \
         sinks: ['http://{closed}/hook?key={SECRET}-sink']\n{}    burst_tolerance: 0s\n    rescue: false\n    \
         force: {{keys: [{{id: f, file: force.secret}}]}}\n    sticky: {{cookie: stay, keys: [{{id: s, file: sticky.secret}}]}}\n",
        service(stable, closed)
    );
    let proxy = Proxy::start(folder, &text);
    let config = proxy.folder.path().join("portcullis.yaml");
    let mut told: Vec<(String, String)> = Vec::new();

    let of = ["--service", "carts", "--version", "v2", "--rollout", "1"];
    let token = finish(&[&["token", "--config", config.to_str().unwrap()][..], &of].concat());
    let forced = token.stdout.split_whitespace().last().unwrap_or_default().to_owned();
    assert!(token.code == Some(0) && forced.len() > 20, "{}{}", token.stdout, token.stderr);
    let fields = format!(
        "authorization: Bearer {SECRET}-bearer\r\ncookie: session={SECRET}-cookie; stay={SECRET}-stay\r\nx-api-key: {SECRET}-api\r\n\
         proxy-authorization: Basic {SECRET}-basic\r\n"
    );
    let heads = [
        format!("GET /a?password={SECRET}-query HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\r\n"),
        format!("GET /forced HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}x-portcullis-version: {forced}\r\n\r\n"),
        format!("POST /b HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 16\r\n{fields}\r\n{SECRET}-body."),
        format!("GET /c HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n{fields}\r\n"),
        format!("GET /d HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {SECRET}\r\n{fields}\r\n"),
        format!("GET /e HTTP/1.1\r\nhost: a\r\nconnection: close\r\nbad name {SECRET}: x\r\n{fields}\r\n"),
        format!("GET http://user:{SECRET}-userinfo@a/f HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\r\n"),
    ];
    for head in &heads {
        let answer = raw(proxy.listen, head);
        // What the version itself says goes to the client alone.
        let ours = answer.lines().filter(|line| !line.to_ascii_lowercase().starts_with("set-cookie: session="));
        told.push((format!("the answer to {}", head.lines().next().unwrap()), ours.collect::<Vec<_>>().join("\n")));
    }
    eventually("the rollback", || {
        let _ = raw(proxy.listen, &heads[0]);
        let status = proxy.ask("/v1/rollouts/carts");
        ["rolled_back", "aborted", "braked"].iter().any(|phase| status.contains(&format!("\"phase\":\"{phase}\""))).then_some(())
    });
    let event = format!("{{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"t\",\"type\":\"x\",\"data\":{{\"k\":\"{SECRET}-event\"}}}}");
    told.push(("the answer to an event".to_owned(), request(proxy.admin, &format!("POST /v1/events?token={SECRET}-wrong"), &event)));

    for path in [
        "/metrics",
        "/v1/rollouts",
        "/v1/rollouts/carts",
        "/v1/rollouts/carts/history",
        "/v1/rollouts/carts/journal",
        "/v1/rollouts/carts/verdict",
        "/v1/notices",
        "/v1/projects",
        "/livez?verbose",
        "/readyz?verbose",
        "/version",
        "/v1/nothing",
    ] {
        told.push((path.to_owned(), proxy.ask(path)));
    }
    let admin = proxy.admin.to_string();
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["why"],
        &["why", "--json"],
        &["history", "carts"],
        &["history", "carts", "--json"],
        &["report", "carts"],
        &["watch", "carts", "--for", "1500ms"],
        &["get", "projects"],
    ] {
        let ended = finish(&[args, &["--admin", &admin]].concat());
        told.push((args.join(" "), ended.stdout + &ended.stderr));
    }
    let checked = finish(&["check", config.to_str().unwrap()]);
    told.push(("check".to_owned(), checked.stdout + &checked.stderr));
    let line = eventually("the access log", || Some(proxy.file("access.log")).filter(|log| log.lines().count() > heads.len()));
    told.push(("the access log".to_owned(), line));
    for name in ["stdout", "stderr"] {
        told.push((name.to_owned(), proxy.file(name)));
    }
    // All of it happened: answers of a version, a forced request, refusals, failures, and an end by a gate or for want of endpoints.
    let log = told.iter().find(|(name, _)| name == "the access log").map(|(_, text)| text.as_str()).unwrap();
    for part in ["\"/a\"", "\"/forced\"", "status_code\":200", "refusal.reason", "error.type", "\"role\":\"canary\""] {
        assert!(log.contains(part), "{part} is missing in\n{log}");
    }
    for (name, text) in &told {
        for secret in [SECRET, forced.as_str()] {
            let at = text
                .find(secret)
                .map(|at| String::from_utf8_lossy(&text.as_bytes()[at.saturating_sub(200)..(at + 60).min(text.len())]).into_owned());
            assert_eq!(at, None, "a secret is told in {name}");
        }
    }
    assert!(Path::new(&config).exists());
}
