//! Reads an `slo.yaml` strictly: unknown keys, wrong kinds, criteria that mislead and contradictions, all at once.

use crate::domain::gate::slo::criterion::Criterion;
use crate::domain::gate::slo::spec::{Aggregate, Clause, Comparison, Include, Objective, Sets, Spec, TotalScore};
use crate::formats::problem::Problem;
use crate::formats::rigour::Rigour;
use crate::formats::slo::checks;
use crate::formats::slo::places::{ObjectivePlaces, Places};
use crate::formats::slo::sli::Slis;
use crate::formats::yaml::fields::{Fields, place_of};
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::tree::{self, Limits, Node, Value};

/// Keys that other tools write and nothing reads.
const INERT: [&str; 2] = ["comment", "output"];

/// A gate file that can be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The file.
    pub spec: Spec,
    /// What its reader should know.
    pub notes: Vec<Problem>,
}

/// Reads an `slo.yaml` strictly.
///
/// # Errors
///
/// Returns every problem of the file, notes included, in the order of the file.
pub fn read(file: &str, text: &str) -> Result<Loaded, Vec<Problem>> {
    read_as(file, text, None, Rigour::Load)
}

/// Reads an `slo.yaml` strictly together with the file of queries its SLIs come from.
///
/// # Errors
///
/// Returns every problem, SLIs that `slis` does not have among them.
pub fn read_with(file: &str, text: &str, slis: &Slis) -> Result<Loaded, Vec<Problem>> {
    read_as(file, text, Some(slis), Rigour::Load)
}

/// Returns everything that is wrong with an `slo.yaml`, or worth knowing about it; a gate that can never say anything,
/// or never anything but one result, is an error here.
#[must_use]
pub fn check(file: &str, text: &str, slis: Option<&Slis>) -> Vec<Problem> {
    read_as(file, text, slis, Rigour::Check).map_or_else(|problems| problems, |loaded| loaded.notes)
}

fn read_as(file: &str, text: &str, slis: Option<&Slis>, rigour: Rigour) -> Result<Loaded, Vec<Problem>> {
    let root = tree::parse(file, text, Limits::GATES).map_err(|problem| vec![*problem])?;
    let report = Report::new(file, text);
    let found = read_spec(&root, &report);
    if let Some((spec, places)) = &found
        && !report.has_errors()
    {
        checks::all(&report, spec, places, slis, rigour);
    }
    report.close(found).map(|((spec, _), notes)| Loaded { spec, notes })
}

fn read_spec(root: &Node, report: &Report<'_>) -> Option<(Spec, Places)> {
    let mut fields = Fields::open(root, String::new(), report)?;
    fields.inert(&["spec_version"]);
    fields.inert(&INERT);
    fields.require("objectives", "write 'objectives:' with one entry for each SLI that is judged");
    fields.require("total_score", "write 'total_score: {pass: 90%, warning: 75%}', the share of the points that is needed");
    let filter = fields.peek("filter").map_or(Some(Vec::new()), |(node, path)| read_filter(node, path, report));
    let comparison = match fields.get("comparison") {
        Some((node, path)) => read_comparison(node, path, report),
        None => Some(Comparison { count: 1, include: Include::All, aggregate: Aggregate::Average }),
    };
    let objectives = fields.list("objectives");
    let total = fields.get("total_score").and_then(|(node, path)| read_total(node, path, report));
    fields.close();
    let At { value: items, place } = objectives?;
    if items.is_empty() {
        report.error(&place, "objectives is empty", "write at least one objective, else nothing is judged");
    }
    let read: Vec<_> = items.into_iter().map(|(node, path)| read_objective(node, path, report)).collect();
    let (objectives, each) = read.into_iter().collect::<Option<Vec<_>>>()?.into_iter().unzip();
    let (total, pass, warning) = total?;
    let places = Places { objectives: place, each, pass, warning };
    Some((Spec { filter: filter?, comparison: comparison?, objectives, total }, places))
}

