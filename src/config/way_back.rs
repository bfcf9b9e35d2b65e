//! What is done for a stable version that gets everything back, as written and compiled: `way_back`.

use crate::domain::way_back::{Terms, WayBack};
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
}

impl WayBackSpec {
    pub(super) fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self { policy: fields.text("policy"), max_in_flight: fields.text("max_in_flight"), lasts: fields.text("lasts") };
        fields.require("policy", "write at_once, or shed to refuse what the stable version cannot take");
        fields.close();
        Some(spec)
    }

    /// Compiles them; `None` after reporting what is wrong.
    pub(super) fn compile(&self, report: &Report<'_>) -> Option<WayBack> {
        let policy = self.policy.as_ref()?;
        let [least, longest] = Terms::BOUNDS;
        let most = self.max_in_flight.as_ref().map(|text| quantities::whole(text, 1..=MOST, report));
        let lasts = self.lasts.as_ref().map_or(Some(Terms::LASTS), |text| quantities::duration(text, least..=longest, report));
        match policy.value.as_str() {
            "shed" => {
                let most = match most {
                    Some(most) => Some(u32::from(most?)),
                    None => None,
                };
                Some(WayBack::Shed(Terms { most, lasts: lasts? }))
            }
            "at_once" => {
                if let Some(text) = self.max_in_flight.as_ref().or(self.lasts.as_ref()) {
                    let message = "with the policy at_once nothing is refused, so this has no effect";
                    report.error(&text.place, message, "write 'policy: shed', or leave this out");
                    return None;
                }
                Some(WayBack::AtOnce)
            }
            other => {
                let hint = "write at_once, or shed to refuse what the stable version cannot take";
                report.error(&policy.place, format!("{other:?} is no way back"), hint);
                None
            }
        }
    }
}
