//! TLS with clients: what is spoken, which certificate is shown, who must show one, and how certificates are replaced.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use portcullis::formats::tls::TlsFiles;
use portcullis::proxy::certificates::Certificates;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};

use crate::authority::Authority;
use crate::oracle::telling;
use crate::process::{self, Running};
use crate::support::client::{Client, End};
use crate::support::frames::{self, Event, block, frame, headers};
use crate::support::proxy::{self, Proxy};
use crate::support::upstream::Upstream;
use crate::support::{PATIENCE, eventually};

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn connect(to: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Stream {
    let socket = TcpStream::connect(to).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let connection = ClientConnection::new(Arc::clone(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    StreamOwned::new(connection, socket)
}

fn ask(stream: &mut Stream, host: &str) -> std::io::Result<String> {
    stream.write_all(format!("GET /t HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())?;
    let (mut got, mut buffer) = (Vec::new(), [0; 1024]);
    while !String::from_utf8_lossy(&got).ends_with("GET /t") {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        got.extend_from_slice(&buffer[..count]);
    }
    Ok(String::from_utf8_lossy(&got).into_owned())
}

fn start(upstream: &Upstream, certificates: &Certificates) -> Proxy {
    proxy::to([upstream.address]).tls(certificates.slot()).start()
}

#[test]
fn http1_and_http2_are_spoken_as_agreed_and_the_upstream_learns_of_https() {
    let authority = Authority::new();
    let files = TlsFiles { certificates: vec![authority.sign("a", "a.test")], ..TlsFiles::default() };
    let (upstream, certificates) = (telling(), Certificates::load(files).unwrap());
    let proxy = start(&upstream, &certificates);
    for protocols in [&["http/1.1"][..], &[]] {
        let mut stream = connect(proxy.address, &authority.client(protocols, None), "a.test");
        assert!(ask(&mut stream, "a.test").unwrap().starts_with("HTTP/1.1 200"));
    }
    let mut stream = connect(proxy.address, &authority.client(&["h2", "http/1.1"], None), "a.test");
    let get = [(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/t")];
    stream.write_all(&[frames::PREFACE, &frame(frames::SETTINGS, 0, 0, b""), &headers(1, &block(&get), true)].concat()).unwrap();
    let (mut got, mut buffer) = (Vec::new(), [0; 4096]);
    while !frames::read(&got).iter().any(|event| matches!(event, Event::Data(1, _, true))) {
        let count = stream.read(&mut buffer).unwrap();
        got.extend_from_slice(&buffer[..count]);
    }
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    assert!(frames::read(&got).contains(&Event::Status(1, 200)));
    let requests = upstream.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.one("x-forwarded-proto") == "https"));
}

#[test]
fn a_client_that_agreed_on_http2_and_says_nothing_does_not_hold_up_the_drain() {
    let authority = Authority::new();
    let files = TlsFiles { certificates: vec![authority.sign("a", "a.test")], ..TlsFiles::default() };
    let (upstream, certificates) = (telling(), Certificates::load(files).unwrap());
    let patient = |settings: &mut portcullis::proxy::settings::Settings| {
        settings.timeouts.drain = PATIENCE * 3;
        settings.timeouts.header = PATIENCE * 3;
    };
    let mut proxy = proxy::to([upstream.address]).tls(certificates.slot()).with(patient).start();
    let mut silent = connect(proxy.address, &authority.client(&["h2"], None), "a.test");
    while silent.conn.is_handshaking() {
        silent.conn.complete_io(&mut silent.sock).unwrap();
    }
    // Its server speaks first, so that it is known to have come that far.
    let mut greeting = [0; 9];
    silent.read_exact(&mut greeting).unwrap();
    let mut halfway = connect(proxy.address, &authority.client(&["h2"], None), "a.test");
    halfway.write_all(&frames::PREFACE[..18]).unwrap();
    halfway.read_exact(&mut greeting).unwrap();
    proxy.drain();
    eventually("the worker ends", || proxy.is_finished().then_some(()));
    proxy.join();
}

#[test]
fn the_certificate_is_the_one_for_the_name_or_the_first() {
    let authority = Authority::new();
    let certificates = ["a.test", "b.test", "*.c.test"].map(|name| authority.sign(name.trim_start_matches("*."), name)).to_vec();
    let (upstream, certificates) = (telling(), Certificates::load(TlsFiles { certificates, ..TlsFiles::default() }).unwrap());
    let proxy = start(&upstream, &certificates);
    let client = authority.client(&[], None);
    for name in ["a.test", "b.test", "x.c.test"] {
        // rustls verifies that the certificate is for the name.
        assert!(ask(&mut connect(proxy.address, &client, name), name).is_ok(), "{name}");
    }
    for name in ["x.y.c.test", "other.test"] {
        let error = ask(&mut connect(proxy.address, &client, name), name).unwrap_err().to_string();
        assert!(error.contains("a.test"), "the first certificate is shown: {error}");
    }
}

/// Sends GETs for these hosts over HTTP/2, one after the other; returns what became of each.
fn statuses(stream: &mut Stream, hosts: &[&str]) -> Vec<Event> {
    stream.write_all(&[frames::PREFACE, &frame(frames::SETTINGS, 0, 0, b"")].concat()).unwrap();
    let (mut got, mut buffer) = (Vec::new(), [0; 4096]);
    let of = |got: &[u8], id| frames::read(got).into_iter().find(|e| matches!(e, Event::Status(of, _) | Event::Reset(of, _) if *of == id));
    let ask = |(id, host): (u32, &&str)| {
        let get = [(":method", "GET"), (":scheme", "https"), (":authority", host), (":path", "/t")];
        stream.write_all(&headers(id, &block(&get), true)).unwrap();
        loop {
            if let Some(event) = of(&got, id) {
                return event;
            }
            let count = stream.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "the connection ends");
            got.extend_from_slice(&buffer[..count]);
        }
    };
    (0..).map(|index| index * 2 + 1).zip(hosts).map(ask).collect()
}

#[test]
fn u20_a_request_for_another_host_than_its_connection_is_refused_if_wanted() {
    let authority = Authority::new();
    let names = ["a.test", "b.test"].map(|name| authority.sign(name, name));
    let unnamed = [authority.sign("address", "127.0.0.1")];
    let [named, unnamed] = [names.to_vec(), unnamed.to_vec()]
        .map(|certificates| Certificates::load(TlsFiles { certificates, ..TlsFiles::default() }).unwrap());
    let (upstream, client) = (telling(), authority.client(&[], None));
    let proxy = proxy::to([upstream.address]).tls(named.slot()).one_host().start();
    for (host, good) in [("a.test", true), ("A.test.:443", true), ("b.test", false), ("a.test.b.test", false), ("127.0.0.1", false)] {
        let mut stream = connect(proxy.address, &client, "a.test");
        stream.write_all(format!("GET /t HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let status = if good { "HTTP/1.1 200" } else { "HTTP/1.1 421" };
        assert!(answer.starts_with(status.as_bytes()), "{host}: {}", String::from_utf8_lossy(&answer));
    }
    let mut stream = connect(proxy.address, &authority.client(&["h2"], None), "a.test");
    let wanted = [Event::Status(1, 200), Event::Status(3, 421), Event::Status(5, 200)];
    assert_eq!(statuses(&mut stream, &["a.test", "b.test", "a.test"]), wanted, "a client that shares connections goes on");
    assert_eq!(upstream.requests().iter().filter(|request| request.one("host") == "b.test").count(), 0);
    // Who names no server, as clients of an address do, is held to none; and without the option nobody is.
    let by_address = proxy::to([upstream.address]).tls(unnamed.slot()).one_host().start();
    assert!(ask(&mut connect(by_address.address, &client, "127.0.0.1"), "b.test").is_ok());
    let open = start(&upstream, &named);
    assert!(ask(&mut connect(open.address, &client, "a.test"), "b.test").unwrap().starts_with("HTTP/1.1 200"));
}

#[test]
fn who_must_show_a_certificate_and_does_not_gets_nowhere() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let files =
        TlsFiles { certificates: vec![authority.sign("a", "a.test")], client_ca: Some(authority.file("ca.pem")), ..TlsFiles::default() };
    let (upstream, certificates) = (telling(), Certificates::load(files).unwrap());
    let proxy = start(&upstream, &certificates);
    let (own, foreign) = (authority.sign("client", "client.test"), stranger.sign("client", "client.test"));
    assert!(ask(&mut connect(proxy.address, &authority.client(&[], Some(&own)), "a.test"), "a.test").is_ok());
    for shown in [None, Some(&foreign)] {
        assert!(ask(&mut connect(proxy.address, &authority.client(&[], shown), "a.test"), "a.test").is_err());
    }
    assert_eq!(upstream.requests().len(), 1);
    eventually("both are counted", || (proxy.counters.handshakes_failed.load(Ordering::Relaxed) == 2).then_some(()));
}

#[test]
fn who_showed_a_certificate_shows_it_again_on_the_next_connection() {
    let authority = Authority::new();
    let own = authority.sign("client", "client.test");
    let upstream = telling();
    for client_ca in [None, Some(authority.file("ca.pem"))] {
        let asked_for = client_ca.is_some();
        let files = TlsFiles { certificates: vec![authority.sign("a", "a.test")], client_ca, ..TlsFiles::default() };
        let certificates = Certificates::load(files).unwrap();
        let proxy = start(&upstream, &certificates);
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let client = authority.client_of(version, Some(&own));
            let handshake = || {
                let mut stream = connect(proxy.address, &client, "a.test");
                ask(&mut stream, "a.test").unwrap();
                stream.conn.handshake_kind().unwrap()
            };
            let wanted = if asked_for { HandshakeKind::Full } else { HandshakeKind::Resumed };
            assert_eq!([handshake(), handshake()], [HandshakeKind::Full, wanted], "{version:?}, asked for: {asked_for}");
        }
    }
}

#[test]
fn t01_who_shows_a_revoked_certificate_gets_nowhere_and_the_list_is_read_anew() {
    let authority = Authority::new();
    let (one, other) = (authority.sign_numbered("one", "one.test", 7), authority.sign_numbered("other", "other.test", 8));
    let files = TlsFiles {
        certificates: vec![authority.sign("a", "a.test")],
        client_ca: Some(authority.file("ca.pem")),
        crl: vec![authority.revoke(&[8], 2090)],
    };
    let (upstream, mut certificates) = (telling(), Certificates::load(files.clone()).unwrap());
    let proxy = start(&upstream, &certificates);
    // Each keeps the tickets it gets: a session that goes on must not outlive the certificate it began with.
    let clients = [&one, &other].map(|own| authority.client(&[], Some(own)));
    let served = || [0, 1].map(|index| ask(&mut connect(proxy.address, &clients[index], "a.test"), "a.test").is_ok());
    assert_eq!(served(), [true, false]);
    authority.revoke(&[7], 2090);
    assert!(certificates.refresh().unwrap());
    assert_eq!(served(), [false, true]);
    for (bad, wanted) in [("old", "out of date"), ("not PEM", "no list of revoked"), ("garbled", "crl.pem")] {
        match bad {
            "old" => drop(authority.revoke(&[], 2021)),
            "garbled" => fs::write(&files.crl[0], "-----BEGIN X509 CRL-----\nMAMCAQE=\n-----END X509 CRL-----\n").unwrap(),
            text => fs::write(&files.crl[0], text).unwrap(),
        }
        let problem = certificates.refresh().unwrap_err().to_string();
        assert!(problem.contains(wanted) && problem.contains("crl.pem"), "{problem}");
        assert_eq!(served(), [false, true], "{bad}: the last good list stays");
    }
    // What no list speaks of cannot be known to be good.
    fs::copy(Authority::new().revoke(&[], 2090), &files.crl[0]).unwrap();
    assert!(certificates.refresh().unwrap());
    assert_eq!(served(), [false, false]);
}

#[test]
fn new_certificates_are_for_new_connections_and_bad_ones_for_none() {
    let authority = Authority::new();
    let files = TlsFiles { certificates: vec![authority.sign("a", "a.test")], ..TlsFiles::default() };
    let (upstream, mut certificates) = (telling(), Certificates::load(files).unwrap());
    let proxy = start(&upstream, &certificates);
    let client = authority.client(&[], None);
    let shown = || {
        let mut stream = connect(proxy.address, &client, "a.test");
        ask(&mut stream, "a.test").unwrap();
        stream.conn.peer_certificates().unwrap()[0].clone()
    };
    let mut old = connect(proxy.address, &client, "a.test");
    ask(&mut old, "a.test").unwrap();
    let first = shown();
    assert!(!certificates.refresh().unwrap(), "nothing has changed");
    authority.sign("a", "a.test");
    assert!(certificates.refresh().unwrap());
    let second = shown();
    assert_ne!(first, second);
    assert!(ask(&mut old, "a.test").is_ok(), "who is connected stays so");
    fs::write(authority.file("a.key"), "no key").unwrap();
    let problem = certificates.refresh().unwrap_err().to_string();
    assert!(problem.contains("a.key"), "{problem}");
    assert!(!certificates.refresh().unwrap(), "it is complained about once");
    assert_eq!(shown(), second);
}

#[test]
fn the_program_tells_when_the_first_certificate_in_use_expires() {
    let authority = Authority::new();
    let sign = |stem: &str, year: i32| {
        let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::new(vec!["a.test".to_owned()]).unwrap());
        params.not_after = date_time_ymd(year, 1, 1);
        fs::write(authority.file(&format!("{stem}.pem")), authority.certify(params, &key)).unwrap();
        fs::write(authority.file(&format!("{stem}.key")), key.serialize_pem()).unwrap();
        format!("{{chain: {stem}.pem, key: {stem}.key}}")
    };
    let (a, b, c) = (sign("a", 2060), sign("b", 2032), sign("c", 2040));
    let text = format!(
        "listen:\n  - {{address: \"127.0.0.1:0\", tls: {{certificates: [{a}, {b}]}}}}\n  - {{address: \"127.0.0.1:0\", tls: {{certificates: [{c}]}}}}\n\
         admin: 127.0.0.1:0\nstate: state\nservices: [{{name: carts, stable: {{version: v1, endpoints: [\"127.0.0.1:1\"]}}}}]\n"
    );
    fs::write(authority.file("portcullis.yaml"), text).unwrap();
    let program = Running::start(&["run", authority.file("portcullis.yaml").to_str().unwrap()]);
    let admin = program.address("admin on http://");
    let expiry = || {
        let text = process::request(admin, "GET /metrics", "");
        text.lines().find_map(|line| line.strip_prefix("portcullis_certificate_expiry_timestamp_seconds ")).map(str::to_owned)
    };
    assert_eq!(expiry().as_deref(), Some("1956528000"), "1 January 2032");
    // Replaced while it runs, so that the one of 2040 is the first.
    sign("b", 2050);
    eventually("the new certificate is in use", || (expiry().as_deref() == Some("2208988800")).then_some(()));
}

#[test]
fn what_is_no_tls_is_closed_and_so_is_who_says_nothing() {
    let authority = Authority::new();
    let files = TlsFiles { certificates: vec![authority.sign("a", "a.test")], ..TlsFiles::default() };
    let (upstream, certificates) = (telling(), Certificates::load(files).unwrap());
    let brief = |s: &mut portcullis::proxy::settings::Settings| s.timeouts.header = Duration::from_millis(300);
    let proxy = proxy::to([upstream.address]).tls(certificates.slot()).with(brief).start();
    for bytes in [&b"GET /t HTTP/1.1\r\nHost: a.test\r\n\r\n"[..], b"", b"\x16\x03\x01\x02\x00", frames::PREFACE] {
        let mut client = Client::connect(proxy.address);
        client.send(bytes);
        assert_ne!(client.read_to_end(PATIENCE), End::Open, "{bytes:?}");
    }
    assert!(upstream.requests().is_empty());
    eventually("all are counted", || (proxy.counters.handshakes_failed.load(Ordering::Relaxed) == 4).then_some(()));
}

#[test]
fn a_large_answer_that_was_taken_leaves_no_stall_behind() {
    const LARGE: usize = 16 << 20;
    let authority = Authority::new();
    let files = TlsFiles { certificates: vec![authority.sign("a", "a.test")], ..TlsFiles::default() };
    let stall = Duration::from_millis(400);
    let upstream = Upstream::start(move |peer| {
        while let Some(request) = peer.request() {
            let body = if request.target() == "/large" { vec![b'x'; LARGE] } else { b"GET /t".to_vec() };
            // The second answer takes longer than a stalled write may.
            std::thread::park_timeout(if request.target() == "/large" { Duration::ZERO } else { stall * 3 });
            if !peer.send(&[format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat()) {
                return;
            }
        }
    });
    let certificates = Certificates::load(files).unwrap();
    let proxy = proxy::to([upstream.address]).tls(certificates.slot()).with(|s| s.timeouts.write_stall = stall).start();
    let mut stream = connect(proxy.address, &authority.client(&[], None), "a.test");
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    let (mut got, mut buffer) = (0, vec![0; 65_536]);
    while got < LARGE {
        got += stream.read(&mut buffer).unwrap();
    }
    while ask(&mut stream, "a.test").unwrap().is_empty() {}
}
