//! How long connections last, in virtual time over pipes in memory, and whose seat is given up for another.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::kube::webhook::authority::Own;
use crate::kube::webhook::pace::{Flight, IDLE, LIFETIME, Pace};
use crate::kube::webhook::seats::{Seats, Sitting, leaving};
use crate::kube::webhook::server::{FAREWELL, HANDSHAKE, converse};

const ALIVE: &[u8] = b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n";

/// The webhook at the other end of pipes.
struct Piped {
    own: Own,
    hook: Arc<Hook>,
    seats: Arc<Seats>,
    connections: JoinSet<()>,
    _ready: watch::Sender<bool>,
    stop: watch::Sender<bool>,
}

impl Piped {
    fn new(seats: usize) -> Self {
        let ((hook, ready), (stop, _)) = (hook(), watch::channel(false));
        let own = Own::make(&service(), "a", Timestamp::now()).unwrap();
        Self { own, hook, seats: Seats::new(seats), connections: JoinSet::new(), _ready: ready, stop }
    }

    async fn pipe(&mut self, from: u8) -> DuplexStream {
        let (ours, theirs) = duplex(64 << 10);
        let seat = self.seats.take(address(from)).await;
        self.connections.spawn(converse(theirs, Arc::clone(&self.own.server), Arc::clone(&self.hook), self.stop.subscribe(), seat));
        ours
    }

    async fn connect(&mut self, from: u8) -> TlsStream<DuplexStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.own.authority.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let pipe = self.pipe(from).await;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("injector.portcullis").unwrap(), pipe).await.unwrap()
    }

    fn metrics(&self) -> String {
        String::from_utf8(self.hook.figures().text()).unwrap()
    }
}

fn address(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
}

async fn asked(stream: &mut TlsStream<DuplexStream>) {
    stream.write_all(ALIVE).await.unwrap();
    let (mut answer, mut read) = ([0; 1024], 0);
    while !answer[..read].ends_with(b"\r\n\r\nok\n") {
        let more = stream.read(&mut answer[read..]).await.unwrap();
        assert!(more > 0, "it ended: {:?}", String::from_utf8_lossy(&answer[..read]));
        read += more;
    }
}

/// Returns after how many seconds it ends.
async fn ends(stream: &mut TlsStream<DuplexStream>) -> u64 {
    let begun = Instant::now();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    begun.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn who_does_not_begin_tls_is_not_waited_for_and_counted() {
    let mut piped = Piped::new(9);
    let mut silent = piped.pipe(1).await;
    let begun = Instant::now();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(begun.elapsed(), HANDSHAKE);
    piped.connections.join_next().await.unwrap().unwrap();
    let mut plain = piped.pipe(1).await;
    plain.write_all(ALIVE).await.unwrap();
    piped.connections.join_next().await.unwrap().unwrap();
    let text = piped.metrics();
    assert!(text.contains("\nportcullis_webhook_handshakes_failed_total 2\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_once_it_lies_idle_and_not_before() {
    let mut piped = Piped::new(9);
    let mut stream = piped.connect(1).await;
    for _ in 0..5 {
        sleep(IDLE - Duration::from_secs(1)).await;
        asked(&mut stream).await;
    }
    assert_eq!(ends(&mut stream).await, IDLE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_once_it_is_old_however_busy() {
    let mut piped = Piped::new(9);
    let mut stream = piped.connect(1).await;
    for _ in 0..LIFETIME.as_secs() / 20 - 1 {
        sleep(Duration::from_secs(20)).await;
        asked(&mut stream).await;
    }
    assert_eq!(ends(&mut stream).await, 20);
}

#[tokio::test(start_paused = true)]
async fn what_is_at_hand_is_waited_for_for_as_long_as_a_farewell() {
    let mut piped = Piped::new(9);
    let mut stream = piped.connect(1).await;
    asked(&mut stream).await;
    piped.stop.send_replace(true);
    assert_eq!(ends(&mut stream).await, 0, "nothing is at hand");
    let pace = Arc::new(Pace::new(Instant::now()));
    let flight = Flight::begin(&pace);
    sleep(Duration::from_secs(100)).await;
    assert_eq!((pace.idle_since(), pace.due(Instant::now())), (None, Instant::now() + IDLE));
    drop(flight);
    assert_eq!(pace.idle_since(), Some(Instant::now()));
    sleep(LIFETIME).await;
    let _another = Flight::begin(&pace);
    assert!(pace.due(Instant::now()) < Instant::now(), "it is old");
    assert!(FAREWELL > Duration::from_secs(5), "a body may take 5 s");
}

#[tokio::test(start_paused = true)]
async fn who_sends_nothing_gives_up_the_seat_for_somebody_else() {
    let mut piped = Piped::new(3);
    let mut streams = [piped.connect(1).await, piped.connect(1).await, piped.connect(2).await];
    asked(&mut streams[0]).await;
    sleep(Duration::from_secs(1)).await;
    asked(&mut streams[1]).await;
    let mut other = piped.connect(3).await;
    asked(&mut other).await;
    assert_eq!(ends(&mut streams[0]).await, 0, "its address has the most, and it was idle before its other one");
    asked(&mut streams[1]).await;
    asked(&mut streams[2]).await;
}

#[tokio::test(start_paused = true)]
async fn a_seat_is_had_even_before_tls_has_begun() {
    let mut piped = Piped::new(2);
    let _silent = [piped.pipe(1).await, piped.pipe(1).await];
    let begun = Instant::now();
    asked(&mut piped.connect(2).await).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_address_with_the_most_connections_gives_up_first() {
    let now = Instant::now() + Duration::from_secs(60);
    let sitting = |number, from, idle: Option<u64>, age| Sitting {
        number,
        from: address(from),
        idle_since: idle.map(|seconds| now - Duration::from_secs(seconds)),
        begun: now - Duration::from_secs(age),
    };
    let (api, idle) = (sitting(1, 1, Some(29), 50), |number, seconds| sitting(number, 2, Some(seconds), 40));
    assert_eq!(leaving(&[], 2), None);
    assert_eq!(leaving(&[api, idle(2, 3), idle(3, 7)], 2), Some(3));
    assert_eq!(leaving(&[api, idle(2, 3)], 2), Some(1), "both have one");
    let busy = |number, age| sitting(number, 2, None, age);
    assert_eq!(leaving(&[api, busy(2, 5), busy(3, 9)], 2), Some(1), "two are no crowd");
    assert_eq!(leaving(&[api, busy(2, 5), busy(3, 9), busy(4, 7)], 2), Some(3), "three are");
    assert_eq!(leaving(&[busy(2, 5)], 2), None, "what is at hand is answered");
}
