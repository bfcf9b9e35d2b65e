//! Redirected connections: what they speak is found out, what a service answers is judged, and all else goes where it was going (catalogue
//! 2.16). Where that is, is told here instead of by the kernel; tests/kubernetes redirects for real.

use std::net::SocketAddr;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use portcullis::proxy::intercept::{Refused, Spoken};

use crate::faults::closed_port;
use crate::split::count;
use crate::support::client::{Client, End};
use crate::support::multiplexed::{self, Multiplexed, answer, collect, request};
use crate::support::proxy::{self, Proxy, Setup};
use crate::support::upstream::Upstream;
use crate::support::{PATIENCE, eventually};
use crate::websocket::echo;

pub fn version(name: &str) -> Upstream {
    Upstream::answering(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len()))
}

pub fn asking(host: &str) -> String {
    format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// A proxy that has the host `carts` alone, for connections that were going to `aim`.
pub fn setup(stable: SocketAddr, aim: SocketAddr) -> Setup {
    proxy::to([stable]).for_hosts(&["carts"]).intercepting(Some(aim))
}

/// How many connections spoke HTTP/1, HTTP/2 and anything else.
fn spoken(proxy: &Proxy) -> [u64; 3] {
    Spoken::ALL.map(|spoken| count(&proxy.counters.intercepted.begun[spoken.index()]))
}

fn refused(proxy: &Proxy, reason: Refused) -> u64 {
    count(&proxy.counters.intercepted.refused[reason.index()])
}

#[test]
fn a_known_host_is_judged_and_any_other_goes_where_it_was_going() {
    let (stable, elsewhere) = (version("v1"), version("elsewhere"));
    let proxy = setup(stable.address, elsewhere.address).start();
    let mut client = Client::connect(proxy.address);
    for (host, answered) in [("carts", "v1"), ("other.test", "elsewhere"), ("carts:80", "v1"), ("other.test:81", "elsewhere")] {
        let answer = client.ask(asking(host));
        assert_eq!((answer.status(), answer.body.as_slice()), (200, answered.as_bytes()), "{host}");
    }
    let passed = elsewhere.requests();
    assert_eq!(passed.iter().map(|request| request.one("host")).collect::<Vec<_>>(), ["other.test", "other.test:81"]);
    assert_eq!((elsewhere.seen().len(), passed[0].one("via")), (1, "1.1 gate-1"), "one connection there for one here");
    assert_eq!((proxy.ended(2).answered, count(&proxy.counters.intercepted.passed)), (2, 2));
    assert_eq!((spoken(&proxy), proxy.refused()), ([1, 0, 0], 0));
    let lines = [(); 4].map(|()| proxy.line());
    let told: Vec<_> = lines.iter().map(|line| (line.host.as_str(), line.service.is_some(), line.status, line.bytes)).collect();
    let judged = [("carts", true, 200, 2), ("other.test", false, 200, 9)];
    assert_eq!(told, [judged, judged].concat());
    assert!(lines.iter().all(|line| line.response_time.is_some_and(|time| time <= line.duration)));
}

#[test]
fn another_clients_requests_never_share_a_connection_there() {
    let (stable, elsewhere) = (version("v1"), version("elsewhere"));
    let proxy = setup(stable.address, elsewhere.address).start();
    let mut clients = [(); 3].map(|()| Client::connect(proxy.address));
    for client in &mut clients {
        assert_eq!(client.ask(asking("other.test")).status(), 200);
    }
    assert_eq!(elsewhere.seen().len(), 3);
}

#[test]
fn a_request_a_byte_at_a_time_after_a_long_silence_is_still_judged() {
    let (stable, elsewhere) = (version("v1"), Upstream::start(|peer| peer.until_closed()));
    let proxy = setup(stable.address, elsewhere.address).start();
    let mut client = Client::connect(proxy.address);
    // It is connected to once the client has been silent for a while, and let go of when that turns out to be in vain.
    eventually("a connection there", || (elsewhere.seen().len() == 1).then_some(()));
    let request = asking("carts");
    for byte in request.as_bytes() {
        client.send([*byte]);
    }
    assert_eq!(client.answers(1, &[])[0].body, b"v1");
    elsewhere.wait("the end of it", |seen| seen[0].closed);
    assert_eq!((spoken(&proxy), elsewhere.seen()[0].bytes.len()), ([1, 0, 0], 0));
}

#[test]
fn a_server_may_speak_first_and_either_side_may_end_first() {
    let (stable, mail) = (
        version("v1"),
        Upstream::start(|peer| {
            if peer.send(b"220 mail\r\n") {
                echo(peer.socket());
            }
        }),
    );
    let proxy = setup(stable.address, mail.address).start();
    let mut client = Client::connect(proxy.address);
    client.read_until(|bytes| bytes == b"220 mail\r\n");
    client.send("HELO a\r\nGET / HTTP/1.1\r\n\r\n").half_close();
    assert_eq!(client.read_to_end(PATIENCE), End::Closed);
    assert_eq!(client.received, b"220 mail\r\nHELO a\r\nGET / HTTP/1.1\r\n\r\n");
    eventually("the tunnel is over", || (count(&proxy.counters.tunnels.open) == 0).then_some(()));
    assert_eq!((spoken(&proxy), count(&proxy.counters.tunnels.begun[1]), proxy.refused()), ([0, 0, 1], 1, 0));
    // One that ends without a word still hears what there is to hear.
    let mut client = Client::connect(proxy.address);
    client.half_close();
    assert_eq!((client.read_to_end(PATIENCE), client.received.as_slice()), (End::Closed, &b"220 mail\r\n"[..]));
}

#[test]
fn what_is_no_http_goes_on_as_it_is_however_it_comes() {
    let (stable, other) = (version("v1"), Upstream::start(|peer| echo(peer.socket())));
    let proxy = setup(stable.address, other.address).start();
    let hello = [b"\x16\x03\x01\0\xba\x01\0\0\xb6\x03\x03".as_slice(), &[7; 176]].concat();
    let forward = b"GET http://carts/ HTTP/1.1\r\nHost: carts\r\n\r\n".to_vec();
    for (bytes, size) in
        [(&hello, 1), (&hello, hello.len()), (&b"*1\r\n$4\r\nPING\r\n".to_vec(), 1), (&b"get key\r\n".to_vec(), 3), (&forward, 5)]
    {
        let mut client = Client::connect(proxy.address);
        client.send_in_pieces(bytes, size);
        client.read_until(|received| received.len() >= bytes.len());
        assert_eq!(&client.received, bytes);
        client.half_close();
        assert_eq!(client.read_to_end(PATIENCE), End::Closed);
    }
    assert_eq!((spoken(&proxy), stable.seen().len()), ([0, 0, 5], 0));
}

#[test]
fn half_a_word_is_waited_for_as_long_as_for_a_head_and_then_passed_on() {
    let (stable, other) = (version("v1"), Upstream::start(|peer| echo(peer.socket())));
    let proxy = setup(stable.address, other.address).with(|settings| settings.timeouts.header = Duration::from_millis(300)).start();
    let mut client = Client::connect(proxy.address);
    client.send("Q").read_until(|bytes| bytes == b"Q");
    assert_eq!(client.received, b"Q");
}

#[test]
fn who_has_said_nothing_for_longer_than_a_head_may_take_is_still_judged() {
    let (stable, other) = (version("v1"), Upstream::start(|peer| echo(peer.socket())));
    let proxy = setup(stable.address, other.address).with(|settings| settings.timeouts.header = Duration::from_millis(300)).start();
    let mut silent = Client::connect(proxy.address);
    eventually("a connection for it", || (other.seen().len() == 1).then_some(()));
    // Another one that came later has waited for as long by the time its half a word is passed on.
    let mut client = Client::connect(proxy.address);
    client.send("Q").read_until(|bytes| bytes == b"Q");
    assert_eq!(spoken(&proxy), [0, 0, 1]);
    assert_eq!(silent.ask(asking("carts")).body, b"v1");
    assert_eq!((spoken(&proxy), proxy.ended(1).answered), ([1, 0, 1], 1));
    // From its first byte on it has that long, however much later that comes.
    let mut late = Client::connect(proxy.address);
    eventually("a connection for it", || (other.seen().len() == 3).then_some(()));
    late.send("Q").read_until(|bytes| bytes == b"Q");
    assert_eq!(late.received, b"Q");
}

#[test]
fn where_nobody_is_only_what_is_going_there_fails() {
    let stable = version("v1");
    let proxy = setup(stable.address, closed_port()).with(|settings| settings.timeouts.header = Duration::from_millis(300)).start();
    let mut client = Client::connect(proxy.address);
    assert_eq!(client.ask(asking("carts")).body, b"v1");
    assert_eq!(client.ask(asking("other.test")).status(), 502);
    assert_eq!(client.ask(asking("carts")).body, b"v1");
    let mut opaque = Client::connect(proxy.address);
    opaque.send("get key\r\n");
    assert!(matches!(opaque.read_to_end(PATIENCE), End::Reset | End::Closed));
    assert_eq!((refused(&proxy, Refused::Unreachable), opaque.received.len()), (1, 0));
    // Who says nothing may wait for somebody there to speak first, and has the time of a head to say something else.
    let mut silent = Client::connect(proxy.address);
    assert_eq!((silent.read_to_end(PATIENCE), silent.received.len()), (End::Reset, 0));
    eventually("it is counted", || (refused(&proxy, Refused::Unreachable) == 2).then_some(()));
}

#[test]
fn a_connection_that_was_not_redirected_ends_at_once() {
    let stable = version("v1");
    let proxy = proxy::to([stable.address]).intercepting(None).start();
    let mut client = Client::connect(proxy.address);
    assert!(matches!(client.send(asking("carts")).read_to_end(PATIENCE), End::Closed | End::Reset));
    assert_eq!((refused(&proxy, Refused::Direct), client.received.len(), stable.seen().len()), (1, 0, 0));
}

#[test]
fn a_pod_is_no_source_of_which_there_may_be_few_connections() {
    let stable = version("v1");
    let proxy = setup(stable.address, closed_port()).with(|settings| settings.per_source = 2).start();
    let mut clients = [(); 4].map(|()| Client::connect(proxy.address));
    for client in &mut clients {
        assert_eq!(client.ask(asking("carts")).body, b"v1");
    }
}

#[test]
fn what_goes_elsewhere_has_the_time_it_would_have_without_a_proxy() {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let stable = Upstream::start(|peer| while peer.request().is_some() {});
    let elsewhere = Upstream::start(move |peer| {
        while peer.request().is_some() && released.lock().unwrap().recv().is_ok() {
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    let proxy = setup(stable.address, elsewhere.address).with(|settings| settings.timeouts.response = Duration::from_millis(200)).start();
    let mut client = Client::connect(proxy.address);
    client.send(asking("other.test"));
    elsewhere.wait("the request", |seen| seen.len() == 1 && seen[0].bytes.ends_with(b"\r\n\r\n"));
    assert_eq!(Client::connect(proxy.address).ask(asking("carts")).status(), 504, "a later one to a service has had its time");
    release.send(()).unwrap();
    assert_eq!(client.answers(1, &[])[0].body, b"ok");
}

#[test]
fn to_elsewhere_nothing_is_left_out_of_a_request_and_nothing_said_of_its_client() {
    let (stable, elsewhere) = (version("v1"), version("elsewhere"));
    let claims = "user_id: 7\r\nX-Forwarded-For: 192.0.2.9\r\nX-Real-IP: 192.0.2.8\r\nForwarded: for=192.0.2.9\r\nmy_hop: 1\r\nConnection: my_hop\r\n";
    for setup in [setup(stable.address, elsewhere.address), setup(stable.address, elsewhere.address).trusting()] {
        let proxy = setup.start();
        for fields in ["", claims] {
            elsewhere.forget();
            Client::connect(proxy.address).ask(format!("GET /x HTTP/1.1\r\nHost: other.test\r\nX-Portcullis-Role: a\r\n{fields}\r\n"));
            let mut names: Vec<_> = elsewhere.requests()[0].fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
            names.sort_unstable();
            let claimed = ["forwarded", "host", "user_id", "via", "x-forwarded-for", "x-real-ip"];
            assert_eq!(names, if fields.is_empty() { &["host", "via"][..] } else { &claimed[..] });
            if !fields.is_empty() {
                let told = &elsewhere.requests()[0];
                assert_eq!([told.one("user_id"), told.one("x-forwarded-for"), told.one("x-real-ip")], ["7", "192.0.2.9", "192.0.2.8"]);
            }
        }
    }
    stable.forget();
    let proxy = setup(stable.address, elsewhere.address).start();
    Client::connect(proxy.address).ask(format!("GET /x HTTP/1.1\r\nHost: carts\r\n{claims}\r\n"));
    let told = &stable.requests()[0];
    assert_eq!((told.one("x-forwarded-for"), told.all("user_id").len()), ("127.0.0.1", 0), "a service is told as ever");
}

#[test]
fn a_websocket_to_elsewhere_is_one() {
    let (stable, elsewhere) = (
        version("v1"),
        Upstream::start(|peer| {
            if peer.head().is_some() && peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            {
                echo(peer.socket());
            }
        }),
    );
    let proxy = setup(stable.address, elsewhere.address).start();
    let mut client = Client::connect(proxy.address);
    let fields =
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    client.send(format!("GET /chat HTTP/1.1\r\nHost: other.test\r\n{fields}\r\n"));
    client.read_until(|bytes| bytes.ends_with(b"\r\n\r\n"));
    assert!(client.received.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&client.received));
    client.received.clear();
    client.send(b"\x82\x85abcd12345").read_until(|bytes| bytes.len() == 11);
    assert_eq!(client.received, b"\x82\x85abcd12345");
}

#[test]
fn http2_is_told_and_goes_on_as_http2() {
    let stable = version("v1");
    let elsewhere = Multiplexed::start(async |_, request, respond| {
        let (head, body) = request.into_parts();
        let (body, _) = collect(body).await.expect("the body is whole");
        let mut fields: Vec<&str> = head.headers.keys().map(http::HeaderName::as_str).collect();
        fields.sort_unstable();
        let text = format!("{} {} {} {}", head.method, head.uri, String::from_utf8_lossy(&body), fields.join(","));
        answer(respond, Response::new(()), &text, None);
    });
    let proxy = setup(stable.address, elsewhere.address).start();
    multiplexed::run(async {
        let mut sender = multiplexed::connect(proxy.address).await.ready().await.unwrap();
        for (host, expected) in [("carts", "v1"), ("other.test", "POST http://other.test/up hello user_id,via"), ("carts", "v1")] {
            let mut head = request("POST", "/up", &[("user_id", "7")]);
            *head.uri_mut() = format!("http://{host}/up").parse().unwrap();
            let (response, mut stream) = sender.send_request(head, false).unwrap();
            stream.send_data(Bytes::from_static(b"hello"), true).unwrap();
            let response = response.await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(collect(response.into_body()).await.unwrap().0, expected.as_bytes(), "{host}");
        }
    });
    assert_eq!((spoken(&proxy), elsewhere.connections(), count(&proxy.counters.intercepted.passed)), ([0, 1, 0], 1, 1));
}

#[test]
fn a_drain_ends_those_that_say_nothing_and_cuts_the_others_in_time() {
    let (stable, other) = (version("v1"), Upstream::start(|peer| echo(peer.socket())));
    let proxy = setup(stable.address, other.address).with(|settings| {
        settings.timeouts.drain = Duration::from_millis(300);
        (settings.timeouts.detect, settings.timeouts.header) = (Duration::from_secs(60), Duration::from_secs(60));
    });
    let mut proxy = proxy.start();
    let mut silent = Client::connect(proxy.address);
    let mut opaque = Client::connect(proxy.address);
    opaque.send("get key\r\n").read_until(|bytes| bytes == b"get key\r\n");
    eventually("both are in", || (count(&proxy.counters.open) == 2).then_some(()));
    proxy.drain();
    assert_ne!(silent.read_to_end(PATIENCE), End::Open);
    assert_eq!(opaque.read_to_end(PATIENCE), End::Reset, "what is cut is not over");
    proxy.join();
}
