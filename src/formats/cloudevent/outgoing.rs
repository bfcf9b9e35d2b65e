//! Builds the events we send, in the types and payloads of an era.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::formats::cloudevent::era::Era;
use crate::formats::cloudevent::evaluation::{self, Evaluation, known_word, time};
use crate::formats::cloudevent::event::Event;
use crate::formats::cloudevent::incoming::EvaluationResult;

/// The version of keptn's specification that the payloads of 1.x follow.
const KEPTN_SPEC: &str = "0.2.4";

/// Fields that are ours to write; everything else of an incoming event is passed on.
const OURS: [&str; 24] = [
    "project",
    "stage",
    "service",
    "image",
    "tag",
    "teststrategy",
    "deploymentstrategy",
    "labels",
    "valuesCanary",
    "canary",
    "configurationChange",
    "start",
    "end",
    "startedat",
    "result",
    "status",
    "message",
    "evaluation",
    "evaluationdetails",
    "evaluationpassed",
    "deployment",
    "test",
    "approval",
    "release",
];

/// Who sends an event, and when; ids and times are the caller's.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The id of the event.
    pub id: &'a str,
    /// Who sends it.
    pub source: &'a str,
    /// When it came about.
    pub time: Timestamp,
    /// The story it belongs to.
    pub context: Option<&'a str>,
    /// The event it answers.
    pub triggered_id: Option<&'a str>,
}

/// What an event is about.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The project.
    pub project: &'a str,
    /// The stage.
    pub stage: &'a str,
    /// The service.
    pub service: &'a str,
    /// The image without its tag.
    pub image: &'a str,
    /// The tag, or the digest.
    pub tag: &'a str,
    /// The test strategy, empty for none.
    pub test_strategy: &'a str,
    /// The deployment strategy.
    pub deployment_strategy: &'a str,
    /// Labels.
    pub labels: &'a BTreeMap<String, String>,
}

impl About<'_> {
    /// Returns the image with its tag or digest.
    fn reference(&self) -> String {
        let separator = if self.tag.starts_with("sha256:") { '@' } else { ':' };
        format!("{}{separator}{}", self.image, self.tag)
    }
}

/// What an event says.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    /// The artifact goes to this stage.
    NewArtifact,
    /// The artifact's turn has come: it is to be deployed to this stage.
    DeploymentTriggered,
    /// The artifact is deployed, or could not be.
    DeploymentFinished {
        /// Whether it went well; up to 0.7 nothing is sent otherwise.
        succeeded: bool,
        /// Where it can be reached from inside.
        local_url: &'a str,
        /// Where it can be reached from outside.
        public_url: &'a str,
    },
    /// The artifact is tested.
    TestsFinished {
        /// When the test began.
        start: Timestamp,
        /// When it ended.
        end: Timestamp,
        /// Whether it went well.
        passed: bool,
    },
    /// An evaluation is asked for; 0.4 has no such event.
    StartEvaluation {
        /// From when on.
        start: Timestamp,
        /// Up to when.
        end: Timestamp,
    },
    /// The artifact is evaluated.
    EvaluationDone(&'a Evaluation<'a>),
    /// The artifact has become the live version; 0.4 has no such event.
    Promoted,
    /// The artifact is gone again.
    Discarded,
    /// Somebody has to approve before the artifact goes on; 0.4 has no such event.
    ApprovalTriggered {
        /// What the evaluation before said.
        result: EvaluationResult,
    },
    /// Somebody has approved, or not; 0.4 has no such event.
    ApprovalFinished {
        /// Whether the artifact goes on.
        approved: bool,
    },
    /// The artifact's way through the stage is over; only 1.x says so.
    Finished {
        /// How it was judged.
        result: EvaluationResult,
        /// Why, in words.
        message: &'a str,
    },
}

