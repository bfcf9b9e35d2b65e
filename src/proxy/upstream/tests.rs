//! Holds the client to its claims on real sockets: what is sent again and when, what a connection keeps, who is blamed.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::connect::{Link, Scratch, connect};
use super::http1::download::Download;
use super::http1::exchange::Exchange;
use super::http1::head::Delimiter;
use super::slot::Seat;
use super::socket::Socket;
use super::{Parcel, Pool, Pools, send};
use crate::domain::endpoint::Endpoint;
use crate::domain::outcome::Failure;
use crate::domain::timeouts::Timeouts;
use crate::domain::version::Version;
use crate::proxy::patrol::{Limits, Patrol, RequestGuard, Ticket};
use crate::proxy::plain::Plain;
use crate::proxy::sanitise::{Framing, Outgoing, Peer, Policy};
use crate::proxy::settings::Settings;
use crate::proxy::upload::{Source, Upload};
use crate::seam::clock::Clock;
use crate::seam::endpoints::Endpoints;

const LIMIT: Duration = Duration::from_secs(5);

fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(LIMIT, test).await.expect("a test ends in time") })
}

/// A request as the sanitiser leaves it, of a peer that has spoken for its client.
fn request(method: &str, framing: Framing) -> Outgoing {
    let head = http::Request::builder().method(method).uri("/x").body(()).unwrap().into_parts().0;
    let peer = Peer::new(([192, 0, 2, 7], 4711).into(), 8080, &["192.0.2.0/24".parse().unwrap()]);
    Outgoing::new(head, framing, &peer, &Policy::new(false, "x"))
}

fn guarded() -> (Rc<Patrol>, Rc<RequestGuard>, Ticket) {
    let patrol = Patrol::new(Limits::new(&Timeouts { response: Duration::from_millis(300), ..Timeouts::default() }));
    let (guard, ticket) = patrol.request();
    (patrol, guard, ticket)
}

fn upload(body: impl Into<Bytes>, guard: &Rc<RequestGuard>) -> Upload {
    Upload::new(Source::Whole(Full::new(body.into())), Rc::clone(guard), None)
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn link_to(address: SocketAddr, scratch: &Scratch) -> Link {
    Link::new(Socket::Plain(connect(&Endpoint::Address(address)).await.unwrap()), scratch)
}

fn tcp(link: &Link) -> SockRef<'_> {
    match &link.socket {
        Socket::Plain(Plain::Tcp(socket)) => SockRef::from(socket),
        other => panic!("{other:?} is no TCP"),
    }
}

async fn linked(scratch: &Scratch) -> (Link, TcpStream) {
    let (listener, address) = listen().await;
    let link = link_to(address, scratch).await;
    (link, listener.accept().await.unwrap().0)
}

fn pool_of(endpoints: Vec<SocketAddr>) -> Rc<Pool> {
    let version = Version::at("v1".parse().unwrap(), endpoints);
    let settings = Settings { connections: 1_000, ..Settings::default() };
    Pools::new(Endpoints::default(), Clock::start(), &settings, 0, 5).of(&Arc::new(version))
}

/// An idle connection whose sending side is dead although nothing was heard of it yet.
async fn dying(scratch: &Scratch) -> (Link, TcpStream) {
    let (link, peer) = linked(scratch).await;
    tcp(&link).shutdown(std::net::Shutdown::Write).unwrap();
    (link, peer)
}

async fn read_until(peer: &mut TcpStream, end: &str) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(end.as_bytes()) {
        let count = peer.read_buf(&mut seen).await.unwrap();
        assert!(count > 0, "the end came after {:?}", String::from_utf8_lossy(&seen));
    }
    String::from_utf8(seen).unwrap()
}

