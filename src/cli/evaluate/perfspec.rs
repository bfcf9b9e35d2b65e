//! Evaluates a perfspec, and the pair of keptn 0.5 that stands for one.

use crate::cli::evaluate::files::{File, Outcome, Stop};
use crate::domain::gate::perfspec::spec::Spec;
use crate::domain::gate::perfspec::{Js, keptn, strict};
use crate::formats::problem::Problem;
use crate::formats::{perfspec, slo};

/// Evaluates a perfspec strictly.
///
/// # Errors
///
/// Fails with every problem of both files.
pub fn strictly(spec: &File, values: &File) -> Result<Outcome, Stop> {
    let loaded = spec.text().and_then(|text| perfspec::load(&spec.name, text)).map(|loaded| (loaded.spec, loaded.notes));
    judge(loaded, values)
}

/// Evaluates the pair of keptn 0.5 strictly.
///
/// # Errors
///
/// Fails with every problem of the three files.
pub fn pair_strictly(objectives: &File, indicators: &File, values: &File) -> Result<Outcome, Stop> {
    let texts = objectives.text().and_then(|objectives| Ok((objectives, indicators.text()?)));
    judge(texts.and_then(|(one, other)| slo::read_pair((&objectives.name, one), (&indicators.name, other))), values)
}

/// Loads both files before it gives up, so that every problem is shown at once.
fn judge(loaded: Result<(Spec, Vec<Problem>), Vec<Problem>>, values: &File) -> Result<Outcome, Stop> {
    let (spec, notes) = match loaded {
        Ok(loaded) => loaded,
        Err(mut problems) => {
            // Without a spec the ids are unknown; what can still be told is whether the values are JSON at all.
            let also = values.text().and_then(|text| perfspec::load_values_keptn(&values.name, text));
            problems.extend(also.err().into_iter().flatten());
            return Err(Stop::BadFile(problems));
        }
    };
    let answers = values.text().and_then(|text| perfspec::load_values(&values.name, text, &spec)).map_err(|mut problems| {
        problems.splice(0..0, notes.iter().cloned());
        Stop::BadFile(problems)
    })?;
    let report = strict::evaluate(&spec, &answers);
    Outcome::new(report.verdict, &report, notes)
}

/// Evaluates a perfspec as the original did.
///
/// # Errors
///
/// Fails when the values are no JSON object.
pub fn as_keptn(spec: &File, values: &File) -> Result<Outcome, Stop> {
    grade(&perfspec::load_keptn(&String::from_utf8_lossy(&spec.bytes)), values)
}

/// Evaluates the pair of keptn 0.5 as the original did.
///
/// # Errors
///
/// Fails when the values are no JSON object.
pub fn pair_as_keptn(objectives: &File, indicators: &File, values: &File) -> Result<Outcome, Stop> {
    let text = |file: &File| String::from_utf8_lossy(&file.bytes).into_owned();
    grade(&slo::read_pair_keptn(&text(objectives), &text(indicators)), values)
}

fn grade(spec: &Js, values: &File) -> Result<Outcome, Stop> {
    let values = values.text().and_then(|text| perfspec::load_values_keptn(&values.name, text)).map_err(Stop::BadFile)?;
    let report = keptn::evaluate(spec, &|id| match values.get(id)? {
        Js::Undefined => Ok(Js::List(Vec::new())),
        results => Ok(results.clone()),
    });
    Outcome::new(report.verdict, &report, Vec::new())
}
