//! Finds out what an event means. Fields nobody knows are left in the event; what is known must make sense.

use crate::formats::cloudevent::configuration::configuration_change;
use crate::formats::cloudevent::event::Event;
use crate::formats::cloudevent::fields::{Fields, Problems};
use crate::formats::cloudevent::incoming::{
    ApprovalFinished, DeploymentFinished, EvaluationDone, EvaluationResult, Incoming, NewArtifact, ProblemNotice, StartEvaluation, Subject,
    TestsFinished,
};
use crate::formats::problem::Problem;

/// How types begin from 0.5 on.
const PREFIX: &str = "sh.keptn.event.";

/// How the type of a new artifact ends from 0.8 on, behind the stage.
const DELIVERY: &str = ".delivery.triggered";

const EVALUATION: [(&str, EvaluationResult); 5] = [
    ("pass", EvaluationResult::Pass),
    ("warning", EvaluationResult::Warning),
    ("fail", EvaluationResult::Fail),
    ("failed", EvaluationResult::Fail),
    ("inconclusive", EvaluationResult::Inconclusive),
];

const OUTCOME: [(&str, bool); 4] = [("pass", true), ("warning", true), ("fail", false), ("failed", false)];

const STATUS: [(&str, bool); 4] = [("succeeded", true), ("aborted", false), ("errored", false), ("unknown", false)];

/// Finds out what an event means; `file` is what it is called in problems.
///
/// `text` is its structured form, where there is one: problems then have their place in it.
///
/// # Errors
///
/// Returns every field that is missing or makes no sense, with its path. An event of a type that is not known has none.
pub fn interpret(file: &str, text: Option<&str>, event: &Event) -> Result<Incoming, Vec<Problem>> {
    let read = match event.kind.as_str() {
        "sh.keptn.events.new-artifact" => new_artifact,
        "sh.keptn.event.configuration.change" => configuration_change,
        "sh.keptn.events.deployment-finished" | "sh.keptn.event.deployment.finished" => deployment_finished,
        "sh.keptn.events.tests-finished" | "sh.keptn.event.test.finished" => tests_finished,
        "sh.keptn.event.start-evaluation" | "sh.keptn.event.evaluation.triggered" => start_evaluation,
        "sh.keptn.events.evaluation-done" | "sh.keptn.event.evaluation.finished" => evaluation_done,
        "sh.keptn.event.approval.finished" => approval_finished,
        "sh.keptn.events.problem" | "sh.keptn.event.problem.open" | "sh.keptn.event.problem.close" | "sh.keptn.event.problem.resolved" => {
            problem
        }
        kind if stage_of(kind).is_some() => delivery_triggered,
        kind => return Ok(Incoming::Other { kind: kind.to_owned() }),
    };
    let problems = Problems::new(file, text);
    let incoming = Fields::open(&problems, "data", &event.data).and_then(|data| read(&data, event));
    problems.close(incoming)
}

/// Returns the stage of a `sh.keptn.event.{stage}.delivery.triggered`.
fn stage_of(kind: &str) -> Option<&str> {
    kind.strip_prefix(PREFIX)?.strip_suffix(DELIVERY).filter(|stage| !stage.is_empty() && !stage.contains('.'))
}

/// Reads what an event is about.
fn subject(data: &Fields<'_>) -> Option<Subject> {
    let (project, stage, service) = (data.required_name("project"), data.required_name("stage"), data.required_name("service"));
    let labels = data.labels();
    Some(Subject { project: project?, stage: stage?, service: service?, labels })
}

fn new_artifact(data: &Fields<'_>, _: &Event) -> Option<Incoming> {
    let (project, service) = (data.required_name("project"), data.required_name("service"));
    let image = data.required("image", "write the image, such as docker.io/keptnexamples/carts");
    let (stage, tag, labels) = (data.name("stage"), data.text("tag"), data.labels());
    Some(Incoming::NewArtifact(NewArtifact { project: project?, stage, service: service?, image: image?, tag, labels }))
}

