//! TLS with versions: who is believed, what we show of ourselves, and where a body without a length ends (catalogue 2.10).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Response;
use portcullis::domain::error_kinds::ErrorKinds;
use portcullis::domain::outcome::Failure;
use portcullis::domain::transport::{Certificate, Protocol, Tls, Transport};
use portcullis::formats::tls::{self, CertificateFiles, TlsFiles};
use portcullis::seam::table::Watch;
use rcgen::{CertificateParams, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::authority::Authority;
use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::multiplexed::{Multiplexed, answer};
use crate::support::proxy;
use crate::support::upstream::Upstream;
use crate::support::{PATIENCE, eventually};

type Stream = StreamOwned<ServerConnection, TcpStream>;

/// An upstream that speaks HTTP/1.1 over TLS and runs a script on every connection.
struct Encrypted {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
}

impl Encrypted {
    fn start(config: ServerConfig, script: fn(&mut Stream)) -> Self {
        Self::offering(&["http/1.1"], config, script)
    }

    /// Offers these protocols, the first one first.
    fn offering(protocols: &[&str], mut config: ServerConfig, script: fn(&mut Stream)) -> Self {
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let (address, config) = (listener.local_addr().unwrap(), Arc::new(config));
        let (connections, closed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (count, ended) = (Arc::clone(&connections), Arc::clone(&closed));
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let socket = socket.unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                count.fetch_add(1, Ordering::AcqRel);
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let ended = Arc::clone(&ended);
                std::thread::spawn(move || {
                    script(&mut StreamOwned::new(connection, socket));
                    ended.fetch_add(1, Ordering::AcqRel);
                });
            }
        });
        Self { address, connections, closed }
    }
}

/// Reads a request without a body; says whether one came.
fn request(stream: &mut Stream) -> bool {
    let (mut got, mut buffer) = (Vec::new(), [0; 4096]);
    while !got.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => got.extend_from_slice(&buffer[..count]),
            _ => return false,
        }
    }
    true
}

fn good(stream: &mut Stream) {
    while request(stream) && stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood").is_ok() {}
}

fn server(files: CertificateFiles) -> ServerConfig {
    tls::server(&TlsFiles { certificates: vec![files], ..TlsFiles::default() }).unwrap()
}

fn trusting(authority: &Authority, name: &str) -> Transport {
    Transport {
        protocol: Protocol::Auto,
        tls: Some(Tls { ca: Some(authority.file("ca.pem")), name: Some(name.to_owned()), ..Tls::default() }),
    }
}

fn ask(to: SocketAddr) -> Message {
    Client::connect(to).ask("GET /t HTTP/1.1\r\nHost: evil.test\r\n\r\n")
}

#[test]
fn http1_and_http2_are_spoken_as_agreed_and_connections_are_used_again() {
    let authority = Authority::new();
    let upstream = Encrypted::start(server(authority.sign("a", "a.test")), good);
    let proxy = proxy::to([upstream.address]).speaking(&trusting(&authority, "a.test")).start();
    let mut client = Client::connect(proxy.address);
    for method in ["GET", "POST", "GET", "POST", "PATCH"] {
        // The tickets of TLS 1.3 come after the first answer at the latest, and are no bytes of an answer.
        assert_eq!(client.ask(format!("{method} /t HTTP/1.1\r\nHost: evil.test\r\nContent-Length: 0\r\n\r\n")).body, b"good");
    }
    assert_eq!(upstream.connections.load(Ordering::Acquire), 1);
    let upstream = Multiplexed::encrypted(server(authority.sign("a", "a.test")), |_, request, respond| async move {
        answer(respond, Response::new(()), &request.uri().to_string(), None);
    });
    for protocol in [Protocol::Auto, Protocol::Http2] {
        let transport = Transport { protocol, ..trusting(&authority, "a.test") };
        let proxy = proxy::to([upstream.address]).speaking(&transport).start();
        assert_eq!(ask(proxy.address).body, b"https://evil.test/t", "the name is ours to choose, the authority is the client's");
    }
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn a_certificate_that_is_not_good_is_a_failure_to_connect() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    let expired = authority.sign("expired", "a.test");
    std::fs::write(&expired.chain, authority.certify(params, &key)).unwrap();
    std::fs::write(&expired.key, key.serialize_pem()).unwrap();
    for (name, certificate) in
        [("unknown authority", stranger.sign("a", "a.test")), ("wrong name", authority.sign("b", "b.test")), ("expired", expired)]
    {
        let upstream = Encrypted::start(server(certificate), good);
        let watch = [Watch::Errors(ErrorKinds::CONNECT)];
        let proxy =
            proxy::to([upstream.address]).canary([upstream.address], &watch, &[9]).speaking(&trusting(&authority, "a.test")).start();
        let got = ask(proxy.address);
        assert_eq!((got.status(), got.one("proxy-status")), (502, "gate-1; error=tls_certificate_error"), "{name}");
        assert_eq!(proxy.line().failure, Some(Failure::TlsCertificate), "{name}");
        proxy.canary_ended(1);
        assert_eq!(proxy.breaches(), [1], "{name}");
    }
}

