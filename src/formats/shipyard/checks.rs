//! Looks at stages that are well formed: what has no effect, and how to mend what makes no shipyard.

use crate::domain::delivery::shipyard::{Gate, InvalidShipyard, OnWarning, Stage, Strategy};
use crate::formats::shipyard::words::Manner;
use crate::formats::yaml::place::{Place, Report};

/// Notes what will not do what it seems to.
pub(super) fn all(report: &Report<'_>, stages: &[Stage], places: &[Place], manner: &Manner<'_>) {
    if manner.lenient() {
        return;
    }
    for (stage, place) in stages.iter().zip(places) {
        let name = &stage.name;
        if !stage.rollback && stage.strategy != Strategy::Direct {
            let hint = "only a direct stage gives a version the traffic before it is judged";
            report.note(place, format!("rollback: false has no effect in {name}"), hint);
        }
        if stage.gate == Gate::None && stage.test.is_none() {
            let message = format!("nothing judges a version in {name}: there is neither a gate nor a test");
            report.note(place, message, "give the stage a test_strategy or a gate file, if that is not meant");
        }
        let is_last = stages.last().is_some_and(|last| last.name == *name);
        if is_last && stage.on_warning == OnWarning::Hold {
            let hint = "no stage follows that a version could be kept from; name a stage before it, or ask with 'approval' in its plan";
            report.note(place, format!("on_warning has no effect in {name}"), hint);
        } else if stage.gate == Gate::None && stage.on_warning == OnWarning::Hold {
            report.note(place, format!("on_warning has no effect in {name}"), "without a gate there are no warnings");
        }
    }
}

/// Returns how to mend what makes no shipyard.
pub(super) const fn hint(problem: &InvalidShipyard) -> &'static str {
    match problem {
        InvalidShipyard::Empty => "write at least one stage, such as {name: dev, deployment_strategy: direct}",
        InvalidShipyard::TooMany(_) => "split the project",
        InvalidShipyard::Twice { .. } => "give each stage its own name",
        InvalidShipyard::Unjudged { .. } => "leave 'gate: none' out, or write 'deployment_strategy: blue_green_service'",
        InvalidShipyard::Foreign { .. } => "leave the compatibility out, or write blue_green_service",
    }
}
