//! Reads a shipyard of either form into the stages it stands for.

use crate::domain::delivery::shipyard::{Concurrency, Mode, Shipyard};
use crate::formats::problem::Problem;
use crate::formats::shipyard::words::{Manner, one_of};
use crate::formats::shipyard::{checks, sequences, stages};
use crate::formats::yaml::fields::Fields;
use crate::formats::yaml::place::{Place, Report};
use crate::formats::yaml::tree::{self, Limits, Node};

/// A shipyard that can be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The stages.
    pub shipyard: Shipyard,
    /// What its reader should know.
    pub notes: Vec<Problem>,
}

/// Reads a shipyard strictly. A test strategy that is neither functional nor performance is a workload, and noted.
///
/// # Errors
///
/// Returns every problem of the file, notes included, in the order of the file.
pub fn read(file: &str, text: &str) -> Result<Loaded, Vec<Problem>> {
    read_as(file, text, &Manner { mode: Mode::Strict, workloads: None })
}

/// Reads a shipyard strictly, together with the names of the workloads there are beside functional and performance.
///
/// # Errors
///
/// Returns every problem, workloads that are not there among them.
pub fn read_with(file: &str, text: &str, workloads: &[&str]) -> Result<Loaded, Vec<Problem>> {
    read_as(file, text, &Manner { mode: Mode::Strict, workloads: Some(workloads) })
}

/// Reads a shipyard as keptn did: unknown keys are ignored, triggers that can never fire too.
///
/// # Errors
///
/// Returns what kept the original from delivering by it: an error of syntax, no stage, an unknown deployment strategy.
pub fn read_keptn(file: &str, text: &str) -> Result<Loaded, Vec<Problem>> {
    read_as(file, text, &Manner { mode: Mode::Keptn, workloads: None })
}

/// Returns everything that is wrong with a shipyard, or worth knowing about it.
#[must_use]
pub fn check(file: &str, text: &str) -> Vec<Problem> {
    read(file, text).map_or_else(|problems| problems, |loaded| loaded.notes)
}

fn read_as(file: &str, text: &str, manner: &Manner<'_>) -> Result<Loaded, Vec<Problem>> {
    let root = tree::parse(file, text, Limits::CONFIGURATION).map_err(|problem| vec![*problem])?;
    let report = Report::new(file, text);
    let found = read_root(&root, manner, &report);
    report.close(found).map(|(shipyard, notes)| Loaded { shipyard, notes })
}

fn read_root(root: &Node, manner: &Manner<'_>, report: &Report<'_>) -> Option<Shipyard> {
    let mut fields = Fields::open(root, String::new(), report)?;
    let place = fields.place().clone();
    let sequenced = ["apiVersion", "kind", "spec"].into_iter().any(|key| fields.has(key));
    let concurrency = if manner.lenient() { None } else { fields.text("concurrency") };
    let words = [("supersede", Concurrency::Supersede), ("queue", Concurrency::Queue)];
    let concurrency = concurrency.map_or(Some(Concurrency::default()), |found| one_of(&found, "concurrency", &words, report));
    let read = if sequenced {
        sequences::read(&mut fields, manner, report)
    } else {
        if !manner.lenient() {
            // The stored form of keptn 0.4 and the registry of 0.2 and 0.3.
            fields.inert(&["project", "registry"]);
        }
        stages::read(&mut fields, manner, report)
    };
    if !manner.lenient() {
        fields.close();
    }
    let (stages, places) = read?;
    let at = |index: usize| places.get(index).unwrap_or(&place) as &Place;
    checks::all(report, &stages, &places, manner);
    for problem in Shipyard::problems(&stages, manner.mode) {
        report.error(problem.stage().map_or(&place, at), problem.to_string(), checks::hint(&problem));
    }
    Shipyard::new(stages, concurrency?, manner.mode).ok()
}