fn read_filter(node: &Node, path: String, report: &Report<'_>) -> Option<Vec<(String, String)>> {
    if node.value == Value::Nothing {
        return Some(Vec::new());
    }
    let Value::Map(entries) = &node.value else {
        let message = format!("filter must be a mapping of texts, not {}", node.value.kind());
        report.error(&place_of(node, path), message, "write 'filter: {handler: ItemsController}', or leave it out");
        return None;
    };
    let pair = |(key, value): &(Node, Node)| match (&key.value, &value.value) {
        (Value::Text(key) | Value::Number(key), Value::Text(value) | Value::Number(value)) => Some((key.clone(), value.clone())),
        _ => {
            let message = format!("a filter is a text, not {}", value.value.kind());
            report.error(&place_of(value, path.clone()), message, "write the value of the label in quotes");
            None
        }
    };
    entries.iter().map(pair).collect()
}

fn read_comparison(node: &Node, path: String, report: &Report<'_>) -> Option<Comparison> {
    let mut fields = Fields::open(node, path, report)?;
    let word = |found: Option<At<String>>, known: &[&str]| match found {
        Some(found) if !found.value.is_empty() && !known.contains(&found.value.as_str()) => {
            let key = found.place.path.rsplit('.').next().unwrap_or_default().to_owned();
            report.error(&found.place, format!("unknown {key} {:?}", found.value), format!("write one of {}", known.join(", ")));
            None
        }
        found => Some(found.filter(|found| !found.value.is_empty())),
    };
    let compare_with = word(fields.text("compare_with"), &["single_result", "several_results"]);
    let include = word(fields.text("include_result_with_score"), &Include::NAMES);
    let aggregate = word(fields.text("aggregate_function"), &Aggregate::NAMES);
    let number = fields.text("number_of_comparison_results");
    let place = fields.place().clone();
    fields.close();
    let several = match &compare_with {
        Some(Some(found)) => found.value == "several_results",
        Some(None) => {
            let hint = "write 'compare_with: single_result' or 'compare_with: several_results'";
            report.error(&place.missing("compare_with"), "compare_with is missing", hint);
            false
        }
        None => false,
    };
    let count = match number {
        None => Some(3),
        Some(found) => {
            if !several && compare_with.is_some() {
                report.note(
                    &found.place,
                    "number_of_comparison_results has no effect with single_result",
                    "leave it out, or write several_results",
                );
            }
            let count = found.value.parse::<usize>().ok().filter(|count| (1..=1000).contains(count));
            if count.is_none() {
                let message = format!("number_of_comparison_results {} is not a whole number from 1 to 1000", found.value);
                report.error(&found.place, message, "write how many earlier evaluations are compared with, for example 3");
            }
            count
        }
    };
    Some(Comparison {
        count: if several { count? } else { 1 },
        include: include?.and_then(|found| Include::from_name(&found.value)).unwrap_or(Include::All),
        aggregate: aggregate?.and_then(|found| Aggregate::from_name(&found.value)).unwrap_or(Aggregate::Average),
    })
}

fn read_total(node: &Node, path: String, report: &Report<'_>) -> Option<(TotalScore, Place, Place)> {
    let mut fields = Fields::open(node, path, report)?;
    let whole = fields.place().clone();
    fields.require("pass", "write the share of the points that is needed, for example 'pass: 90%'");
    let pass = fields.text("pass");
    let warning = fields.text("warning").filter(|found| !found.value.is_empty());
    fields.close();
    let percent = |found: &At<String>| {
        let bare = found.value.strip_suffix('%').unwrap_or(&found.value).trim();
        let number = bare.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        if number.is_none() {
            let message = format!("{:?} is not a percentage of 0 or more", found.value);
            report.error(&found.place, message, "write for example 90%, of the points of all objectives together");
        }
        number
    };
    let (pass, warning) = (pass?, warning);
    let at = (pass.place.clone(), warning.as_ref().map_or(whole, |found| found.place.clone()));
    let (pass, warning) = (percent(&pass), warning.as_ref().map(percent));
    Some((TotalScore { pass: pass?, warning: warning.map_or(Some(None), |found| found.map(Some))? }, at.0, at.1))
}

