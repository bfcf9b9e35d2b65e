//! Compiles an `slo.yaml` or an Analysis definition into the gates of a live rollout.
//!
//! An objective becomes gates at the limit from which it fails the evaluation by itself, all others having full points.

use crate::domain::gate::analysis::spec::{Definition, Operator as Fulfilled};
use crate::domain::gate::criterion::{Gate, Origin};
use crate::domain::gate::foreign::{self, Bound};
use crate::domain::gate::slo::criterion::{Criterion, EXAMPLES, Operator};
use crate::domain::gate::slo::live;
use crate::domain::gate::slo::release::Lighthouse;
use crate::domain::gate::slo::spec::{Aggregate, Clause, Comparison, Include, Objective, Sets, Spec, TotalScore};
use crate::domain::gate::slo::written::{CriteriaSet, Objective as Written, Slo};

/// Something to say about one objective.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The position of the objective in the file, from 0.
    pub index: usize,
    /// What there is to say, one sentence without a full stop.
    pub message: String,
    /// How to mend it; `None` for what is only worth knowing.
    pub hint: Option<String>,
}

/// The gates of a file, and what there is to say about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compiled {
    /// The gates, in the order of the objectives.
    pub gates: Vec<Gate>,
    /// Errors, which have a hint, and notes.
    pub remarks: Vec<Remark>,
}

impl Compiled {
    fn note(&mut self, index: usize, message: String) {
        self.remarks.push(Remark { index, message, hint: None });
    }

    fn error(&mut self, index: usize, message: String, hint: impl Into<String>) {
        self.remarks.push(Remark { index, message, hint: Some(hint.into()) });
    }

    /// Adds the gate of one comparison that must hold.
    fn add(&mut self, index: usize, name: &str, query: Option<&str>, operator: Operator, bound: Bound) {
        let measured = match live::recognise(name, query) {
            Ok(measured) => measured,
            Err(error) => return self.error(index, error.to_string(), error.hint),
        };
        match foreign::criterion(measured, operator, bound) {
            Ok(criterion) => {
                self.gates.push(Gate::new(criterion, Origin::Compiled { indicator: name.to_owned() }));
                if let Some(difference) = foreign::difference(measured, bound) {
                    self.note(index, format!("{name}: {difference}"));
                }
            }
            Err(error) => self.error(index, format!("the objective \"{name}\" cannot be judged live: {}", error.reason), error.hint),
        }
    }
}

/// Compiles an `slo.yaml`; `query` returns what an SLI's provider is asked, where a file says that.
#[must_use]
pub fn slo(spec: &Spec, query: &dyn Fn(&str) -> Option<String>) -> Compiled {
    let mut compiled = Compiled::default();
    let weights: f64 = spec.objectives.iter().filter(|one| !one.is_informational()).map(|one| f64::from(one.weight)).sum();
    for (index, objective) in spec.objectives.iter().enumerate() {
        let name = &objective.sli;
        if objective.is_informational() {
            compiled.note(index, format!("the objective \"{name}\" has no pass criteria, so no gate comes of it"));
            continue;
        }
        let Some(sets) = failing_sets(spec, objective, weights) else {
            compiled.note(index, format!("the objective \"{name}\" cannot fail the evaluation by itself, so no gate comes of it"));
            continue;
        };
        let [set] = sets.as_slice() else {
            let hint = "keep one list of criteria, or judge the file with 'portcullis evaluate'";
            compiled.error(index, format!("the objective \"{name}\" offers a choice of criteria, which no gate has"), hint);
            continue;
        };
        let query = query(name);
        for clause in set {
            compiled.add(index, name, query.as_deref(), clause.criterion.operator, bound(&clause.criterion));
        }
    }
    compiled
}

