//! Names with a resolver of the test's own, and health checks on real sockets.
#![cfg(test)]

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::names::Name;
use super::resolve::system;
use super::*;
use crate::domain::endpoint::Endpoint;
use crate::domain::standing::Standing;
use crate::domain::time::Timestamp;
use crate::domain::upkeep::{Health, Upkeep};
use crate::domain::version::Version;
use crate::seam::choice::Choice;
use crate::seam::endpoints::Endpoints;
use crate::seam::table::{Epoch, Route, Table};

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn at(ms: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_millis(ms)
}

const REFRESH: Duration = Duration::from_secs(5);

#[test]
fn n01_n05_a_failure_keeps_the_last_good_answer_and_is_asked_again_ever_later() {
    let good = addresses(&["10.0.0.1:80"]);
    let mut name = Name::new(good.clone());
    let mut waits = Vec::new();
    for round in 0..9 {
        let failure = if round % 2 == 0 { Err(io::Error::other("SERVFAIL")) } else { Ok(Vec::new()) };
        let (new, wait) = name.answer(failure, "carts", &[], REFRESH);
        assert_eq!(new, None, "nothing is forgotten");
        waits.push(wait.as_secs());
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300, 300, 300]);
    assert_eq!(name.answer(Ok(good), "carts", &[], REFRESH), (None, REFRESH), "the resolver is back and says the same");
}

#[test]
fn a_name_that_was_never_resolved_is_asked_again_soon() {
    let mut name = Name::new(Vec::new());
    let failure = || Err(io::Error::other("SERVFAIL"));
    let waits: Vec<u64> = (0..6).map(|_| name.answer(failure(), "carts", &[], REFRESH).1.as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 5, 5, 5], "nothing can be sent until it is");
    let good = addresses(&["10.0.0.1:80"]);
    assert_eq!(name.answer(Ok(good.clone()), "carts", &[], REFRESH), (Some(good), REFRESH));
    assert_eq!(name.answer(failure(), "carts", &[], REFRESH).1, REFRESH * 2, "from now on it can wait");
}

#[test]
fn n02_n03_n04_a_vanished_record_goes_an_order_is_nothing_new_and_here_is_no_place() {
    let mut name = Name::new(addresses(&["10.0.0.1:80", "10.0.0.2:80"]));
    for same in [&["10.0.0.2:80", "10.0.0.1:80"][..], &["[fd00::1]:80", "10.0.0.1:80", "10.0.0.2:80"], &["10.0.0.1:80", "10.0.0.2:80"]] {
        assert_eq!(name.answer(Ok(addresses(same)), "carts", &[], REFRESH).0, None, "{same:?}");
    }
    let one = addresses(&["10.0.0.2:80"]);
    assert_eq!(name.answer(Ok(one.clone()), "carts", &[], REFRESH).0, Some(one));
    for rebound in [&["169.254.169.254:80"][..], &["127.0.0.1:80"], &["[::1]:80"], &["192.0.2.1:9090"]] {
        let (new, wait) = name.answer(Ok(addresses(rebound)), "carts", &addresses(&["192.0.2.1:9090"]), REFRESH);
        assert_eq!((new, wait > REFRESH), (None, true), "{rebound:?}");
    }
}

/// A resolver that answers what the test says, or never.
type Script = Rc<RefCell<Option<Vec<SocketAddr>>>>;

