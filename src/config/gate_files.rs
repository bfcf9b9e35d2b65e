//! Reads the gate files of a service and hands on everything that is wrong with them or worth knowing.

use std::path::Path;

use crate::config::file::read_text;
use crate::config::gates::Placed;
use crate::config::service_spec::GateFilesSpec;
use crate::config::settings::Perfspec;
use crate::config::values::located;
use crate::domain::gate::live;
use crate::domain::rollout::Schedule;
use crate::formats::perfspec;
use crate::formats::yaml::place::{At, Report};

/// What the gate files of a service say.
#[derive(Debug, Default)]
pub(super) struct GateFiles {
    /// The gates, in the order of the keys.
    pub(super) gates: Vec<Placed>,
    /// The perfspec the canary is graded by.
    pub(super) perfspec: Option<Perfspec>,
    /// How the canary's share grows, where a file says that.
    pub(super) schedule: Option<Schedule>,
}

/// Reads every gate file of a service.
pub(super) fn read(spec: &GateFilesSpec, base: &Path, report: &Report<'_>) -> GateFiles {
    let mut files = GateFiles::default();
    if let Some(text) = &spec.perfspec {
        let derive_tripwire = spec.derive_tripwire.as_ref().is_none_or(|flag| flag.value);
        files.perfspec = read_perfspec(text, base, derive_tripwire, report);
        // What cannot be judged live was refused when the file was read.
        let gates = files.perfspec.as_ref().and_then(|file| live::compile(&file.spec, file.derive_tripwire).ok());
        files.gates.extend(gates.into_iter().flatten().map(|gate| Placed { gate, place: text.place.clone() }));
    }
    files
}

/// Reads a file that a key names; reports why where that fails.
fn content(what: &str, text: &At<String>, base: &Path, report: &Report<'_>) -> Option<(String, String)> {
    let path = located(text, base);
    let name = path.display().to_string();
    match read_text(&path) {
        Ok(content) => Some((name, content)),
        Err(problem) => {
            report.error(&text.place, format!("the {what} {name} is of no use: {}", problem.message), problem.hint.unwrap_or_default());
            None
        }
    }
}

fn read_perfspec(text: &At<String>, base: &Path, derive_tripwire: bool, report: &Report<'_>) -> Option<Perfspec> {
    let (name, content) = content("perfspec", text, base, report)?;
    match perfspec::load_live(&name, &content) {
        Ok(loaded) => {
            report.extend(loaded.notes);
            Some(Perfspec { path: located(text, base), derive_tripwire, spec: loaded.spec })
        }
        Err(problems) => {
            report.extend(problems);
            None
        }
    }
}
