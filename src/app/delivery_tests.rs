//! Rollouts in stages that nobody follows any more.
#![cfg(test)]

use serde_json::{Value, json};

use super::*;
use crate::control::command::{Accepted, Order, Request};
use crate::control::status::Snapshot;
use crate::domain::version::Version;
use crate::seam::report;

/// A service whose last rollout stands like this.
fn service(name: &str, phase: Option<&str>) -> ServiceStatus {
    let version = |name: &str| serde_json::to_value(Version::at(name.parse().unwrap(), [([127, 0, 0, 1], 1).into()])).unwrap();
    let rollout = phase.map(|phase| {
        json!({
            "id": 1, "stable": version("v1"), "canary": version("v2"), "phase": phase, "step": 0, "steps": 2, "weight": 1000,
            "generation": 3, "reason": "because", "gates": [], "rate": 0.0, "brakes": 0, "canary_requests": 9, "durable": true,
        })
    });
    let status = json!({"name": name, "owner": version("v1"), "rollout": rollout.unwrap_or(Value::Null), "rejected": []});
    serde_json::from_value(status).unwrap()
}

/// Watches a delivery in which one stage has a rollout under way, until something was asked of the controller; returns what.
fn watched(pulse: &Pulse, now: Timestamp) -> Vec<Command> {
    let (wake, _reports) = report::channel();
    let (commands, requests) = Commands::channel(wake);
    let board = Board::default();
    let phases = [
        ("carts", Some("progressing")),
        ("carts-dev", Some("progressing")),
        ("carts-staging", Some("paused")),
        ("carts-old", Some("promoted")),
        ("carts-new", None),
    ];
    let services = phases.map(|(name, phase)| Arc::new(service(name, phase))).into();
    board.show(Snapshot { services, ..Snapshot::default() });
    let own = BTreeSet::from(["carts".parse().unwrap()]);
    let (end, ended) = channel();
    let watched = Watched { pulse: pulse.clone(), commands, board, own };
    let watching = thread::spawn(move || watched.watch(&ended, || now));
    let mut asked = Vec::new();
    while asked.len() < 2 {
        let Ok(Request { order, answer }) = requests.recv_timeout(Duration::from_secs(20)) else { break };
        let Order::Command(command) = order else { panic!("nothing is configured by a watch") };
        asked.push(command);
        answer.send(Ok(Accepted::Done("done".to_owned()))).unwrap();
    }
    drop(end);
    watching.join().unwrap();
    asked
}

fn given_back(asked: &[Command], why: &str) {
    let told = |command: &Command| match command {
        Command::Abort { service, actor, reason } => (service.to_string(), actor.clone(), reason.contains(why)),
        other => panic!("{other:?}"),
    };
    let wanted = ["carts-dev", "carts-staging"].map(|name| (name.to_owned(), "delivery-watch".to_owned(), true));
    assert_eq!(asked.iter().map(told).collect::<Vec<_>>(), wanted, "{asked:?}");
}

#[test]
fn rollouts_in_stages_are_given_back_when_the_engine_ends_unbidden() {
    let pulse = Pulse::default();
    let guard = pulse.guard();
    pulse.beat(Timestamp::from_nanos(1));
    let engine = thread::spawn(move || {
        let _guard = guard;
        panic!("a test's own panic")
    });
    assert!(engine.join().is_err());
    given_back(&watched(&pulse, Timestamp::from_nanos(2)), "ended unexpectedly");
}

#[test]
fn rollouts_in_stages_are_given_back_when_the_engine_hangs() {
    let pulse = Pulse::default();
    pulse.beat(Timestamp::from_nanos(1));
    given_back(&watched(&pulse, Timestamp::from_nanos(1) + Duration::from_secs(31)), "hangs");
}