#[test]
fn what_is_no_tls_is_a_failure_to_connect_too_and_so_is_silence() {
    let authority = Authority::new();
    let plain = Upstream::start(|peer| {
        if peer.read() && peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n") {
            while peer.read() {}
        }
    });
    let silent = Upstream::start(|peer| while peer.read() {});
    for (upstream, status, token) in [(&plain, 502, "tls_protocol_error"), (&silent, 504, "connection_timeout")] {
        let brief = |s: &mut portcullis::proxy::settings::Settings| s.timeouts.connect = Duration::from_millis(300);
        let proxy = proxy::to([upstream.address]).with(brief).speaking(&trusting(&authority, "a.test")).start();
        let got = ask(proxy.address);
        assert_eq!((got.status(), got.one("proxy-status")), (status, &*format!("gate-1; error={token}")));
    }
    // One that speaks HTTP/1.1 alone is no version that is to speak HTTP/2.
    let upstream = Encrypted::start(server(authority.sign("a", "a.test")), good);
    let transport = Transport { protocol: Protocol::Http2, ..trusting(&authority, "a.test") };
    assert_eq!(
        ask(proxy::to([upstream.address]).speaking(&transport).start().address).one("proxy-status"),
        "gate-1; error=tls_protocol_error"
    );
}

#[test]
fn a_version_that_asks_for_our_certificate_gets_it() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let files =
        TlsFiles { certificates: vec![authority.sign("a", "a.test")], client_ca: Some(authority.file("ca.pem")), ..TlsFiles::default() };
    let (own, foreign) = (authority.sign("own", "gate.test"), stranger.sign("own", "gate.test"));
    let shown = |files: Option<&CertificateFiles>| {
        let mut transport = trusting(&authority, "a.test");
        let certificate = files.map(|files| Certificate { chain: files.chain.clone(), key: files.key.clone() });
        transport.tls.as_mut().unwrap().certificate = certificate;
        transport
    };
    let http1 = Encrypted::start(tls::server(&files).unwrap(), good);
    let http2 = Multiplexed::encrypted(tls::server(&files).unwrap(), |_, _, respond| async move {
        answer(respond, Response::new(()), "good", None);
    });
    for address in [http1.address, http2.address] {
        for (files, status) in [(Some(&own), 200), (None, 502), (Some(&foreign), 502)] {
            let got = ask(proxy::to([address]).speaking(&shown(files)).start().address);
            assert_eq!(got.status(), status);
            // With TLS 1.3 the refusal comes after our handshake, and the end of the connection may overtake it.
            let tokens = ["tls_certificate_error", "connection_terminated"].map(|token| format!("gate-1; error={token}"));
            assert!(status == 200 || tokens.iter().any(|token| token == got.one("proxy-status")), "{:?}", got.one("proxy-status"));
        }
    }
}

#[test]
fn t01_a_revoked_certificate_is_the_versions_failure_until_the_list_says_otherwise() {
    let authority = Authority::new();
    let upstream = Encrypted::start(server(authority.sign_numbered("a", "a.test", 7)), good);
    let mut transport = trusting(&authority, "a.test");
    transport.tls.as_mut().unwrap().crl = vec![authority.revoke(&[7], 2090)];
    let proxy = proxy::to([upstream.address]).speaking(&transport).start();
    let answer = ask(proxy.address);
    assert_eq!((answer.status(), answer.one("proxy-status")), (502, "gate-1; error=tls_certificate_error"));
    assert_eq!(proxy.ended(1).failed, 1);
    authority.revoke(&[8], 2090);
    eventually("the list is read anew", || (ask(proxy.address).status() == 200).then_some(()));
    // An old list changes nothing.
    authority.revoke(&[7], 2021);
    assert_eq!(ask(proxy.address).status(), 200);
}

#[test]
fn t01_a_list_that_goes_out_of_date_lets_nobody_in_and_is_not_the_versions_failure() {
    let authority = Authority::new();
    let upstream = Encrypted::start(server(authority.sign("a", "a.test")), |stream| {
        if request(stream) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngood");
        }
    });
    let mut transport = trusting(&authority, "a.test");
    transport.tls.as_mut().unwrap().crl = vec![authority.revoke_for(&[7], Duration::from_secs(3))];
    let watch = [Watch::Errors(ErrorKinds::DEFAULT)];
    let proxy = proxy::to([]).canary([upstream.address], &watch, &[0]).speaking(&transport).start();
    assert_eq!(ask(proxy.address).status(), 200, "while it is good");
    let refused = eventually("it goes out of date", || Some(ask(proxy.address)).filter(|answer| answer.status() != 200));
    assert_eq!((refused.status(), refused.one("proxy-status")), (503, "gate-1; error=connection_limit_reached"));
    let reached = upstream.connections.load(Ordering::Acquire) as u64;
    proxy.canary_ended(reached);
    assert_eq!(proxy.breaches(), [0]);
    // Whoever starts with such a list is told so.
    let problem = tls::client(transport.tls.as_ref().unwrap(), Protocol::Auto).unwrap_err().to_string();
    assert!(problem.contains("crl.pem") && problem.contains("out of date since"), "{problem}");
    authority.revoke(&[7], 2090);
    eventually("the current list counts", || (ask(proxy.address).status() == 200).then_some(()));
}

