//! Claims about what the rollout API shows and how it hands commands on.

use serde_json::json;

use super::*;
use crate::control::status::TripStatus;
use crate::domain::gate::criterion::Unit;
use crate::domain::gate::{Origin, Verdict};
use crate::domain::judge::GateStatus;

#[tokio::test]
async fn rollouts_are_shown_with_their_units_and_words() {
    let desk = Desk::new();
    let json = desk.get("/v1/rollouts").await.json();
    let shown = &json["rollouts"][0];
    assert_eq!((&shown["name"], &shown["rejected"]), (&json!("carts"), &json!(["0.7.9"])));
    let rollout = &shown["rollout"];
    assert_eq!((&rollout["phase"], &rollout["weight"], &rollout["needs"]), (&json!("progressing"), &json!(1_000), &json!(80)));
    assert_eq!(rollout["canary"], json!({"name": "0.8.2", "endpoints": ["127.0.0.1:8081"]}));
    assert_eq!(&desk.get("/v1/rollouts/carts").await.json(), shown);
    desk.show(None);
    assert_eq!(desk.get("/v1/rollouts/carts").await.json()["rollout"], Value::Null);
}

#[tokio::test]
async fn a_service_that_does_not_exist_is_404_whatever_it_is_called() {
    let desk = Desk::new();
    let long = "x".repeat(10_000);
    let odd = ["orders", "..%2F..%2Fetc%2Fpasswd", "%00", "%0d%0a", "%E2%80%AEcarts", "c%D0%B0rts", "%FF", "carts%20", "CARTS", &long];
    for name in odd {
        for (method, rest) in [
            ("GET", ""),
            ("GET", "/verdict"),
            ("POST", "/abort"),
            ("POST", "/promote"),
            ("POST", "/resume"),
            ("POST", "/pause"),
            ("POST", "/retry"),
        ] {
            let answer = desk.send(request(method, &format!("/v1/rollouts/{name}{rest}"), &[("if-match", "*")], "")).await;
            let (status, detail) = answer.problem();
            assert!(
                status == 404 && detail.len() < 300 && !detail.contains(|c: char| c.is_control() || c == '\u{202e}'),
                "{method} {name}{rest}: {status} {detail}"
            );
        }
    }
}

#[tokio::test]
async fn notices_are_shown_oldest_first() {
    let json = Desk::new().get("/v1/notices").await.json();
    assert_eq!(json["notices"], json!([{"at": "2026-11-23T10:00:00.000Z", "service": "carts", "sentence": "it begins", "alarm": false}]));
}

/// A gate that says so.
pub(super) fn gate(verdict: &Verdict) -> GateStatus {
    GateStatus {
        gate: "p95 < 1 s".to_owned(),
        origin: Origin::Written,
        verdict: *verdict,
        requests: 1,
        breaches: 0,
        log_e: 0.0,
        log_threshold: 3.0,
        basis: None,
        unit: Unit::Share,
        value: None,
        limit: None,
        lower: None,
        upper: None,
        brake_log_e: 0.0,
        brake_log_threshold: 7.0,
        confirm_log_e: 0.0,
        confirm_log_threshold: None,
        needs: None,
        awaits_stable: None,
    }
}

#[tokio::test]
async fn the_verdict_is_one_word_and_inconclusive_is_no_pass() {
    let desk = Desk::new();
    let gates = |verdicts: &[Verdict]| RolloutStatus { gates: verdicts.iter().map(gate).collect(), ..rollout(Phase::Progressing) };
    use Verdict::{Fail, Inconclusive, Pass, Warning};
    let cases = [
        (None, "inconclusive"),
        (Some(rollout(Phase::Promoted)), "pass"),
        (Some(rollout(Phase::RolledBack)), "fail"),
        (Some(rollout(Phase::Aborted)), "inconclusive"),
        (Some(gates(&[])), "inconclusive"),
        (Some(gates(&[Pass, Inconclusive])), "inconclusive"),
        (Some(gates(&[Pass, Warning])), "inconclusive"),
        (Some(gates(&[Pass, Pass])), "pass"),
        (Some(gates(&[Pass, Fail])), "fail"),
        (Some(RolloutStatus { trip: Some(TripStatus::default()), ..gates(&[Pass]) }), "fail"),
    ];
    for (rollout, word) in cases {
        desk.show(rollout.clone());
        let json = desk.get("/v1/rollouts/carts/verdict").await.json();
        assert_eq!((&json["verdict"], &json["pass"]), (&json!(word), &json!(word == "pass")), "{rollout:?}");
        let asked =
            desk.send(request("POST", "/v1/rollouts/carts/verdict", &[("content-type", "application/json")], r#"{"name": "carts"}"#)).await;
        assert_eq!(asked.status, if word == "fail" { 409 } else { 200 }, "Flagger takes any 2xx: {rollout:?}");
        assert_eq!(json["canary"], rollout.map_or(Value::Null, |_| json!("0.8.2")));
    }
}

#[tokio::test]
async fn a_start_reaches_the_controller_as_it_was_asked() {
    let desk = Desk::new();
    let body = r#"{"service": "carts", "canary": {"name": "0.8.3", "endpoints": ["127.0.0.1:1234", "[::1]:5678"]}, "retry": true, "actor": "ann"}"#;
    let answer = desk.post("/v1/rollouts", body).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::ACCEPTED, "/v1/rollouts/carts"));
    assert_eq!(answer.json(), json!({"service": "carts", "changed": true, "message": "it is done"}));
    let canary = Version::new(name("0.8.3"), vec!["127.0.0.1:1234".parse().unwrap(), "[::1]:5678".parse().unwrap()]);
    let expected = Command::Start { service: name("carts"), canary: Box::new(canary), retry: true, actor: "ann".to_owned() };
    assert_eq!(desk.commands(), [format!("{expected:?}")]);
}

