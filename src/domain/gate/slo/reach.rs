//! What a strictly loaded `slo.yaml` can say at all: limits no value reaches, criteria that exclude each other, totals out of reach.

use std::collections::BTreeSet;

use crate::domain::gate::slo::criterion::{Criterion, Operator};
use crate::domain::gate::slo::spec::{Clause, Objective, Spec};
use crate::domain::gate::verdict::Verdict;

/// The most different totals that are looked at.
const MAX_TOTALS: usize = 500;

/// The values an SLI can have at all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Domain {
    /// The smallest value.
    pub lowest: f64,
    /// The largest value.
    pub highest: f64,
    /// What is measured, for messages: `a response time`.
    pub what: &'static str,
}

/// Where the values of an SLI must lie, by its well-known name; `None` when nothing is known of it.
///
/// An `error_rate` is a share or a percentage, so never above 100.
#[must_use]
pub fn domain_of(sli: &str) -> Option<Domain> {
    let lower = sli.to_ascii_lowercase();
    let has = |word: &str| lower.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part == word);
    let (highest, what) = if lower.starts_with("response_time") || lower.starts_with("responsetime") || has("latency") || has("duration") {
        (f64::INFINITY, "a response time")
    } else if lower == "error_rate" || lower == "errorrate" || lower == "failure_rate" {
        (100.0, "an error rate")
    } else if has("throughput") || has("requests") || has("count") {
        (f64::INFINITY, "a number of requests")
    } else {
        return None;
    };
    Some(Domain { lowest: 0.0, highest, what })
}

/// What every value does to a criterion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Always {
    /// Every value meets it.
    Met,
    /// No value meets it.
    Missed,
}

/// Says whether a criterion is met, or missed, by every value there can be; `None` when that depends on the value, or on
/// earlier ones. Of the relative criteria only a decrease by more than everything is told.
#[must_use]
pub fn always(criterion: &Criterion, domain: Domain) -> Option<Always> {
    if criterion.comparison {
        let beyond = criterion.percentage && !criterion.increase && domain.lowest >= 0.0;
        return match criterion.operator {
            _ if !beyond => None,
            Operator::Below if criterion.value >= 100.0 => Some(Always::Missed),
            Operator::AtMost | Operator::Equal if criterion.value > 100.0 => Some(Always::Missed),
            Operator::AtLeast if criterion.value >= 100.0 => Some(Always::Met),
            Operator::Above if criterion.value > 100.0 => Some(Always::Met),
            _ => None,
        };
    }
    let (lowest, highest) =
        (criterion.operator.holds(domain.lowest, criterion.value), criterion.operator.holds(domain.highest, criterion.value));
    let inside = (domain.lowest..=domain.highest).contains(&criterion.value);
    match (criterion.operator, lowest, highest) {
        (Operator::Equal, ..) => (!inside).then_some(Always::Missed),
        (_, true, true) => Some(Always::Met),
        (_, false, false) => Some(Always::Missed),
        _ => None,
    }
}

/// Returns two criteria of a set that no value meets together, by their positions: both fixed, or both relative in the
/// same way with a percentage of at least -100.
#[must_use]
pub fn contradiction(set: &[Clause]) -> Option<(usize, usize)> {
    let groups: [fn(&Criterion) -> bool; 3] = [|c| !c.comparison, |c| c.comparison && c.percentage, |c| c.comparison && !c.percentage];
    groups.into_iter().find_map(|group| contradiction_in(set, group))
}

/// Looks for a lower bound at or above an upper bound among the criteria of one group.
fn contradiction_in(set: &[Clause], group: fn(&Criterion) -> bool) -> Option<(usize, usize)> {
    let bound = |criterion: &Criterion| match criterion.comparison && !criterion.increase {
        true => -criterion.value,
        false => criterion.value,
    };
    // The strictest bound of each side: position, limit, and whether the limit itself is excluded.
    let mut low: Option<(usize, f64, bool)> = None;
    let mut high: Option<(usize, f64, bool)> = None;
    for (at, clause) in set.iter().enumerate().filter(|(_, clause)| group(&clause.criterion)) {
        let limit = bound(&clause.criterion);
        let operator = clause.criterion.operator;
        let open = matches!(operator, Operator::Below | Operator::Above);
        if matches!(operator, Operator::AtLeast | Operator::Above | Operator::Equal)
            && low.is_none_or(|(_, other, other_open)| limit > other || (limit >= other && open && !other_open))
        {
            low = Some((at, limit, open));
        }
        if matches!(operator, Operator::AtMost | Operator::Below | Operator::Equal)
            && high.is_none_or(|(_, other, other_open)| limit < other || (limit <= other && open && !other_open))
        {
            high = Some((at, limit, open));
        }
    }
    let ((low_at, low, low_open), (high_at, high, high_open)) = (low?, high?);
    (low > high || (low >= high && (low_open || high_open))).then(|| (low_at.min(high_at), low_at.max(high_at)))
}

/// Says whether an objective can be met, warn and be missed, as far as the names of its SLI and its criteria tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Possible {
    /// Some value gives all points.
    pub full: bool,
    /// Some value gives half the points.
    pub half: bool,
    /// Some value gives none.
    pub none: bool,
}

/// Returns what an objective can come to.
#[must_use]
pub fn possible(objective: &Objective) -> Possible {
    let Some(domain) = domain_of(&objective.sli) else {
        return Possible { full: true, half: !objective.warning.is_empty(), none: true };
    };
    let verdict = |set: &Vec<Clause>| {
        let each: Vec<Option<Always>> = set.iter().map(|clause| always(&clause.criterion, domain)).collect();
        if each.contains(&Some(Always::Missed)) {
            Some(Always::Missed)
        } else if each.iter().all(|one| *one == Some(Always::Met)) {
            Some(Always::Met)
        } else {
            None
        }
    };
    let of = |sets: &[Vec<Clause>]| {
        let each: Vec<Option<Always>> = sets.iter().map(verdict).collect();
        (each.iter().any(|one| *one != Some(Always::Missed)), each.contains(&Some(Always::Met)))
    };
    let ((pass_can, pass_must), (warning_can, warning_must)) = (of(&objective.pass), of(&objective.warning));
    Possible { full: pass_can, half: warning_can && !pass_must, none: !pass_must && !warning_must }
}

