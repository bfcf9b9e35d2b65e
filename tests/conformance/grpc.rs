//! gRPC: calls pass as they are, their status is what the gates count, and what fails here is told in gRPC's way (catalogue 2.7).

use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use portcullis::domain::error_kinds::ErrorKinds;
use portcullis::domain::outcome::Failure;
use portcullis::domain::transport::{Protocol, Transport};
use portcullis::seam::table::Watch;

use crate::support::multiplexed::{self, Multiplexed, answer, collect, fields, request};
use crate::support::proxy::{self, Proxy};

const CALL: &[(&str, &str)] = &[("content-type", "application/grpc"), ("te", "trailers")];

fn http2() -> Transport {
    Transport { protocol: Protocol::Http2, tls: None }
}

/// Ends each call as its path says.
async fn serve(_: usize, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    assert!(request.headers().get("te").is_some_and(|te| te == "trailers"), "a server of gRPC insists on it");
    let head = || Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    match request.uri().path() {
        "/good" => answer(respond, head(), "message", Some(fields(&[("grpc-status", "0"), ("grpc-message", "")]))),
        "/internal" => answer(respond, head(), "message", Some(fields(&[("grpc-status", "13")]))),
        "/only" => answer(respond, Response::builder().header("grpc-status", "14").body(()).unwrap(), "", None),
        "/denied" => answer(respond, head(), "message", Some(fields(&[("grpc-status", "7")]))),
        "/nothing" => answer(respond, head(), "message", None),
        "/late" => {
            let (body, _) = collect(request.into_body()).await.unwrap();
            answer(respond, head(), std::str::from_utf8(&body).unwrap(), Some(fields(&[("grpc-status", "0")])));
        }
        "/echo" => {
            let mut stream = respond.send_response(head(), false).unwrap();
            let mut body = request.into_body();
            while let Some(Ok(data)) = body.data().await {
                body.flow_control().release_capacity(data.len()).unwrap();
                stream.send_data(data, false).unwrap();
            }
            stream.send_trailers(fields(&[("grpc-status", "0")])).unwrap();
        }
        _ => drop(std::future::poll_fn(|cx| respond.poll_reset(cx)).await),
    }
}

/// Makes a call with one message; returns the head and the trailers of its answer.
async fn call(to: &Proxy, path: &str, more: &[(&str, &str)]) -> (HeaderMap, Vec<u8>, Option<HeaderMap>) {
    let mut sender = multiplexed::connect(to.address).await.ready().await.unwrap();
    let head = request("POST", path, &[CALL, more].concat());
    let (response, mut stream) = sender.send_request(head, false).unwrap();
    stream.send_data(Bytes::from_static(b"question"), true).unwrap();
    let (head, body) = response.await.unwrap().into_parts();
    assert_eq!(head.status, 200);
    let (body, trailers) = collect(body).await.expect("the answer is whole");
    (head.headers, body, trailers)
}

#[test]
fn the_status_of_a_call_counts_wherever_it_stands() {
    let upstream = Multiplexed::start(serve);
    for (path, kinds, failure) in [
        ("/good", ErrorKinds::NONE, None),
        ("/denied", ErrorKinds::NONE, None),
        ("/internal", ErrorKinds::GRPC, None),
        ("/only", ErrorKinds::GRPC, None),
        ("/nothing", ErrorKinds::INVALID, Some(Failure::ResponseInvalid)),
    ] {
        let watches = [Watch::Errors(ErrorKinds::GRPC), Watch::Errors(ErrorKinds::DEFAULT)];
        let proxy = proxy::to([upstream.address]).canary([upstream.address], &watches, &[9]).speaking(&http2()).start();
        let (head, body, trailers) = multiplexed::run(call(&proxy, path, &[]));
        let told = trailers.as_ref().unwrap_or(&head).get("grpc-status").map(|status| status.to_str().unwrap().to_owned());
        let sent = match path {
            "/good" => Some("0"),
            "/denied" => Some("7"),
            "/internal" => Some("13"),
            "/only" => Some("14"),
            _ => None,
        };
        assert_eq!((told.as_deref(), body.is_empty()), (sent, path == "/only"), "{path}");
        proxy.canary_ended(1);
        let breaches = [ErrorKinds::GRPC, ErrorKinds::DEFAULT].map(|counted| u64::from(counted.meets(kinds)));
        assert_eq!(proxy.breaches(), breaches, "{path}");
        assert_eq!(proxy.line().failure, failure, "{path}");
    }
}