/// From 0.8 on: the image stands in `configurationChange.values.image`, the stage in the type as well.
fn delivery_triggered(data: &Fields<'_>, event: &Event) -> Option<Incoming> {
    let named = stage_of(&event.kind)?;
    let (project, service) = (data.required_name("project"), data.required_name("service"));
    let stage = data.name("stage");
    if let Some(stage) = stage.as_deref().filter(|stage| *stage != named) {
        data.error("stage", format!("the stage is {stage:?} here and {named:?} in the type of the event"), "write the same in both");
        return None;
    }
    let values = data.object("configurationChange").and_then(|change| change.object("values"));
    let image = match values {
        Some(values) => values.required("image", "write the image with its tag"),
        None => {
            data.error(
                "configurationChange",
                "configurationChange.values is missing",
                "write the image there: { \"values\": { \"image\": \"…\" } }",
            );
            None
        }
    };
    let labels = data.labels();
    let stage = Some(named.to_owned());
    Some(Incoming::NewArtifact(NewArtifact { project: project?, stage, service: service?, image: image?, tag: None, labels }))
}

fn deployment_finished(data: &Fields<'_>, event: &Event) -> Option<Incoming> {
    let subject = subject(data);
    let (local, public) = ("deploymentURILocal", "deploymentURIPublic");
    let finished = if is_newer(event) {
        let deployment = data.object("deployment");
        let urls = |key: &str| deployment.as_ref().map(|deployment| deployment.texts(key)).unwrap_or_default();
        DeploymentFinished {
            succeeded: outcome(data)?,
            image: None,
            tag: None,
            local_urls: urls("deploymentURIsLocal"),
            public_urls: urls("deploymentURIsPublic"),
            test_strategy: data.object("test").and_then(|test| test.text("teststrategy")),
            deployment_strategy: deployment.as_ref().and_then(|deployment| deployment.text("deploymentstrategy")),
            subject: subject?,
        }
    } else {
        DeploymentFinished {
            // Nothing was sent of one that failed.
            succeeded: true,
            image: data.text("image"),
            tag: data.text("tag"),
            local_urls: data.texts(local),
            public_urls: data.texts(public),
            test_strategy: data.text("teststrategy"),
            deployment_strategy: data.text("deploymentstrategy"),
            subject: subject?,
        }
    };
    Some(Incoming::DeploymentFinished(finished))
}

/// Up to 0.5 a test has `startedat` and ends with the event, then `start` and `end`, from 0.8 on in `test`.
fn tests_finished(data: &Fields<'_>, event: &Event) -> Option<Incoming> {
    let subject = subject(data);
    let (passed, start, end) = if is_newer(event) {
        let test = data.object("test");
        let time = |key: &str| test.as_ref().and_then(|test| test.time(key));
        (outcome(data), time("start"), time("end"))
    } else {
        let passed = if data.get("result").is_some() { data.word("result", &OUTCOME) } else { Some(true) };
        let (started, end) = (data.time("startedat"), data.time("end"));
        (passed, data.time("start").or(started), end.or(event.time.filter(|_| started.is_some())))
    };
    let (test_strategy, deployment_strategy) = (data.text("teststrategy"), data.text("deploymentstrategy"));
    Some(Incoming::TestsFinished(TestsFinished { subject: subject?, passed: passed?, start, end, test_strategy, deployment_strategy }))
}

fn start_evaluation(data: &Fields<'_>, event: &Event) -> Option<Incoming> {
    let subject = subject(data);
    let (test_strategy, deployment_strategy) = (data.text("teststrategy"), data.text("deploymentstrategy"));
    let (start, end, timeframe) = if is_newer(event) {
        let (evaluation, test) = (data.object("evaluation"), data.object("test"));
        let time = |key: &str| [&evaluation, &test].into_iter().flatten().find_map(|object| object.time(key));
        (time("start"), time("end"), evaluation.as_ref().and_then(|evaluation| evaluation.text("timeframe")))
    } else {
        (data.time("start"), data.time("end"), None)
    };
    Some(Incoming::StartEvaluation(StartEvaluation { subject: subject?, start, end, timeframe, test_strategy, deployment_strategy }))
}

