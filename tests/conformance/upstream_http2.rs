//! Versions that speak HTTP/2: what arrives there, what comes back, and what becomes of streams that are refused, reset or cut
//! (catalogue 2.7 and 2.9).

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::Reason;
use http::{Response, StatusCode};
use portcullis::domain::endpoint::Endpoint;
use portcullis::domain::outcome::{Failure, Role};
use portcullis::domain::transport::{Protocol, Transport};

use crate::support::client::Client;
use crate::support::frames::{self, frame};
use crate::support::multiplexed::{self, Multiplexed, answer, collect, fields, request};
use crate::support::proxy::{self, Proxy};
use crate::support::upstream::Upstream;
use crate::support::{PATIENCE, eventually};

fn http2() -> Transport {
    Transport { protocol: Protocol::Http2, tls: None }
}

fn before(upstream: &Multiplexed) -> Proxy {
    proxy::to([upstream.address]).speaking(&http2()).start()
}

/// An upstream that answers with what it got: the request line, the fields and the body.
async fn tell(_: usize, request: http::Request<h2::RecvStream>, respond: h2::server::SendResponse<Bytes>) {
    let (head, body) = request.into_parts();
    let (body, trailers) = collect(body).await.expect("the body is whole");
    let mut text = format!("{} {} {}\n", head.method, head.uri, String::from_utf8_lossy(&body));
    for (name, value) in head.headers.iter().chain(trailers.iter().flat_map(http::HeaderMap::iter)) {
        text += &format!("{name}: {}\n", value.to_str().unwrap());
    }
    if head.method == http::Method::HEAD {
        return answer(respond, Response::builder().header("content-length", "5").body(()).unwrap(), "", None);
    }
    answer(respond, Response::new(()), &text, None);
}

/// Sends a request over HTTP/2 in pieces with trailers behind them, and returns what came back; `None` when that was cut.
async fn ask(
    to: &Proxy,
    head: http::Request<()>,
    pieces: &[&str],
    trailers: Option<http::HeaderMap>,
) -> Option<(StatusCode, String, Option<http::HeaderMap>)> {
    let mut sender = multiplexed::connect(to.address).await.ready().await.unwrap();
    let (response, mut stream) = sender.send_request(head, pieces.is_empty() && trailers.is_none()).unwrap();
    for (index, piece) in pieces.iter().enumerate() {
        let last = index + 1 == pieces.len() && trailers.is_none();
        stream.send_data(Bytes::copy_from_slice(piece.as_bytes()), last).unwrap();
    }
    if let Some(trailers) = trailers {
        stream.send_trailers(trailers).unwrap();
    }
    let (head, body) = response.await.ok()?.into_parts();
    let (body, trailers) = collect(body).await?;
    Some((head.status, String::from_utf8(body).unwrap(), trailers))
}

