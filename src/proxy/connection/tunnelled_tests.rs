//! A tunnel's version is picked once what has passed by then is known.
#![cfg(test)]

use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::sync::watch;

use super::*;
use crate::domain::version::Version;
use crate::domain::weight::Weight;
use crate::proxy::plain::Plain;
use crate::proxy::pressure::Pressure;
use crate::proxy::spread::Spread;
use crate::proxy::wire::{self, Socket};
use crate::proxy::worker::Parts;
use crate::seam::report;
use crate::seam::routes::Routes;
use crate::seam::table::{Canary, Epoch, Route, Table, Watch};
use crate::seam::tripwire::{Tables, Trial};

const LIMIT: Duration = Duration::from_millis(1);

/// What a worker without listeners is made from.
fn parts(routes: Routes) -> Parts {
    Parts {
        settings: Arc::default(),
        routes,
        reports: report::channel().0,
        access: None,
        tracer: None,
        clock: Clock::start(),
        counters: Arc::default(),
        drain: watch::channel(false).1,
        pressure: Arc::<Pressure>::default(),
        spread: Spread::new(1),
        succeeded: Arc::default(),
        doors: Vec::new(),
    }
}

#[test]
fn a_limit_that_has_passed_counts_before_a_tunnels_version_is_picked() {
    let listeners = [(); 2].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    let version = |name: &str, listener: &TcpListener| Arc::new(Version::at(name.parse().unwrap(), [listener.local_addr().unwrap()]));
    let trial = Arc::new(Trial::new(vec![Tables::without_step([0, 0, 3].into())], 1));
    let canary = Canary {
        version: version("v2", &listeners[1]),
        weight: Weight::FULL,
        trial: Arc::clone(&trial),
        watches: [Watch::Latency(LIMIT)].into(),
        outcome_deadline: None,
        probe_spacing: None,
    };
    let epoch = Epoch::new("carts".parse().unwrap(), 3, 3, version("v1", &listeners[0]), Some(canary), Timestamp::NEVER);
    let routes = Routes::default();
    routes.publish(Table::new(1, vec![Route::new([], Arc::new(epoch))]));
    let parts = parts(routes);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    runtime.block_on(async {
        // Its deadline queue is looked at by the connections alone: nobody runs it.
        let worker = Worker::new(0, &parts);
        let found = worker.find_service(&"carts".parse().unwrap()).expect("the service");
        let (guard, _ticket) = worker.patrol.request();
        let waiting: Vec<Sample> = (0..3).map(|_| Sample::begin(&found.books, worker.clock, Role::Canary, worker.clock.now(), 0)).collect();
        waiting.iter().for_each(|sample| worker.deadlines.watch(sample, &guard));
        let over = worker.clock.now() + 10 * LIMIT;
        tokio::time::sleep_until(worker.clock.instant(over).into()).await;
        assert!(!trial.is_tripped(), "no connection has come since");
        let remote: SocketAddr = ([192, 0, 2, 7], 4711).into();
        let peer = Peer::new(remote, 80, &[]);
        let mut record = Record::begin(&found, &peer, &worker);
        assert!(open(&found, &peer, &worker, &mut record).await.is_ok(), "both listen");
        assert!(trial.is_tripped());
        assert_eq!(trial.started(), 3, "stable got it");
    });
}

#[test]
fn what_is_silent_for_too_long_ends_by_a_reset_on_both_sides() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build_local(Default::default()).unwrap();
    runtime.block_on(async {
        let worker = Worker::new(0, &parts(Routes::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pair = async || {
            let (one, other) = tokio::join!(tokio::net::TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
            (one.unwrap(), other.unwrap().0)
        };
        let ((mut client, served), (far, mut server)) = (pair().await, pair().await);
        let (guard, _ticket) = worker.patrol.connection();
        let wire = Wire::new(Socket::Plain(Plain::Tcp(served)), Rc::new(wire::Line::new(worker.gathered.clone(), guard)));
        let begun = tokio::time::Instant::now();
        carry(wire, Bytes::new(), Plain::Tcp(far), (Kind::Tcp, &Passed::default()), &worker).await;
        assert!(begun.elapsed() >= tunnel::IDLE);
        for side in [&mut client, &mut server] {
            assert_eq!(side.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        }
    });
}
