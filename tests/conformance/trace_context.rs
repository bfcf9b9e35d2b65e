//! Trace context on its way through: unchanged where a request is not recorded, with the span of each attempt where it is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{Method, Response};
use portcullis::domain::outcome::{Failure, Role};
use portcullis::domain::transport::{Protocol, Transport};
use portcullis::domain::weight::Weight;
use portcullis::seam::choice::{Choice, Flights, Mirror, MirrorTo};
use portcullis::seam::trace::{Finished, Sampling};

use crate::faults::closed_port;
use crate::oracle::{get, post};
use crate::split::{name, named, version};
use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::multiplexed::{Multiplexed, answer, collect};
use crate::support::proxy::{self, Proxy, Setup};
use crate::support::upstream::{GOOD, Upstream};
use crate::support::{PATIENCE, eventually};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
/// What a client may send, with a decision in each form.
const FIELDS: [(&str, &str); 10] = [
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ("tracestate", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
    ("tracestate", "third=1"),
    ("baggage", "userId=alice,serverNode=DF%2028"),
    ("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90"),
    ("x-b3-traceid", "80f198ee56343ba864fe8b2a57d3eff7"),
    ("x-b3-spanid", "e457b5a2e4d86bd1"),
    ("x-b3-parentspanid", "05e3ac9a4f6e3b90"),
    ("x-b3-sampled", "1"),
    ("x-b3-flags", "1"),
];

fn lines(fields: &[(&str, &str)]) -> String {
    fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

/// Returns what of the fields came, in the order of [`FIELDS`] and then of the message.
fn came(message: &Message) -> Vec<(String, String)> {
    let mut names: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
    names.dedup();
    names.iter().flat_map(|name| message.all(name).into_iter().map(|value| ((*name).to_owned(), value.to_owned()))).collect()
}

#[track_caller]
fn is_unchanged(came: &[(String, String)]) {
    let came: Vec<(&str, &str)> = came.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(came, FIELDS);
}

/// Two endpoints of which the one that is asked first reads a request and closes.
fn dying_once() -> [Upstream; 2] {
    let first = Arc::new(AtomicBool::new(true));
    [(); 2].map(|()| {
        let first = Arc::clone(&first);
        Upstream::start(move |peer| {
            while peer.request().is_some() {
                if first.swap(false, Ordering::AcqRel) || !peer.send(GOOD) {
                    return;
                }
            }
        })
    })
}

fn dying() -> Upstream {
    Upstream::start(|peer| drop(peer.request()))
}

/// A version that speaks HTTP/2 and answers with the fields it got.
fn telling() -> Multiplexed {
    Multiplexed::start(async |_, request: http::Request<h2::RecvStream>, respond: h2::server::SendResponse<Bytes>| {
        let (request, body) = request.into_parts();
        collect(body).await.expect("the body is whole");
        let told: String = request.headers.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap())).collect();
        answer(respond, Response::new(()), &told, None);
    })
}

fn told(answer: &Message) -> Vec<(String, String)> {
    let text = String::from_utf8(answer.body.clone()).unwrap();
    let has = |wanted: &str| FIELDS.iter().any(|(name, _)| *name == wanted);
    let mut told: Vec<(String, String)> =
        text.lines().filter_map(|line| line.split_once(": ")).filter(|(n, _)| has(n)).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    told.sort_by_key(|(name, _)| FIELDS.iter().position(|(known, _)| known == name));
    told
}

fn http2() -> Transport {
    Transport { protocol: Protocol::Http2, tls: None }
}

fn mirror(to: SocketAddr) -> Choice {
    let mirror = Mirror {
        to: MirrorTo::Other(name("v9")),
        share: Weight::FULL,
        methods: vec![Method::GET],
        most: 3,
        deadline: PATIENCE,
        bytes: 1_000,
        flights: Flights::default(),
    };
    Choice { mirror: Some(mirror), others: vec![version("v9", to)].into(), ..Choice::default() }
}

fn requests(upstreams: &[Upstream], wanted: usize) -> Vec<Message> {
    let all = || -> Vec<Message> { upstreams.iter().flat_map(Upstream::requests).filter(|request| request.complete).collect() };
    eventually("the requests came", || Some(all()).filter(|all| all.len() == wanted))
}