/// Reads the criteria and percentages of an `slo.yaml` by the rules of a release of lighthouse.
///
/// # Errors
///
/// Returns what is wrong with which objective, or with `total_score` as the position behind the last.
pub fn released(file: &Slo, release: Lighthouse) -> Result<Spec, Remark> {
    let wrong = |index: usize, message: String, hint: &str| Remark { index, message, hint: Some(hint.to_owned()) };
    let clause = |index: usize, text: &String| {
        let criterion = Criterion::parse(text, release).map_err(|error| wrong(index, format!("{text:?}: {error}"), EXAMPLES))?;
        Ok(Clause { text: text.clone(), criterion })
    };
    let sets = |index: usize, sets: &Option<Vec<CriteriaSet>>| {
        let criteria = |set: &CriteriaSet| set.criteria.iter().flatten().map(|text| clause(index, text)).collect::<Result<Vec<_>, _>>();
        sets.iter().flatten().filter(|set| set.criteria.iter().flatten().next().is_some()).map(criteria).collect::<Result<Sets, _>>()
    };
    let objective = |(index, one): (usize, &Written)| {
        let weight =
            u32::try_from(one.weight).map_err(|_| wrong(index, format!("the weight {} is below 0", one.weight), "write 1 or more"))?;
        Ok(Objective {
            sli: one.sli.clone(),
            display_name: one.display_name.clone(),
            pass: sets(index, &one.pass)?,
            warning: sets(index, &one.warning)?,
            weight,
            key: one.key_sli,
            baseline_optional: true,
        })
    };
    let objectives = file.objectives.iter().enumerate().map(objective).collect::<Result<Vec<_>, _>>()?;
    let behind = objectives.len();
    let percent = |text: &str| text.trim_end_matches('%').trim().parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent));
    let total = file.total_score.as_ref();
    let pass = total.and_then(|total| percent(&total.pass));
    let pass = pass.ok_or_else(|| wrong(behind, "total_score.pass is no percentage".to_owned(), "write for example pass: 90%"))?;
    let comparison = Comparison { count: 1, include: Include::All, aggregate: Aggregate::Average };
    let total = TotalScore { pass, warning: total.and_then(|total| percent(&total.warning)) };
    Ok(Spec { filter: file.filter.clone().unwrap_or_default(), comparison, objectives, total })
}

/// Returns the criteria that must hold lest the objective fail the evaluation; `None` when it cannot.
fn failing_sets<'s>(spec: &Spec, objective: &'s Objective, weights: f64) -> Option<&'s Sets> {
    let needed = spec.total.warning.unwrap_or(spec.total.pass);
    let enough = |lost: f64| 100.0 * (weights - lost) / weights >= needed;
    let weight = f64::from(objective.weight);
    if enough(weight) && !objective.key {
        return None;
    }
    let forgiven = !objective.warning.is_empty() && enough(weight / 2.0);
    Some(if forgiven { &objective.warning } else { &objective.pass })
}

const fn bound(criterion: &Criterion) -> Bound {
    let signed = if criterion.increase { criterion.value } else { -criterion.value };
    match (criterion.comparison, criterion.percentage) {
        (false, _) => Bound::Fixed(criterion.value),
        (true, true) => Bound::Percent(signed),
        (true, false) => Bound::Above(signed),
    }
}

/// Compiles an Analysis definition; `query` returns what the provider of a template is asked, where the file says that.
#[must_use]
pub fn analysis(definition: &Definition, query: &dyn Fn(&str) -> Option<String>) -> Compiled {
    let mut compiled = Compiled::default();
    let weights: f64 = definition.objectives.iter().map(|one| one.weight as f64).sum();
    let total = definition.total_score;
    let needed = total.pass_percentage.min(total.warning_percentage) as f64;
    for (index, objective) in definition.objectives.iter().enumerate() {
        let name = &objective.reference.name;
        let weight = objective.weight as f64;
        let enough = |lost: f64| weights > 0.0 && 100.0 * (weights - lost) / weights >= needed;
        if objective.target.is_empty() {
            compiled.note(index, format!("the objective \"{name}\" has no target, so no gate comes of it"));
            continue;
        }
        let warns = objective.target.warning.as_ref().filter(|_| !enough(weight / 2.0));
        let fails = objective.target.failure.as_ref().filter(|_| warns.is_some() || !enough(weight) || objective.key_objective);
        if warns.is_none() && fails.is_none() {
            compiled.note(index, format!("the objective \"{name}\" cannot fail the analysis by itself, so no gate comes of it"));
            continue;
        }
        let query = query(name);
        for (operator, value) in strictest(warns.into_iter().chain(fails).flat_map(negated).collect()) {
            compiled.add(index, name, query.as_deref(), operator, Bound::Fixed(value));
        }
    }
    compiled
}

