//! Evaluates an `slo.yaml`, strictly or by the rules of a release of lighthouse.

use crate::cli::evaluate::files::{File, Outcome, Stop, both};
use crate::domain::gate::slo::baseline::Earlier;
use crate::domain::gate::slo::release::Lighthouse;
use crate::domain::gate::slo::report::Report;
use crate::domain::gate::slo::{keptn, strict};
use crate::formats::problem::Problem;
use crate::formats::slo;

/// The files of one evaluation.
pub struct Files<'f> {
    /// The gate file.
    pub gate: &'f File,
    /// The queries behind the SLIs.
    pub sli: Option<&'f File>,
    /// The measured values.
    pub values: &'f File,
    /// Earlier reports, newest first.
    pub previous: &'f [File],
}

/// Reads earlier reports.
///
/// # Errors
///
/// Returns every problem of every file.
pub fn earlier(files: &[File]) -> Result<Vec<Earlier>, Vec<Problem>> {
    let read = |file: &File| file.text().and_then(|text| slo::read_earlier(&file.name, text));
    let (mut all, mut problems) = (Vec::new(), Vec::new());
    for file in files {
        match read(file) {
            Ok(earlier) => all.extend(earlier),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(problems) }
}

/// Evaluates strictly.
///
/// # Errors
///
/// Fails with every problem of every file.
pub fn strictly(files: &Files<'_>) -> Result<Outcome, Stop> {
    let gate = files.gate;
    let slis = files.sli.map(|file| file.text().and_then(|text| slo::read_sli(&file.name, text))).transpose();
    let slis_found = slis.as_ref().ok().and_then(Option::as_ref);
    let loaded = gate.text().and_then(|text| match slis_found {
        Some(slis) => slo::read_with(&gate.name, text, slis),
        None => slo::read(&gate.name, text),
    });
    let values = files.values;
    let readings = values.text().and_then(|text| match &loaded {
        Ok(loaded) => slo::read_values(&values.name, text, loaded.spec.objectives.iter().map(|objective| objective.sli.as_str())),
        // Without a gate the names are unknown; what can still be told is whether these are values at all.
        Err(_) => slo::read_values_keptn(&values.name, text, Lighthouse::default()).map(|_| strict::Readings::default()),
    });
    let rest = both(readings, earlier(files.previous));
    let (slis, loaded) = match (both(slis, loaded), &rest) {
        (Ok(found), _) => found,
        (Err(Stop::BadFile(mut problems)), Err(Stop::BadFile(others))) => {
            problems.extend(others.iter().cloned());
            return Err(Stop::BadFile(problems));
        }
        (Err(stop), _) => return Err(stop),
    };
    let (readings, earlier) = rest?;
    let report = strict::evaluate(&loaded.spec, &readings, &earlier).with_slo_text(gate.text().unwrap_or_default());
    let notes = slis.into_iter().flat_map(|slis| slis.notes).chain(loaded.notes).collect();
    Outcome::new(report.verdict, &report, notes)
}

/// Evaluates as a release of lighthouse did.
///
/// # Errors
///
/// Fails when the values or the earlier reports cannot be read; a gate file that cannot be is a result of the original.
pub fn as_keptn(files: &Files<'_>, release: Lighthouse) -> Result<Outcome, Stop> {
    let values = files.values;
    let answer = values.text().and_then(|text| slo::read_values_keptn(&values.name, text, release));
    let (answer, earlier) = both(answer, earlier(files.previous))?;
    let text = String::from_utf8_lossy(&files.gate.bytes);
    let report = match slo::read_keptn(&text) {
        Ok(gate) => keptn::evaluate(&gate, &answer, &earlier, release).with_slo_text(&text),
        Err(error) => Report::errored(release, error),
    };
    Outcome::new(report.verdict, &report, Vec::new())
}