/// 0.2 to 0.4 say `evaluationpassed`, later eras `result`; the details know more words than either.
fn evaluation_done(data: &Fields<'_>, _: &Event) -> Option<Incoming> {
    let subject = subject(data);
    let details = data.object("evaluation").or_else(|| data.object("evaluationdetails"));
    let said = match data.get("evaluationpassed") {
        Some(serde_json::Value::Bool(true)) => Some(EvaluationResult::Pass),
        Some(serde_json::Value::Bool(false)) => Some(EvaluationResult::Fail),
        Some(_) => {
            data.error("evaluationpassed", "evaluationpassed is neither true nor false", "write true or false");
            None
        }
        None => data.required("result", "write pass, warning or fail").and_then(|_| data.word("result", &EVALUATION)),
    };
    let inconclusive = details.as_ref().and_then(|details| details.text("result")).is_some_and(|word| word == "inconclusive");
    let broken = data.word("status", &STATUS) == Some(false);
    let score = details.as_ref().and_then(|details| details.get("score").or_else(|| details.get("totalScore"))?.as_f64());
    let result = if inconclusive || broken { EvaluationResult::Inconclusive } else { said? };
    Some(Incoming::EvaluationDone(EvaluationDone { subject: subject?, result, score }))
}

/// 0.7 says it in `approval`, later eras in the event itself.
fn approval_finished(data: &Fields<'_>, event: &Event) -> Option<Incoming> {
    let subject = subject(data);
    let approval = data.object("approval").filter(|approval| approval.get("result").is_some());
    let place = approval.as_ref().unwrap_or(data);
    let granted = outcome(place);
    let triggered_id = event.triggered_id.clone().or_else(|| approval.as_ref().and_then(|approval| approval.text("triggeredId")));
    Some(Incoming::ApprovalFinished(ApprovalFinished { subject: subject?, approved: granted?, triggered_id }))
}

/// Problems come from monitoring tools, in their spelling and often without project, stage and service.
fn problem(data: &Fields<'_>, _: &Event) -> Option<Incoming> {
    let either = |capital: &str, small: &str| data.text(capital).or_else(|| data.text(small));
    let title = either("ProblemTitle", "problemTitle");
    if title.is_none() {
        data.error("ProblemTitle", "ProblemTitle is missing", "write what the problem is called");
    }
    let key = if data.get("State").is_some() { "State" } else { "state" };
    let open = match data.get(key) {
        Some(_) => data.word(key, &[("OPEN", true), ("RESOLVED", false), ("CLOSED", false)]),
        None => Some(true),
    };
    let (project, stage, service) = (data.name("project"), data.name("stage"), data.name("service"));
    let (id, url) = (either("ProblemID", "problemID"), either("ProblemURL", "problemURL"));
    Some(Incoming::Problem(ProblemNotice { project, stage, service, open: open?, title: title?, id, url }))
}

/// Returns whether something went well, from `result` and `status`.
fn outcome(data: &Fields<'_>) -> Option<bool> {
    let result = data.required("result", "write pass or fail").and_then(|_| data.word("result", &OUTCOME));
    let status = if data.get("status").is_some() { data.word("status", &STATUS) } else { Some(true) };
    Some(result? && status?)
}

/// Says whether a type is one of keptn 0.8 and later, for types that earlier ones spell with `events`.
fn is_newer(event: &Event) -> bool {
    event.kind.starts_with(PREFIX) && event.kind != "sh.keptn.event.start-evaluation"
}
