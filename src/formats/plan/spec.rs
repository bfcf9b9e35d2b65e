//! A plan as written: its keys and their kinds, before any value is understood.

use crate::formats::plan::approval::ApprovalSpec;
use crate::formats::yaml::fields::Fields;
use crate::formats::yaml::place::{At, Report};
use crate::formats::yaml::tree::Node;

/// A plan, written as a ramp or as steps.
#[derive(Debug)]
pub enum PlanSpec {
    /// Nothing is written.
    Unwritten,
    /// A ramp.
    Ramp(Box<RampSpec>),
    /// The steps one by one.
    Steps(At<Vec<StepSpec>>),
    /// Something was written that is no plan; it was reported.
    Broken,
}

/// A ramp; what is left out has its default.
#[derive(Debug, Default)]
pub struct RampSpec {
    /// The first share, `auto` or a share.
    pub start: Option<At<String>>,
    /// By how much each step grows.
    pub factor: Option<At<String>>,
    /// How long a step lasts at least.
    pub hold: Option<At<String>>,
    /// Whether no step is held.
    pub express: Option<At<bool>>,
    /// How many bad requests may be in flight.
    pub harm: Option<At<String>>,
    /// Who must say that it gives everything.
    pub approval: Option<ApprovalSpec>,
}

/// A step of a plan.
#[derive(Debug)]
pub struct StepSpec {
    /// The share.
    pub weight: Option<At<String>>,
    /// How long a step lasts at least.
    pub hold: Option<At<String>>,
    /// Who must say that it goes on from there.
    pub approval: Option<ApprovalSpec>,
}

impl PlanSpec {
    /// Reads a plan; what is wrong with it is reported.
    pub fn read(node: &Node, path: String, report: &Report<'_>) -> Self {
        let Some(mut fields) = Fields::open(node, path, report) else { return Self::Broken };
        let ramp = RampSpec {
            start: fields.text("start"),
            factor: fields.text("factor"),
            hold: fields.text("hold"),
            express: fields.boolean("express"),
            harm: fields.text("harm"),
            approval: fields.get("approval").and_then(|(node, path)| ApprovalSpec::read(node, path, report)),
        };
        let steps = fields.list("steps");
        let both = fields.has("steps") && ["start", "factor", "hold", "express", "harm", "approval"].into_iter().any(|key| fields.has(key));
        if both {
            let hint = "leave out either 'steps' or 'start', 'factor', 'hold', 'express', 'harm' and 'approval'";
            report.error(fields.place(), "a plan is either a ramp or steps, and this is both", hint);
        }
        let plan = match steps {
            _ if both => Self::Broken,
            Some(At { value, place }) => {
                let steps = value.into_iter().map(|(node, path)| StepSpec::read(node, path, report)).collect();
                Self::Steps(At::new(steps, place))
            }
            None if fields.has("steps") => Self::Broken,
            None => Self::Ramp(Box::new(ramp)),
        };
        fields.close();
        plan
    }
}

impl StepSpec {
    fn read(node: &Node, path: String, report: &Report<'_>) -> Self {
        let Some(mut fields) = Fields::open(node, path, report) else { return Self { weight: None, hold: None, approval: None } };
        let approval = fields.get("approval").and_then(|(node, path)| ApprovalSpec::read(node, path, report));
        let step = Self { weight: fields.text("weight"), hold: fields.text("hold"), approval };
        fields.require("weight", "write the share of the canary in this step, such as 10%");
        fields.require("hold", "write how long the step lasts at least, such as 10s");
        fields.close();
        step
    }
}
