//! Grades an evaluation as lighthouse did, bit by bit, by the rules of one of its releases.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::gate::slo::baseline::{self, Earlier};
use crate::domain::gate::slo::criterion::Criterion;
use crate::domain::gate::slo::release::Lighthouse;
use crate::domain::gate::slo::report::{Judge, Report, Row, Target};
use crate::domain::gate::slo::total::{self, KeyFailure, Points};
use crate::domain::gate::slo::value::{Answer, Value};
use crate::domain::gate::slo::written::{CriteriaSet, Objective, Slo};
use crate::domain::gate::verdict::Verdict;

/// What the original says of a file without objectives.
const NO_OBJECTIVES: &str = "lighthouse failed because no SLO objective was provided";

/// The objectives of a file with their points, before the total.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graded {
    /// The rows; `None` when there is none.
    pub rows: Option<Vec<Row>>,
    /// The points of all objectives with pass criteria.
    pub maximum: f64,
    /// The key objective that failed.
    pub key_failure: Option<KeyFailure>,
    /// The message so far.
    pub message: String,
    /// Why the evaluation fails at once, with score 0.
    pub ended: Option<Ended>,
}

/// Why an evaluation fails without a total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// There is no objective.
    NoObjectives,
    /// A pass criterion cannot be judged; the text is the original's message.
    Criterion(String),
}

/// Grades a whole evaluation. `earlier` is what the store holds, newest first.
#[must_use]
pub fn evaluate(slo: &Slo, answer: &Answer, earlier: &[Earlier], release: Lighthouse) -> Report {
    let failed = answer.result == "fail";
    if failed && release.skips_when_provider_failed() {
        let message = format!("no evaluation performed by lighthouse because SLI failed with message {}", answer.message);
        return Report { status: "succeeded", ..Report::errored(release, message) };
    }
    let graded = grade(slo, answer, &baseline::select(earlier, &slo.comparison, release), release);
    let mut report = finish(slo, graded, release);
    if failed && release.shows_missing_values() && report.status == "succeeded" {
        report.result = "fail";
        report.verdict = Verdict::Fail;
        report.message = format!("lighthouse failed because SLI failed with message {}", answer.message);
        report.reasons = vec![report.message.clone()];
    }
    report
}

fn finish(slo: &Slo, graded: Graded, release: Lighthouse) -> Report {
    if let Some(ended) = graded.ended {
        let message = match ended {
            Ended::NoObjectives => NO_OBJECTIVES.to_owned(),
            Ended::Criterion(message) => message,
        };
        return Report { status: "succeeded", ..Report::errored(release, message) };
    }
    let has_targets = |row: &Row| row.pass_targets.as_ref().is_some_and(|targets| !targets.is_empty());
    let rows = graded.rows.as_deref().unwrap_or_default();
    let points: Vec<Points> =
        rows.iter().map(|row| Points { score: row.score.unwrap_or(0.0), has_pass_targets: has_targets(row) }).collect();
    match total::total(graded.maximum, &points, slo.total_score.as_ref(), graded.key_failure.as_ref(), release) {
        Err(message) => Report::errored(release, message),
        Ok(total) => {
            let message = match total.message {
                _ if !release.takes_values() => String::new(),
                sentence if sentence.is_empty() => graded.message,
                sentence => sentence,
            };
            Report {
                judge: Judge::Lighthouse(release),
                status: "succeeded",
                result: total.result,
                reasons: vec![message.clone()],
                message,
                evaluation_result: total.result.to_owned(),
                score: Some(total.score),
                rows: graded.rows,
                slo_text: String::new(),
                verdict: match total.result {
                    "pass" => Verdict::Pass,
                    "warning" => Verdict::Warning,
                    _ => Verdict::Fail,
                },
            }
        }
    }
}

