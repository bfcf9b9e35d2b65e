//! What the process as a whole may use, and one source of it.

use crate::config::settings::{Limits, Memory};
use crate::formats::yaml::fields::Fields;
use crate::formats::yaml::place::{At, Report};
use crate::formats::yaml::tree::Node;

/// The limits as written.
#[derive(Debug, Default)]
pub(super) struct LimitsSpec {
    memory: Option<At<String>>,
    connections_per_source: Option<At<String>>,
}

impl LimitsSpec {
    pub(super) fn read(node: &Node, path: String, report: &Report<'_>) -> Self {
        let Some(mut fields) = Fields::open(node, path, report) else { return Self::default() };
        let spec = Self { memory: fields.text("memory"), connections_per_source: fields.text("connections_per_source") };
        fields.close();
        spec
    }

    pub(super) fn compile(&self, report: &Report<'_>) -> Option<Limits> {
        let default = Limits::default();
        let memory = self.memory.as_ref().map_or(Some(default.memory), |text| memory(text, report));
        let per_source = self.connections_per_source.as_ref().map_or(Some(default.per_source), |text| per_source(text, report));
        Some(Limits { memory: memory?, per_source: per_source? })
    }
}

fn memory(text: &At<String>, report: &Report<'_>) -> Option<Memory> {
    match text.value.trim() {
        "auto" => return Some(Memory::Group),
        "off" => return Some(Memory::Unlimited),
        _ => {}
    }
    let bytes = bytes(text.value.trim());
    if bytes.is_none() {
        let hint = "write auto, off, or a size of at least 32 MiB such as 512MiB or 2GiB";
        report.error(&text.place, format!("{:?} is no limit of memory", text.value), hint);
    }
    bytes.map(Memory::Bytes)
}

/// Reads a size with its binary unit.
fn bytes(text: &str) -> Option<u64> {
    let (digits, shift) =
        [("KiB", 10), ("MiB", 20), ("GiB", 30)].into_iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)))?;
    let number: u64 = digits.trim().parse().ok()?;
    number.checked_mul(1 << shift).filter(|bytes| *bytes >= 32 << 20)
}

fn per_source(text: &At<String>, report: &Report<'_>) -> Option<Option<u32>> {
    if text.value.trim() == "off" {
        return Some(None);
    }
    let number = text.value.trim().parse().ok().filter(|number| *number > 0);
    if number.is_none() {
        report.error(&text.place, format!("{:?} is no number of connections", text.value), "write a number above 0, such as 1000, or off");
    }
    number.map(Some)
}
