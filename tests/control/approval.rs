//! A plan that wants somebody to approve, from the configuration to the promotion.

use crate::stand::Stand;

const PLAN: &str = "    plan: {steps: [{weight: 50%, hold: 0s, approval: {deadline: 1h}}, {weight: 100%, hold: 0s}]}\n";

#[test]
fn a_rollout_waits_for_somebody_and_goes_on_when_it_is_approved() {
    let stand = Stand::start(PLAN);
    let refused = stand.told(&["approve", "carts", "--yes"]);
    assert!(refused.code == Some(2) && refused.stderr.contains("does not wait for approval"), "{}", refused.stderr);

    let waiting = stand.until("awaiting_approval");
    assert_eq!((&waiting["weight"], &waiting["plan"]["steps"][0]["approval"]["deadline_seconds"]), (&5_000.into(), &3_600.0.into()));
    let left = waiting["held_seconds"].as_f64().unwrap();
    assert!(left > 3_000.0 && left <= 3_600.0, "{left}");
    let said = stand.told(&["status", "carts"]);
    assert!(said.stdout.contains("for somebody to approve or deny it within "), "{}", said.stdout);
    (0..50).for_each(|_| drop(stand.ask()));
    assert_eq!(stand.rollout()["phase"], "awaiting_approval");

    let unsaid = stand.told(&["approve", "carts"]);
    assert!(unsaid.code == Some(2) && unsaid.stderr.contains("--yes"), "{}", unsaid.stderr);
    let done = stand.told(&["approve", "carts", "--yes", "--actor", "ann", "--reason", "looks good"]);
    assert!(done.code == Some(0) && done.stdout.contains("is approved"), "{}{}", done.stdout, done.stderr);
    stand.until("promoted");
    let journal = stand.call("GET /v1/rollouts/carts/journal", "").1.to_string();
    assert!(journal.contains("approved by ann: looks good"), "{journal}");
}

#[test]
fn whoever_denies_through_the_api_gives_everything_back() {
    let stand = Stand::start(PLAN);
    let (status, answer) = stand.call("POST /v1/rollouts/carts/deny", "{}");
    assert!(status == 409 && answer["detail"].as_str().unwrap().contains("abort it instead"), "{answer}");
    stand.until("awaiting_approval");
    let (status, answer) = stand.call("POST /v1/rollouts/carts/deny", r#"{"actor": "bob", "reason": "not before the weekend"}"#);
    assert!(status == 200 && answer["changed"] == true, "{status} {answer}");
    let rollout = stand.until("aborted");
    assert_eq!((&rollout["phase"], &rollout["weight"]), (&"aborted".into(), &0.into()));
    assert_eq!(rollout["reason"], "denied by bob: not before the weekend");
    assert!((0..20).all(|_| stand.ask().contains("Version = v1")));
    assert_eq!(stand.call("POST /v1/rollouts/carts/approve", "{}").0, 409);
}

#[test]
fn a_restart_never_lengthens_the_wait_and_gives_everything_back() {
    let mut stand = Stand::start(PLAN);
    stand.until("awaiting_approval");
    stand.restart();
    let rollout = stand.rollout();
    assert_eq!((&rollout["phase"], &rollout["weight"]), (&"aborted".into(), &0.into()), "{rollout}");
    assert!(rollout["reason"].as_str().unwrap().contains("interrupted by a restart"), "{rollout}");
    assert_eq!(stand.call("POST /v1/rollouts/carts/approve", "{}").0, 409, "what nobody waits for cannot be approved");
    assert!((0..20).all(|_| stand.ask().contains("Version = v1")));
}
