//! Clients over Unix sockets: all that is spoken over TCP, nobody's address, one socket for all workers, and the file's whole life.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use portcullis::formats::tls::TlsFiles;
use portcullis::proxy::certificates::Certificates;
use tempfile::TempDir;

use crate::authority::Authority;
use crate::oracle::{get, telling};
use crate::process::{self, Running, finish};
use crate::support::frames::{self, Event, block, headers};
use crate::support::message::{Message, read_answers};
use crate::support::proxy;
use crate::support::upstream::Upstream;
use crate::support::{PATIENCE, eventually};

/// A folder with room for sockets.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("x.sock")
    }
}

fn connect(path: &Path) -> UnixStream {
    let socket = UnixStream::connect(path).expect("the proxy listens there");
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Sends a request over any stream and reads its answer.
fn ask(stream: &mut (impl Read + Write), request: &[u8]) -> Message {
    stream.write_all(request).unwrap();
    let mut bytes = Vec::new();
    loop {
        if let Some(answer) = read_answers(&bytes, &["GET"], false).into_iter().find(|answer| answer.complete) {
            return answer;
        }
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).expect("an answer in time");
        assert!(count > 0, "the connection ended: {}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&piece[..count]);
    }
}

/// The last request a version has seen.
fn seen(upstream: &Upstream) -> Message {
    upstream.requests().pop().expect("a request")
}

#[test]
fn a_client_over_a_socket_is_served_and_nothing_is_said_of_its_address() {
    let (place, upstream) = (Place::new(), telling());
    let proxy = proxy::to([upstream.address]).socket(place.path()).start();
    let mut socket = connect(&place.path());
    for _ in 0..2 {
        let told = "X-Forwarded-For: 198.51.100.1\r\nForwarded: for=198.51.100.1\r\nX-Forwarded-Proto: https\r\n";
        assert_eq!(ask(&mut socket, &get(told)).status(), 200);
        assert_eq!(proxy.line().client, None);
    }
    let request = seen(&upstream);
    for (name, values) in [
        ("x-forwarded-for", &[][..]),
        ("forwarded", &[]),
        ("x-forwarded-port", &[]),
        ("x-forwarded-proto", &["http"]),
        ("x-forwarded-host", &["a.test"]),
    ] {
        assert_eq!(request.all(name), values, "{name}");
    }
}

#[test]
fn a_trusted_socket_speaks_for_the_clients_in_front_of_it() {
    let (place, upstream) = (Place::new(), telling());
    let _proxy = proxy::to([upstream.address]).socket(place.path()).with(|s| s.trusts_sockets = true).start();
    let mut socket = connect(&place.path());
    ask(&mut socket, &get("X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: https\r\n"));
    let request = seen(&upstream);
    assert_eq!((request.all("x-forwarded-for"), request.all("x-forwarded-proto")), (vec!["198.51.100.1"], vec!["https"]));
    ask(&mut socket, &get(""));
    assert!(seen(&upstream).all("x-forwarded-for").is_empty());
}

#[test]
fn who_comes_over_a_socket_counts_as_no_source() {
    let (place, upstream) = (Place::new(), telling());
    let proxy = proxy::to([upstream.address]).socket(place.path()).with(|s| s.per_source = 2).start();
    let mut sockets: Vec<UnixStream> = (0..6).map(|_| connect(&place.path())).collect();
    assert!(sockets.iter_mut().all(|socket| ask(socket, &get("")).status() == 200));
    assert_eq!(proxy.pressure.turned_away()[1], 0);
}

#[test]
fn a_proxy_header_over_a_socket_names_the_client() {
    let (place, upstream) = (Place::new(), telling());
    let proxy = proxy::to([upstream.address]).socket(place.path()).proxied().start();
    let mut socket = connect(&place.path());
    let request = [b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n".to_vec(), get("")].concat();
    assert_eq!(ask(&mut socket, &request).status(), 200);
    let request = seen(&upstream);
    assert_eq!((request.all("x-forwarded-for"), request.all("x-forwarded-port")), (vec!["192.0.2.7"], vec!["443"]));
    assert_eq!(proxy.line().client, Some([192, 0, 2, 7].into()));
    let mut other = connect(&place.path());
    other.write_all(&get("")).unwrap();
    let mut rest = Vec::new();
    let _ = other.read_to_end(&mut rest);
    assert!(rest.is_empty(), "a connection without the header is closed");
}

#[test]
fn http2_and_tls_are_spoken_over_a_socket_too() {
    let (place, upstream) = (Place::new(), telling());
    let _proxy = proxy::to([upstream.address]).socket(place.path()).start();
    let mut socket = connect(&place.path());
    let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.test")];
    let request = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(), headers(1, &block(&fields), true)].concat();
    socket.write_all(&request).unwrap();
    let mut bytes = Vec::new();
    let status = loop {
        let mut piece = [0; 4096];
        let count = socket.read(&mut piece).expect("an answer in time");
        bytes.extend_from_slice(&piece[..count]);
        let found = frames::read(&bytes).into_iter().find_map(|event| match event {
            Event::Status(_, status) => Some(status),
            _ => None,
        });
        if let Some(status) = found {
            break status;
        }
        assert!(count > 0, "the connection ended");
    };
    assert_eq!(status, 200);

    let (authority, place) = (Authority::new(), Place::new());
    let files = TlsFiles { certificates: vec![authority.sign("a", "a.test")], ..TlsFiles::default() };
    let slot = Certificates::load(files).unwrap().slot();
    let _proxy = proxy::to([upstream.address]).socket(place.path()).tls(slot).start();
    let name = rustls::pki_types::ServerName::try_from("a.test").unwrap();
    let session = rustls::ClientConnection::new(authority.client(&["http/1.1"], None), name).unwrap();
    let mut stream = rustls::StreamOwned::new(session, connect(&place.path()));
    assert_eq!(ask(&mut stream, &get("")).status(), 200);
    assert_eq!(seen(&upstream).all("x-forwarded-proto"), ["https"]);
}

#[test]
fn bytes_pass_over_a_socket_as_they_are() {
    let place = Place::new();
    let upstream = Upstream::start(|peer| while peer.read() && peer.send(b"pong") {});
    let _proxy = proxy::to([upstream.address]).socket(place.path()).opaque().start();
    let mut socket = connect(&place.path());
    for _ in 0..3 {
        socket.write_all(b"ping").unwrap();
        let mut answer = [0; 4];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"pong");
    }
}

