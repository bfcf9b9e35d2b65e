//! What we send is read as it was meant, in every era.
#![cfg(test)]

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::formats::cloudevent::era::Era;
use crate::formats::cloudevent::evaluation::{Evaluation, Indicator, Status, Target};
use crate::formats::cloudevent::event::Event;
use crate::formats::cloudevent::incoming::{EvaluationResult, Incoming};
use crate::formats::cloudevent::interpret::interpret;
use crate::formats::cloudevent::outgoing::{About, Message, Origin, build, carried};
use crate::formats::cloudevent::tests::{structured, time};

fn objective(value: f64) -> Indicator {
    let target = |criteria: &str, violated| Target { criteria: criteria.to_owned(), target_value: 600.0, violated };
    Indicator {
        metric: "response_time_p95".to_owned(),
        display_name: "Response time".to_owned(),
        value,
        compared: Some(f64::INFINITY),
        success: value.is_finite(),
        message: String::new(),
        score: 0.5,
        key: true,
        status: Status::Warning,
        pass_targets: vec![target("<600", true)],
        warning_targets: vec![target("<800", false)],
    }
}

/// Calls with every event that is sent in an era.
fn each_message(era: Era, result: EvaluationResult, mut call: impl FnMut(Message<'_>, Event)) {
    let labels = BTreeMap::from([("build".to_owned(), "7".to_owned())]);
    let about = About {
        project: "sockshop",
        stage: "staging",
        service: "carts",
        image: "docker.io/keptnexamples/carts",
        tag: "0.8.2",
        test_strategy: "performance",
        deployment_strategy: "blue_green_service",
        labels: &labels,
    };
    let (start, end) = (time("2026-01-31T12:00:00.001Z"), time("2026-01-31T12:05:00Z"));
    let indicators = [objective(612.5), objective(f64::NAN)];
    let evaluation = Evaluation {
        start,
        end,
        result,
        passed: result == EvaluationResult::Pass,
        score: 50.0,
        gate_file: "spec_version: '1.0'\n",
        message: "why",
        indicators: &indicators,
        compared: &["e1".to_owned()],
        pitometer: None,
    };
    let origin = Origin { id: "id-1", source: "portcullis", time: end, context: Some("c"), triggered_id: Some("t") };
    let extra = json!({ "githuborg": "me", "deep": [{ "a": null }] });
    for message in [
        Message::NewArtifact,
        Message::DeploymentFinished { succeeded: true, local_url: "http://l", public_url: "http://p" },
        Message::DeploymentFinished { succeeded: false, local_url: "", public_url: "" },
        Message::TestsFinished { start, end, passed: true },
        Message::TestsFinished { start, end, passed: false },
        Message::StartEvaluation { start, end },
        Message::EvaluationDone(&evaluation),
        Message::Promoted,
        Message::Discarded,
        Message::ApprovalTriggered { result },
    ] {
        if let Some(event) = build(era, &about, message, origin, &carried(&extra)) {
            call(message, event);
        }
    }
}

#[test]
fn what_is_sent_is_read_as_it_was_meant_and_carries_what_it_was_given() {
    let results = [EvaluationResult::Pass, EvaluationResult::Warning, EvaluationResult::Fail, EvaluationResult::Inconclusive];
    for (era, count) in [(Era::V0_4, 6), (Era::V0_6, 9), (Era::V1, 10)] {
        for result in results {
            let mut sent = 0;
            each_message(era, result, |message, event| {
                sent += 1;
                assert_eq!(structured(&event.to_json()).as_ref(), Ok(&event));
                assert_eq!((event.version, event.context.as_deref()), (era.spec_version(), Some("c")));
                assert_eq!((&event.data["githuborg"], &event.data["deep"][0]["a"]), (&json!("me"), &Value::Null));
                let meant = interpret("f", None, &event).unwrap_or_else(|problems| panic!("{}: {problems:?}", event.kind));
                let same = match (message, &meant) {
                    (Message::NewArtifact, Incoming::NewArtifact(artifact)) => {
                        let whole = "docker.io/keptnexamples/carts:0.8.2";
                        let split = artifact.tag.as_deref() == Some("0.8.2") && whole.starts_with(&artifact.image);
                        (artifact.image == whole || split) && artifact.stage.as_deref() == Some("staging")
                    }
                    (Message::DeploymentFinished { succeeded, .. }, Incoming::DeploymentFinished(done)) => done.succeeded == succeeded,
                    (Message::TestsFinished { passed, start, .. }, Incoming::TestsFinished(tests)) => {
                        tests.passed == passed && tests.window().is_some_and(|window| window.start == start)
                    }
                    (Message::TestsFinished { passed: false, .. }, Incoming::EvaluationDone(done)) => done.result == EvaluationResult::Fail,
                    (Message::StartEvaluation { start, end }, Incoming::StartEvaluation(wish)) => {
                        (wish.start, wish.end) == (Some(start), Some(end))
                    }
                    (Message::EvaluationDone(evaluation), Incoming::EvaluationDone(done)) => {
                        // 0.4 has only passed or not.
                        let warned = era == Era::V0_4 && evaluation.result == EvaluationResult::Warning;
                        let wanted = if warned { EvaluationResult::Fail } else { evaluation.result };
                        done.result == wanted && done.score == Some(50.0)
                    }
                    (Message::Promoted, Incoming::Promote(_)) | (Message::Discarded, Incoming::Discard(_)) => era == Era::V0_6,
                    (Message::Promoted | Message::Discarded, Incoming::Other { .. }) => era != Era::V0_6,
                    (Message::ApprovalTriggered { .. }, Incoming::Other { .. }) => true,
                    _ => false,
                };
                assert!(same, "{era:?} {message:?}: {meant:?}");
            });
            assert_eq!(sent, count, "{era:?}");
        }
    }
}

#[test]
fn an_inconclusive_evaluation_promotes_nowhere() {
    for era in [Era::V0_4, Era::V0_6, Era::V1] {
        each_message(era, EvaluationResult::Inconclusive, |message, event| {
            if matches!(message, Message::EvaluationDone(_)) {
                let (data, details) = (&event.data, [&event.data["evaluationdetails"], &event.data["evaluation"]]);
                assert!(details.iter().any(|details| details["result"] == "inconclusive"), "{data}");
                assert!(data["evaluationpassed"] == false || data["result"] == "fail", "{data}");
            }
        });
    }
}

#[test]
fn what_is_no_number_is_null_with_a_reason() {
    for (era, details) in [(Era::V0_6, "evaluationdetails"), (Era::V1, "evaluation")] {
        each_message(era, EvaluationResult::Fail, |message, event| {
            if matches!(message, Message::EvaluationDone(_)) {
                let results = &event.data[details]["indicatorResults"];
                assert_eq!((&results[0]["value"]["value"], &results[0]["value"]["message"]), (&json!(612.5), &Value::Null));
                let value = &results[1]["value"];
                assert_eq!((&value["value"], &value["message"]), (&Value::Null, &json!("the value is not a number")));
                assert!(value.as_object().unwrap().contains_key("value"));
                assert_eq!(event.data[details]["sloFileContent"], "c3BlY192ZXJzaW9uOiAnMS4wJwo=");
                if era == Era::V0_6 {
                    assert_eq!(results[0]["targets"][0]["criteria"], "<800");
                    assert_eq!(results[0]["targets"][1]["criteria"], "<600");
                } else {
                    assert_eq!((&results[1]["value"]["comparedValue"], &results[1]["keySli"]), (&Value::Null, &json!(true)));
                }
            }
        });
    }
}

#[test]
fn each_era_has_its_own_types_and_spelling() {
    let kinds = |era| {
        let mut kinds = Vec::new();
        each_message(era, EvaluationResult::Pass, |_, event| kinds.push(event.kind));
        kinds.dedup();
        kinds
    };
    let old = ["new-artifact", "deployment-finished", "tests-finished", "evaluation-done", "configuration-changed"];
    assert_eq!(kinds(Era::V0_4), old.map(|kind| format!("sh.keptn.events.{kind}")));
    let middle = [
        "sh.keptn.event.configuration.change",
        "sh.keptn.events.deployment-finished",
        "sh.keptn.events.tests-finished",
        "sh.keptn.event.start-evaluation",
        "sh.keptn.events.evaluation-done",
        "sh.keptn.event.configuration.change",
        "sh.keptn.event.approval.triggered",
    ];
    assert_eq!(kinds(Era::V0_6), middle);
    let new = [
        "staging.delivery.triggered",
        "deployment.finished",
        "test.finished",
        "evaluation.triggered",
        "evaluation.finished",
        "release.finished",
        "rollback.finished",
        "approval.triggered",
    ];
    assert_eq!(kinds(Era::V1), new.map(|kind| format!("sh.keptn.event.{kind}")));
    assert_eq!(["0.4", "0.6", "1.x"].map(|text| text.parse()), [Ok(Era::V0_4), Ok(Era::V0_6), Ok(Era::V1)]);
    assert!("2".parse::<Era>().is_err());
}
