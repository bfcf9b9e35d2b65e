//! Connections in virtual time: silence, windows, and when they are let go of.
#![cfg(test)]

use std::io::{Read, Write};

use http::Request;
use tokio::time::Instant;

use super::*;
use crate::domain::endpoint::Endpoint;
use crate::proxy::upstream::connect::connect;

/// A connection to a peer in the hands of the test.
async fn begun() -> (Rc<Lane>, std::net::TcpStream) {
    begun_in(&Crowd::default()).await
}

/// Another one of a worker with these requests under way.
async fn begun_in(crowd: &Crowd) -> (Rc<Lane>, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let socket = connect(&Endpoint::Address(listener.local_addr().unwrap())).await.unwrap();
    let mut peer = listener.accept().unwrap().0;
    // Empty SETTINGS.
    peer.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
    (Lane::begin(Socket::Plain(socket), crowd).await.unwrap(), peer)
}

fn block_on<T>(paused: bool, test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(paused).build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

#[test]
fn a_connection_that_answers_no_ping_fails_its_requests_and_takes_no_more() {
    block_on(true, async {
        let (lane, mut peer) = begun().await;
        let mut berth = lane.take().unwrap();
        let (response, _) = berth.sender.send_request(Request::get("http://a.test/").body(()).unwrap(), true).unwrap();
        let since = Instant::now();
        assert!(response.await.unwrap_err().is_io());
        let (silence, took) = (limits::PING_AFTER + limits::PING_TIMEOUT, since.elapsed().as_secs());
        assert!((u64::from(silence)..=u64::from(silence) + 2).contains(&took), "{took} s");
        drop(berth);
        assert!(lane.take().is_none() && lane.take_anyway().is_none());
        let mut seen = Vec::new();
        peer.read_to_end(&mut seen).unwrap();
        assert!(seen.windows(5).any(|frame| frame == [0, 0, 8, 6, 0]), "a PING was sent: {seen:?}");
    });
}

/// Reads until the peer has been told this initial window, and confirms it.
async fn told(peer: &mut std::net::TcpStream, window: u32) {
    let (mut seen, wanted) = (Vec::new(), [&[0, 4][..], &window.to_be_bytes()].concat());
    peer.set_nonblocking(true).unwrap();
    while !seen.windows(6).any(|setting| setting == wanted) {
        let mut bytes = [0; 256];
        match peer.read(&mut bytes) {
            Ok(count) => seen.extend_from_slice(&bytes[..count]),
            // Time passes by itself while everybody waits.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    peer.write_all(&[0, 0, 0, 4, 1, 0, 0, 0, 0]).unwrap();
}

#[test]
fn many_answers_may_bring_little_unasked_and_few_bring_more_once_there_were_few_for_a_while() {
    block_on(true, async {
        let (lane, mut peer) = begun().await;
        told(&mut peer, limits::NARROW_WINDOW).await;
        let mut berths = vec![lane.take().unwrap()];
        told(&mut peer, limits::STREAM_WINDOW).await;
        berths.extend((0..limits::FEW).map(|_| lane.take().unwrap()));
        told(&mut peer, limits::NARROW_WINDOW).await;
        berths.truncate(1);
        let since = Instant::now();
        told(&mut peer, limits::STREAM_WINDOW).await;
        assert!(since.elapsed() >= PULSE * (limits::CALM - 1), "{:?}", since.elapsed());
    });
}

#[test]
fn many_answers_over_many_connections_may_bring_little_unasked_too() {
    block_on(true, async {
        let crowd = Crowd::default();
        let mut lanes = Vec::new();
        // As many connections as there are endpoints, with one answer each: few on every one of them.
        for _ in 0..limits::FEW_IN_ALL {
            let (lane, mut peer) = begun_in(&crowd).await;
            told(&mut peer, limits::NARROW_WINDOW).await;
            lanes.push((lane.take().unwrap(), lane, peer));
        }
        let (_, first, peer) = &mut lanes[0];
        told(peer, limits::STREAM_WINDOW).await;
        let one_more = first.take().unwrap();
        told(peer, limits::NARROW_WINDOW).await;
        let (late, mut unheard) = begun_in(&crowd).await;
        told(&mut unheard, limits::NARROW_WINDOW).await;
        let berth = late.take().unwrap();
        tokio::time::sleep(PULSE * (limits::CALM + 5)).await;
        assert!(!heard(&mut unheard).windows(6).any(|setting| setting == [&[0, 4][..], &limits::STREAM_WINDOW.to_be_bytes()].concat()));
        drop((one_more, berth, late));
        let (_, _, peer) = &mut lanes[0];
        // It is heard of, or its connection would be given up meanwhile.
        peer.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
        told(peer, limits::STREAM_WINDOW).await;
    });
}

/// What a peer was sent so far.
fn heard(peer: &mut std::net::TcpStream) -> Vec<u8> {
    let (mut seen, mut bytes) = (Vec::new(), [0; 256]);
    peer.set_nonblocking(true).unwrap();
    while let Ok(count @ 1..) = peer.read(&mut bytes) {
        seen.extend_from_slice(&bytes[..count]);
    }
    seen
}

#[test]
fn a_request_that_gives_up_in_silence_casts_doubt_on_its_connection_and_one_that_just_leaves_does_not() {
    block_on(true, async {
        let (lane, _peer) = begun().await;
        drop(lane.take().unwrap());
        let berth = lane.take().unwrap();
        tokio::time::sleep(PULSE * (limits::DOUBT_AFTER + 2)).await;
        drop(berth);
        assert!(lane.take().is_none());
    });
}

#[test]
fn an_idle_connection_is_not_worth_keeping_for_ever_and_says_goodbye() {
    block_on(false, async {
        let (lane, mut peer) = begun().await;
        let berth = lane.take().unwrap();
        assert!((0..=limits::IDLE_SWEEPS).all(|_| lane.is_worth_keeping()), "it is in use");
        drop(berth);
        let kept = (0..limits::IDLE_SWEEPS * 2).take_while(|_| lane.is_worth_keeping()).count();
        assert_eq!(kept, limits::IDLE_SWEEPS as usize);
        drop(lane);
        let read = tokio::task::spawn_blocking(move || {
            let mut seen = Vec::new();
            peer.read_to_end(&mut seen).map(|_| seen)
        });
        let seen = read.await.unwrap().unwrap();
        assert!(seen.windows(5).any(|frame| frame == [0, 0, 8, 7, 0]), "GOAWAY was sent: {seen:?}");
    });
}
