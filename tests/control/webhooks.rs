//! Others are asked before a rollout goes on, and nobody waits for them on the way back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::listener::listen;
use crate::process::{PATIENCE, eventually};
use crate::stand::Stand;

const PLAN: &str = "    plan: {steps: [{weight: 50%, hold: 0s}, {weight: 100%, hold: 0s}]}\n";

#[test]
fn every_webhook_is_asked_in_flaggers_words_and_again_until_it_answers_2xx() {
    let asked = AtomicUsize::new(0);
    let (address, told) = listen(move |path, _| match path {
        // Down at first.
        "/raise" if asked.fetch_add(1, Ordering::SeqCst) < 2 => Some("503 Service Unavailable"),
        _ => Some("200 OK"),
    });
    let hook = |kind: &str, path: &str| {
        format!("      - {{name: {path}, type: {kind}, url: \"http://{address}/{path}\", retries: 3, metadata: {{cmd: \"hey -z 1m\"}}}}\n")
    };
    let hooks = [
        hook("confirm-rollout", "start"),
        hook("confirm-traffic-increase", "raise"),
        hook("confirm-promotion", "promote"),
        hook("post-rollout", "end"),
    ];
    let stand = Stand::start(&format!("{PLAN}    webhooks:\n{}", hooks.concat()));
    stand.until("promoted");
    let told: Vec<_> = (0..6).map(|_| told.recv_timeout(PATIENCE).expect("a question in time")).collect();
    let seen: Vec<_> = told.iter().map(|(path, body)| (path.as_str(), body["phase"].as_str().unwrap())).collect();
    let raise = ("/raise", "WaitingTrafficIncrease");
    assert_eq!(seen, [("/start", "Waiting"), raise, raise, raise, ("/promote", "WaitingPromotion"), ("/end", "Succeeded")]);
    for (_, body) in &told {
        assert_eq!(
            (&body["name"], &body["namespace"], &body["metadata"]["cmd"]),
            (&"carts".into(), &"default".into(), &"hey -z 1m".into())
        );
        assert!(body["checksum"].as_str().is_some_and(|sum| sum.len() == 16) && body["checksum"] == told[0].1["checksum"], "{body}");
    }
}

#[test]
fn a_refusal_holds_or_gives_back_as_it_is_written() {
    for (failure, phase, weight) in [("hold", "paused", 5_000), ("roll_back", "aborted", 0)] {
        let (address, _told) = listen(|_, _| Some("403 Forbidden"));
        let stand = Stand::start(&format!(
            "{PLAN}    webhook_failure: {failure}\n    webhooks:\n      - {{name: gate, type: confirm-traffic-increase, url: \"http://{address}/\"}}\n"
        ));
        let rollout = stand.until(phase);
        let reason = rollout["reason"].as_str().unwrap();
        assert!(reason.contains(&format!("gate: http://{address} answered with 403")), "{reason}");
        assert_eq!(rollout["weight"], weight);
    }
}

#[test]
fn a_webhook_that_hangs_holds_up_the_rollout_and_no_way_back() {
    let (address, told) = listen(|_, _| None);
    let stand = Stand::start(&format!(
        "{PLAN}    webhooks:\n      - {{name: gate, type: confirm-traffic-increase, url: \"http://{address}/\", timeout: 5m}}\n"
    ));
    eventually("the question", || {
        (0..20).for_each(|_| drop(stand.ask()));
        told.try_recv().ok()
    });
    (0..100).for_each(|_| drop(stand.ask()));
    assert_eq!(stand.rollout()["weight"], 5_000, "it does not go on");
    let asked = Instant::now();
    let (status, answer) = stand.call("POST /v1/rollouts/carts/abort", r#"{"reason": "now"}"#);
    assert!(status == 200 && asked.elapsed() < Duration::from_secs(10), "{answer} after {:?}", asked.elapsed());
    assert_eq!(stand.until("aborted")["weight"], 0);
    assert!((0..20).all(|_| stand.ask().contains("Version = v1")));
}

#[test]
fn an_operator_who_gives_more_waits_for_the_same_answer() {
    let allowing = Arc::new(AtomicBool::new(false));
    let allows = Arc::clone(&allowing);
    let (address, told) = listen(move |_, _| if allows.load(Ordering::SeqCst) { Some("200 OK") } else { Some("403 Forbidden") });
    let stand =
        Stand::start(&format!("{PLAN}    webhooks:\n      - {{name: gate, type: confirm-traffic-increase, url: \"http://{address}/\"}}\n"));
    assert_eq!(stand.until("paused")["weight"], 5_000);
    let raise = || {
        let (status, answer) = stand.call("PUT /v1/rollouts/carts/weight", r#"{"weight": "100%", "actor": "ann"}"#);
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(status == 200 && message.contains("others are asked first"), "{answer}");
    };
    raise();
    let refused = eventually("the refusal", || {
        let rollout = stand.rollout();
        rollout["reason"].as_str().is_some_and(|reason| reason.contains("does not let ann give it 100%")).then_some(rollout)
    });
    assert_eq!((&refused["phase"], &refused["weight"]), (&"paused".into(), &5_000.into()));
    allowing.store(true, Ordering::SeqCst);
    raise();
    let held = eventually("the share", || Some(stand.rollout()).filter(|rollout| rollout["weight"] == 10_000));
    assert_eq!(held["phase"], "paused");
    for _ in 0..3 {
        let (_, body) = told.recv_timeout(PATIENCE).expect("a question of the plan and two of the operator's");
        assert_eq!(body["phase"], "WaitingTrafficIncrease");
    }
    // Nobody is asked before a share is taken.
    allowing.store(false, Ordering::SeqCst);
    let (_, answer) = stand.call("PUT /v1/rollouts/carts/weight", r#"{"weight": "0%"}"#);
    assert!(answer["message"].as_str().is_some_and(|message| message.contains("is held with 0%")), "{answer}");
    assert!(told.try_recv().is_err());
}

#[test]
fn a_raise_that_a_restart_forgets_is_told_in_the_journal() {
    let (address, told) = listen(|_, _| None);
    let mut stand = Stand::start(&format!(
        "{PLAN}    webhooks:\n      - {{name: gate, type: confirm-traffic-increase, url: \"http://{address}/\", timeout: 5m}}\n"
    ));
    let (status, answer) = stand.call("POST /v1/rollouts/carts/pause", "{}");
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = stand.call("PUT /v1/rollouts/carts/weight", r#"{"weight": "100%", "actor": "ann", "reason": "it is Monday"}"#);
    assert!(status == 200 && answer["message"].as_str().is_some_and(|message| message.contains("others are asked first")), "{answer}");
    told.recv_timeout(PATIENCE).expect("the question");
    stand.restart();
    let journal = stand.told(&["why", "carts"]).stdout;
    let asked = journal.find("ann wants to give 0.8.3 100%: it is Monday; others are asked first");
    let dropped = journal.find("what was asked is not carried out: ann wants to give 0.8.3 100%: it is Monday");
    assert!(asked.is_some() && dropped > asked, "{journal}");
    assert_eq!((stand.rollout()["phase"].as_str(), stand.rollout()["weight"].as_u64()), (Some("aborted"), Some(0)));
}
