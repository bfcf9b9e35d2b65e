//! Reads the gate files of a service and hands on everything that is wrong with them or worth knowing.

use std::collections::HashSet;
use std::path::Path;

use crate::config::gates::Placed;
use crate::config::named::content;
use crate::config::service_spec::GateFilesSpec;
use crate::config::settings::Perfspec;
use crate::config::slo_files;
use crate::config::values::located;
use crate::domain::gate::graded::Graded;
use crate::domain::gate::{Gate, live};
use crate::domain::rollout::Schedule;
use crate::formats::problem::Problem;
use crate::formats::yaml::place::{At, Report};
use crate::formats::{argo, flagger, perfspec};

/// What the gate files of a service say.
#[derive(Debug, Default)]
pub(super) struct GateFiles {
    /// The gates, in the order of the keys.
    pub(super) gates: Vec<Placed>,
    /// The perfspec the canary is graded by.
    pub(super) perfspec: Option<Perfspec>,
    /// The other files the canary is graded by.
    pub(super) graded: Vec<Graded>,
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
        files.add(gates.into_iter().flatten().collect(), text);
    }
    if let Some(spec) = &spec.slo
        && let Some(text) = &spec.file
    {
        files.take(slo_files::slo(spec, text, base, report), text);
    }
    if let Some(text) = &spec.analysis {
        files.take(slo_files::analysis(text, base, report), text);
    }
    if let Some(text) = &spec.flagger
        && let Some((name, content)) = content("Canary", text, base, report)
    {
        let (loaded, problems) = split(flagger::read(&name, &content), |loaded| loaded.notes.clone());
        report.extend(problems);
        if let Some(loaded) = loaded {
            files.add(loaded.gates, text);
            files.schedule = loaded.plan.map(Schedule::Steps);
        }
    }
    if let Some(text) = &spec.argo
        && let Some((name, content)) = content("AnalysisTemplate", text, base, report)
    {
        let (loaded, problems) = split(argo::read(&name, &content), |loaded| loaded.notes.clone());
        report.extend(problems);
        files.add(loaded.map_or_else(Vec::new, |loaded| loaded.gates), text);
    }
    files
}

impl GateFiles {
    /// Takes in a file that has gates and grades.
    fn take(&mut self, read: Option<slo_files::Read>, text: &At<String>) {
        let (gates, graded) = read.unwrap_or_default();
        self.add(gates, text);
        self.graded.extend(graded);
    }

    /// Adds the gates of a file; what is there already, word for word, is not asked twice.
    fn add(&mut self, gates: Vec<Gate>, text: &At<String>) {
        let mut seen: HashSet<Gate> = self.gates.iter().map(|placed| placed.gate.clone()).collect();
        let new = gates.into_iter().filter(|gate| seen.insert(gate.clone()));
        self.gates.extend(new.map(|gate| Placed { gate, place: text.place.clone() }));
    }
}

/// Separates what was read from what there is to say about it.
fn split<T>(read: Result<T, Vec<Problem>>, notes: impl FnOnce(&T) -> Vec<Problem>) -> (Option<T>, Vec<Problem>) {
    match read {
        Ok(loaded) => {
            let notes = notes(&loaded);
            (Some(loaded), notes)
        }
        Err(problems) => (None, problems),
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