fn read_objective(node: &Node, path: String, report: &Report<'_>) -> Option<(Objective, ObjectivePlaces)> {
    let mut fields = Fields::open(node, path, report)?;
    let whole = fields.place().clone();
    fields.inert(&INERT);
    fields.require("sli", "name the indicator, for example 'sli: response_time_p95'");
    let sli = fields.text("sli");
    let display_name = fields.text("displayName").map_or(String::new(), |found| found.value);
    let name = sli.as_ref().map_or("this objective", |sli| sli.value.as_str()).to_owned();
    let pass = read_sets(&mut fields, "pass", &name, report);
    let warning = read_sets(&mut fields, "warning", &name, report);
    let weight = fields.text("weight").map_or(Some(1), |found| read_weight(&found, report));
    let key = fields.boolean("key_sli").is_some_and(|found| found.value);
    let baseline = fields.text("baseline");
    fields.close();
    let baseline_optional = baseline.is_some_and(|found| {
        if !["optional", "required"].contains(&found.value.as_str()) {
            let hint = "write \"optional\" to judge a first run without the relative criteria, or \"required\"";
            report.error(&found.place, "baseline must be \"optional\" or \"required\"", hint);
        }
        found.value == "optional"
    });
    let sli = sli?;
    if sli.value.trim().is_empty() {
        report.error(&sli.place, "sli is empty", "name the indicator, for example 'sli: response_time_p95'");
    }
    let ((pass, pass_places), (warning, warning_places)) = (pass?, warning?);
    if pass.is_empty() && !warning.is_empty() {
        report.note(&whole, format!("warning of {name} has no effect without pass"), "add pass criteria, or leave warning out");
    }
    let places = ObjectivePlaces { sli: sli.place, pass: pass_places, warning: warning_places };
    Some((Objective { sli: sli.value, display_name, pass, warning, weight: weight?, key, baseline_optional }, places))
}

fn read_weight(found: &At<String>, report: &Report<'_>) -> Option<u32> {
    let weight = found.value.parse::<u32>().ok().filter(|weight| *weight > 0);
    if weight.is_none() {
        let message = format!("weight {} is not a whole number of 1 or more", found.value);
        report.error(
            &found.place,
            message,
            "write whole points, for example 'weight: 2'; an objective without pass criteria counts nothing",
        );
    }
    weight
}

/// Reads `pass` or `warning`: criteria sets with the place of each criterion. An empty list is an informational objective.
fn read_sets(fields: &mut Fields<'_>, key: &'static str, sli: &str, report: &Report<'_>) -> Option<(Sets, Vec<Vec<Place>>)> {
    let Some((node, path)) = fields.get(key) else {
        return if fields.has(key) { None } else { Some((Vec::new(), Vec::new())) };
    };
    let Value::List(items) = &node.value else {
        let message = format!("{key} must be a list of criteria sets, not {}", node.value.kind());
        report.error(&place_of(node, path), message, format!("write '{key}: [{{criteria: [\"<600\"]}}]'"));
        return None;
    };
    let read = |(at, item): (usize, &Node)| read_set(item, format!("{path}[{at}]"), sli, report);
    let sets: Vec<_> = items.iter().enumerate().map(read).collect();
    Some(sets.into_iter().collect::<Option<Vec<_>>>()?.into_iter().unzip())
}

fn read_set(node: &Node, path: String, sli: &str, report: &Report<'_>) -> Option<(Vec<Clause>, Vec<Place>)> {
    let mut fields = Fields::open(node, path, report)?;
    fields.require("criteria", "write 'criteria: [\"<600\"]'; all criteria of one list must hold");
    let texts = fields.texts("criteria");
    fields.close();
    let At { value: texts, place } = texts?;
    if texts.is_empty() {
        report.error(&place, format!("empty criteria set of {sli}"), "write at least one criterion, or leave the set out");
    }
    let clause = |found: At<String>| match Criterion::parse_strictly(&found.value) {
        Ok(criterion) => Some((Clause { text: found.value, criterion }, found.place)),
        Err(error) => {
            report.error(&found.place, format!("criterion {:?} of {sli}: {error}", found.value), error.hint);
            None
        }
    };
    let clauses: Vec<_> = texts.into_iter().map(clause).collect();
    Some(clauses.into_iter().collect::<Option<Vec<_>>>()?.into_iter().unzip())
}
