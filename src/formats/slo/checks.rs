//! Looks at an `slo.yaml` that is well formed: contradictions, unknown SLIs, limits and results out of reach.

use std::collections::HashMap;

use crate::domain::gate::slo::criterion::Operator;
use crate::domain::gate::slo::provider;
use crate::domain::gate::slo::reach::{self, Always};
use crate::domain::gate::slo::spec::{Clause, Objective, Spec};
use crate::formats::perfspec::reader::nearest;
use crate::formats::rigour::Rigour;
use crate::formats::slo::places::{ObjectivePlaces, Places};
use crate::formats::slo::sli::Slis;
use crate::formats::yaml::place::Report;

/// The most names that are looked through for one that is alike.
const MAX_ALIKE: usize = 200;

/// Reports everything that is wrong with a well-formed file or worth knowing about it.
pub fn all(report: &Report<'_>, spec: &Spec, places: &Places, slis: Option<&Slis>, rigour: Rigour) {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (index, (objective, places)) in spec.objectives.iter().zip(&places.each).enumerate() {
        contradictions(report, objective, places);
        out_of_reach(report, objective, places, rigour);
        weaker_pass(report, objective, places);
        if let Some(slis) = slis {
            unknown_sli(report, objective, places, slis, spec);
        }
        let first = *seen.entry(&objective.sli).or_insert(index);
        if first != index {
            let message = format!("{} is judged twice, first by objectives[{first}], on the same value", objective.sli);
            report.note(&places.sli, message, "join the two objectives if that is not meant");
        }
    }
    if !report.has_errors() {
        results(report, spec, places, rigour);
    }
}

fn contradictions(report: &Report<'_>, objective: &Objective, places: &ObjectivePlaces) {
    for (key, sets, places) in [("pass", &objective.pass, &places.pass), ("warning", &objective.warning, &places.warning)] {
        for (set, places) in sets.iter().zip(places) {
            let Some((first, second)) = reach::contradiction(set) else { continue };
            let text = |at: usize| set.get(at).map_or("", |clause| clause.text.as_str());
            if let Some(place) = places.get(second) {
                let (one, other) = (text(first), text(second));
                let message =
                    format!("no value of {} meets both \"{one}\" and \"{other}\", which stand in one criteria list", objective.sli);
                report.error(place, message, format!("write them as two entries of {key} if either is enough"));
            }
        }
    }
}

/// Reports criteria that no value, or every value, meets.
fn out_of_reach(report: &Report<'_>, objective: &Objective, places: &ObjectivePlaces, rigour: Rigour) {
    let Some(domain) = reach::domain_of(&objective.sli) else { return };
    let clauses = objective.pass.iter().chain(&objective.warning).flatten();
    for (clause, place) in clauses.zip(places.pass.iter().chain(&places.warning).flatten()) {
        let range = if domain.highest.is_finite() {
            format!("from {} to {}", domain.lowest, domain.highest)
        } else {
            format!("{} or more", domain.lowest)
        };
        match reach::always(&clause.criterion, domain) {
            Some(Always::Missed) => {
                let message = format!("\"{}\" is out of reach: {} is {}, always {range}", clause.text, objective.sli, domain.what);
                rigour.tell(report, place, message, "write a limit within that range");
            }
            Some(Always::Met) => {
                let message = format!("\"{}\" limits nothing: {} is {}, always {range}", clause.text, objective.sli, domain.what);
                report.note(place, message, "write a limit within that range, or leave it out");
            }
            None => {}
        }
    }
    if !objective.is_informational() {
        let possible = reach::possible(objective);
        if possible.full && !possible.half && !possible.none {
            let message = format!("{} can never miss its pass criteria, so it judges nothing", objective.sli);
            rigour.tell(report, &places.sli, message, "write a limit that a bad version misses");
        }
    }
}