#[test]
fn clients_of_both_protocols_reach_it_and_share_its_connection() {
    let upstream = Multiplexed::start(tell);
    let proxy = before(&upstream);
    let mut client = Client::connect(proxy.address);
    for _ in 0..3 {
        let got = client.ask(
            "POST /p?q HTTP/1.1\r\nHost: a.test:81\r\nContent-Length: 5\r\nCookie: a=1\r\nConnection: x-gone\r\nX-Gone: 1\r\n\r\nhello",
        );
        let text = String::from_utf8_lossy(&got.body).into_owned();
        assert!(text.starts_with("POST http://a.test:81/p?q hello\n"), "{text}");
        for line in ["cookie: a=1", "content-length: 5", "x-forwarded-for: 127.0.0.1", "x-forwarded-host: a.test:81", "via: 1.1 gate-1"] {
            assert!(text.contains(&format!("\n{line}\n")), "{line} in {text}");
        }
        assert!(!text.contains("\nhost:") && !text.contains("x-gone") && !text.contains("\nconnection"), "{text}");
        assert_eq!(got.one("via"), "2.0 gate-1");
    }
    client.received.clear();
    client.send("HEAD /t HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let head = client.answers(1, &["HEAD"]).pop().unwrap();
    assert_eq!((head.status(), head.one("content-length")), (200, "5"));
    multiplexed::run(async {
        let sender = multiplexed::connect(proxy.address).await;
        let mut answers = Vec::new();
        for _ in 0..20 {
            let mut sender = sender.clone().ready().await.unwrap();
            answers.push(sender.send_request(request("GET", "/t", &[]), true).unwrap().0);
        }
        for answer in answers {
            let text = collect(answer.await.unwrap().into_body()).await.unwrap().0;
            assert!(text.starts_with(b"GET http://a.test/t \n"), "{}", String::from_utf8_lossy(&text));
        }
    });
    assert_eq!(upstream.connections(), 1);
    assert_eq!(proxy.ended(24).ended(), 24);
}

#[test]
fn bodies_of_unknown_length_and_trailers_pass_in_both_directions() {
    let upstream = Multiplexed::start(|_, request, mut respond| async move {
        let (body, trailers) = collect(request.into_body()).await.unwrap();
        assert!(trailers.as_ref().is_none_or(|trailers| !trailers.contains_key("authorization")));
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream.send_data(body.into(), false).unwrap();
        let mut back = fields(&[("x-sum", "1"), ("content-length", "7"), ("x-portcullis-a", "1")]);
        back.extend(trailers.unwrap_or_default());
        stream.send_trailers(back).unwrap();
    });
    let proxy = before(&upstream);
    let got = multiplexed::run(async {
        let trailers = fields(&[("x-up", "2"), ("authorization", "x")]);
        ask(&proxy, request("POST", "/", &[]), &["one ", "two"], Some(trailers)).await.unwrap()
    });
    assert_eq!((got.0.as_u16(), &*got.1), (200, "one two"));
    assert_eq!(got.2, Some(fields(&[("x-sum", "1"), ("x-up", "2")])));
    let mut client = Client::connect(proxy.address);
    let got = client.ask("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\nX-Up: 2\r\n\r\n");
    assert_eq!(got.body, b"abcd", "to a client of HTTP/1 the trailers are dropped and the body ends well");
    assert_eq!(client.ask("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\nx").body, b"x");
}

#[test]
fn chunked_trailers_of_http1_reach_clients_of_http2() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nHost: b\r\n\r\n");
    let proxy = proxy::to([upstream.address]).start();
    for _ in 0..2 {
        let got = multiplexed::run(ask(&proxy, request("GET", "/", &[]), &[], None)).unwrap();
        assert_eq!((&*got.1, got.2), ("abc", Some(fields(&[("x-sum", "1")]))));
    }
    assert_eq!(upstream.seen().len(), 1, "the connection is used again");
}