#[test]
fn a_body_that_ends_with_the_connection_is_whole_only_after_a_last_word() {
    let authority = Authority::new();
    let files = authority.sign("a", "a.test");
    for (whole, script) in [
        (
            true,
            (|stream| {
                request(stream);
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nall of it").unwrap();
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }) as fn(&mut Stream),
        ),
        (false, |stream| {
            request(stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nall of it").unwrap();
            stream.flush().unwrap();
        }),
    ] {
        let upstream = Encrypted::start(server(files.clone()), script);
        let proxy = proxy::to([upstream.address]).speaking(&trusting(&authority, "a.test")).start();
        let mut client = Client::connect(proxy.address);
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
        client.read_to_end(PATIENCE);
        let text = String::from_utf8_lossy(&client.received).into_owned();
        assert!(text.contains("all of it"), "{text}");
        assert_eq!(text.ends_with("0\r\n\r\n"), whole, "{text}");
        assert_eq!(proxy.line().failure, (!whole).then_some(Failure::ResponseBodyCut));
    }
}

#[test]
fn a_connection_that_said_goodbye_carries_no_further_request() {
    let authority = Authority::new();
    let upstream = Encrypted::start(server(authority.sign("a", "a.test")), |stream| {
        if request(stream) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    let proxy = proxy::to([upstream.address]).speaking(&trusting(&authority, "a.test")).start();
    let mut client = Client::connect(proxy.address);
    for turn in 1..=5 {
        let got = client.ask("POST /t HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n");
        assert_eq!((got.status(), upstream.connections.load(Ordering::Acquire)), (200, turn));
        eventually("it is closed", || (upstream.closed.load(Ordering::Acquire) == turn).then_some(()));
    }
}

#[test]
fn authorities_are_read_anew_when_their_file_changes() {
    let (old, new) = (Authority::new(), Authority::new());
    let upstream = Encrypted::start(server(new.sign("a", "a.test")), |stream| {
        if request(stream) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngood");
        }
    });
    let proxy = proxy::to([upstream.address]).speaking(&trusting(&old, "a.test")).start();
    assert_eq!(ask(proxy.address).status(), 502);
    std::fs::copy(new.file("ca.pem"), old.file("ca.pem")).unwrap();
    eventually("the new authority counts", || (ask(proxy.address).status() == 200).then_some(()));
    std::fs::write(old.file("ca.pem"), "no certificate").unwrap();
    let mut asked = 0;
    eventually("the bad file was looked at, and changes nothing", || {
        assert_eq!(ask(proxy.address).status(), 200);
        asked += 1;
        (asked == 50).then_some(())
    });
}

#[test]
fn a_websocket_gets_a_connection_of_http1_and_a_version_without_one_is_not_charged() {
    let authority = Authority::new();
    let switching = |stream: &mut Stream| {
        if request(stream) {
            let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nhello";
            stream.write_all(switch).unwrap();
            let mut buffer = [0; 64];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                stream.write_all(&buffer[..count]).unwrap();
            }
            stream.conn.send_close_notify();
            stream.flush().unwrap();
        }
    };
    let asked = "GET /t HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let upstream = Encrypted::offering(&["h2", "http/1.1"], server(authority.sign("a", "a.test")), switching);
    let proxy = proxy::to([upstream.address]).speaking(&trusting(&authority, "a.test")).start();
    let mut client = Client::connect(proxy.address);
    client.send(asked).read_until(|bytes| bytes.ends_with(b"hello"));
    client.send("and back").half_close().read_to_end(PATIENCE);
    let seen = String::from_utf8_lossy(&client.received).into_owned();
    assert!(seen.starts_with("HTTP/1.1 101 ") && seen.ends_with("\r\n\r\nhelloand back"), "{seen}");

    let upstream = Encrypted::offering(&["h2"], server(authority.sign("a", "a.test")), |stream| {
        request(stream);
    });
    let wires = [Watch::Errors(ErrorKinds::DEFAULT)];
    let proxy = proxy::to([]).canary([upstream.address], &wires, &[0]).speaking(&trusting(&authority, "a.test")).start();
    assert_eq!(Client::connect(proxy.address).ask(asked).status(), 503);
    assert_eq!((proxy.canary_ended(1).failed, proxy.breaches()), (1, vec![0]), "what a client wishes for is not the version's failure");
}
