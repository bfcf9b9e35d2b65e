//! Evaluates an `AnalysisDefinition`, strictly or as the lifecycle toolkit did.

use crate::cli::evaluate::files::{File, Outcome, Stop, both};
use crate::domain::gate::analysis::{keptn, strict};
use crate::formats::analysis;

/// Evaluates strictly.
///
/// # Errors
///
/// Fails with every problem of both files.
pub fn strictly(gate: &File, values: &File) -> Result<Outcome, Stop> {
    let loaded = gate.text().and_then(|text| analysis::read(&gate.name, text));
    let known: Option<Vec<String>> =
        loaded.as_ref().ok().map(|loaded| loaded.definition.objectives.iter().map(|one| one.reference.value_key()).collect());
    let found = values.text().and_then(|text| analysis::read_values(&values.name, text, known.as_deref()));
    let (loaded, found) = both(loaded, found)?;
    let report = strict::evaluate(&loaded.definition, &found);
    Outcome::new(report.verdict, &report, loaded.notes)
}

/// Evaluates as the original did.
///
/// # Errors
///
/// Fails with the problems of both files that the original could not have stored.
pub fn as_keptn(gate: &File, values: &File) -> Result<Outcome, Stop> {
    let definition = gate.text().and_then(|text| analysis::read_keptn(&gate.name, text));
    let found = values.text().and_then(|text| analysis::read_values(&values.name, text, None));
    let (definition, found) = both(definition, found)?;
    let report = keptn::evaluate(&definition, &found);
    Outcome::new(report.verdict, &report, Vec::new())
}