/// Grades the objectives against the values and against the earlier evaluations that were selected.
#[must_use]
pub fn grade(slo: &Slo, answer: &Answer, selected: &[&Earlier], release: Lighthouse) -> Graded {
    if slo.objectives.is_empty() && release.fails_on_bad_criteria() {
        return Graded { maximum: 100.0, ended: Some(Ended::NoObjectives), ..Graded::default() };
    }
    let earlier = baseline::by_sli(selected, &slo.comparison, release);
    let mut pool = Pool::new(&answer.values);
    let mut graded = Graded::default();
    let mut rows = Vec::new();
    for objective in &slo.objectives {
        let counts = objective.pass.as_ref().is_some_and(|sets| !sets.is_empty());
        if counts {
            #[expect(clippy::cast_precision_loss, reason = "the original adds weights as doubles")]
            let weight = objective.weight as f64;
            graded.maximum += weight;
        }
        let value = pool.find(&objective.sli, release.takes_values());
        let earlier = earlier.get(objective.sli.as_str()).map_or(&[][..], Vec::as_slice);
        let base = baseline::aggregate(earlier, &slo.comparison.aggregate_function);
        match row(objective, value, base, release) {
            Ok(None) => continue,
            Ok(Some(row)) => {
                if row.status == "fail" && objective.key_sli && (release.fails_missing_keys() || value.is_some()) {
                    let message = "failed evaluation with score 0.000000".to_owned();
                    graded.key_failure = Some(KeyFailure { name: objective.display_name.clone(), message });
                }
                rows.push(row);
            }
            Err(error) => {
                let name = if objective.display_name.is_empty() { &objective.sli } else { &objective.display_name };
                graded.ended = Some(Ended::Criterion(format!("error with {name}: {error}")));
                return graded;
            }
        }
    }
    if release.takes_values() && !pool.left.is_empty() {
        let names: Vec<&str> = pool.left.iter().map(|value| value.metric.as_str()).collect();
        graded.message = format!(
            "Lighthouse received additional SLIs, which are not specified as SLO: {} . Please consider using them as an SLO.",
            names.join(", ")
        );
    }
    graded.rows = (!rows.is_empty()).then_some(rows);
    graded
}

/// Grades one objective; `None` when the release leaves the row out.
fn row(objective: &Objective, value: Option<&Value>, base: Option<f64>, release: Lighthouse) -> Result<Option<Row>, String> {
    let missing = || Value::failed(&objective.sli, "no value received from SLI provider");
    let mut row = Row {
        score: Some(0.0),
        value: value.cloned().unwrap_or_else(missing),
        compared: 0.0,
        display_name: objective.display_name.clone(),
        pass_targets: None,
        warning_targets: None,
        key: objective.key_sli,
        status: "fail",
    };
    let informational = match &objective.pass {
        None => true,
        Some(sets) => sets.is_empty() && release.empty_pass_is_informational(),
    };
    if value.is_none() && !release.shows_missing_values() {
        return Ok(None);
    }
    if informational && (value.is_some() || release.fails_on_bad_criteria()) {
        row.status = "info";
        row.pass_targets = Some(Vec::new());
        row.warning_targets = Some(Vec::new());
        return Ok(Some(row));
    }
    if value.is_none() || (!row.value.success && release.fails_missing_keys()) {
        if release.fails_on_bad_criteria() {
            row.pass_targets = untouched(objective.pass.as_deref(), base);
            row.warning_targets = untouched(objective.warning.as_deref(), base);
        }
        return Ok(Some(row));
    }
    let pass = Judged::new(objective.pass.as_deref().unwrap_or_default(), &row.value, base, release);
    if let Some(error) = pass.error.filter(|_| release.fails_on_bad_criteria()) {
        return Err(error);
    }
    row.pass_targets = pass.targets;
    let mut compared = pass.compared;
    let warning = objective.warning.as_deref().filter(|sets| !sets.is_empty());
    let mut warned = false;
    if let Some(sets) = warning.filter(|_| release.separates_targets() || !pass.satisfied) {
        let warning = Judged::new(sets, &row.value, base, release);
        warned = warning.satisfied && !(warning.error.is_some() && release.fails_on_bad_criteria());
        row.warning_targets = warning.targets;
        compared = compared.or(warning.compared);
    }
    row.compared = compared.unwrap_or(0.0);
    #[expect(clippy::cast_precision_loss, reason = "the original multiplies weights as doubles")]
    let weight = objective.weight as f64;
    (row.status, row.score) = match (pass.satisfied, warned) {
        (true, _) => ("pass", Some(weight)),
        (false, true) => ("warning", Some(0.5 * weight)),
        (false, false) => ("fail", Some(0.0)),
    };
    Ok(Some(row))
}

