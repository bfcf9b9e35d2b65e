//! Reads `slo.yaml` with `sli.yaml`, or an Analysis definition, for a live rollout.

use std::collections::HashMap;
use std::path::Path;

use crate::config::named::content;
use crate::config::service_spec::SloSpec;
use crate::domain::gate::Gate;
use crate::domain::gate::foreign_slo::{self, Compiled, Remark};
use crate::domain::gate::graded::{Arithmetic, Graded};
use crate::domain::gate::slo::release::Lighthouse;
use crate::domain::gate::slo::spec::Spec;
use crate::formats::problem::Problem;
use crate::formats::slo::Slis;
use crate::formats::yaml::place::{At, Report};
use crate::formats::yaml::tree::{self, Limits, Node, Value};
use crate::formats::{analysis as analysis_file, slo as slo_file};

/// The most remarks on objectives that are shown.
const MOST_TOLD: usize = 200;

/// The gates of a file, and the file as it grades each step; `None` where it judges nothing.
pub(super) type Read = (Vec<Gate>, Option<Graded>);

/// Reads an `slo.yaml`; `None` after reporting why that is in vain.
pub(super) fn slo(spec: &SloSpec, text: &At<String>, base: &Path, report: &Report<'_>) -> Option<Read> {
    let release = spec.compat.as_ref().map_or(Some(None), |text| compat(text, report));
    let slis = spec.sli.as_ref().map(|text| read_sli(text, base, report));
    let (name, content) = content("slo.yaml", text, base, report)?;
    // What is wrong with the queries was reported, and the file is read all the same to report its own mistakes.
    let (release, slis) = (release?, slis.map_or(Some(None), |slis| slis.map(Some)));
    let read = match release {
        None => {
            let read = match &slis {
                Some(Some(slis)) => slo_file::read_with(&name, &content, slis),
                _ => slo_file::read(&name, &content),
            };
            read.map(|loaded| (loaded.spec, loaded.notes))
        }
        Some(release) => read_released(&name, &content, release),
    };
    let read = match read {
        Ok((read, notes)) => {
            report.extend(notes);
            read
        }
        Err(problems) => {
            report.extend(problems);
            return None;
        }
    };
    let slis = slis?;
    let query = |sli: &str| slis.as_ref().and_then(|slis| slis.query(sli)).map(str::to_owned);
    let mut compiled = foreign_slo::slo(&read, &query);
    let figures = std::mem::take(&mut compiled.figures);
    let gates = told(compiled, &name, &content, &slo_places(&name, &content), report);
    let grades = read.judges();
    Some((gates, grades.then_some(Graded { arithmetic: Arithmetic::Slo(read), figures })))
}

/// Reads an Analysis definition; `None` after reporting why that is in vain.
pub(super) fn analysis(text: &At<String>, base: &Path, report: &Report<'_>) -> Option<Read> {
    let (name, content) = content("Analysis definition", text, base, report)?;
    match analysis_file::read(&name, &content) {
        Ok(loaded) => {
            report.extend(loaded.notes);
            let queries: HashMap<String, String> =
                loaded.templates.into_iter().map(|template| (template.reference.name, template.query)).collect();
            let mut compiled = foreign_slo::analysis(&loaded.definition, &|name| queries.get(name).cloned());
            // Each objective names its template once, in this order; comments are none.
            let lines = content.lines().enumerate().filter(|(_, text)| !text.trim_start().starts_with('#'));
            let marks = lines.filter_map(|(line, text)| Some((line + 1, text.find("analysisValueTemplateRef")?)));
            let places = marks.map(|(line, at)| (line, at + 1)).collect::<Vec<_>>();
            let figures = std::mem::take(&mut compiled.figures);
            let gates = told(compiled, &name, &content, &places, report);
            let grades = loaded.definition.objectives.iter().any(|objective| !objective.target.is_empty());
            Some((gates, grades.then_some(Graded { arithmetic: Arithmetic::Analysis(loaded.definition), figures })))
        }
        Err(problems) => {
            report.extend(problems);
            None
        }
    }
}

/// Reads which rules hold: `strict`, or the name of a release.
fn compat(text: &At<String>, report: &Report<'_>) -> Option<Option<Lighthouse>> {
    if text.value == "strict" {
        return Some(None);
    }
    let release = Lighthouse::from_name(&text.value);
    if release.is_none() {
        let names = Lighthouse::ALL.map(Lighthouse::name).join(", ");
        report.error(&text.place, format!("{:?} is no release of lighthouse", text.value), format!("write strict, or one of {names}"));
    }
    release.map(Some)
}

fn read_sli(text: &At<String>, base: &Path, report: &Report<'_>) -> Option<Slis> {
    let (name, content) = content("sli.yaml", text, base, report)?;
    match slo_file::read_sli(&name, &content) {
        Ok(slis) => {
            report.extend(slis.notes.clone());
            Some(slis)
        }
        Err(problems) => {
            report.extend(problems);
            None
        }
    }
}

fn read_released(name: &str, content: &str, release: Lighthouse) -> Result<(Spec, Vec<Problem>), Vec<Problem>> {
    let hint = format!("mend it, or write compat: strict for better messages than those of lighthouse {}", release.name());
    let read = slo_file::read_keptn(content).map_err(|message| vec![Problem::error(name, "", message).with_hint(hint)])?;
    let spec = foreign_slo::released(&read, release);
    let spec = spec.map_err(|remark| vec![problem(remark, name, content, &slo_places(name, content))])?;
    Ok((spec, Vec::new()))
}

/// Hands on what there is to say and returns the gates.
fn told(compiled: Compiled, name: &str, content: &str, places: &[(usize, usize)], report: &Report<'_>) -> Vec<Gate> {
    let more = compiled.remarks.len().saturating_sub(MOST_TOLD);
    // Errors first, so that what is left out is worth less.
    let (errors, notes): (Vec<_>, Vec<_>) = compiled.remarks.into_iter().partition(|remark| remark.hint.is_some());
    let mut problems: Vec<Problem> =
        errors.into_iter().chain(notes).take(MOST_TOLD).map(|remark| problem(remark, name, content, places)).collect();
    if more > 0 {
        problems.push(Problem::note(name, "", format!("{more} more remarks on objectives are not shown")));
    }
    report.extend(problems);
    compiled.gates
}

fn problem(remark: Remark, name: &str, content: &str, places: &[(usize, usize)]) -> Problem {
    let path = if remark.index < places.len() { format!("objectives[{}]", remark.index) } else { String::new() };
    let problem = match remark.hint {
        Some(hint) => Problem::error(name, &path, remark.message).with_hint(hint),
        None => Problem::note(name, &path, remark.message),
    };
    match places.get(remark.index) {
        Some((line, column)) => problem.at(content, *line, *column),
        None => problem,
    }
}

/// Returns where each objective of an `slo.yaml` stands.
fn slo_places(name: &str, content: &str) -> Vec<(usize, usize)> {
    let Ok(Node { value: Value::Map(entries), .. }) = tree::parse(name, content, Limits::GATES) else { return Vec::new() };
    let objectives = entries.iter().find(|(key, _)| key.value == Value::Text("objectives".to_owned()));
    match objectives.map(|(_, node)| &node.value) {
        Some(Value::List(items)) => items.iter().map(|item| (item.line, item.column)).collect(),
        _ => Vec::new(),
    }
}