#[test]
fn workers_share_a_socket_fairly_and_whoever_was_let_in_before_the_drain_is_served() {
    let (place, upstream) = (Place::new(), telling());
    let mut proxy = proxy::to([upstream.address]).socket(place.path()).with(|s| s.workers = 2).start();
    // All at once: the worker that comes first could take every one of them, and does while the other one gets no core. Again and again it
    // must not.
    let mut sockets = Vec::new();
    let mut asked = 0;
    eventually("both workers have their share", || {
        sockets = (0..64).map(|_| connect(&place.path())).collect::<Vec<UnixStream>>();
        for socket in &mut sockets {
            assert_eq!(ask(socket, &get("")).status(), 200);
        }
        asked += 64;
        let shares =
            eventually("all books arrive", || Some(proxy.decided_by_worker()).filter(|shares| shares.iter().sum::<u64>() >= asked));
        (shares.len() == 2 && shares.iter().all(|share| *share >= 8)).then_some(())
    });
    drop(sockets);
    proxy.drain();
    proxy.join();
    assert!(UnixStream::connect(place.path()).is_err(), "nobody listens any more");
}

/// The built program with a listener on a Unix socket.
fn configure(place: &Place, more: &str, upstream: &Upstream) -> PathBuf {
    let config = place.0.path().join("portcullis.yaml");
    let text = format!(
        "listen: {{address: 'unix:{}'{more}}}\nadmin: 127.0.0.1:0\nstate: state\nworkers: 2\n\
         services: [{{name: carts, stable: {{version: v1, endpoints: ['{}']}}}}]\n",
        place.path().display(),
        upstream.address
    );
    fs::write(&config, text).unwrap();
    config
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o777
}

#[test]
fn the_program_replaces_a_stale_file_keeps_a_living_one_and_removes_its_own() {
    let (place, upstream) = (Place::new(), telling());
    drop(UnixListener::bind(place.path()).unwrap());
    let config = configure(&place, "", &upstream);
    let config = config.to_str().unwrap();
    let first = Running::start(&["run", config]);
    assert_eq!(first.line("listening on "), format!("unix:{}", place.path().display()));
    assert_eq!(mode(&place.path()), 0o660);
    assert_eq!(ask(&mut connect(&place.path()), &get("")).status(), 200);

    let other = place.0.path().join("other").display().to_string();
    let second = finish(&["run", config, "--state", &other]);
    assert_eq!(second.code, Some(69), "{}", second.stderr);
    assert!(second.stderr.contains("x.sock") && second.stderr.contains("another process listens there"), "{}", second.stderr);
    assert_eq!(ask(&mut connect(&place.path()), &get("")).status(), 200, "the first one is unharmed");
    assert_eq!(first.terminate(), Some(0));
    assert!(!place.path().exists(), "a clean stop removes the file");

    fs::write(place.path(), "no socket").unwrap();
    let third = finish(&["run", config]);
    assert_eq!(third.code, Some(69), "{}", third.stderr);
    assert_eq!(fs::read(place.path()).unwrap(), b"no socket");
}

