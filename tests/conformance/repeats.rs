//! F-08: requests that may be sent again because their client says so, by an `Idempotency-Key` that the configuration believes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portcullis::domain::outcome::Failure;
use portcullis::domain::time::Timestamp;
use portcullis::domain::transport::{Protocol, Transport};
use portcullis::proxy::settings::MAX_KEPT;
use portcullis::seam::choice::Choice;
use portcullis::seam::table::{Epoch, Route, Table, Watch};

use crate::oracle::{get, post};
use crate::support::client::Client;
use crate::support::eventually;
use crate::support::multiplexed::{self, Multiplexed, answer, collect};
use crate::support::proxy::{self, GENERATION, Proxy, Setup};
use crate::support::upstream::Upstream;

const KEY: &str = "Idempotency-Key: \"8e03978e\"\r\n";

fn believing(most: usize) -> Choice {
    Choice { repeat: Some(most), ..Choice::default() }
}

/// A version that takes a whole request and ends the connection instead of an answer.
fn dies() -> Upstream {
    Upstream::start(|peer| {
        peer.request();
    })
}

fn keyed(more: &str, body: &str) -> Vec<u8> {
    post(format!("{KEY}{more}"), body)
}

#[test]
fn with_a_key_the_whole_request_goes_to_stable_when_the_canary_fails_it() {
    for (more, body) in [("Content-Length: 5\r\n", "hello"), ("Content-Length: 0\r\n", "")] {
        let (stable, canary) = (Upstream::good(), dies());
        let proxy = proxy::to([stable.address]).canary([canary.address], &[], &[]).choosing(believing(5)).start();
        assert_eq!(Client::connect(proxy.address).ask(keyed(more, body)).body, b"good");
        for version in [&stable, &canary] {
            let requests = version.requests();
            assert_eq!(requests.len(), 1);
            assert_eq!((requests[0].one("idempotency-key"), &requests[0].body[..]), ("\"8e03978e\"", body.as_bytes()));
        }
        assert_eq!(proxy.canary_ended(1).failed, 1, "the canary is charged");
        assert_eq!(proxy.line().rescued, Some(Failure::ConnectionTerminated));
    }
}

#[test]
fn with_a_key_it_goes_to_another_endpoint_of_the_version() {
    let (good, bad) = (Upstream::good(), dies());
    let proxy = proxy::to([bad.address, good.address]).choosing(believing(64)).start();
    for _ in 0..20 {
        assert_eq!(Client::connect(proxy.address).ask(keyed("Content-Length: 5\r\n", "hello")).body, b"good");
    }
    assert!(!bad.requests().is_empty() && good.requests().iter().all(|request| request.body == b"hello"));
}

#[test]
fn what_comes_without_one_key_or_with_a_long_body_is_sent_once() {
    let (stable, canary) = (Upstream::good(), dies());
    let length = "Content-Length: 5\r\n";
    for (most, request) in [
        (Some(5), post(length, "hello")),
        (None, keyed(length, "hello")),
        (Some(4), keyed(length, "hello")),
        (Some(5), post(format!("Idempotency-Key: \r\n{length}"), "hello")),
        (Some(5), keyed(&format!("{KEY}{length}"), "hello")),
        (Some(5), keyed("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n")),
    ] {
        canary.forget();
        let proxy =
            proxy::to([stable.address]).canary([canary.address], &[], &[]).choosing(Choice { repeat: most, ..Choice::default() }).start();
        let shown = String::from_utf8_lossy(&request).into_owned();
        assert_eq!(Client::connect(proxy.address).ask(&request).status(), 502, "{most:?} {shown}");
        assert_eq!(canary.requests().len(), 1, "{most:?} {shown}");
    }
    assert!(stable.requests().is_empty());
}

#[test]
fn a_body_that_its_client_does_not_end_reaches_nobody() {
    let stable = Upstream::good();
    let proxy = proxy::to([stable.address]).choosing(believing(64)).start();
    let mut client = Client::connect(proxy.address);
    client.send(keyed("Content-Length: 5\r\n", "hel")).half_close();
    assert_eq!(proxy.line().failure, Some(Failure::RequestBodyInvalid));
    assert!(stable.seen().iter().all(|connection| connection.bytes.is_empty()));
    assert_eq!(Client::connect(proxy.address).ask(get("")).body, b"good");
}

/// A version over HTTP/2 that answers with the key and the body; the first request it reads and turns away.
fn turning_the_first_away(first: bool) -> Multiplexed {
    let turned = AtomicBool::new(!first);
    Multiplexed::start(move |_, request, mut respond| {
        let turn = !turned.swap(true, Ordering::Relaxed);
        async move {
            let (head, body) = request.into_parts();
            let (body, _) = collect(body).await.unwrap();
            if turn {
                respond.send_reset(h2::Reason::REFUSED_STREAM);
                return;
            }
            let text = format!("{} {}", head.headers["idempotency-key"].to_str().unwrap(), String::from_utf8_lossy(&body));
            answer(respond, http::Response::new(()), &text, None);
        }
    })
}

