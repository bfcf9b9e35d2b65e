//! Reads spec 0.2.x, keptn 0.8 and later, as far as delivery, evaluation, release and rollback need it.
//!
//! The sequence `delivery` of a stage is what is delivered by; `rollback` and `remediation` are noticed, and any other one is
//! named as without effect.

use crate::domain::delivery::shipyard::{Gate, OnWarning, Stage, Strategy};
use crate::formats::perfspec::reader::nearest;
use crate::formats::plan::{self, PlanSpec};
use crate::formats::shipyard::words::{self, Manner};
use crate::formats::yaml::fields::{Fields, place_of};
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::tree::{Node, Value};

/// The tasks that are understood here, in a delivery.
const TASKS: [&str; 5] = ["approval", "deployment", "evaluation", "release", "test"];
/// The words of a selector.
const RESULTS: [&str; 3] = ["pass", "warning", "fail"];

struct Sequence<'n> {
    name: At<String>,
    triggers: Vec<Trigger>,
    tasks: Vec<Task<'n>>,
}

struct Trigger {
    event: At<String>,
    /// The results it wants; without any it wants a pass.
    results: Vec<String>,
}

struct Task<'n> {
    name: At<String>,
    properties: Option<(&'n Node, String)>,
}

struct Written<'n> {
    name: At<String>,
    sequences: Vec<Sequence<'n>>,
}

/// Reads `apiVersion`, `kind`, `metadata` and `spec`; returns the stages, each with the place of its name.
pub(super) fn read<'n>(fields: &mut Fields<'n>, manner: &Manner<'_>, report: &'n Report<'n>) -> Option<(Vec<Stage>, Vec<Place>)> {
    fields.require("apiVersion", "write 'apiVersion: spec.keptn.sh/0.2.2'");
    fields.require("kind", "write 'kind: Shipyard'");
    fields.require("spec", "write 'spec:' with the stages");
    let (version, kind) = (fields.text("apiVersion"), fields.text("kind"));
    if let Some(found) = version.filter(|found| !found.value.starts_with("spec.keptn.sh/0.2.") && !manner.lenient()) {
        report.error(&found.place, format!("unknown apiVersion {:?}", found.value), "write 'apiVersion: spec.keptn.sh/0.2.2'");
    }
    if let Some(found) = kind.filter(|found| found.value != "Shipyard") {
        report.error(&found.place, format!("this is a {:?}, not a shipyard", found.value), "write 'kind: Shipyard'");
    }
    if let Some((node, path)) = fields.get("metadata") {
        let mut metadata = Fields::open(node, path, report)?;
        metadata.text("name");
        close(metadata, manner);
    }
    let (node, path) = fields.get("spec")?;
    let mut spec = Fields::open(node, path, report)?;
    spec.require("stages", "write 'stages:' with one entry for each stage, in the order of delivery");
    let items = spec.list("stages");
    close(spec, manner);
    let written: Vec<_> = items?.value.into_iter().map(|(node, path)| read_stage(node, path, manner, report)).collect();
    let written = written.into_iter().collect::<Option<Vec<_>>>()?;
    let mut stages: Vec<_> = written.iter().map(|stage| compile(stage, manner, report)).collect();
    for index in 0..written.len() {
        let warns = check_triggers(&written, index, manner, report);
        let before = index.checked_sub(1).and_then(|before| stages.get_mut(before)?.as_mut());
        if let Some(before) = before.filter(|_| !warns) {
            before.on_warning = OnWarning::Hold;
        }
    }
    let places = written.into_iter().map(|stage| stage.name.place).collect();
    Some((stages.into_iter().collect::<Option<Vec<_>>>()?, places))
}

fn close(fields: Fields<'_>, manner: &Manner<'_>) {
    if !manner.lenient() {
        fields.close();
    }
}

fn read_stage<'n>(node: &'n Node, path: String, manner: &Manner<'_>, report: &'n Report<'n>) -> Option<Written<'n>> {
    let mut fields = Fields::open(node, path, report)?;
    fields.require("name", "name the stage, for example 'name: staging'");
    let name = fields.text("name");
    // Required by the specification and left out by real files all the same.
    let items = fields.list("sequences").map_or(Vec::new(), |items| items.value);
    close(fields, manner);
    let sequences: Vec<_> = items.into_iter().map(|(node, path)| read_sequence(node, path, manner, report)).collect();
    Some(Written { name: name?, sequences: sequences.into_iter().collect::<Option<_>>()? })
}