fn ask(proxy: &Proxy, request: impl AsRef<[u8]>) -> Message {
    let answer = Client::connect(proxy.address).ask(request.as_ref());
    assert_eq!(answer.status(), 200);
    answer
}

#[test]
fn context_goes_through_unchanged_over_both_http_and_on_second_tries() {
    let stable = Upstream::good();
    let proxy = proxy::to([stable.address]).start();
    ask(&proxy, get(lines(&FIELDS)));
    is_unchanged(&came(&stable.requests()[0]));
    let telling = telling();
    is_unchanged(&told(&ask(&proxy::to([telling.address]).speaking(&http2()).start(), get(lines(&FIELDS)))));

    let retried = dying_once();
    ask(&proxy::to([retried[0].address, retried[1].address]).start(), get(lines(&FIELDS)));
    requests(&retried, 2).iter().for_each(|request| is_unchanged(&came(request)));

    let (canary, stable) = (dying(), Upstream::good());
    ask(&proxy::to([stable.address]).canary([canary.address], &[], &[]).start(), get(lines(&FIELDS)));
    requests(&[canary, stable], 2).iter().for_each(|request| is_unchanged(&came(request)));
    let canary = dying();
    let moved = proxy::to([telling.address]).speaking(&http2()).canary([canary.address], &[], &[]).start();
    is_unchanged(&told(&ask(&moved, get(lines(&FIELDS)))));

    let (stable, copied) = (Upstream::good(), named("v9"));
    ask(&proxy::to([stable.address]).choosing(mirror(copied.address)).start(), get(lines(&FIELDS)));
    requests(&[stable, copied], 2).iter().for_each(|request| is_unchanged(&came(request)));
}

fn all(setup: Setup) -> Proxy {
    setup.traced(Sampling { share: Weight::FULL, follow: true }).start()
}

/// Says that the values of `traceparent` are those of a trace's attempts, in their order, in the client's trace.
#[track_caller]
fn are_the_attempts(seen: &[String], trace: &Finished) {
    let spans: Vec<String> = trace.attempts.iter().map(|attempt| format!("00-{TRACE}-{}-01", attempt.span)).collect();
    assert_eq!(seen, spans);
    assert_eq!((trace.origin.trace.to_string(), trace.origin.parent.unwrap().to_string()), (TRACE.to_owned(), PARENT.to_owned()));
    let mut distinct = spans.clone();
    distinct.push(format!("00-{TRACE}-{}-01", trace.origin.span));
    distinct.push(format!("00-{TRACE}-{PARENT}-01"));
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), spans.len() + 2, "{spans:?}");
}

fn parent_of(came: &[(String, String)]) -> String {
    let (parents, others): (Vec<_>, Vec<_>) = came.iter().cloned().partition(|(name, _)| name == "traceparent");
    let others: Vec<(&str, &str)> = others.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(others, FIELDS[1..], "all else goes through");
    assert_eq!(parents.len(), 1);
    parents[0].1.clone()
}