#[test]
fn a_body_of_which_nothing_was_written_goes_over_the_next_connection() {
    for (framing, wire) in [
        (Framing::Length(5), "content-length: 5\r\n\r\nhello"),
        (Framing::Chunked, "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ] {
        block_on(async {
            let (_patrol, guard, _ticket) = guarded();
            let scratch = Scratch::default();
            let (link, peer) = dying(&scratch).await;
            drop(peer);
            let mut exchange = Exchange::new(link, request("POST", framing), upload("hello", &guard));
            let failed = poll_fn(|cx| exchange.poll_head(cx)).await;
            assert_eq!(failed.err(), Some(Failure::ConnectionTerminated));
            assert!(exchange.may_move(false));
            let (link, mut peer) = linked(&scratch).await;
            exchange.move_to(link);
            poll_fn(|cx| exchange.poll_send(cx)).await.unwrap();
            assert!(exchange.is_sent());
            let seen = read_until(&mut peer, wire).await;
            assert_eq!(seen, format!("POST /x HTTP/1.1\r\nvia: 1.1 x\r\n{wire}"));
        });
    }
}

#[test]
fn what_was_written_of_a_body_is_never_sent_again() {
    block_on(async {
        let (_patrol, guard, _ticket) = guarded();
        let (link, mut peer) = linked(&Scratch::default()).await;
        let mut exchange = Exchange::new(link, request("PUT", Framing::Length(5)), upload("hello", &guard));
        poll_fn(|cx| exchange.poll_send(cx)).await.unwrap();
        read_until(&mut peer, "hello").await;
        drop(peer);
        assert_eq!(poll_fn(|cx| exchange.poll_head(cx)).await.err(), Some(Failure::ConnectionTerminated));
        assert!(!exchange.may_move(true));
    });
}

#[test]
fn an_idempotent_request_without_a_body_is_sent_again_in_full() {
    block_on(async {
        let (_patrol, guard, _ticket) = guarded();
        let scratch = Scratch::default();
        let (link, mut peer) = linked(&scratch).await;
        let mut exchange = Exchange::new(link, request("GET", Framing::None), upload("", &guard));
        poll_fn(|cx| exchange.poll_send(cx)).await.unwrap();
        let first = read_until(&mut peer, "\r\n\r\n").await;
        drop(peer);
        assert_eq!(poll_fn(|cx| exchange.poll_head(cx)).await.err(), Some(Failure::ConnectionTerminated));
        assert!(exchange.may_move(true) && !exchange.may_move(false));
        let (link, mut peer) = linked(&scratch).await;
        exchange.move_to(link);
        poll_fn(|cx| exchange.poll_send(cx)).await.unwrap();
        assert_eq!(read_until(&mut peer, "\r\n\r\n").await, first);
    });
}

#[test]
fn a_request_moves_between_the_two_protocols_as_long_as_its_body_is_whole() {
    block_on(async {
        let (_patrol, guard, _ticket) = guarded();
        let scratch = Scratch::default();
        let head = |method: &str| http::Request::builder().method(method).uri("/x").header("host", "a").body(()).unwrap().into_parts().0;
        let peer = Peer::new(([192, 0, 2, 7], 4711).into(), 8080, &["192.0.2.0/24".parse().unwrap()]);
        let either = |method, framing| Outgoing::for_either(head(method), framing, &peer, &Policy::new(false, "x"));
        let exchange = Exchange::new(linked(&scratch).await.0, either("GET", Framing::None), upload("", &guard));
        let (moved, _) = exchange.into_request().expect("it has no body");
        assert_eq!(moved.to_http2(false).unwrap().uri().to_string(), "http://a/x");
        let exchange = Exchange::new(linked(&scratch).await.0, either("POST", Framing::Length(5)), upload("hello", &guard));
        assert!(exchange.into_request().is_some(), "nothing of the body was taken");
        let (link, _peer) = linked(&scratch).await;
        let mut exchange = Exchange::new(link, either("POST", Framing::Length(5)), upload("hello", &guard));
        poll_fn(|cx| exchange.poll_send(cx)).await.unwrap();
        assert!(exchange.into_request().is_none());
        let written = Exchange::new(linked(&scratch).await.0, request("GET", Framing::None), upload("", &guard));
        assert!(written.into_request().is_none(), "it was written for HTTP/1.1 alone");
    });
}

#[test]
fn a_connection_that_waits_holds_no_part_of_the_shared_buffer() {
    block_on(async {
        let (_patrol, guard, _ticket) = guarded();
        let (listener, address) = listen().await;
        let pool = pool_of(vec![address]);
        let link = link_to(address, pool.scratch()).await;
        let mut peer = listener.accept().await.unwrap().0;
        let mut exchange = Exchange::new(link, request("GET", Framing::None), upload("", &guard));
        peer.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n").await.unwrap();
        let head = poll_fn(|cx| exchange.poll_head(cx)).await.unwrap();
        assert_eq!(head.status, 200);
        drop(head);
        let mut body = Download::new(Box::new(exchange), Delimiter::Chunks, Some(LIMIT), pool.choose(None).unwrap().0);
        assert_eq!(poll_fn(|cx| body.poll_data(cx)).await.unwrap().unwrap(), "a");
        assert!(poll_fn(|cx| Poll::Ready(body.poll_data(cx).is_pending())).await);
        assert!(pool.scratch().borrow_mut().try_reclaim(128 * 1024), "a stream that waits for more holds nothing");
        peer.write_all(b"0\r\n\r\n").await.unwrap();
        assert!(poll_fn(|cx| body.poll_data(cx)).await.is_none());
        body.finish();
        assert!(pool.scratch().borrow_mut().try_reclaim(128 * 1024), "an idle connection holds nothing");
        assert!(pool.slot(0).checkout(true, false).is_some());
    });
}

#[test]
fn a_body_of_another_length_than_announced_is_not_begun() {
    for (announced, body) in [(5, "hell"), (5, "hello!"), (5, ""), (0, "x")] {
        block_on(async {
            let (_patrol, guard, _ticket) = guarded();
            let (listener, address) = listen().await;
            let pool = pool_of(vec![address]);
            let mut parcel = Parcel::new(request("POST", Framing::Length(announced)), upload(body, &guard), None);
            let sent = send(&pool, &mut parcel, &guard, LIMIT);
            tokio::select! {
                sent = sent => assert_eq!(sent.err(), Some(Failure::RequestBodyInvalid), "{announced} {body:?}"),
                _ = listener.accept() => panic!("a connection was made for {announced} {body:?}"),
            }
        });
    }
}

#[test]
fn a_version_that_takes_a_large_piece_slowly_but_steadily_is_not_late() {
    block_on(async {
        let (patrol, guard, _ticket) = guarded();
        let (link, mut peer) = linked(&Scratch::default()).await;
        // Sockets that hold little, so that no round can live on what they hold.
        tcp(&link).set_send_buffer_size(64 * 1024).unwrap();
        SockRef::from(&peer).set_recv_buffer_size(64 * 1024).unwrap();
        let size = 24 * 1024 * 1024;
        let mut exchange = Exchange::new(link, request("POST", Framing::Length(size as u64)), upload(vec![b'x'; size], &guard));
        let mut taken = vec![0; 2 * 1024 * 1024];
        for _ in 0..6 {
            // A round passes, in which the version takes some and the exchange sends some.
            tokio::select! {
                taken = peer.read_exact(&mut taken) => assert!(taken.is_ok()),
                _ = poll_fn(|cx| exchange.poll_send(cx)) => panic!("more is left than the sockets hold"),
            }
            patrol.walk();
            assert_eq!(poll_fn(|cx| Poll::Ready(guard.poll_expired(cx))).await, None);
        }
        // And one that takes nothing more is.
        for _ in 0..5 {
            assert!(poll_fn(|cx| Poll::Ready(exchange.poll_send(cx).is_pending())).await);
            patrol.walk();
        }
        assert_eq!(poll_fn(|cx| Poll::Ready(guard.poll_expired(cx))).await, Some(Failure::ResponseTimeout));
    });
}

#[test]
fn a_request_whose_time_is_over_is_sent_to_no_further_endpoint() {
    block_on(async {
        let (_patrol, guard, _ticket) = guarded();
        let ((_first, one), (second, two)) = (listen().await, listen().await);
        let pool = pool_of(vec![one, two]);
        let busy = Seat::take(&pool.slot(1), pool.load());
        pool.slot(1).give_back(link_to(two, pool.scratch()).await, LIMIT);
        let mut peer = second.accept().await.unwrap().0;
        guard.expire(Failure::ResponseTimeout);
        let mut parcel = Parcel::new(request("POST", Framing::None), upload("", &guard), None);
        let sent = send(&pool, &mut parcel, &guard, LIMIT).await;
        assert_eq!(sent.err(), Some(Failure::ResponseTimeout));
        drop((pool, busy));
        let mut seen = Vec::new();
        peer.read_to_end(&mut seen).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&seen), "");
    });
}