#[test]
fn what_was_refused_is_sent_once_more_whatever_it_is_but_not_to_who_asks_for_calm() {
    for (reason, tries, status) in [(Reason::REFUSED_STREAM, 2, 200), (Reason::ENHANCE_YOUR_CALM, 1, 502), (Reason::CANCEL, 1, 502)] {
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        let upstream = Multiplexed::start(move |_, _, mut respond| {
            let first = count.fetch_add(1, Ordering::AcqRel) == 0;
            async move { if first { respond.send_reset(reason) } else { answer(respond, Response::new(()), "good", None) } }
        });
        let proxy = before(&upstream);
        let got = Client::connect(proxy.address).ask("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n");
        assert_eq!((got.status(), seen.load(Ordering::Acquire)), (status, tries), "{reason:?}");
    }
    let always = Multiplexed::start(|_, _, mut respond| async move { respond.send_reset(Reason::REFUSED_STREAM) });
    let proxy = before(&always);
    assert_eq!(Client::connect(proxy.address).ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").status(), 502, "once, not for ever");
}

#[test]
fn what_a_goaway_leaves_out_is_sent_over_another_connection() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let connections = std::thread::spawn(move || {
        for index in 0.. {
            let mut socket = listener.accept().unwrap().0;
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.write_all(&frame(frames::SETTINGS, 0, 0, b"")).unwrap();
            let (mut got, mut buffer) = (Vec::new(), [0; 4096]);
            while !frames::read(got.get(frames::PREFACE.len()..).unwrap_or_default())
                .iter()
                .any(|e| matches!(e, frames::Event::Status(1, _)))
            {
                let count = socket.read(&mut buffer).unwrap();
                got.extend_from_slice(&buffer[..count]);
            }
            if index == 1 {
                // HEADERS with the indexed field ":status: 204", then wait for the end.
                socket.write_all(&frames::headers(1, &[0x89], true)).unwrap();
                while matches!(socket.read(&mut buffer), Ok(1..)) {}
                return index + 1;
            }
            socket.write_all(&frame(frames::GOAWAY, 0, 0, [0; 8])).unwrap();
        }
        0
    });
    let proxy = proxy::to([address]).speaking(&http2()).start();
    let got = Client::connect(proxy.address).ask("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(got.status(), 204);
    drop(proxy);
    assert_eq!(connections.join().unwrap(), 2);
}

#[test]
fn cut_and_wrongly_announced_bodies_never_look_complete() {
    let upstream = Multiplexed::start(|_, request, mut respond| async move {
        let short = request.uri().path() == "/short";
        let head = if short { Response::builder().header("content-length", "9").body(()).unwrap() } else { Response::new(()) };
        let mut stream = respond.send_response(head, false).unwrap();
        stream.send_data(Bytes::from_static(b"half"), short).unwrap();
        if !short {
            // Once it has gone out; a reset overtakes what waits.
            tokio::task::yield_now().await;
            std::future::poll_fn(|cx| {
                stream.reserve_capacity(1);
                stream.poll_capacity(cx)
            })
            .await;
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
    });
    let proxy = before(&upstream);
    for path in ["/cut", "/short"] {
        let got = multiplexed::run(ask(&proxy, request("GET", path, &[]), &[], None));
        assert_eq!(got, None, "{path}");
        let mut client = Client::connect(proxy.address);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        client.read_to_end(PATIENCE);
        let text = String::from_utf8_lossy(&client.received).into_owned();
        assert!(!text.ends_with("0\r\n\r\n") && !text.contains("content-length: 4"), "{text}");
    }
    assert_eq!(proxy.ended(4).ended(), 4);
    for _ in 0..4 {
        let line = proxy.line();
        assert!(
            matches!(line.failure, Some(Failure::ResponseBodyCut | Failure::ResponseInvalid | Failure::ConnectionTerminated)),
            "{line:?}"
        );
    }
}

#[test]
fn a_client_that_leaves_resets_its_stream_and_no_other() {
    let resets = Arc::new(AtomicUsize::new(0));
    let hanging = Arc::new(AtomicUsize::new(0));
    let (count, asked) = (Arc::clone(&resets), Arc::clone(&hanging));
    let upstream = Multiplexed::start(move |_, request, mut respond| {
        let (count, asked) = (Arc::clone(&count), Arc::clone(&asked));
        async move {
            if request.uri().path() == "/good" {
                return answer(respond, Response::new(()), "good", None);
            }
            asked.fetch_add(1, Ordering::AcqRel);
            let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await.unwrap();
            assert_eq!(reason, Reason::CANCEL);
            count.fetch_add(1, Ordering::AcqRel);
        }
    });
    let proxy = before(&upstream);
    let mut good = Client::connect(proxy.address);
    assert_eq!(good.ask("GET /good HTTP/1.1\r\nHost: a.test\r\n\r\n").status(), 200);
    let mut leaving = Client::connect(proxy.address);
    leaving.send("GET /hang HTTP/1.1\r\nHost: a.test\r\n\r\n");
    // A client that leaves before the version was asked leaves nothing to reset.
    eventually("the version is asked", || (hanging.load(Ordering::Acquire) == 1).then_some(()));
    drop(leaving);
    eventually("the version is told", || (resets.load(Ordering::Acquire) == 1).then_some(()));
    assert_eq!(good.ask("GET /good HTTP/1.1\r\nHost: a.test\r\n\r\n").status(), 200);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn answers_that_must_not_be_passed_on_are_the_versions_fault() {
    let upstream = Multiplexed::start(|_, request, mut respond| async move {
        let head = match request.uri().path() {
            "/101" => Response::builder().status(101).body(()),
            "/many" => (0..101).fold(Response::builder(), |head, n| head.header(format!("x-{n}"), "1")).body(()),
            _ => Response::builder().status(600).body(()),
        };
        let _ = respond.send_response(head.unwrap(), true);
    });
    let proxy = before(&upstream);
    let mut client = Client::connect(proxy.address);
    for path in ["/101", "/many", "/600"] {
        assert_eq!(client.ask(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n")).status(), 502, "{path}");
        assert!(matches!(proxy.line().failure, Some(Failure::ResponseInvalid | Failure::ResponseInformational)), "{path}");
    }
    let old = Upstream::answering("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    let raw = Upstream::start(|peer| {
        if peer.read() && peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") {
            while peer.read() {}
        }
    });
    for upstream in [old, raw] {
        let proxy =
            proxy::to([upstream.address]).speaking(&http2()).with(|s| s.timeouts.response = std::time::Duration::from_secs(1)).start();
        let status = Client::connect(proxy.address).ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").status();
        assert!([502, 504].contains(&status), "what speaks HTTP/1 only is no HTTP/2: {status}");
    }
}

#[test]
fn a_version_sends_no_more_than_its_client_takes() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let upstream = Multiplexed::start(move |_, _, mut respond| {
        let count = Arc::clone(&count);
        async move {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            let piece = Bytes::from(vec![b'x'; 16 * 1024]);
            loop {
                stream.reserve_capacity(piece.len());
                while stream.capacity() < piece.len() {
                    if !matches!(std::future::poll_fn(|cx| stream.poll_capacity(cx)).await, Some(Ok(_))) {
                        return;
                    }
                }
                if stream.send_data(piece.clone(), false).is_err() {
                    return;
                }
                count.fetch_add(piece.len(), Ordering::AcqRel);
            }
        }
    });
    let proxy = before(&upstream);
    multiplexed::run(async {
        let mut sender = multiplexed::connect(proxy.address).await.ready().await.unwrap();
        let (response, _stream) = sender.send_request(request("GET", "/", &[]), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        let first = body.data().await.unwrap().unwrap();
        // Of the next bytes none is taken: the window of the client stays closed.
        let mut before = 0;
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            let now = sent.load(Ordering::Acquire);
            if now == before {
                break;
            }
            before = now;
        }
        assert!(before < first.len() + 1024 * 1024, "{before} bytes were sent to a client that takes none");
        body.flow_control().release_capacity(first.len()).unwrap();
    });
}

#[test]
fn more_requests_than_a_connection_may_carry_are_all_answered() {
    let upstream = Multiplexed::listen(
        None,
        None,
        |builder| {
            builder.max_concurrent_streams(2);
        },
        tell,
    );
    let proxy = before(&upstream);
    multiplexed::run(async {
        let sender = multiplexed::connect(proxy.address).await;
        let mut answers = Vec::new();
        for _ in 0..60 {
            let mut sender = sender.clone().ready().await.unwrap();
            answers.push(sender.send_request(request("GET", "/t", &[]), true).unwrap().0);
        }
        for answer in answers {
            assert_eq!(answer.await.unwrap().status(), 200);
        }
    });
    assert!(upstream.connections() <= 9, "{} connections", upstream.connections());
    assert_eq!(proxy.window(Role::Canary).ended(), 0);
}

#[test]
fn a_unix_socket_is_as_good_as_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v1.sock");
    let _upstream = Multiplexed::listen(None, Some(&path), |_| (), tell);
    let proxy = proxy::to([]).at(Endpoint::Socket(path)).speaking(&http2()).start();
    let got = Client::connect(proxy.address).ask("GET /t HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(got.body.starts_with(b"GET http://a.test/t"));
    let path = folder.path().join("v2.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let served = std::thread::spawn(move || {
        let mut socket = listener.accept().unwrap().0;
        let mut buffer = [0; 4096];
        for _ in 0..2 {
            let count = socket.read(&mut buffer).unwrap();
            assert!(buffer[..count].starts_with(b"GET /t HTTP/1.1\r\n"));
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood").unwrap();
        }
    });
    let proxy = proxy::to([]).at(Endpoint::Socket(path)).start();
    let mut client = Client::connect(proxy.address);
    for _ in 0..2 {
        assert_eq!(client.ask("GET /t HTTP/1.1\r\nHost: a.test\r\n\r\n").body, b"good");
    }
    served.join().unwrap();
    let nowhere = proxy::to([]).at(Endpoint::Socket(folder.path().join("none.sock"))).start();
    assert_eq!(Client::connect(nowhere.address).ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").status(), 502);
}
