//! Claims about health, version, metrics and paths that do not exist.

use std::time::Duration;

use super::*;
use crate::admin::state::JUDGED_WITHIN;

#[tokio::test]
async fn it_lives_while_the_controller_judges() {
    let desk = Desk::new();
    for path in ["/livez", "/healthz"] {
        let answer = desk.get(path).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, "ok\n"), "{path}");
    }
    assert_eq!(desk.get("/livez?verbose").await.text, "[+] controller: ok\nok\n");
}

#[test]
fn it_is_dead_once_the_controller_has_not_judged_for_five_seconds() {
    let desk = Desk::new();
    let judged = desk.state.clock.now();
    desk.state.board.show(Snapshot { judged_ns: judged.as_nanos(), ..Snapshot::default() });
    let failure = |age| desk.state.liveness(judged + age)[0].failure;
    assert_eq!(failure(JUDGED_WITHIN), None);
    assert!(failure(JUDGED_WITHIN + Duration::from_nanos(1)).is_some_and(|why| why.contains("5 s")));
}

#[tokio::test]
async fn it_is_ready_from_the_first_table_until_it_drains() {
    let mut desk = Desk::new();
    assert_eq!((desk.get("/readyz").await.status, desk.get("/readyz").await.text), (StatusCode::OK, "ok\n".to_owned()));
    assert_eq!(desk.get("/readyz?verbose").await.text, "[+] table: ok\n[+] serving: ok\nok\n");

    desk.drain.send(true).unwrap();
    let answer = desk.get("/readyz?verbose=1").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.text, "[+] table: ok\n[-] serving: the process drains\nthe process drains\n");
    assert_eq!(desk.get("/livez").await.status, StatusCode::OK, "a process that drains is not dead");

    desk.drain.send(false).unwrap();
    desk.state.routes = Routes::default();
    let answer = desk.get("/readyz").await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "no routing table is published yet\n"));
    desk.state.routes.publish(Table::new(1, Vec::new()));
    assert_eq!(desk.get("/readyz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_delivery_that_ended_unbidden_is_told_and_one_that_hangs_is_not_waited_for() {
    let mut desk = Desk::new();
    let (way, asked, pulse) = crate::delivery::Desk::channel();
    desk.state.delivery = Some(way);
    assert_eq!(desk.get("/readyz?verbose").await.text, "[+] table: ok\n[+] serving: ok\n[+] delivery: ok\nok\n");
    tokio::time::pause();
    let answer = desk.get("/v1/projects").await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    assert!(answer.text.contains("has not answered in time"), "{}", answer.text);

    drop((pulse.guard(), asked));
    let answer = desk.get("/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.text.contains("the delivery has ended unexpectedly"), "{}", answer.text);
    assert_eq!(desk.get("/livez").await.status, StatusCode::OK, "the data plane goes on");
    let answer = desk.get("/v1/projects").await;
    assert!(answer.status == StatusCode::SERVICE_UNAVAILABLE && answer.text.contains("takes nothing more"), "{}", answer.text);
}

#[tokio::test]
async fn the_version_is_that_of_the_program() {
    let json = Desk::new().get("/version").await.json();
    assert_eq!((&json["name"], &json["version"]), (&"portcullis".into(), &env!("CARGO_PKG_VERSION").into()));
}

#[tokio::test]
async fn metrics_are_text_of_version_0_0_4() {
    let answer = Desk::new().get("/metrics").await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "text/plain; version=0.0.4"));
    assert!(answer.text.contains("portcullis_rollout_phase{service=\"carts\",phase=\"progressing\"} 1\n"), "{}", answer.text);
    assert!(answer.text.ends_with('\n'));
}

#[tokio::test]
async fn head_has_the_head_of_get_and_no_body() {
    let desk = Desk::new();
    let answer = desk.send(request("HEAD", "/version", &[], "")).await;
    assert_eq!((answer.status, answer.text.as_str(), answer.header("content-type")), (StatusCode::OK, "", "application/json"));
}

#[tokio::test]
async fn an_unknown_path_is_404_and_a_wrong_method_405_with_what_is_allowed() {
    let desk = Desk::new();
    for path in ["/index.html", "/v1", "/v1/rollouts/", "/metrics/", "/livez/x", "/v1/rollouts/carts/rollback", "/../etc/passwd"] {
        let (status, detail) = desk.get(path).await.problem();
        assert!(status == 404 && detail.contains(path), "{path}: {status} {detail}");
    }
    for (method, path, allowed) in [
        ("DELETE", "/v1/rollouts/carts", "GET,HEAD"),
        ("PUT", "/v1/rollouts", "GET,HEAD,POST"),
        ("GET", "/v1/rollouts/carts/abort", "POST"),
        ("OPTIONS", "/v1/rollouts", "GET,HEAD,POST"),
        ("POST", "/metrics", "GET,HEAD"),
    ] {
        let answer = desk.send(request(method, path, &[], "")).await;
        assert_eq!((answer.problem().0, answer.header("allow")), (405, allowed), "{method} {path}");
    }
    assert_eq!(desk.commands(), [""; 0]);
}