fn read_sequence<'n>(node: &'n Node, path: String, manner: &Manner<'_>, report: &'n Report<'n>) -> Option<Sequence<'n>> {
    let mut fields = Fields::open(node, path, report)?;
    fields.require("name", "name the sequence, for example 'name: delivery'");
    fields.require("tasks", "write 'tasks:' with one entry for each task");
    let name = fields.text("name");
    let triggers = fields.list("triggeredOn").map_or(Vec::new(), |items| items.value);
    let tasks = fields.list("tasks").map_or(Vec::new(), |items| items.value);
    close(fields, manner);
    let triggers: Vec<_> = triggers.into_iter().map(|(node, path)| read_trigger(node, path, manner, report)).collect();
    let tasks: Vec<_> = tasks.into_iter().map(|(node, path)| read_task(node, path, manner, report)).collect();
    let (triggers, tasks) = (triggers.into_iter().collect::<Option<_>>()?, tasks.into_iter().collect::<Option<_>>()?);
    Some(Sequence { name: name?, triggers, tasks })
}

fn read_task<'n>(node: &'n Node, path: String, manner: &Manner<'_>, report: &'n Report<'n>) -> Option<Task<'n>> {
    let mut fields = Fields::open(node, path, report)?;
    fields.require("name", "name the task, for example 'name: deployment'");
    let name = fields.text("name");
    fields.inert(&["triggeredAfter"]);
    let properties = fields.peek("properties").filter(|(node, _)| node.value != Value::Nothing);
    close(fields, manner);
    Some(Task { name: name?, properties })
}

fn read_trigger(node: &Node, path: String, manner: &Manner<'_>, report: &Report<'_>) -> Option<Trigger> {
    let mut fields = Fields::open(node, path, report)?;
    fields.require("event", "write 'event: staging.delivery.finished'");
    let event = fields.text("event");
    let selector = fields.get("selector");
    close(fields, manner);
    let mut results = Vec::new();
    if let Some((node, path)) = selector {
        let mut fields = Fields::open(node, path, report)?;
        fields.require("match", "write 'match: {result: pass}'");
        let matched = fields.get("match");
        close(fields, manner);
        let (node, path) = matched?;
        let Value::Map(entries) = &node.value else {
            report.error(&place_of(node, path), "match must be a mapping", "write 'match: {result: pass}'");
            return None;
        };
        for (key, value) in entries {
            results.extend(read_match(key, value, &path, manner, report));
        }
    }
    Some(Trigger { event: event?, results })
}

fn read_match(key: &Node, value: &Node, path: &str, manner: &Manner<'_>, report: &Report<'_>) -> Option<String> {
    let (Value::Text(name), Value::Text(word)) = (&key.value, &value.value) else {
        report.error(&place_of(value, path.to_owned()), "a match is a text", "write 'match: {result: pass}'");
        return None;
    };
    let place = place_of(value, format!("{path}.{name}"));
    if name != "result" && !name.ends_with(".result") {
        if !manner.lenient() {
            report.error(&place_of(key, path.to_owned()), format!("unknown key {name:?} of a match"), nearest(name, &["result"]));
        }
        return None;
    }
    if !RESULTS.contains(&word.as_str()) && !manner.lenient() {
        // Prose of the specification says "failed"; what is sent says "fail".
        let hint = if word == "failed" { "write \"fail\": \"failed\" never matches".to_owned() } else { nearest(word, &RESULTS) };
        report.error(&place, format!("no sequence ends with {word:?}"), hint);
        return None;
    }
    Some(word.clone())
}

fn compile(written: &Written<'_>, manner: &Manner<'_>, report: &Report<'_>) -> Option<Stage> {
    let mut stage = Stage::new(words::stage_name(&written.name, report)?, Strategy::Direct);
    let named = |name: &str| written.sequences.iter().find(|sequence| sequence.name.value == name);
    stage.remediation = named("remediation").is_some();
    let known = ["delivery", "rollback", "remediation"];
    for sequence in written.sequences.iter().filter(|sequence| !known.contains(&sequence.name.value.as_str())) {
        let message = format!("the sequence {:?} has no effect", sequence.name.value);
        report.note(&sequence.name.place, message, "artifacts are delivered by the sequence \"delivery\"");
    }
    let Some(delivery) = named("delivery") else {
        let message = format!("{} has no sequence \"delivery\": artifacts get their traffic at once there", stage.name);
        report.note(&written.name.place, message, "add the sequence, or leave the stage out");
        return Some(stage);
    };
    stage.gate = Gate::None;
    for task in &delivery.tasks {
        compile_task(task, &mut stage, manner, report)?;
    }
    Some(stage)
}