#[test]
fn a_dead_pooled_connection_of_a_dead_endpoint_leads_to_the_next_endpoint() {
    block_on(async {
        let (_patrol, guard, _ticket) = guarded();
        let ((first, one), (second, two)) = (listen().await, listen().await);
        let pool = pool_of(vec![one, two]);
        // A request there already, so that the other endpoint is the better one.
        let _busy = Seat::take(&pool.slot(1), pool.load());
        let link = link_to(one, pool.scratch()).await;
        let mut peer = first.accept().await.unwrap().0;
        pool.slot(0).give_back(link, LIMIT);
        drop(first);
        let answering = async {
            read_until(&mut peer, "\r\n\r\n").await;
            drop(peer);
            let mut next = second.accept().await.unwrap().0;
            read_until(&mut next, "\r\n\r\n").await;
            next.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            next
        };
        let mut parcel = Parcel::new(request("GET", Framing::None), upload("", &guard), None);
        let (reply, _next) = tokio::join!(send(&pool, &mut parcel, &guard, LIMIT), answering);
        let reply = reply.map_err(|failure| format!("{failure:?}")).map(|reply| (reply.head.status, reply.body.finish())).unwrap();
        assert_eq!(reply.0, 204);
        assert!(pool.slot(1).checkout(true, false).is_some(), "the connection belongs to the endpoint it was made to");
    });
}

