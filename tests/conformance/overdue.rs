//! What a worker does without its timers: limits that have passed count before each pick, and what was replaced is let go on the tick.

use std::future::ready;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use portcullis::domain::time::Timestamp;
use portcullis::domain::weight::Weight;
use portcullis::proxy::upload::Source;
use portcullis::proxy::worker::Worker;
use portcullis::seam::choice::{Choice, Force};
use portcullis::seam::clock::unix_seconds;
use portcullis::seam::routes::Routes;
use portcullis::seam::table::{Canary, Epoch, Route, Table, Watch};
use portcullis::seam::tripwire::{Tables, Trial};
use portcullis::seam::{report, token};
use tower::ServiceExt;

use crate::life::{parts, patient, runtime, serving};
use crate::oracle::telling;
use crate::split::{keys, name, version};
use crate::support::PATIENCE;

const LIMIT: Duration = Duration::from_millis(50);

fn get(fields: &[(&str, &str)]) -> Request<Source> {
    let request = fields.iter().fold(Request::get("/t").header("host", "a.test"), |request, (name, value)| request.header(*name, *value));
    request.body(Source::Whole(Full::<Bytes>::default())).unwrap()
}

/// Lets the limits of three requests pass at a canary that answers nothing, and then sends one with these fields: it is stable's.
fn the_next_is_stables(choice: Option<Choice>, fields: &[(&str, &str)]) {
    let (stable, (hanging, _go)) = (telling(), patient());
    let trial = Arc::new(Trial::new(vec![Tables::without_step([0, 0, 3].into())], 1));
    let canary = Canary {
        version: version("v2", hanging.address),
        weight: Weight::FULL,
        trial: Arc::clone(&trial),
        watches: [Watch::Latency(LIMIT)].into(),
        outcome_deadline: None,
        probe_spacing: None,
    };
    let epoch = Epoch::new(name("carts"), 3, 3, version("v1", stable.address), Some(canary), Timestamp::NEVER);
    let (routes, (reports, received), (drain, draining)) = (Routes::default(), report::channel(), tokio::sync::watch::channel(false));
    routes.publish(Table::new(1, vec![Route { choice: choice.map(Arc::new), ..Route::new([], Arc::new(epoch)) }]));
    let parts = parts(routes, reports, None, draining);
    runtime().block_on(async {
        // Its deadline queue is looked at by the requests alone: nobody runs it.
        let worker = Worker::new(0, &parts);
        let ask = |fields: &[(&str, &str)]| serving(&worker).oneshot(get(fields));
        for _ in 0..3 {
            tokio::task::spawn_local(ask(&[]));
        }
        tokio::task::yield_now().await;
        assert_eq!(trial.started(), 3);
        let over = parts.clock.now() + 2 * LIMIT;
        tokio::time::sleep_until(parts.clock.instant(over).into()).await;
        assert!(!trial.is_tripped(), "no request has come since");
        let answer = tokio::time::timeout(PATIENCE, ask(fields)).await.expect("the canary would not have answered").unwrap();
        assert_eq!((answer.status().as_u16(), trial.started()), (200, 3));
    });
    let told = received.try_iter().find_map(|told| match told {
        report::Report::Tripped { evident, at, .. } => Some(at.since(evident)),
        _ => None,
    });
    assert!(told.expect("a trip is told of") > LIMIT / 2, "it was evident when the limit passed, not when somebody looked");
    drop(drain);
}

#[test]
fn a_limit_that_has_passed_counts_before_the_next_pick_and_waits_for_no_timer() {
    the_next_is_stables(None, &[]);
}

#[test]
fn a_limit_that_has_passed_counts_before_a_forced_request_is_let_to_the_canary() {
    let force = Force { header: Some(http::HeaderName::from_static("x-portcullis-version")), cookie: None, keys: keys() };
    let token = token::force(&keys(), &name("carts"), 3, &name("v2"), unix_seconds() + 60);
    the_next_is_stables(Some(Choice { force: Some(force), ..Choice::default() }), &[("x-portcullis-version", &token)]);
}

#[test]
fn a_choice_that_was_replaced_is_let_go_on_the_tick_though_no_request_comes() {
    let stable = telling();
    let epoch = Arc::new(Epoch::new(name("carts"), 0, 3, version("v1", stable.address), None, Timestamp::NEVER));
    let (routes, (reports, _received), (drain, draining)) = (Routes::default(), report::channel(), tokio::sync::watch::channel(false));
    let table = |number: u64, choice: Option<Arc<Choice>>| Table::new(number, vec![Route { choice, ..Route::new([], Arc::clone(&epoch)) }]);
    let choice = Arc::new(Choice::default());
    let kept = Arc::downgrade(&choice);
    routes.publish(table(1, Some(choice)));
    let parts = parts(routes.clone(), reports, None, draining);
    runtime().block_on(async {
        let worker: Rc<Worker> = Worker::new(0, &parts);
        let answer = serving(&worker).oneshot(get(&[])).await.unwrap();
        assert_eq!(answer.status(), 200);
        drop(answer);
        routes.publish(table(2, None));
        assert!(kept.upgrade().is_some(), "the worker has not looked since");
        worker.tick();
        assert!(kept.upgrade().is_none(), "what it names would be resolved and asked for its health for as long as nobody asks");
        ready(()).await;
    });
    drop(drain);
}
