//! What the events of every era mean.
#![cfg(test)]

use serde_json::{Value, json};

use crate::formats::cloudevent::incoming::{EvaluationResult, Incoming};
use crate::formats::cloudevent::intake::{Limits, read_structured};
use crate::formats::cloudevent::interpret::interpret;
use crate::formats::cloudevent::tests::{about, meaning, time};

#[test]
fn a_configuration_change_sets_promotes_or_discards() {
    let change = |canary: Value| {
        meaning("sh.keptn.event.configuration.change", about(json!({ "canary": canary, "valuesCanary": { "image": "a/b:1" } })))
    };
    let Ok(Incoming::NewArtifact(artifact)) = change(json!({ "action": "set", "value": 100 })) else { panic!("no new artifact") };
    assert_eq!((artifact.stage.as_deref(), artifact.image.as_str(), artifact.tag), (Some("staging"), "a/b:1", None));
    assert!(matches!(change(json!({ "action": "promote" })), Ok(Incoming::Promote(_))));
    assert!(matches!(change(json!({ "action": "discard", "value": 0 })), Ok(Incoming::Discard(_))));
    let Ok(Incoming::CanaryWeight(share)) = change(json!({ "action": "set", "value": 30 })) else { panic!("no share") };
    assert_eq!((share.weight, share.subject.stage.as_str()), (30, "staging"));
    let first = json!({ "project": "p", "service": "s", "stage": "", "canary": { "action": "set", "value": 100 }, "valuesCanary": { "image": "i" } });
    let Ok(Incoming::NewArtifact(artifact)) = meaning("sh.keptn.event.configuration.change", first) else { panic!("no new artifact") };
    assert_eq!(artifact.stage, None);
    let none = meaning("sh.keptn.event.configuration.change", about(json!({ "fileChangesUserChart": {} })));
    assert!(matches!(none, Ok(Incoming::Other { .. })));
    // R20: the original took these for "set". R2: it took any number.
    for (canary, path) in [
        (json!({ "action": "rollback", "value": 100 }), "data.canary.action"),
        (json!({ "action": 0, "value": 100 }), "data.canary.action"),
        (json!({ "value": 100 }), "data.canary.action"),
        (json!({ "action": "set" }), "data.canary.value"),
        (json!({ "action": "set", "value": 101 }), "data.canary.value"),
        (json!({ "action": "set", "value": -1 }), "data.canary.value"),
        (json!({ "action": "set", "value": 0.5 }), "data.canary.value"),
        (json!("set"), "data.canary"),
    ] {
        let problems = change(canary.clone()).unwrap_err();
        assert!(problems.iter().any(|problem| problem.path == path && problem.hint.is_some()), "{canary}: {problems:?}");
    }
}

#[test]
fn ends_of_deployments_tests_evaluations_and_waits_are_known_in_every_era() {
    let old = "sh.keptn.events.deployment-finished";
    let Ok(Incoming::DeploymentFinished(done)) = meaning(old, about(json!({ "deploymentURILocal": "http://a", "image": "i", "tag": "1" })))
    else {
        panic!("no deployment")
    };
    assert_eq!((done.succeeded, done.local_urls.as_slice(), done.tag.as_deref()), (true, &["http://a".to_owned()][..], Some("1")));
    let new = about(
        json!({ "status": "errored", "result": "fail", "deployment": { "deploymentURIsLocal": ["http://a", ""], "deploymentstrategy": "direct" } }),
    );
    let Ok(Incoming::DeploymentFinished(done)) = meaning("sh.keptn.event.deployment.finished", new) else { panic!("no deployment") };
    assert_eq!((done.succeeded, done.local_urls.len(), done.deployment_strategy.as_deref()), (false, 1, Some("direct")));

    for (kind, fields, passed, window) in [
        ("sh.keptn.events.tests-finished", json!({ "startedat": "2019-10-17T20:12:31.123456789Z" }), true, true),
        (
            "sh.keptn.events.tests-finished",
            json!({ "start": "2019-10-17T20:12:31Z", "end": "2019-10-17T20:13:00Z", "result": "fail" }),
            false,
            true,
        ),
        ("sh.keptn.events.tests-finished", json!({ "result": "pass" }), true, false),
        (
            "sh.keptn.event.test.finished",
            json!({ "test": { "start": "2019-10-17T20:12:31Z", "end": "2019-10-17T20:13:00Z" }, "result": "pass" }),
            true,
            true,
        ),
        ("sh.keptn.event.test.finished", json!({ "result": "pass", "status": "errored" }), false, false),
    ] {
        let Ok(Incoming::TestsFinished(tests)) = meaning(kind, about(fields.clone())) else { panic!("{kind} {fields}") };
        assert_eq!((tests.passed, tests.window().is_some()), (passed, window), "{kind} {fields}");
    }

    for (kind, fields, result) in [
        ("sh.keptn.events.evaluation-done", json!({ "evaluationpassed": true }), EvaluationResult::Pass),
        (
            "sh.keptn.events.evaluation-done",
            json!({ "evaluationpassed": false, "evaluationdetails": { "result": "fail" } }),
            EvaluationResult::Fail,
        ),
        (
            "sh.keptn.events.evaluation-done",
            json!({ "evaluationpassed": false, "evaluationdetails": { "result": "inconclusive" } }),
            EvaluationResult::Inconclusive,
        ),
        ("sh.keptn.events.evaluation-done", json!({ "result": "failed" }), EvaluationResult::Fail),
        ("sh.keptn.events.evaluation-done", json!({ "result": "warning" }), EvaluationResult::Warning),
        ("sh.keptn.event.evaluation.finished", json!({ "result": "pass", "status": "succeeded" }), EvaluationResult::Pass),
        ("sh.keptn.event.evaluation.finished", json!({ "result": "pass", "status": "errored" }), EvaluationResult::Inconclusive),
    ] {
        let Ok(Incoming::EvaluationDone(done)) = meaning(kind, about(fields.clone())) else { panic!("{kind} {fields}") };
        assert_eq!(done.result, result, "{kind} {fields}");
    }

    let kind = "sh.keptn.event.approval.finished";
    for (fields, approved) in [
        (json!({ "approval": { "triggeredId": "t", "result": "pass", "status": "succeeded" } }), true),
        (json!({ "approval": { "triggeredId": "t", "result": "failed", "status": "succeeded" } }), false),
        (json!({ "result": "fail", "status": "succeeded", "approval": {} }), false),
        (json!({ "result": "pass", "status": "succeeded" }), true),
    ] {
        let Ok(Incoming::ApprovalFinished(approval)) = meaning(kind, about(fields.clone())) else { panic!("{fields}") };
        assert_eq!((approval.approved, approval.triggered_id.is_some()), (approved, fields["approval"]["triggeredId"] == "t"), "{fields}");
    }
    assert!(meaning(kind, about(json!({ "result": "perhaps" }))).unwrap_err()[0].message.contains("perhaps"));
}