fn scripted(script: &Script, asked: &Rc<RefCell<u32>>) -> Resolve {
    let (script, asked) = (Rc::clone(script), Rc::clone(asked));
    Rc::new(move |_, _| {
        *asked.borrow_mut() += 1;
        let answer = script.borrow().clone();
        Box::pin(async move {
            match answer {
                Some(addresses) => Ok(addresses),
                None => std::future::pending().await,
            }
        })
    })
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn names_are_asked_one_at_a_time_and_lead_the_version_where_the_answer_says() {
    LocalSet::new()
        .run_until(async {
            let (script, asked) = (Script::default(), Rc::default());
            let (endpoints, version) =
                (Endpoints::default(), Arc::new(Version::new("v1".parse().unwrap(), vec!["carts:80".parse().unwrap()])));
            let reach = endpoints.of(&version);
            let mut names = Names::new(Vec::new(), scripted(&script, &asked));
            // The resolver hangs: it is asked once, and given up after a while.
            for turn in 0..50 {
                names.turn(&endpoints.all(), &endpoints, at(turn * 100));
                tokio::task::yield_now().await;
            }
            assert_eq!((*asked.borrow(), reach.standing()), (1, Standing::Absent));
            tokio::time::advance(Duration::from_secs(11)).await;
            tokio::task::yield_now().await;
            *script.borrow_mut() = Some(addresses(&["10.0.0.1:80"]));
            for turn in 0..150 {
                names.turn(&endpoints.all(), &endpoints, at(11_000 + turn * 100));
                tokio::task::yield_now().await;
            }
            assert_eq!((reach.standing(), reach.list().load().places.len()), (Standing::Usable, 1));
            let before = reach.list().load_full();
            *script.borrow_mut() = Some(addresses(&["10.0.0.2:80", "10.0.0.1:80"]));
            for turn in 0..100 {
                names.turn(&endpoints.all(), &endpoints, at(30_000 + turn * 100));
                tokio::task::yield_now().await;
            }
            let after = reach.list().load_full();
            assert_eq!(after.places.len(), 2);
            assert!(after.places.iter().any(|place| Arc::ptr_eq(place, &before.places[0])), "no churn of what stays");
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_check_asks_for_the_path_or_only_connects() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let target = Endpoint::from(listener.local_addr().unwrap());
    let health = Health { path: Some("/ready?x=1".to_owned()), timeout: Duration::from_secs(5), ..Health::default() };
    for (answer, good) in
        [("HTTP/1.1 200 OK\r\n\r\n", true), ("HTTP/1.1 302 x\r\n\r\n", true), ("HTTP/1.1 503 x\r\n\r\n", false), ("", false)]
    {
        let serving = async {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let mut peer = listener.accept().await.unwrap().0;
            let mut head = [0; 21];
            peer.read_exact(&mut head).await.unwrap();
            assert_eq!(&head, b"GET /ready?x=1 HTTP/1");
            peer.write_all(answer.as_bytes()).await.unwrap();
        };
        let (got, ()) = tokio::join!(health::is_good(&target, &health), serving);
        assert_eq!(got, good, "{answer:?}");
    }
    let connection = Health { path: None, ..health.clone() };
    assert!(health::is_good(&target, &connection).await);
    let hurried = Health { timeout: Duration::from_millis(50), ..health };
    assert!(!health::is_good(&target, &hurried).await, "it accepts and says nothing");
    drop(listener);
    assert!(!health::is_good(&target, &connection).await);
}

#[test]
fn the_thread_makes_a_checked_version_ready_and_ends_when_it_is_dropped() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let health = Health { interval: Duration::from_millis(100), timeout: Duration::from_millis(100), unhealthy: 1, ..Health::default() };
    let version = Arc::new(Version {
        upkeep: Upkeep { health: Some(health), ..Upkeep::default() },
        ..Version::at("v1".parse().unwrap(), [listener.local_addr().unwrap()])
    });
    let routes = Routes::default();
    let reach = routes.endpoints().of(&version);
    assert_eq!(reach.standing(), Standing::Unready);
    let keeper = Keeper::start(routes, Clock::start(), Vec::new(), system).unwrap();
    let until = |standing| {
        let begun = std::time::Instant::now();
        while reach.standing() != standing {
            assert!(begun.elapsed() < Duration::from_secs(10), "it never became {standing:?}");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    };
    until(Standing::Usable);
    drop(listener);
    until(Standing::Unready);
    drop(keeper);
}

#[test]
fn a_version_beside_the_split_is_looked_after_before_its_first_request() {
    let version = |name: &str| Arc::new(Version::new(name.parse().unwrap(), vec!["10.0.0.1:80".parse().unwrap()]));
    let epoch = Arc::new(Epoch::new("carts".parse().unwrap(), 0, 1, version("v1"), None, Timestamp::NEVER));
    let choice = Choice { others: vec![version("v0")].into(), ..Choice::default() };
    let routes = Routes::default();
    routes.publish(Table::new(1, vec![Route { choice: Some(Arc::new(choice)), ..Route::new([], epoch) }]));
    let keeper = Keeper::start(routes.clone(), Clock::start(), Vec::new(), system).unwrap();
    let begun = std::time::Instant::now();
    while routes.endpoints().all().len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody knows it");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    drop(keeper);
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_thread_with_nothing_to_do_rests_until_a_version_needs_it() {
    LocalSet::new()
        .run_until(async {
            let (script, asked) = (Script::default(), Rc::new(RefCell::new(0)));
            let routes = Routes::default();
            let plain = Arc::new(Version::at("v0".parse().unwrap(), addresses(&["10.0.0.1:80"])));
            let _ = routes.endpoints().of(&plain);
            let (_stop, stopped) = watch::channel(false);
            let resolve = scripted(&script, &asked);
            tokio::task::spawn_local(keep(routes.clone(), Clock::start(), Vec::new(), resolve, stopped));
            // In the middle of a rest.
            tokio::time::sleep(REST * 10 + REST / 2).await;
            let begun = tokio::time::Instant::now();
            let named = Arc::new(Version::new("v1".parse().unwrap(), vec!["carts:80".parse().unwrap()]));
            let _ = routes.endpoints().of(&named);
            while *asked.borrow() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert!(begun.elapsed() < TURN, "it is asked for at once, not after {:?}", begun.elapsed());
        })
        .await;
}
