//! Claims about the journal as the API shows it: of one service, bounded, and readable whatever it holds.

use std::sync::mpsc;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::admin::journal::{MOST, USUAL};
use crate::control::status::{FileStatus, TripStatus};
use crate::control::terms::{PlanStatus, PolicyStatus};
use crate::domain::error_kinds::ErrorKinds;
use crate::domain::gate::evidence::{Estimate, Tipping};
use crate::domain::gate::{Evidence, Gate, Policy, Verdict};
use crate::domain::outcome::Role;
use crate::domain::rollout::{Entry, Plan, ServiceState};

pub(super) fn entry(service: &str, generation: u64, reason: &str) -> Entry {
    Entry {
        service: name(service),
        rollout: 1,
        at: None,
        stable: Some(name("0.8.1")),
        canary: Some(name("0.8.2")),
        actor: "plan".to_owned(),
        phase: Phase::Progressing,
        owner: Role::Stable,
        from: Weight::ZERO,
        to: Weight::FULL,
        generation,
        reason: reason.to_owned(),
        evidence: None,
        gates: Vec::new(),
    }
}

pub(super) fn put(desk: &Desk, entry: &Entry) {
    let state = ServiceState {
        owner: version("0.8.1"),
        configured: name("0.8.1"),
        rollout: None,
        rejected: Vec::new(),
        tried: Vec::new(),
        asked: None,
    };
    desk.state.store.put(&entry.service, &state, entry).unwrap();
}

#[tokio::test]
async fn the_newest_entries_of_the_service_are_shown_the_newest_last() {
    let desk = Desk::new();
    for generation in 1..=3 {
        put(&desk, &entry("carts", generation, "because"));
        put(&desk, &entry("orders", generation, "of others"));
    }
    let all = desk.get("/v1/rollouts/carts/journal").await.json();
    assert_eq!(all["complete"], json!(true));
    let shown: Vec<(u64, u64)> = all["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| (l["sequence"].as_u64().unwrap(), l["entry"]["generation"].as_u64().unwrap()))
        .collect();
    assert_eq!(shown, [(1, 1), (3, 2), (5, 3)]);
    assert_eq!((&all["entries"][0]["entry"]["to"], &all["entries"][0]["entry"]["gates"]), (&json!(10_000), &json!([])));
    let last = desk.get("/v1/rollouts/carts/journal?last=2").await.json();
    assert_eq!(
        (&last["complete"], &last["entries"][0]["sequence"], last["entries"].as_array().unwrap().len()),
        (&json!(false), &json!(3), 2)
    );
}

#[tokio::test]
async fn the_answer_is_bounded_in_entries_and_in_bytes() {
    let desk = Desk::new();
    let long = "x".repeat(100_000);
    for generation in 1..=30 {
        put(&desk, &entry("carts", generation, &long));
    }
    let answer = desk.get("/v1/rollouts/carts/journal?last=1000").await.json();
    assert_eq!((&answer["complete"], answer["entries"].as_array().unwrap().len()), (&json!(false), 20));
    assert_eq!(answer["entries"][19]["entry"]["generation"], json!(30));
    for generation in 31..=31 + USUAL as u64 {
        put(&desk, &entry("carts", generation, "short"));
    }
    assert_eq!(desk.get("/v1/rollouts/carts/journal").await.json()["entries"].as_array().unwrap().len(), USUAL);
}

#[tokio::test]
async fn a_wrong_question_is_400_and_an_unknown_service_404() {
    let desk = Desk::new();
    let beyond = format!("last={}", MOST + 1);
    for query in ["last=0", "last=-1", "last=many", "last=", "first=3", "last=1&last=2", "last=99999999999999999999999", &beyond] {
        let (status, detail) = desk.get(&format!("/v1/rollouts/carts/journal?{query}")).await.problem();
        assert!(status == 400 && detail.contains("last=N") && detail.contains("1000"), "{query}: {status} {detail}");
    }
    assert_eq!(desk.get("/v1/rollouts/orders/journal").await.problem().0, 404);
    assert_eq!(desk.send(request("POST", "/v1/rollouts/carts/journal", &[], "")).await.problem().0, 405);
}

/// Collects every key of a value, but not what stands below `basis`, whose keys are those of the tests.
fn keys(value: &Value, found: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                found.insert(key.clone());
                if key != "basis" && key != "errors" && key != "rule" && key != "origin" {
                    keys(value, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_field_that_is_shown_is_explained() {
    let desk = Desk::new();
    let gate: Gate = Gate::written("p95 < 1s".parse().unwrap());
    let tipping = Tipping { seq: 1, started_ns: 1, latency_ns: 1, errors: ErrorKinds::NONE };
    let evidence = Evidence {
        tipped_by: vec![tipping],
        estimate: Some(Estimate { value: 1.0, lower: None, upper: None }),
        ..Evidence::of_trip(&gate, &name("0.8.2"), 0.001, 3, 3, 0)
    };
    let status = rollouts::gate(&Verdict::Pass);
    let shown = RolloutStatus {
        evidence: Some(evidence.clone()),
        gates: [status.clone()].into(),
        file: Some(FileStatus { verdict: Verdict::Pass, reason: "fine".to_owned() }),
        plan: Some(PlanStatus::from(&Plan::ramp("10%".parse().unwrap(), 3, Duration::ZERO).unwrap())),
        policy: Some(PolicyStatus::from(&Policy::default())),
        trip: Some(TripStatus::default()),
        ..rollout(Phase::Braked)
    };
    desk.show(Some(shown));
    put(&desk, &Entry { evidence: Some(evidence), gates: vec![status.evidence(&name("0.8.2"), 1)], ..entry("carts", 1, "because") });
    let mut found = std::collections::BTreeSet::new();
    for path in ["/v1/rollouts", "/v1/rollouts/carts/journal", "/v1/rollouts/carts/verdict", "/v1/notices"] {
        keys(&desk.get(path).await.json(), &mut found);
    }
    assert!(found.len() > 70, "{found:?}");
    let explained = include_str!("../mod.rs");
    let missing: Vec<&String> = found.iter().filter(|key| !explained.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "src/admin/mod.rs must explain {missing:?}");
}

#[test]
fn questions_that_nobody_waits_for_do_not_stand_before_an_abort() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let desk = Desk::new();
        put(&desk, &entry("carts", 1, "because"));
        // A slow disk, as far as anybody else can tell.
        let (go_on, wait) = mpsc::channel::<()>();
        let slow = tokio::task::spawn_blocking(move || wait.recv());
        let before = Arc::strong_count(&desk.state.store);
        for _ in 0..20 {
            for path in ["/v1/journal", "/v1/rollouts/carts/journal", "/v1/events?after=0"] {
                let asked = router(desk.state.clone()).oneshot(request("GET", path, &[], ""));
                // Asked once and dropped: as hyper does when a client closes its connection.
                let _ = tokio::time::timeout(Duration::ZERO, asked).await;
            }
        }
        let waiting = Arc::strong_count(&desk.state.store) - before;
        assert!((1..=2).contains(&waiting), "{waiting} questions wait for the disk");
        go_on.send(()).unwrap();
        slow.await.unwrap().unwrap();
        assert_eq!(desk.post("/v1/rollouts/carts/abort", "{}").await.status, StatusCode::OK);
        assert_eq!(desk.get("/v1/journal").await.json()["entries"], json!(1));
        assert_eq!(Arc::strong_count(&desk.state.store), before);
    });
}