/// Criteria sets judged against one value.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// One of the sets holds.
    pub satisfied: bool,
    /// Every criterion in order; `None` when there is none.
    pub targets: Option<Vec<Target>>,
    /// The base value, if any criterion was compared with it.
    pub compared: Option<f64>,
    /// The first criterion that could not be judged.
    pub error: Option<String>,
}

impl Judged {
    /// Judges every criterion of every set, so that all of them are shown. `base` is the aggregate of the earlier
    /// values; a relative criterion without one holds.
    #[must_use]
    pub fn new(sets: &[CriteriaSet], value: &Value, base: Option<f64>, release: Lighthouse) -> Self {
        let mut judged = Self { satisfied: false, targets: None, compared: None, error: None };
        for set in sets {
            let mut all = true;
            for text in set.criteria.iter().flatten() {
                let (holds, target) = judged.criterion(text, value, base, release);
                all &= holds;
                let target = Target { criteria: text.clone(), target: Some(target), violated: Some(!holds) };
                judged.targets.get_or_insert_default().push(target);
            }
            judged.satisfied |= all;
        }
        judged
    }

    fn criterion(&mut self, text: &str, value: &Value, base: Option<f64>, release: Lighthouse) -> (bool, f64) {
        if !value.success {
            self.error.get_or_insert_with(|| "cannot evaluate invalid SLI result".to_owned());
            return (false, 0.0);
        }
        match (Criterion::parse(text, release), base) {
            (Err(error), _) => {
                self.error.get_or_insert_with(|| error.to_string());
                (false, 0.0)
            }
            (Ok(criterion), None) if criterion.comparison => (true, 0.0),
            (Ok(criterion), base) => {
                if criterion.comparison {
                    self.compared = base;
                }
                let target = criterion.target(base.unwrap_or(0.0));
                (criterion.operator.holds(value.value, target), target)
            }
        }
    }
}

/// Lists the criteria of an objective without a value: all violated, relative ones with the plain base value.
fn untouched(sets: Option<&[CriteriaSet]>, base: Option<f64>) -> Option<Vec<Target>> {
    let texts = sets.unwrap_or_default().iter().flat_map(|set| set.criteria.iter().flatten());
    let shown = |text: &String| {
        let criterion = Criterion::parse(text, Lighthouse::V1).ok()?;
        let target = if criterion.comparison { base.unwrap_or(0.0) } else { criterion.value };
        Some(Target { criteria: text.clone(), target: Some(target), violated: Some(true) })
    };
    let targets: Vec<Target> = texts.filter_map(shown).collect();
    (!targets.is_empty()).then_some(targets)
}

/// The values that no objective has taken yet, in the order the original keeps them in.
#[derive(Clone, Debug)]
pub struct Pool<'v> {
    /// What is left.
    pub left: Vec<&'v Value>,
    places: BTreeMap<&'v str, BTreeSet<usize>>,
}

impl<'v> Pool<'v> {
    /// Starts with all values.
    #[must_use]
    pub fn new(values: &'v [Value]) -> Self {
        let mut places: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        for (place, value) in values.iter().enumerate() {
            places.entry(&value.metric).or_default().insert(place);
        }
        Self { left: values.iter().collect(), places }
    }

    /// Finds the first value of an SLI; with `take` the last value then moves into the freed place.
    pub fn find(&mut self, sli: &str, take: bool) -> Option<&'v Value> {
        let place = *self.places.get(sli)?.first()?;
        let found = *self.left.get(place)?;
        if take {
            self.places.get_mut(sli)?.remove(&place);
            let last = self.left.len() - 1;
            self.left.swap_remove(place);
            if let Some(moved) = self.left.get(place).and_then(|moved| self.places.get_mut(moved.metric.as_str())) {
                moved.remove(&last);
                moved.insert(place);
            }
        }
        Some(found)
    }
}