/// Returns the fields of an incoming event that are not ours to write.
#[must_use]
pub fn carried(data: &Value) -> Map<String, Value> {
    let Value::Object(fields) = data else { return Map::new() };
    fields.iter().filter(|(name, _)| !OURS.contains(&name.as_str())).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Builds an event; `carried` are further fields of its data. Returns `None` where the era has no such event.
#[must_use]
pub fn build(era: Era, about: &About<'_>, message: Message<'_>, origin: Origin<'_>, carried: &Map<String, Value>) -> Option<Event> {
    let mut data = carried.clone();
    let kind = match era {
        Era::V0_4 => era_0_4(&mut data, about, message)?,
        Era::V0_6 => era_0_6(&mut data, about, message)?,
        Era::V1 => era_1(&mut data, about, message),
    };
    Some(Event {
        version: era.spec_version(),
        id: origin.id.to_owned(),
        source: origin.source.to_owned(),
        kind,
        time: Some(origin.time),
        context: origin.context.map(str::to_owned),
        triggered_id: origin.triggered_id.map(str::to_owned),
        keptn_version: (era == Era::V1).then(|| KEPTN_SPEC.to_owned()),
        git_commit: None,
        extensions: Map::new(),
        data: Value::Object(data),
    })
}

fn put(data: &mut Map<String, Value>, fields: Value) {
    if let Value::Object(fields) = fields {
        data.extend(fields);
    }
}

/// The payloads of 0.2 to 0.4: one flat object that grows from event to event.
fn era_0_4(data: &mut Map<String, Value>, about: &About<'_>, message: Message<'_>) -> Option<String> {
    put(
        data,
        json!({
            "project": about.project, "teststrategy": about.test_strategy, "deploymentstrategy": about.deployment_strategy,
            "stage": about.stage, "service": about.service, "image": about.image, "tag": about.tag,
        }),
    );
    let kind = match message {
        Message::NewArtifact => "new-artifact",
        Message::DeploymentTriggered => "configuration-changed",
        Message::DeploymentFinished { succeeded: true, .. } => "deployment-finished",
        Message::TestsFinished { start, passed: true, .. } => {
            put(data, json!({ "startedat": start.to_string() }));
            "tests-finished"
        }
        // A test that failed is told as an evaluation that did, as the original does.
        Message::TestsFinished { start, .. } => {
            put(data, json!({ "startedat": start.to_string(), "evaluationpassed": false }));
            "evaluation-done"
        }
        Message::EvaluationDone(evaluation) => {
            evaluation::add_0_4(data, evaluation);
            "evaluation-done"
        }
        // The traffic goes back without another test.
        Message::Discarded => {
            put(data, json!({ "teststrategy": "" }));
            "configuration-changed"
        }
        Message::DeploymentFinished { .. }
        | Message::StartEvaluation { .. }
        | Message::Promoted
        | Message::ApprovalTriggered { .. }
        | Message::ApprovalFinished { .. }
        | Message::Finished { .. } => return None,
    };
    Some(format!("sh.keptn.events.{kind}"))
}

/// The payloads of 0.5 to 0.7.
fn era_0_6(data: &mut Map<String, Value>, about: &About<'_>, message: Message<'_>) -> Option<String> {
    put(data, json!({ "project": about.project, "stage": about.stage, "service": about.service, "labels": about.labels }));
    let strategies = json!({ "teststrategy": about.test_strategy, "deploymentstrategy": about.deployment_strategy });
    let kind = match message {
        Message::NewArtifact | Message::DeploymentTriggered => {
            put(data, json!({ "valuesCanary": { "image": about.reference() }, "canary": { "action": "set", "value": 100 } }));
            return Some("sh.keptn.event.configuration.change".to_owned());
        }
        Message::Promoted | Message::Discarded => {
            let action = if matches!(message, Message::Promoted) { "promote" } else { "discard" };
            put(data, json!({ "canary": { "action": action } }));
            return Some("sh.keptn.event.configuration.change".to_owned());
        }
        Message::StartEvaluation { start, end } => {
            put(data, strategies);
            put(data, json!({ "start": time(start), "end": time(end) }));
            return Some("sh.keptn.event.start-evaluation".to_owned());
        }
        Message::ApprovalTriggered { result } => {
            put(data, strategies);
            put(data, json!({ "image": about.image, "tag": about.tag, "result": known_word(result) }));
            return Some("sh.keptn.event.approval.triggered".to_owned());
        }
        Message::ApprovalFinished { approved } => {
            put(data, strategies);
            let approval = json!({ "result": word(approved), "status": "succeeded" });
            put(data, json!({ "image": about.image, "tag": about.tag, "approval": approval }));
            return Some("sh.keptn.event.approval.finished".to_owned());
        }
        Message::DeploymentFinished { succeeded: false, .. } | Message::Finished { .. } => return None,
        Message::DeploymentFinished { local_url, public_url, .. } => {
            put(
                data,
                json!({ "tag": about.tag, "image": about.image, "deploymentURILocal": local_url, "deploymentURIPublic": public_url }),
            );
            "deployment-finished"
        }
        Message::TestsFinished { start, end, passed } => {
            put(data, json!({ "start": time(start), "end": time(end), "result": word(passed) }));
            "tests-finished"
        }
        Message::EvaluationDone(evaluation) => {
            evaluation::add_0_6(data, evaluation);
            "evaluation-done"
        }
    };
    put(data, strategies);
    Some(format!("sh.keptn.events.{kind}"))
}

/// The payloads of 0.8 to 1.x: what a task is about, its status and result, and an object of its own.
fn era_1(data: &mut Map<String, Value>, about: &About<'_>, message: Message<'_>) -> String {
    put(data, json!({ "project": about.project, "stage": about.stage, "service": about.service, "labels": about.labels }));
    let finished = |well: bool| json!({ "status": "succeeded", "result": word(well), "message": "" });
    let deployment = json!({ "deploymentstrategy": about.deployment_strategy });
    let task = match message {
        Message::NewArtifact => {
            put(data, json!({ "configurationChange": { "values": { "image": about.reference() } }, "deployment": deployment }));
            return format!("sh.keptn.event.{}.delivery.triggered", about.stage);
        }
        Message::DeploymentTriggered => {
            put(data, json!({ "configurationChange": { "values": { "image": about.reference() } }, "deployment": deployment }));
            "deployment.triggered"
        }
        Message::DeploymentFinished { succeeded, local_url, public_url } => {
            let urls = |url: &str| if url.is_empty() { json!([]) } else { json!([url]) };
            put(data, json!({ "status": if succeeded { "succeeded" } else { "errored" }, "result": word(succeeded), "message": "" }));
            put(
                data,
                json!({ "deployment": {
                    "deploymentstrategy": about.deployment_strategy,
                    "deploymentURIsLocal": urls(local_url), "deploymentURIsPublic": urls(public_url),
                }, "test": { "teststrategy": about.test_strategy } }),
            );
            "deployment.finished"
        }
        Message::TestsFinished { start, end, passed } => {
            put(data, finished(passed));
            put(data, json!({ "test": { "start": time(start), "end": time(end) } }));
            "test.finished"
        }
        Message::StartEvaluation { start, end } => {
            put(data, json!({ "evaluation": { "start": time(start), "end": time(end) }, "deployment": deployment }));
            "evaluation.triggered"
        }
        Message::EvaluationDone(evaluation) => {
            evaluation::add_1(data, evaluation);
            "evaluation.finished"
        }
        Message::Promoted => {
            put(data, finished(true));
            "release.finished"
        }
        Message::Discarded => {
            put(data, finished(true));
            "rollback.finished"
        }
        Message::ApprovalTriggered { result } => {
            put(data, json!({ "result": known_word(result), "approval": { "pass": "manual", "warning": "manual" } }));
            "approval.triggered"
        }
        Message::ApprovalFinished { approved } => {
            put(data, finished(approved));
            "approval.finished"
        }
        Message::Finished { result, message } => {
            let status = if result == EvaluationResult::Inconclusive { "errored" } else { "succeeded" };
            put(data, json!({ "status": status, "result": known_word(result), "message": message }));
            return format!("sh.keptn.event.{}.delivery.finished", about.stage);
        }
    };
    format!("sh.keptn.event.{task}")
}

fn word(well: bool) -> &'static str {
    if well { "pass" } else { "fail" }
}