#[test]
fn what_fails_here_is_told_in_one_head() {
    let gone = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let proxy = proxy::to([gone]).speaking(&http2()).start();
    let (head, body, trailers) = multiplexed::run(call(&proxy, "/good", &[]));
    assert_eq!(
        (&head["grpc-status"], &head["content-type"], &head["proxy-status"]),
        (&"14".parse().unwrap(), &"application/grpc".parse().unwrap(), &"gate-1; error=connection_refused".parse().unwrap())
    );
    assert_eq!((&head["grpc-message"], body.len(), trailers), (&"the service refused the connection".parse().unwrap(), 0, None));
    let strange = proxy::to([gone]).for_hosts(&["b.test"]).start();
    assert_eq!(multiplexed::run(call(&strange, "/good", &[])).0["grpc-status"], "12", "as 404 maps");
}

#[test]
fn a_client_can_shorten_the_time_out_and_not_lengthen_it() {
    let upstream = Multiplexed::start(serve);
    let proxy = proxy::to([upstream.address]).speaking(&http2()).start();
    // What the client itself has set is not held against the version.
    let (own, ours) = (Failure::GivenUp, Failure::ResponseTimeout);
    for (timeout, least, most, failure) in [("100m", 100, 1500, own), ("1H", 1500, 4000, ours), ("nonsense", 1500, 4000, ours)] {
        let begun = Instant::now();
        let (head, ..) = multiplexed::run(call(&proxy, "/hang", &[("grpc-timeout", timeout)]));
        let took = begun.elapsed().as_millis();
        assert_eq!(head["grpc-status"], "4", "{timeout}");
        assert!((least..most).contains(&took), "{timeout} took {took} ms");
        assert_eq!(proxy.line().failure, Some(failure), "{timeout}");
    }
    let window = proxy.ended(3);
    assert_eq!((window.failed, window.aborted), (2, 1));
}

#[test]
fn a_stream_may_rest_for_as_long_as_it_likes_and_no_limit_is_charged_meanwhile() {
    let upstream = Multiplexed::start(serve);
    let watches = [Watch::Latency(Duration::from_millis(300)), Watch::Errors(ErrorKinds::DEFAULT)];
    let brief = |s: &mut portcullis::proxy::settings::Settings| {
        (s.timeouts.response, s.timeouts.body_idle) = (Duration::from_millis(300), Duration::from_millis(300));
    };
    let proxy = proxy::to([upstream.address]).canary([upstream.address], &watches, &[9]).speaking(&http2()).with(brief).start();
    multiplexed::run(async {
        let mut sender = multiplexed::connect(proxy.address).await.ready().await.unwrap();
        let (response, mut stream) = sender.send_request(request("POST", "/echo", CALL), false).unwrap();
        let mut body = response.await.unwrap().into_body();
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(900)).await;
            stream.send_data(Bytes::from_static(b"ping"), false).unwrap();
            let data = body.data().await.unwrap().unwrap();
            assert_eq!(data, "ping");
        }
        stream.send_data(Bytes::new(), true).unwrap();
        assert_eq!(collect(body).await.unwrap().1, Some(fields(&[("grpc-status", "0")])));
        // One whose head comes only after its first message, for which the client takes its time.
        let (response, mut stream) = sender.ready().await.unwrap().send_request(request("POST", "/late", CALL), false).unwrap();
        tokio::time::sleep(Duration::from_millis(900)).await;
        stream.send_data(Bytes::from_static(b"ping"), true).unwrap();
        assert_eq!(collect(response.await.unwrap().into_body()).await.unwrap().0, b"ping");
    });
    let window = proxy.canary_ended(2);
    assert!(window.response_time.max() < 300_000_000, "the client's own time is not the version's: {:?}", window.response_time.max());
    assert_eq!(proxy.breaches(), [0, 0]);
}