#[test]
fn the_mode_of_the_file_is_as_configured() {
    let (place, upstream) = (Place::new(), telling());
    let config = configure(&place, ", mode: 0600", &upstream);
    let running = Running::start(&["run", config.to_str().unwrap()]);
    running.line("listening on ");
    assert_eq!(mode(&place.path()), 0o600);
    assert_eq!(running.terminate(), Some(0));
}

/// Waits for the word that a process is the main one, and returns its number.
fn ready(notices: &UnixDatagram) -> u32 {
    loop {
        let mut buffer = [0; 512];
        let count = notices.recv(&mut buffer).expect("a notice in time");
        let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
        if text.contains("READY=1") {
            return text.lines().find_map(|line| line.strip_prefix("MAINPID=")).unwrap().parse().unwrap();
        }
    }
}

fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

#[test]
fn a_successor_takes_the_socket_over_without_a_refused_connection_and_removes_its_file() {
    let (place, upstream) = (Place::new(), Arc::new(telling()));
    let config = configure(&place, "", &upstream);
    let at = place.0.path().join("notify");
    let notices = UnixDatagram::bind(&at).unwrap();
    notices.set_read_timeout(Some(process::PATIENCE)).unwrap();
    let mut command = process::command(&["run", config.to_str().unwrap()]);
    command.env("NOTIFY_SOCKET", &at);
    let first = Running::spawn(command);
    let mut pids = vec![ready(&notices)];
    let inode = fs::symlink_metadata(place.path()).unwrap().ino();
    let over = std::sync::atomic::AtomicBool::new(false);
    let served = std::thread::scope(|scope| {
        let path = place.path();
        let over = &over;
        let asking = scope.spawn(move || {
            let mut served = 0_u32;
            while !over.load(std::sync::atomic::Ordering::Acquire) {
                assert_eq!(ask(&mut connect(&path), &get("")).status(), 200);
                served += 1;
            }
            served
        });
        for _ in 0..2 {
            signal("-USR2", *pids.last().unwrap());
            pids.push(ready(&notices));
        }
        over.store(true, std::sync::atomic::Ordering::Release);
        asking.join().unwrap()
    });
    assert!(served > 0);
    assert_eq!(fs::symlink_metadata(place.path()).unwrap().ino(), inode, "the socket is the same all along");
    assert_eq!(ask(&mut connect(&place.path()), &get("")).status(), 200);
    drop(first);
    signal("-TERM", *pids.last().unwrap());
    eventually("the last one removes the file", || (!place.path().exists()).then_some(()));
}

#[test]
fn a_socket_of_a_supervisor_is_used_and_its_file_stays() {
    let (place, upstream) = (Place::new(), telling());
    let socket = UnixListener::bind(place.path()).unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o640)).unwrap();
    let config = configure(&place, "", &upstream);
    // The shell makes the socket descriptor 3, as a supervisor would.
    let mut command = Command::new("sh");
    command.args(["-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" run \"$1\" 3<&0 </dev/null", env!("CARGO_BIN_EXE_portcullis")]);
    command.arg(&config).stdin(Stdio::from(OwnedFd::from(socket))).stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = Running::spawn(command);
    running.line("listening on ");
    assert_eq!((ask(&mut connect(&place.path()), &get("")).status(), mode(&place.path())), (200, 0o640));
    assert_eq!(running.terminate(), Some(0));
    assert!(place.path().exists(), "it is the supervisor's");
}

#[test]
fn what_is_wrong_with_a_socket_is_said_before_anything_runs() {
    let (place, upstream) = (Place::new(), telling());
    for (listen, wanted) in [
        (format!("unix:/{}", "x".repeat(107)), "room for 107"),
        ("unix:x.sock".to_owned(), "absolute path"),
        ("{address: '127.0.0.1:0', mode: 0600}".to_owned(), "leave 'mode' out"),
        ("{address: 'unix:/run/x', mode: 0890}".to_owned(), "octal"),
        ("{address: 'unix:/run/x', mode: 01777}".to_owned(), "octal"),
        ("['unix:/run/x', 'unix:/run/x']".to_owned(), "listened on twice"),
        ("unix:/run/v1.sock".to_owned(), "go in a circle"),
    ] {
        let config = place.0.path().join("portcullis.yaml");
        let text = format!(
            "listen: {listen}\nstate: state\nservices: [{{name: a, stable: {{version: v1, endpoints: ['{}', 'unix:/run/v1.sock']}}}}]\n",
            upstream.address
        );
        fs::write(&config, text).unwrap();
        let checked = finish(&["check", config.to_str().unwrap()]);
        assert_eq!(checked.code, Some(78), "{listen}: {}{}", checked.stdout, checked.stderr);
        let said = checked.stdout + &checked.stderr;
        assert!(said.contains(wanted), "{listen}: {said}");
    }
}