#[tokio::test]
async fn an_abort_needs_no_body_and_is_200_also_when_nothing_progresses() {
    let desk = Desk::new();
    let answer = desk.send(request("POST", "/v1/rollouts/carts/abort", &[], "")).await;
    assert_eq!((answer.status, &answer.json()["changed"]), (StatusCode::OK, &json!(true)));
    let answer = desk.post("/v1/rollouts/idle/abort", r#"{"actor": "ann", "reason": "it smells"}"#).await;
    let told = json!({"service": "idle", "changed": false, "message": "there was nothing to do"});
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, told));
    let expected = [
        Command::Abort { service: name("carts"), actor: "operator".to_owned(), reason: "no reason given".to_owned() },
        Command::Abort { service: name("idle"), actor: "ann".to_owned(), reason: "it smells".to_owned() },
    ];
    assert_eq!(desk.commands(), expected.map(|command| format!("{command:?}")));
}

#[tokio::test]
async fn an_abort_may_let_the_share_go_back_in_steps() {
    let desk = Desk::new();
    for body in [r#"{"actor": "ann", "ramp": true}"#, r#"{"actor": "ann", "ramp": false}"#] {
        assert_eq!(desk.post("/v1/rollouts/carts/abort", body).await.status, StatusCode::OK);
    }
    let (status, detail) = desk.post("/v1/rollouts/carts/abort", r#"{"ramp": "slowly"}"#).await.problem();
    assert_eq!(status, 422, "{detail}");
    let (actor, reason) = ("ann".to_owned(), "no reason given".to_owned());
    let expected = [
        Command::Recede { service: name("carts"), actor: actor.clone(), reason: reason.clone() },
        Command::Abort { service: name("carts"), actor, reason },
    ];
    assert_eq!(desk.commands(), expected.map(|command| format!("{command:?}")));
}

#[tokio::test]
async fn a_promotion_is_accepted_or_in_conflict_with_the_reason() {
    let desk = Desk::new();
    let answer = desk.post("/v1/rollouts/carts/promote", r#"{"actor": "ann"}"#).await;
    assert_eq!((answer.status, &answer.json()["changed"]), (StatusCode::ACCEPTED, &json!(true)));
    let (status, detail) = desk.post("/v1/rollouts/busy/promote", "").await.problem();
    assert_eq!((status, detail.as_str()), (409, "a rollout is progressing; abort it first"));
}

#[tokio::test]
async fn a_share_is_read_with_who_asks_and_why() {
    let desk = Desk::new();
    let put = |body: &'static str| {
        desk.send(request("PUT", "/v1/rollouts/carts/weight", &[("content-type", "application/json"), ("if-match", "*")], body))
    };
    let answer = put(r#"{"weight": "12.5%", "actor": "ann", "reason": "a try"}"#).await;
    assert_eq!((answer.status, &answer.json()["message"]), (StatusCode::OK, &json!("it is done")));
    for (body, pointer) in
        [("{}", ""), (r#"{"weight": 10}"#, "/weight"), (r#"{"weight": "110%"}"#, "/weight"), (r#"{"weight": "1%", "x": 1}"#, "/x")]
    {
        let answer = put(body).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["errors"][0]["pointer"]), (422, &json!(pointer)), "{body}");
    }
    assert_eq!(put("").await.status.as_u16(), 422);
    let paused = desk.post("/v1/rollouts/carts/pause", r#"{"reason": "lunch"}"#).await;
    let retried = desk.post("/v1/rollouts/carts/retry", "").await;
    assert_eq!((paused.status, retried.status), (StatusCode::OK, StatusCode::ACCEPTED));
    let (operator, carts) = ("operator".to_owned(), || name("carts"));
    let expected = [
        Command::SetWeight { service: carts(), weight: "12.5%".parse().unwrap(), actor: "ann".to_owned(), reason: "a try".to_owned() },
        Command::Pause { service: carts(), actor: operator.clone(), reason: "lunch".to_owned() },
        Command::Retry { service: carts(), actor: operator },
    ];
    assert_eq!(desk.commands(), expected.map(|command| format!("{command:?}")));
}

#[tokio::test]
async fn a_controller_that_is_gone_is_503_and_to_be_asked_again() {
    let mut desk = Desk::new();
    let (wake, _reports) = report::channel();
    desk.state.commands = Commands::channel(wake).0;
    let answer = desk.send(request("POST", "/v1/rollouts/carts/abort", &[], "")).await;
    assert_eq!((answer.problem().0, answer.header("retry-after")), (503, "1"));
}

#[tokio::test]
async fn the_listener_goes_on_answering_while_a_command_waits() {
    let mut desk = Desk::new();
    let (wake, _reports) = report::channel();
    let (commands, requests) = Commands::channel(wake);
    desk.state.commands = commands;
    let waiting = async { desk.send(request("POST", "/v1/rollouts/carts/abort", &[], "")).await.status };
    let others = async {
        assert_eq!(desk.get("/livez").await.status, StatusCode::OK);
        // Only now the controller looks at the command.
        let asked = tokio::task::spawn_blocking(move || requests.recv().unwrap()).await.unwrap();
        assert_eq!(desk.get("/v1/rollouts").await.status, StatusCode::OK);
        asked.answer.send(Ok(Accepted::Done("late".to_owned()))).unwrap();
    };
    assert_eq!(tokio::join!(waiting, others).0, StatusCode::OK);
}