/// Notes warning criteria that are not weaker than the pass criteria, where that is plain to see.
fn weaker_pass(report: &Report<'_>, objective: &Objective, places: &ObjectivePlaces) {
    let (Some(pass), Some(warning)) = (one_sided(&objective.pass), one_sided(&objective.warning)) else { return };
    let Some(place) = places.warning.first().and_then(|set| set.first()) else { return };
    let message = if pass.upper != warning.upper {
        "points the other way than pass"
    } else if (pass.upper && warning.limit <= pass.limit) || (!pass.upper && warning.limit >= pass.limit) {
        "is not weaker than pass, so it never gives half the points"
    } else {
        return;
    };
    report.note(place, format!("the warning of {} {message}", objective.sli), "the warning should allow more than pass");
}

/// The weakest limit of criteria that are all fixed and all bound the same side.
struct OneSided {
    upper: bool,
    limit: f64,
}

fn one_sided(sets: &[Vec<Clause>]) -> Option<OneSided> {
    let side = |clause: &Clause| match clause.criterion.operator {
        _ if clause.criterion.comparison => None,
        Operator::AtMost | Operator::Below => Some((true, clause.criterion.value)),
        Operator::AtLeast | Operator::Above => Some((false, clause.criterion.value)),
        Operator::Equal => None,
    };
    let sides: Vec<(bool, f64)> = sets.iter().flatten().map(side).collect::<Option<_>>()?;
    let (upper, _) = *sides.first()?;
    // Only sets of one criterion: in a longer one the strictest limit would count.
    let simple = sets.iter().all(|set| set.len() == 1) && sides.iter().all(|(other, _)| *other == upper);
    let weakest = |limit: f64, (_, other): &(bool, f64)| if upper { limit.max(*other) } else { limit.min(*other) };
    let start = if upper { f64::NEG_INFINITY } else { f64::INFINITY };
    simple.then(|| OneSided { upper, limit: sides.iter().fold(start, weakest) })
}

fn unknown_sli(report: &Report<'_>, objective: &Objective, places: &ObjectivePlaces, slis: &Slis, spec: &Spec) {
    let Some(query) = slis.query(&objective.sli) else {
        if !provider::is_built_in(&objective.sli) {
            let names: Vec<&str> = slis.names().take(MAX_ALIKE).collect();
            report.error(&places.sli, format!("{} has no SLI \"{}\"", slis.file(), objective.sli), nearest(&objective.sli, &names));
        }
        return;
    };
    for word in provider::unresolved(query, &spec.filter) {
        if !slis.resolves(word) {
            let known: Vec<&str> = provider::PLACEHOLDERS.into_iter().chain(spec.filter.iter().map(|(key, _)| key.as_str())).collect();
            let message = format!("the query of {} has the placeholder \"${word}\", which nothing replaces", objective.sli);
            report.error(&places.sli, message, nearest(word, &known));
        }
    }
}

/// Reports results that no measurement can bring about.
fn results(report: &Report<'_>, spec: &Spec, places: &Places, rigour: Rigour) {
    if !spec.judges() {
        let message = "every objective is informational, so nothing is judged".to_owned();
        rigour.tell(report, &places.objectives, message, "give an objective 'pass: [{criteria: [\"<600\"]}]'");
        return;
    }
    let found = reach::outcomes(spec);
    if !found.pass {
        let message = format!("the result \"pass\" can never occur: no values reach {} % of the points", spec.total.pass);
        rigour.tell(report, &places.pass, message, "write at most 100%, and criteria that a good version meets");
    }
    if !found.fail {
        let message = "the result \"fail\" can never occur: every score is enough".to_owned();
        let place = if spec.total.warning.is_some() { &places.warning } else { &places.pass };
        rigour.tell(report, place, message, "write a share above 0%, and criteria that a bad version misses");
    }
    if found.warning == Some(false) && spec.total.warning.is_some() {
        let message = "the result \"warning\" can never occur: no score lies between total_score.warning and total_score.pass";
        report.note(&places.warning, message, "that may be meant; otherwise lower the warning");
    }
}