fn compile_task(task: &Task<'_>, stage: &mut Stage, manner: &Manner<'_>, report: &Report<'_>) -> Option<()> {
    let nothing = Node { line: 1, column: 1, value: Value::Map(Vec::new()) };
    let (node, path) = task.properties.clone().unwrap_or_else(|| (&nothing, String::new()));
    let mut fields = Fields::open(node, path, report)?;
    match task.name.value.as_str() {
        "deployment" => {
            let plan = fields
                .get("plan")
                .map(|(node, path)| (place_of(node, path.clone()), plan::compile(&PlanSpec::read(node, path, report), report)));
            let found = fields.text("deploymentstrategy");
            stage.strategy = found.map_or(Some(Strategy::Direct), |found| words::strategy(&found, plan, manner, report))?;
        }
        "test" => stage.test = fields.text("teststrategy").map_or(Some(None), |found| words::test(&found, manner, report))?,
        "evaluation" => {
            stage.gate = Gate::File;
            fields.inert(&["timeframe"]);
        }
        "approval" => stage.approval = Some(words::approval(&mut fields, manner, report)?),
        "release" => {}
        _ if manner.lenient() => {}
        other => {
            let message = format!("the task {other:?} is not supported: nothing here would do it");
            report.error(&task.name.place, message, nearest(other, &TASKS));
        }
    }
    // Properties of tasks are free by the specification: what is unknown is named and does not stop the file.
    if task.name.value == "deployment" || task.name.value == "test" {
        close(fields, manner);
    }
    Some(())
}

/// Looks at what begins the sequences of a stage; says whether a warning of the stage before lets an artifact in.
fn check_triggers(written: &[Written<'_>], index: usize, manner: &Manner<'_>, report: &Report<'_>) -> bool {
    let Some(stage) = written.get(index) else { return false };
    let before = index.checked_sub(1).and_then(|before| written.get(before));
    let mut warns = false;
    for sequence in &stage.sequences {
        for trigger in sequence.triggers.iter().filter(|_| !manner.lenient()) {
            exists(written, &trigger.event, report);
        }
        let Some(before) = before.filter(|_| sequence.name.value == "delivery") else { continue };
        let expected = format!("{}.delivery.finished", before.name.value);
        let mine: Vec<_> = sequence.triggers.iter().filter(|trigger| trigger.event.value == expected).collect();
        warns |= mine.iter().any(|trigger| trigger.results.iter().any(|result| result == "warning"));
        let fails = mine.iter().find(|trigger| trigger.results.iter().any(|result| result == "fail"));
        if let Some(trigger) = fails.filter(|_| !manner.lenient()) {
            let hint = "match pass or warning: what fails in a stage goes no further";
            report.error(&trigger.event.place, "a delivery cannot follow a failure", hint);
        }
        if mine.is_empty() && !manner.lenient() {
            let message = format!("the delivery of {} does not follow {}, the stage before it", stage.name.value, before.name.value);
            report.error(
                &sequence.name.place,
                message,
                format!("write 'triggeredOn: [{{event: \"{expected}\"}}]', or order the stages so"),
            );
        }
    }
    warns
}

/// Reports a trigger on a stage or sequence that does not exist.
fn exists(written: &[Written<'_>], event: &At<String>, report: &Report<'_>) {
    let parts: Vec<&str> = event.value.split('.').collect();
    let [stage, sequence, "finished"] = parts[..] else {
        let hint = "write stage.sequence.finished, for example staging.delivery.finished";
        report.error(&event.place, format!("{:?} can never happen", event.value), hint);
        return;
    };
    let Some(found) = written.iter().find(|found| found.name.value == stage) else {
        let names: Vec<&str> = written.iter().map(|found| found.name.value.as_str()).collect();
        report.error(&event.place, format!("{:?} can never happen: there is no stage {stage:?}", event.value), nearest(stage, &names));
        return;
    };
    if !found.sequences.iter().any(|found| found.name.value == sequence) {
        let names: Vec<&str> = found.sequences.iter().map(|found| found.name.value.as_str()).collect();
        let message = format!("{:?} can never happen: {stage} has no sequence {sequence:?}", event.value);
        report.error(&event.place, message, nearest(sequence, &names));
    }
}
