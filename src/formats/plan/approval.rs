//! Reads and compiles an approval: somebody must say, in time, that a rollout goes on from a step of its plan.

use std::time::Duration;

use crate::domain::gate::Inconclusive;
use crate::domain::rollout::Approval;
use crate::domain::rollout::plan::LONGEST_APPROVAL;
use crate::formats::yaml::fields::Fields;
use crate::formats::yaml::place::{At, Report};
use crate::formats::yaml::quantities;
use crate::formats::yaml::tree::Node;

/// The shortest deadline.
const SHORTEST: Duration = Duration::from_secs(1);

/// An approval as written.
#[derive(Debug)]
pub struct ApprovalSpec {
    deadline: Option<At<String>>,
    then: Option<At<String>>,
}

impl ApprovalSpec {
    pub fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self { deadline: fields.text("deadline"), then: fields.text("then") };
        fields.require("deadline", "write how long somebody has to approve, such as 30m");
        fields.close();
        Some(spec)
    }

    /// Compiles it; `None` after reporting why there is none.
    pub fn compile(&self, report: &Report<'_>) -> Option<Approval> {
        let deadline = self.deadline.as_ref().and_then(|text| quantities::duration(text, SHORTEST..=LONGEST_APPROVAL, report));
        let then = self.then.as_ref().map_or(Some(Inconclusive::RollBack), |text| quantities::inconclusive(text, report));
        Some(Approval { deadline: deadline?, then: then? })
    }
}
