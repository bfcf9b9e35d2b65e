//! Looks at an `AnalysisDefinition` that is well formed: unknown templates, targets and results out of reach.

use std::collections::{HashMap, HashSet};

use crate::domain::gate::analysis::reach;
use crate::domain::gate::analysis::spec::{Definition, Objective, Outcome};
use crate::domain::gate::slo::reach::domain_of;
use crate::formats::perfspec::reader::nearest;
use crate::formats::rigour::Rigour;
use crate::formats::yaml::place::{Place, Report};

/// Where the parts of a file stand.
#[derive(Clone, Debug)]
pub struct Places {
    /// The list of objectives.
    pub objectives: Place,
    /// The reference and the target of each objective.
    pub each: Vec<(Place, Place)>,
    /// `totalScore`.
    pub total: Place,
}

/// Reports everything that is wrong with a well-formed file or worth knowing about it. `templates` are the names of
/// the templates in the same file; an empty list says nothing about those elsewhere.
pub fn all(report: &Report<'_>, definition: &Definition, places: &Places, templates: &[&str], rigour: Rigour) {
    let known: HashSet<&str> = templates.iter().copied().collect();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut possible = Vec::new();
    for (index, (objective, (reference, target))) in definition.objectives.iter().zip(&places.each).enumerate() {
        let name = &objective.reference.name;
        if !known.is_empty() && !known.contains(name.as_str()) {
            let hint = nearest(name, templates.get(..templates.len().min(200)).unwrap_or_default());
            report.error(reference, format!("there is no AnalysisValueTemplate \"{name}\" in this file"), hint);
        }
        let first = *seen.entry(objective.reference.value_key()).or_insert(index);
        if first != index {
            let message = format!("{name} is judged twice, first by objectives[{first}], on the same value");
            report.note(reference, message, "join the two objectives if that is not meant");
        }
        possible.push(of_target(report, objective, target, rigour));
    }
    results(report, definition, places, &possible, rigour);
}

/// Reports what the target of an objective can never say, and returns what it can.
fn of_target(report: &Report<'_>, objective: &Objective, place: &Place, rigour: Rigour) -> Vec<Outcome> {
    let name = &objective.reference.name;
    // Names of templates are written with hyphens, those of SLIs with underscores.
    let (lowest, highest) =
        domain_of(&name.replace('-', "_")).map_or((f64::NEG_INFINITY, f64::INFINITY), |found| (found.lowest, found.highest));
    let possible = reach::possible(&objective.target, lowest, highest);
    if objective.target.is_empty() {
        report.note(place, format!("{name} has no target, so every value passes"), "give it 'failure: {greaterThan: {fixedValue: …}}'");
    } else if possible == [Outcome::Pass] {
        rigour.tell(report, place, format!("no value of {name} fails or warns"), "write a limit that a bad version reaches");
    } else if !possible.contains(&Outcome::Pass) {
        rigour.tell(
            report,
            place,
            format!("no value of {name} passes"),
            "targets say what is bad: failure is looked at first, then warning",
        );
    } else if objective.target.warning.is_some() && !possible.contains(&Outcome::Warning) {
        let message = format!("the warning of {name} has no effect: its failure is always met first");
        report.note(place, message, "targets say what is bad: the warning should begin before the failure");
    }
    possible
}

fn results(report: &Report<'_>, definition: &Definition, places: &Places, possible: &[Vec<Outcome>], rigour: Rigour) {
    if definition.objectives.iter().all(|objective| objective.target.is_empty()) {
        let message = "no objective has a target, so nothing is judged".to_owned();
        rigour.tell(report, &places.objectives, message, "give an objective a target");
        return;
    }
    let found = reach::outcomes(definition, possible);
    let needed = definition.total_score;
    if !found.pass {
        let message = format!("the analysis can never pass: no values reach {} % of the points", needed.pass_percentage);
        rigour.tell(report, &places.total, message, "lower passPercentage, or mend the targets");
    }
    if !found.fail {
        let message = "the analysis can never fail: every score is enough".to_owned();
        rigour.tell(report, &places.total, message, "write a percentage above 0, and targets that a bad version reaches");
    }
    if found.warning == Some(false) {
        let message = "the analysis can never warn: no score lies between warningPercentage and passPercentage";
        report.note(&places.total, message, "that may be meant; otherwise lower warningPercentage");
    }
}