/// What the totals of a file can come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcomes {
    /// The result can be pass.
    pub pass: bool,
    /// The result can be warning; `None` when there are too many combinations to say.
    pub warning: Option<bool>,
    /// The result can be fail.
    pub fail: bool,
}

/// Returns the results that some measurement can bring about.
///
/// More points never make a result worse, so the best and the worst total tell of pass and fail; only a warning needs
/// the totals between them.
#[must_use]
pub fn outcomes(spec: &Spec) -> Outcomes {
    let counted = || spec.objectives.iter().filter(|objective| !objective.is_informational());
    // Points are counted in halves, so that they stay whole.
    let full = |objective: &Objective| 2 * u64::from(objective.weight);
    let maximum: u64 = counted().map(full).sum();
    let (mut best, mut worst) = ((0, false), (0, false));
    for objective in counted() {
        let (points, possible) = (full(objective), possible(objective));
        match possible {
            Possible { full: true, .. } => best.0 += points,
            Possible { half: true, .. } => best.0 += points / 2,
            _ => best.1 |= objective.key,
        }
        match possible {
            Possible { none: true, .. } => worst.1 |= objective.key,
            Possible { half: true, .. } => worst.0 += points / 2,
            _ => worst.0 += points,
        }
    }
    let judge = |total: (u64, bool)| judge(spec, total, maximum);
    let warning = totals(spec, counted(), full).map(|totals| totals.into_iter().any(|total| judge(total) == Verdict::Warning));
    Outcomes { pass: judge(best) == Verdict::Pass, warning, fail: judge(worst) == Verdict::Fail }
}

fn judge(spec: &Spec, (total, key_lost): (u64, bool), maximum: u64) -> Verdict {
    #[expect(clippy::cast_precision_loss, reason = "sums of weights")]
    let score = 100.0 * (total as f64 / maximum as f64);
    if key_lost {
        Verdict::Fail
    } else if score >= spec.total.pass {
        Verdict::Pass
    } else if spec.total.warning.is_some_and(|warning| score >= warning) {
        Verdict::Warning
    } else {
        Verdict::Fail
    }
}

/// Returns every total in halves of points, and whether a key objective is lost; `None` when there are too many.
fn totals<'s>(
    spec: &Spec,
    counted: impl Iterator<Item = &'s Objective>,
    full: impl Fn(&Objective) -> u64,
) -> Option<BTreeSet<(u64, bool)>> {
    let mut totals = BTreeSet::from([(0, false)]);
    if spec.total.warning.is_none() {
        return Some(totals);
    }
    for objective in counted {
        let (points, possible) = (full(objective), possible(objective));
        let mut next = BTreeSet::new();
        for (total, key_lost) in totals {
            if possible.full {
                next.insert((total + points, key_lost));
            }
            if possible.half {
                next.insert((total + points / 2, key_lost));
            }
            if possible.none {
                next.insert((total, key_lost || objective.key));
            }
        }
        totals = next;
        if totals.len() > MAX_TOTALS {
            return None;
        }
    }
    Some(totals)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(texts: &[&str]) -> Vec<Clause> {
        texts.iter().map(|text| Clause { text: (*text).into(), criterion: Criterion::parse_strictly(text).unwrap() }).collect()
    }

    #[test]
    fn criteria_that_exclude_each_other_are_found_within_their_kind() {
        for texts in [&["<100", ">200"][..], &[">=5", "<5"], &["=1", "=2"], &["<=+10%", ">+20%"], &["<-5", ">=-5"], &["=3", "<1", ">0"]] {
            assert!(contradiction(&set(texts)).is_some(), "{texts:?}");
        }
        for texts in [&["<200", ">100"][..], &[">=5", "<=5"], &["<100", ">+200%"], &["<=+10%", ">-20%"], &["=1", "=1"], &["<1"], &[]] {
            assert_eq!(contradiction(&set(texts)), None, "{texts:?}");
        }
        assert_eq!(contradiction(&set(&["<=300", "<100", ">=100"])), Some((1, 2)));
    }

    #[test]
    fn limits_that_no_value_reaches_are_told_by_the_name_of_the_sli() {
        let of = |sli: &str, text: &str| always(&Criterion::parse_strictly(text).unwrap(), domain_of(sli).unwrap());
        assert_eq!(of("error_rate", ">100"), Some(Always::Missed));
        assert_eq!(of("error_rate", "<=100"), Some(Always::Met));
        assert_eq!(of("error_rate", "<1"), None);
        assert_eq!(of("response_time_p95", "=5"), None);
        assert_eq!(of("request_latency_seconds", ">=0"), Some(Always::Met));
        assert_eq!(of("throughput", "=0"), None);
        assert_eq!(of("throughput", "<-100%"), Some(Always::Missed));
        assert_eq!(of("throughput", ">=-100%"), Some(Always::Met));
        assert_eq!((of("throughput", "<-1"), of("throughput", ">=-80%")), (None, None));
        assert_eq!(domain_of("security_vulnerabilities"), None);
        assert_eq!(
            always(
                &Criterion { operator: Operator::Below, value: 1.0, percentage: false, comparison: false, increase: false },
                domain_of("response_time").unwrap()
            ),
            None
        );
    }
}