#[test]
fn wishes_for_an_evaluation_say_when_from_and_when_to() {
    let now = time("2026-01-31T12:00:00Z");
    for (kind, fields, window) in [
        (
            "sh.keptn.event.start-evaluation",
            json!({ "start": "2026-01-31T11:00:00Z", "end": "2026-01-31T11:05:00Z" }),
            Some(("11:00:00", "11:05:00")),
        ),
        ("sh.keptn.event.evaluation.triggered", json!({ "evaluation": { "timeframe": "5m" } }), Some(("11:55:00", "12:00:00"))),
        (
            "sh.keptn.event.evaluation.triggered",
            json!({ "evaluation": { "timeframe": "5m", "start": "2026-01-31T11:00:00Z" } }),
            Some(("11:00:00", "11:05:00")),
        ),
        (
            "sh.keptn.event.evaluation.triggered",
            json!({ "test": { "start": "2026-01-31T11:00:00Z", "end": "2026-01-31T11:05:00Z" } }),
            Some(("11:00:00", "11:05:00")),
        ),
        ("sh.keptn.event.evaluation.triggered", json!({}), None),
        ("sh.keptn.event.start-evaluation", json!({ "start": "2026-01-31T11:00:00Z", "end": "2026-01-31T10:05:00Z" }), None),
    ] {
        let Ok(Incoming::StartEvaluation(start)) = meaning(kind, about(fields.clone())) else { panic!("{kind} {fields}") };
        let found = start.window(now).map(|window| (window.start, window.end));
        let wanted = window.map(|(start, end)| (time(&format!("2026-01-31T{start}Z")), time(&format!("2026-01-31T{end}Z"))));
        assert_eq!(found, wanted, "{kind} {fields}");
    }
}

#[test]
fn problems_and_unknown_types_are_known_as_such() {
    let kind = "sh.keptn.events.problem";
    let Ok(Incoming::Problem(problem)) = meaning(kind, json!({ "State": "OPEN", "ProblemID": "7", "ProblemTitle": "slow" })) else {
        panic!("no problem")
    };
    assert_eq!((problem.open, problem.title.as_str(), problem.project), (true, "slow", None));
    let Ok(Incoming::Problem(problem)) = meaning("sh.keptn.event.problem.open", about(json!({ "problemTitle": "slow" }))) else {
        panic!("no problem")
    };
    assert_eq!((problem.open, problem.project.as_deref()), (true, Some("sockshop")));
    assert!(meaning(kind, json!({ "State": "HALF", "ProblemTitle": "slow" })).is_err());
    for kind in [
        "sh.keptn.event.get-sli.triggered",
        "sh.keptn.events.configuration-changed",
        "com.example.other",
        "sh.keptn.event.a.b.delivery.triggered",
    ] {
        assert_eq!(meaning(kind, json!([1])), Ok(Incoming::Other { kind: kind.to_owned() }));
    }
}

#[test]
fn a_problem_has_its_place_in_the_structured_form() {
    let text = r#"{ "specversion": "1.0", "type": "sh.keptn.event.configuration.change", "source": "s", "id": "1",
  "data": { "project": "p", "service": "s", "stage": "t",
    "canary": { "action": "rollback" } } }"#;
    let event = read_structured("event.json", text.as_bytes(), Limits::DEFAULT).unwrap();
    let problems = interpret("event.json", Some(text), &event).unwrap_err();
    assert_eq!((problems[0].line, problems[0].column), (Some(3), Some(27)), "{problems:?}");
    assert!(problems[0].to_string().contains("write one of set, promote, discard"), "{}", problems[0]);
}

#[test]
fn names_that_are_missing_or_none_are_refused_with_their_path() {
    let kind = "sh.keptn.events.new-artifact";
    let problems = meaning(kind, json!({ "project": "../x", "image": 7 })).unwrap_err();
    let found: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(found, ["data.project", "data.service", "data.image"]);
    assert!(meaning(kind, json!("text")).unwrap_err()[0].message.contains("must be an object"));
    let other = about(json!({ "configurationChange": { "values": { "image": "i" } } }));
    assert_eq!(meaning("sh.keptn.event.dev.delivery.triggered", other).unwrap_err()[0].path, "data.stage");
    let none = meaning("sh.keptn.event.staging.delivery.triggered", about(json!({}))).unwrap_err();
    assert_eq!(none[0].path, "data.configurationChange");
}
