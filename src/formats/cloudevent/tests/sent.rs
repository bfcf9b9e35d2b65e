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
        Message::ApprovalFinished { approved: true },
        Message::ApprovalFinished { approved: false },
        Message::DeploymentTriggered,
        Message::Finished { result, message: "why" },
    ] {
        if let Some(event) = build(era, &about, message, origin, &carried(&extra)) {
            call(message, event);
        }
    }
}

#[test]
fn what_is_sent_is_read_as_it_was_meant_and_carries_what_it_was_given() {
    let results = [EvaluationResult::Pass, EvaluationResult::Warning, EvaluationResult::Fail, EvaluationResult::Inconclusive];
    for (era, count) in [(Era::V0_4, 7), (Era::V0_6, 12), (Era::V1, 14)] {
        for result in results {
            let mut sent = 0;
            each_message(era, result, |message, event| {
                sent += 1;
                assert_eq!(structured(&event.to_json()).as_ref(), Ok(&event));
                assert_eq!((event.version, event.context.as_deref()), (era.spec_version(), Some("c")));
                assert_eq!((&event.data["githuborg"], &event.data["deep"][0]["a"]), (&json!("me"), &Value::Null));
                let meant = interpret("f", None, &event).unwrap_or_else(|problems| panic!("{}: {problems:?}", event.kind));
                let same = match (message, &meant) {
                    (Message::NewArtifact | Message::DeploymentTriggered, Incoming::NewArtifact(artifact)) => {
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
                    (Message::ApprovalFinished { approved }, Incoming::ApprovalFinished(done)) => done.approved == approved,
                    (
                        Message::ApprovalTriggered { .. } | Message::DeploymentTriggered | Message::Finished { .. },
                        Incoming::Other { .. },
                    ) => true,
                    _ => false,
                };
                assert!(same, "{era:?} {message:?}: {meant:?}");
            });
            assert_eq!(sent, count, "{era:?}");
        }
    }
}

/// The fields of the data of each event, as keptn's releases wrote them.
#[test]
fn every_event_has_the_shape_that_the_tools_of_its_era_know() {
    let flat = "deploymentstrategy image project service stage tag teststrategy";
    let subject = "labels project service stage";
    let tested = "deploymentstrategy labels project service stage teststrategy";
    let task = "labels message project result service stage status";
    let with = |fields: &str, more: &str| format!("{fields} {more}");
    let shapes = [
        (Era::V0_4, "sh.keptn.events.new-artifact", flat.to_owned()),
        (Era::V0_4, "sh.keptn.events.configuration-changed", flat.to_owned()),
        (Era::V0_4, "sh.keptn.events.deployment-finished", flat.to_owned()),
        (Era::V0_4, "sh.keptn.events.tests-finished", with(flat, "startedat")),
        (Era::V0_4, "sh.keptn.events.evaluation-done", with(flat, "evaluationdetails evaluationpassed")),
        (Era::V0_6, "sh.keptn.event.configuration.change", with(subject, "canary valuesCanary")),
        (Era::V0_6, "sh.keptn.events.deployment-finished", with(tested, "deploymentURILocal deploymentURIPublic image tag")),
        (Era::V0_6, "sh.keptn.events.tests-finished", with(tested, "end result start")),
        (Era::V0_6, "sh.keptn.event.start-evaluation", with(tested, "end start")),
        (Era::V0_6, "sh.keptn.events.evaluation-done", with(tested, "evaluationdetails result")),
        (Era::V0_6, "sh.keptn.event.approval.finished", with(tested, "approval image tag")),
        (Era::V1, "sh.keptn.event.staging.delivery.triggered", with(subject, "configurationChange deployment")),
        (Era::V1, "sh.keptn.event.deployment.triggered", with(subject, "configurationChange deployment")),
        (Era::V1, "sh.keptn.event.deployment.finished", with(task, "deployment test")),
        (Era::V1, "sh.keptn.event.test.finished", with(task, "test")),
        (Era::V1, "sh.keptn.event.evaluation.finished", with(task, "evaluation")),
        (Era::V1, "sh.keptn.event.release.finished", task.to_owned()),
        (Era::V1, "sh.keptn.event.rollback.finished", task.to_owned()),
        (Era::V1, "sh.keptn.event.approval.finished", task.to_owned()),
        (Era::V1, "sh.keptn.event.staging.delivery.finished", task.to_owned()),
    ];
    for (era, kind, fields) in shapes {
        let mut wanted: Vec<&str> = fields.split(' ').chain(["githuborg", "deep"]).collect();
        wanted.sort_unstable();
        let mut seen = false;
        each_message(era, EvaluationResult::Pass, |message, event| {
            // The first of a type is its usual form: a failed test is told as an evaluation, an end of a trial as a change.
            let usual = !matches!(message, Message::TestsFinished { passed: false, .. } | Message::Promoted if era != Era::V1);
            if event.kind == kind && usual && !seen && !matches!(message, Message::Discarded if era != Era::V1) {
                seen = true;
                let mut found: Vec<&str> = event.data.as_object().unwrap().keys().map(String::as_str).collect();
                found.sort_unstable();
                assert_eq!(found, wanted, "{era:?} {kind}");
            }
        });
        assert!(seen, "{era:?} {kind}");
    }
}

#[test]
fn the_end_of_a_way_says_how_it_ended() {
    for (result, status, word) in [
        (EvaluationResult::Pass, "succeeded", "pass"),
        (EvaluationResult::Fail, "succeeded", "fail"),
        (EvaluationResult::Inconclusive, "errored", "fail"),
    ] {
        each_message(Era::V1, result, |message, event| {
            if matches!(message, Message::Finished { .. }) {
                let data = &event.data;
                assert_eq!((&data["status"], &data["result"], &data["message"]), (&status.into(), &word.into(), &"why".into()));
            }
        });
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
        "sh.keptn.event.approval.finished",
        "sh.keptn.event.configuration.change",
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
        "approval.finished",
        "deployment.triggered",
        "staging.delivery.finished",
    ];
    assert_eq!(kinds(Era::V1), new.map(|kind| format!("sh.keptn.event.{kind}")));
    assert_eq!(["0.4", "0.6", "1.x"].map(|text| text.parse()), [Ok(Era::V0_4), Ok(Era::V0_6), Ok(Era::V1)]);
    assert!("2".parse::<Era>().is_err());
}