#[test]
fn a_request_that_is_sent_again_has_the_time_of_one() {
    block_on(async {
        let (patrol, guard, _ticket) = guarded();
        let scratch = Scratch::default();
        let mut exchange = Exchange::new(linked(&scratch).await.0, request("GET", Framing::None), upload("", &guard));
        poll_fn(|cx| exchange.poll_send(cx)).await.unwrap();
        (0..2).for_each(|_| patrol.walk());
        let (link, _peer) = linked(&scratch).await;
        exchange.move_to(link);
        poll_fn(|cx| exchange.poll_send(cx)).await.unwrap();
        (0..2).for_each(|_| patrol.walk());
        assert_eq!(poll_fn(|cx| Poll::Ready(guard.poll_expired(cx))).await, Some(Failure::ResponseTimeout));
    });
}

#[test]
fn of_many_endpoints_only_those_are_drawn_that_are_in_and_a_second_try_goes_to_another() {
    block_on(async {
        let pool = pool_of((1..=100).map(|port| (Ipv4Addr::LOCALHOST, port).into()).collect());
        let ready = |index: usize, is_ready| pool.reach().check(pool.slot(index).place(), is_ready);
        (0..100).for_each(|index| ready(index, index % 40 == 7));
        let drawn = |except: Option<usize>| {
            let except = except.map(|index| pool.slot(index));
            let seat = pool.choose(except.as_deref()).map(|(seat, _)| Rc::clone(seat.slot()));
            seat.map(|slot| (0..100).find(|index| Rc::ptr_eq(&pool.slot(*index), &slot)).unwrap())
        };
        let mut times = [0; 100];
        (0..300).for_each(|_| times[drawn(None).unwrap()] += 1);
        assert_eq!(times.iter().sum::<i32>(), times[7] + times[47] + times[87]);
        assert!([7, 47, 87].iter().all(|index| times[*index] > 30), "{:?}", [times[7], times[47], times[87]]);
        assert!((0..100).all(|_| drawn(Some(47)).is_ok_and(|index| index == 7 || index == 87)));
        (0..100).for_each(|index| ready(index, index == 7));
        assert_eq!((drawn(None), drawn(Some(7))), (Ok(7), Err(Failure::NoEndpoint)));
        ready(8, true);
        assert!((0..100).any(|_| drawn(None) == Ok(8)), "whoever is ready again is drawn again");
        ready(7, false);
        ready(8, false);
        assert!(drawn(None).is_ok(), "it is that or nothing");
    });
}