#[test]
fn each_attempt_at_a_recorded_request_calls_from_a_span_of_its_own() {
    let retried = dying_once();
    let proxy = all(proxy::to([retried[0].address, retried[1].address]));
    ask(&proxy, get(lines(&FIELDS)));
    let trace = proxy.trace();
    assert_eq!((trace.origin.state.as_str(), trace.line.status), ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE,third=1", 200));
    let at = |address: SocketAddr| requests(&retried, 2).len() == 2 && trace.attempts[0].endpoint.address() == Some(address);
    let order = if at(retried[0].address) { [0, 1] } else { [1, 0] };
    let seen = order.map(|index| parent_of(&came(&retried[index].requests()[0])));
    are_the_attempts(&seen, &trace);
    assert_eq!(
        trace.attempts.iter().map(|a| (a.failure, a.rescue)).collect::<Vec<_>>(),
        [(Some(Failure::ConnectionTerminated), false), (None, false)]
    );
    assert!(trace.attempts[0].ended.unwrap() <= trace.attempts[1].began && trace.attempts[1].began <= trace.ended);

    let (canary, stable) = (dying(), Upstream::good());
    let proxy = all(proxy::to([stable.address]).canary([canary.address], &[], &[]));
    ask(&proxy, get(lines(&FIELDS)));
    let trace = proxy.trace();
    are_the_attempts(&[canary, stable].map(|upstream| parent_of(&came(&upstream.requests()[0]))), &trace);
    let told: Vec<_> = trace.attempts.iter().map(|a| (a.version.clone().unwrap().to_string(), a.role.unwrap(), a.rescue)).collect();
    assert_eq!(told, [("v2".to_owned(), Role::Canary, false), ("v1".to_owned(), Role::Stable, true)]);
    assert_eq!((trace.line.rescued, trace.line.rollout), (Some(Failure::ConnectionTerminated), 1));
}

#[test]
fn the_span_is_renewed_in_whatever_form_a_request_is_kept() {
    let telling = telling();
    let speaking = || proxy::to([telling.address]).speaking(&http2());
    // Begun over HTTP/1 and told anew over HTTP/2; not begun at all; begun over HTTP/1 with nothing written of its body.
    let (dies, closed) = (dying(), closed_port());
    let body = |length: usize| post(format!("Content-Length: {length}\r\n{}", lines(&FIELDS)), "hello");
    for (canary, request) in [(dies.address, get(lines(&FIELDS))), (closed, get(lines(&FIELDS))), (closed, body(5))] {
        let proxy = all(speaking().canary([canary], &[], &[]));
        let seen = parent_of(&told(&ask(&proxy, request)));
        let trace = proxy.trace();
        assert_eq!((trace.attempts.len(), seen), (2, format!("00-{TRACE}-{}-01", trace.attempts[1].span)));
    }
    let alone = all(speaking());
    let seen = parent_of(&told(&ask(&alone, get(lines(&FIELDS)))));
    are_the_attempts(&[seen], &alone.trace());
}

#[test]
fn what_is_not_recorded_goes_through_and_a_copy_is_never_part_of_the_trace() {
    let (stable, copied) = (Upstream::good(), named("v9"));
    let proxy = all(proxy::to([stable.address]).choosing(mirror(copied.address)));
    ask(&proxy, get(lines(&FIELDS)));
    is_unchanged(&came(&requests(std::slice::from_ref(&copied), 1)[0]));
    let trace = proxy.trace();
    are_the_attempts(&[parent_of(&came(&stable.requests()[0]))], &trace);

    let declined = format!("traceparent: 00-{TRACE}-{PARENT}-00\r\ntracestate: a=b\r\n");
    ask(&proxy, get(declined.as_str()));
    let last = stable.requests().pop().unwrap();
    assert_eq!((last.one("traceparent"), last.one("tracestate")), (&*format!("00-{TRACE}-{PARENT}-00"), "a=b"));
    // Of which nothing is said is recorded, in a trace of its own; a state without a parent belongs to none.
    ask(&proxy, get("tracestate: a=b\r\n"));
    let (trace, last) = (proxy.trace(), stable.requests().pop().unwrap());
    assert_eq!((trace.origin.parent, trace.origin.random, last.all("tracestate").len()), (None, true, 0));
    assert_eq!(last.one("traceparent"), format!("00-{}-{}-03", trace.origin.trace, trace.attempts[0].span));
    // B3 alone names the trace too, and stays.
    let b3 = format!("{TRACE}-{PARENT}-1");
    ask(&proxy, get(format!("b3: {b3}\r\n")));
    let (trace, last) = (proxy.trace(), stable.requests().pop().unwrap());
    are_the_attempts(&[last.one("traceparent").to_owned()], &trace);
    assert_eq!(last.one("b3"), b3);
}

#[test]
fn refused_requests_and_lost_clients_have_a_trace_too() {
    let hangs = Upstream::start(|peer| peer.until_closed());
    let proxy = all(proxy::to([hangs.address]));
    let refused = Client::connect(proxy.address).ask("GET /t HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert_eq!(refused.status(), 400);
    let trace = proxy.trace();
    assert!(trace.line.refusal.is_some() && trace.attempts.is_empty() && trace.line.status == 400, "{trace:?}");
    let mut client = Client::connect(proxy.address);
    client.send(get(lines(&FIELDS)));
    hangs.wait("the request came", |seen| seen.len() == 1 && !seen[0].requests().is_empty());
    drop(client);
    let trace = proxy.trace();
    assert_eq!((trace.line.failure, trace.attempts.len()), (Some(Failure::ClientGone), 1));
    assert_eq!((trace.attempts[0].failure, trace.attempts[0].ended), (Some(Failure::ClientGone), None));
}
