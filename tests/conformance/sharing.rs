//! Connections are shared by all workers, however few they are, and whoever hands one over.

use std::time::Duration;

use portcullis::domain::outcome::Role;

use crate::oracle::{get, telling};
use crate::support::client::Client;
use crate::support::{PATIENCE, eventually, proxy};

/// Opens connections one after the other and asks over each.
fn open(proxy: &proxy::Proxy, count: usize) -> Vec<Client> {
    let ask = |_| {
        let mut client = Client::connect(proxy.address);
        assert_eq!(client.ask(get("")).status(), 200);
        client
    };
    (0..count).map(ask).collect()
}

#[test]
fn eight_connections_of_one_client_are_two_at_each_of_four_workers() {
    let upstream = telling();
    // By chance that would be so once in 26 times, and three times in a row once in 18,000.
    for _ in 0..3 {
        let proxy = proxy::to([upstream.address]).with(|s| s.workers = 4).start();
        eventually("all workers accept", || (proxy.counters.accepting.load(std::sync::atomic::Ordering::Relaxed) == 4).then_some(()));
        let clients = open(&proxy, 8);
        assert_eq!(proxy.ended(8).answered, 8);
        assert_eq!(proxy.decided_by_worker(), [2, 2, 2, 2]);
        assert_eq!(proxy.counters.accepted.load(std::sync::atomic::Ordering::Relaxed), 8, "each is counted once");
        assert!(proxy.counters.handed.load(std::sync::atomic::Ordering::Relaxed) <= 6);
        drop(clients);
        eventually("all are gone", || (proxy.counters.open.load(std::sync::atomic::Ordering::Relaxed) == 0).then_some(()));
    }
}

#[test]
fn what_another_worker_has_accepted_counts_for_its_source_and_ends_with_the_drain() {
    let upstream = telling();
    let mut proxy = proxy::to([upstream.address])
        .with(|s| {
            (s.workers, s.per_source) = (4, 6);
            s.timeouts.keep_alive = Duration::from_secs(60);
        })
        .start();
    eventually("all workers accept", || (proxy.counters.accepting.load(std::sync::atomic::Ordering::Relaxed) == 4).then_some(()));
    let mut clients = open(&proxy, 6);
    let mut turned_away = Client::connect(proxy.address);
    turned_away.send(get(""));
    turned_away.read_to_end(PATIENCE);
    assert!(turned_away.received.is_empty());
    assert_eq!(proxy.pressure.turned_away()[1], 1);
    proxy.drain();
    clients.iter_mut().for_each(|client| {
        client.received.clear();
        client.read_to_end(PATIENCE);
        assert!(client.received.is_empty(), "an idle connection ends without a word");
    });
    proxy.join();
    assert_eq!(proxy.window(Role::Stable).answered, 6);
}

#[test]
fn whoever_was_let_in_before_the_drain_is_served_by_whichever_worker() {
    let upstream = telling();
    let mut proxy = proxy::to([upstream.address]).with(|s| s.workers = 4).start();
    eventually("all workers accept", || (proxy.counters.accepting.load(std::sync::atomic::Ordering::Relaxed) == 4).then_some(()));
    // Some of them are on their way from one worker to another when the drain begins.
    let mut clients: Vec<Client> = (0..40).map(|_| Client::connect(proxy.address)).collect();
    for client in &mut clients {
        client.send(get(""));
    }
    proxy.drain();
    for client in &mut clients {
        client.read_to_end(PATIENCE);
        assert!(client.received.starts_with(b"HTTP/1.1 200 "), "{:?}", String::from_utf8_lossy(&client.received));
    }
    proxy.join();
    assert_eq!(proxy.window(Role::Stable).answered, 40);
}
