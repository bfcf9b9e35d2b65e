//! What is done for a stable version that gets everything back, as written and compiled: `way_back`.

use crate::domain::way_back::{Recession, Terms, WayBack};
use crate::formats::yaml::fields::Fields;
use crate::formats::yaml::place::{At, Report};
use crate::formats::yaml::quantities;
use crate::formats::yaml::tree::Node;

/// The most requests that may be written.
const MOST: u16 = u16::MAX;

/// The keys as written.
#[derive(Debug)]
pub(super) struct WayBackSpec {
    policy: Option<At<String>>,
    max_in_flight: Option<At<String>>,
    lasts: Option<At<String>>,
    within: Option<At<String>>,
}

/// What may be written.
const HINT: &str = "write at_once, shed to refuse what the stable version cannot take, or ramp to give it back in steps";

impl WayBackSpec {
    pub(super) fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let (policy, within) = (fields.text("policy"), fields.text("within"));
        let spec = Self { policy, max_in_flight: fields.text("max_in_flight"), lasts: fields.text("lasts"), within };
        fields.require("policy", HINT);
        fields.close();
        Some(spec)
    }

    /// Compiles them; `None` after reporting what is wrong.
    pub(super) fn compile(&self, report: &Report<'_>) -> Option<WayBack> {
        let policy = self.policy.as_ref()?;
        let [least, longest] = Terms::BOUNDS;
        let most = self.max_in_flight.as_ref().map(|text| quantities::whole(text, 1..=MOST, report));
        let lasts = self.lasts.as_ref().map_or(Some(Terms::LASTS), |text| quantities::duration(text, least..=longest, report));
        let [least, longest] = Recession::BOUNDS;
        let within = self.within.as_ref().map_or(Some(Recession::WITHIN), |text| quantities::duration(text, least..=longest, report));
        match policy.value.as_str() {
            "shed" => {
                idle(self.within.as_ref(), "with the policy shed nothing goes back in steps", "ramp", report)?;
                let most = match most {
                    Some(most) => Some(u32::from(most?)),
                    None => None,
                };
                Some(WayBack::Shed(Terms { most, lasts: lasts? }))
            }
            "at_once" => {
                idle(self.refuses(), "with the policy at_once nothing is refused", "shed", report)?;
                idle(self.within.as_ref(), "with the policy at_once nothing goes back in steps", "ramp", report)?;
                Some(WayBack::AtOnce)
            }
            "ramp" => {
                idle(self.refuses(), "with the policy ramp nothing is refused", "shed", report)?;
                Some(WayBack::Ramp(within?))
            }
            other => {
                report.error(&policy.place, format!("{other:?} is no way back"), HINT);
                None
            }
        }
    }

    /// Returns what is written of how requests are refused.
    fn refuses(&self) -> Option<&At<String>> {
        self.max_in_flight.as_ref().or(self.lasts.as_ref())
    }
}

/// Reports what is written although the policy knows nothing of it; `None` where that is so.
fn idle(written: Option<&At<String>>, because: &str, policy: &str, report: &Report<'_>) -> Option<()> {
    if let Some(text) = written {
        report.error(&text.place, format!("{because}, so this has no effect"), format!("write 'policy: {policy}', or leave this out"));
        return None;
    }
    Some(())
}