#[test]
fn over_http2_too_the_body_is_sent_again_from_its_beginning() {
    let http2 = Transport { protocol: Protocol::Http2, ..Transport::default() };
    let asks = |setup: Setup| {
        let proxy = setup.choosing(believing(64)).start();
        let answer = Client::connect(proxy.address).ask(keyed("Content-Length: 5\r\n", "hello"));
        assert_eq!(String::from_utf8_lossy(&answer.body), "\"8e03978e\" hello");
    };
    let (stable, canary) = (turning_the_first_away(false), dies());
    asks(proxy::to([stable.address]).speaking(&http2).canary([canary.address], &[], &[]));
    let stable = turning_the_first_away(true);
    asks(proxy::to([stable.address]).speaking(&http2));
}

#[test]
fn a_body_with_trailers_is_kept_without_them() {
    let (stable, canary) = (Upstream::good(), dies());
    let proxy = proxy::to([stable.address]).canary([canary.address], &[], &[]).choosing(believing(64)).start();
    multiplexed::run(async {
        let mut sender = multiplexed::connect(proxy.address).await.ready().await.unwrap();
        let head = multiplexed::request("POST", "/t", &[("idempotency-key", "\"8e03978e\""), ("content-length", "5")]);
        let (answer, mut stream) = sender.send_request(head, false).unwrap();
        stream.send_data("hello".into(), false).unwrap();
        stream.send_trailers(multiplexed::fields(&[("x-sum", "1")])).unwrap();
        assert_eq!(answer.await.unwrap().status(), 200);
    });
    assert!([&stable, &canary].iter().all(|version| version.requests()[0].body == b"hello"));
}

/// A client whose request is here but for its body, which is waited for.
fn holds_back(proxy: &Proxy, length: usize) -> Client {
    let mut client = Client::connect(proxy.address);
    client.send(keyed(&format!("Expect: 100-continue\r\nContent-Length: {length}\r\n"), ""));
    client.read_until(|bytes| bytes.ends_with(b"HTTP/1.1 100 Continue\r\n\r\n"));
    client
}

#[test]
fn a_version_that_lost_its_share_gets_no_body_that_was_waited_for() {
    let (stable, canary) = (Upstream::good(), Upstream::good());
    let proxy = proxy::to([stable.address]).canary([canary.address], &[], &[]).choosing(believing(64)).start();
    let mut client = holds_back(&proxy, 5);
    let table = proxy.routes.current();
    let (route, epoch) = (&table.routes[0], &table.routes[0].epoch);
    let next = Epoch::new(epoch.service.clone(), 1, GENERATION + 1, Arc::clone(&epoch.stable), None, Timestamp::NEVER);
    let next = Route { choice: route.choice.clone(), ..Route::new(Arc::clone(&route.rules), Arc::new(next)) };
    proxy.routes.publish(Table::new(2, vec![next]));
    client.send("hello").read_until(|bytes| bytes.ends_with(b"good"));
    assert_eq!((stable.requests().len(), canary.seen().len()), (1, 0));
}

#[test]
fn the_time_a_client_takes_over_its_body_is_not_its_version_s() {
    const LIMIT: Duration = Duration::from_millis(200);
    let (stable, canary) = (Upstream::good(), Upstream::good());
    let setup = proxy::to([stable.address]).canary([canary.address], &[Watch::Latency(LIMIT)], &[100]);
    let proxy = setup.choosing(believing(64)).start();
    let mut client = holds_back(&proxy, 5);
    let held = Instant::now();
    eventually("the client has taken twice the limit", || (held.elapsed() > 2 * LIMIT).then_some(()));
    client.send("hello").read_until(|bytes| bytes.ends_with(b"good"));
    assert_eq!((proxy.canary_ended(1).ended(), proxy.breaches()), (1, vec![0]));
}

#[test]
fn what_a_worker_keeps_is_bounded_and_what_does_not_fit_is_sent_once() {
    const LONGEST: usize = 1 << 20;
    let (stable, canary) = (Upstream::good(), dies());
    let proxy = proxy::to([stable.address]).canary([canary.address], &[], &[]).choosing(believing(LONGEST)).start();
    let status = || Client::connect(proxy.address).ask(keyed("Content-Length: 5\r\n", "hello")).status();
    assert_eq!(status(), 200);
    let clients: Vec<Client> = (0..MAX_KEPT / LONGEST).map(|_| holds_back(&proxy, LONGEST)).collect();
    assert_eq!(status(), 502);
    drop(clients);
    eventually("there is room again", || (status() == 200).then_some(()));
}
