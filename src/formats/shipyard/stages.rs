//! Reads the stages of the old form, keptn 0.1 to 0.7, with the keys that are ours.

use crate::domain::delivery::shipyard::{Gate, OnWarning, Stage, Strategy};
use crate::domain::rollout::Schedule;
use crate::formats::plan::{self, PlanSpec};
use crate::formats::shipyard::words::{self, Manner, one_of};
use crate::formats::yaml::fields::{Fields, place_of};
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::tree::{Node, Value};

/// Reads `stages`, each with the place of its name.
pub(super) fn read(fields: &mut Fields<'_>, manner: &Manner<'_>, report: &Report<'_>) -> Option<(Vec<Stage>, Vec<Place>)> {
    fields.require("stages", "write 'stages:' with one entry for each stage, in the order of delivery");
    let items = match fields.list("stages") {
        None if manner.lenient() && !fields.has("stages") => At::new(Vec::new(), fields.place().clone()),
        found => found?,
    };
    let read: Vec<_> = items.value.into_iter().map(|(node, path)| read_stage(node, path, manner, report)).collect();
    Some(read.into_iter().collect::<Option<Vec<_>>>()?.into_iter().unzip())
}

fn read_stage(node: &Node, path: String, manner: &Manner<'_>, report: &Report<'_>) -> Option<(Stage, Place)> {
    let mut fields = Fields::open(node, path, report)?;
    let place = fields.place().clone();
    fields.require("name", "name the stage, for example 'name: staging'");
    let name = manner.text(&mut fields, "name", report);
    let strategy = manner.text(&mut fields, "deployment_strategy", report);
    let test = manner.text(&mut fields, "test_strategy", report);
    let remediation = manner.text(&mut fields, "remediation_strategy", report);
    let approval = fields.peek("approval_strategy").filter(|(node, _)| node.value != Value::Nothing);
    let approval = approval.map(|(node, path)| {
        let mut fields = Fields::open(node, path, report)?;
        let read = words::approval(&mut fields, manner, report);
        if !manner.lenient() {
            fields.close();
        }
        read
    });
    let ours = if manner.lenient() { Ours::default() } else { Ours::read(&mut fields, report) };
    if !manner.lenient() {
        fields.close();
    }
    let Some(name) = name else {
        if manner.lenient() {
            report.error(&place, "a stage has no name", "write for example 'name: dev'");
        }
        return None;
    };
    let at = name.place.clone();
    if let (None, Some((place, _))) = (&strategy, &ours.plan) {
        report.error(place, "a plan has no effect without a canary", "write 'deployment_strategy: canary', or leave the plan out");
    }
    let strategy = strategy.map_or(Some(Strategy::Direct), |found| words::strategy(&found, ours.plan, manner, report));
    let test = test.map_or(Some(None), |found| words::test(&found, manner, report));
    let remediation = match remediation {
        Some(found) if !manner.lenient() => one_of(&found, "remediation strategy", &[("automated", true)], report)?,
        found => found.is_some_and(|found| found.value == "automated"),
    };
    let stage = Stage {
        strategy: strategy?,
        test: test?,
        approval: approval.map_or(Some(None), |approval| approval.map(Some))?,
        gate: ours.gate?,
        rollback: ours.rollback,
        on_warning: ours.on_warning?,
        remediation,
        ..Stage::new(words::stage_name(&name, report)?, Strategy::Direct)
    };
    Some((stage, at))
}

/// The keys that keptn did not have.
struct Ours {
    plan: Option<(Place, Option<Schedule>)>,
    gate: Option<Gate>,
    rollback: bool,
    on_warning: Option<OnWarning>,
}

impl Default for Ours {
    fn default() -> Self {
        Self { plan: None, gate: Some(Gate::File), rollback: true, on_warning: Some(OnWarning::Pass) }
    }
}

impl Ours {
    fn read(fields: &mut Fields<'_>, report: &Report<'_>) -> Self {
        let plan = fields
            .get("plan")
            .map(|(node, path)| (place_of(node, path.clone()), plan::compile(&PlanSpec::read(node, path, report), report)));
        let gate = fields.text("gate").map(|found| one_of(&found, "gate", &[("file", Gate::File), ("none", Gate::None)], report));
        let warnings = [("pass", OnWarning::Pass), ("hold", OnWarning::Hold)];
        let on_warning = fields.text("on_warning").map(|found| one_of(&found, "on_warning", &warnings, report));
        let rollback = fields.boolean("rollback").is_none_or(|found| found.value);
        Self { plan, gate: gate.unwrap_or(Some(Gate::File)), rollback, on_warning: on_warning.unwrap_or(Some(OnWarning::Pass)) }
    }
}