/// Keeps the lowest of the upper limits, and everything that is none.
fn strictest(comparisons: Vec<(Operator, f64)>) -> Vec<(Operator, f64)> {
    let is_upper = |(operator, _): &(Operator, f64)| matches!(operator, Operator::Below | Operator::AtMost);
    let (upper, mut kept): (Vec<_>, Vec<_>) = comparisons.into_iter().partition(is_upper);
    kept.extend(upper.into_iter().min_by(|a, b| a.1.total_cmp(&b.1)));
    kept
}

/// Returns the comparisons that hold when a failure is not fulfilled.
fn negated(broken: &Fulfilled) -> Vec<(Operator, f64)> {
    match broken {
        Fulfilled::GreaterThan(limit) => vec![(Operator::AtMost, limit.exact())],
        Fulfilled::GreaterThanOrEqual(limit) => vec![(Operator::Below, limit.exact())],
        Fulfilled::LessThan(limit) => vec![(Operator::AtLeast, limit.exact())],
        Fulfilled::LessThanOrEqual(limit) => vec![(Operator::Above, limit.exact())],
        Fulfilled::EqualTo(limit) => vec![(Operator::Equal, limit.exact())],
        // A range that does no harm begins at 0.
        Fulfilled::NotInRange(low, high) if low.exact() <= 0.0 => vec![(Operator::AtMost, high.exact())],
        Fulfilled::NotInRange(low, high) => vec![(Operator::AtLeast, low.exact()), (Operator::AtMost, high.exact())],
        Fulfilled::InRange(low, _) => vec![(Operator::Below, low.exact())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::gate::analysis::quantity::Quantity;
    use crate::domain::gate::analysis::spec::{Objective as Judged, Reference, Target, TotalScore as Needed};

    fn sets(texts: &[&[&str]]) -> Sets {
        let clause = |text: &&str| Clause { text: (*text).to_owned(), criterion: Criterion::parse_strictly(text).unwrap() };
        texts.iter().map(|set| set.iter().map(clause).collect()).collect()
    }

    fn objective(sli: &str, pass: &[&[&str]], warning: &[&[&str]], weight: u32) -> Objective {
        let (pass, warning) = (sets(pass), sets(warning));
        Objective { sli: sli.into(), display_name: String::new(), pass, warning, weight, key: false, baseline_optional: false }
    }

    fn spec(objectives: Vec<Objective>, pass: f64, warning: Option<f64>) -> Spec {
        let comparison = Comparison { count: 1, include: Include::All, aggregate: Aggregate::Average };
        Spec { filter: Vec::new(), comparison, objectives, total: TotalScore { pass, warning } }
    }

    fn names(compiled: &Compiled) -> Vec<String> {
        compiled.gates.iter().map(Gate::name).collect()
    }

    #[test]
    fn fixed_limits_and_relative_ones_become_gates() {
        let compiled = slo(
            &spec(
                vec![
                    objective("response_time_p95", &[&["<600", "<=+10%"]], &[&["<800"]], 1),
                    objective("error_rate", &[&["<0.01"]], &[], 1),
                    objective("throughput", &[], &[], 1),
                ],
                90.0,
                Some(75.0),
            ),
            &|_| None,
        );
        let errors = "error_rate: errors(5xx, 4xx, connect, reset, timeout, invalid) < 1%";
        assert_eq!(
            names(&compiled),
            ["response_time_p95: p95 < 800 ms", errors],
            "half of two points is 75 %, so the warning limit decides"
        );
        let notes: Vec<&str> = compiled.remarks.iter().map(|remark| remark.message.as_str()).collect();
        assert!(notes.len() == 2 && notes[0].contains("4xx") && notes[1].contains("no pass criteria"), "{notes:?}");

        let strict = slo(&spec(vec![objective("response_time_p50", &[&["<600", "<=+10%"]], &[&["<800"]], 1)], 90.0, None), &|_| None);
        assert_eq!(names(&strict), ["response_time_p50: p50 < 600 ms", "response_time_p50: p50 <= stable * 1.1"]);
        assert!(strict.remarks[0].message.contains("the same moment") && strict.remarks[0].hint.is_none());
    }

    #[test]
    fn a_release_reads_percent_signs_its_own_way() {
        let file = |criterion: &str| Slo {
            objectives: vec![Written {
                sli: "error_rate".into(),
                display_name: String::new(),
                pass: Some(vec![CriteriaSet { criteria: Some(vec![criterion.to_owned()]) }]),
                warning: None,
                weight: 1,
                key_sli: false,
            }],
            total_score: Some(crate::domain::gate::slo::written::TotalScore { pass: "90%".into(), warning: String::new() }),
            ..Slo::default()
        };
        let names = |criterion: &str, release| names(&slo(&released(&file(criterion), release).unwrap(), &|_| None));
        let kinds = "5xx, 4xx, connect, reset, timeout, invalid";
        assert_eq!(names("<=10%", Lighthouse::V1), [format!("error_rate: errors({kinds}) <= stable * 1.1")]);
        assert_eq!(names("<=0.1%", Lighthouse::V0_6_0), [format!("error_rate: errors({kinds}) < 10%")]);
        assert_eq!(released(&file("nonsense"), Lighthouse::V1).unwrap_err().index, 0);
        let without = Slo { total_score: None, ..file("<1") };
        assert_eq!(released(&without, Lighthouse::V1).unwrap_err().index, 1);
    }

    #[test]
    fn what_cannot_be_judged_live_is_an_error_and_what_cannot_fail_a_note() {
        let one = |sli: &str, pass: &[&[&str]]| slo(&spec(vec![objective(sli, pass, &[], 1)], 90.0, None), &|_| None);
        for (sli, pass, part) in [
            ("cpu", &[&["<1"][..]][..], "well-known"),
            ("throughput", &[&["<1"][..]], "clients"),
            ("response_time_p95", &[&[">1"][..]], "slower version"),
            ("response_time_p95", &[&["<1"][..], &["<2"][..]], "choice"),
            ("error_rate", &[&["=0"][..]], "exactly so"),
        ] {
            let compiled = one(sli, pass);
            assert!(compiled.gates.is_empty() && compiled.remarks.len() == 1, "{sli}: {compiled:?}");
            assert!(compiled.remarks[0].message.contains(part) && compiled.remarks[0].hint.is_some(), "{compiled:?}");
        }
        let light =
            spec(vec![objective("response_time_p95", &[&["<1"]], &[], 1), objective("response_time_p50", &[&["<1"]], &[], 99)], 90.0, None);
        let compiled = slo(&light, &|_| None);
        assert_eq!(names(&compiled), ["response_time_p50: p50 < 1 ms"]);
        assert!(compiled.remarks[0].message.contains("cannot fail the evaluation by itself"));
    }

    #[test]
    fn targets_of_an_analysis_are_turned_around() {
        let limit = |text: &str| Quantity::parse(text).unwrap();
        let judged = |failure: Option<Fulfilled>, warning: Option<Fulfilled>| Definition {
            objectives: vec![Judged {
                reference: Reference { name: "p95".into(), namespace: String::new() },
                target: Target { failure, warning },
                weight: 1,
                key_objective: false,
            }],
            total_score: Needed { pass_percentage: 90, warning_percentage: 75 },
        };
        let query = |_: &str| Some("histogram_quantile(0.95,sum(rate(http_response_time_milliseconds_bucket[1m]))by(le))".to_owned());
        let gates = |failure, warning| names(&analysis(&judged(failure, warning), &query));
        let above = |text: &str| Some(Fulfilled::GreaterThan(limit(text)));
        assert_eq!(gates(above("600"), None), ["p95: p95 < 600 ms"]);
        assert_eq!(gates(above("600"), above("300")), ["p95: p95 < 300 ms"]);
        assert_eq!(gates(above("600"), Some(Fulfilled::InRange(limit("300"), limit("500")))), ["p95: p95 < 300 ms"]);
        assert_eq!(gates(Some(Fulfilled::NotInRange(limit("0"), limit("600"))), None), ["p95: p95 < 600 ms"]);
        assert!(gates(Some(Fulfilled::LessThan(limit("600"))), None).is_empty(), "a fast version does no harm");
        assert!(gates(None, None).is_empty());
    }
}
