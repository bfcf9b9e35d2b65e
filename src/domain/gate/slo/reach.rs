//! What a strictly loaded `slo.yaml` can say at all: limits no value reaches, criteria that exclude each other, totals out of reach.

use std::collections::BTreeSet;

use crate::domain::gate::slo::criterion::{Criterion, Operator};
use crate::domain::gate::slo::spec::{Clause, Objective, Spec};

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

/// Says whether a fixed criterion is met, or missed, by every value there can be; `None` when that depends on the value.
#[must_use]
pub fn always(criterion: &Criterion, domain: Domain) -> Option<Always> {
    if criterion.comparison {
        return None;
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
    /// The result can be warning.
    pub warning: bool,
    /// The result can be fail.
    pub fail: bool,
}

/// Returns the results that some measurement can bring about; `None` when there are too many combinations to say.
#[must_use]
pub fn outcomes(spec: &Spec) -> Option<Outcomes> {
    let mut totals = BTreeSet::from([(0_u64, false)]);
    let mut maximum = 0_u64;
    for objective in spec.objectives.iter().filter(|objective| !objective.is_informational()) {
        let possible = possible(objective);
        // Points are counted in halves, so that they stay whole.
        let weight = 2 * u64::from(objective.weight);
        maximum += weight;
        let mut next = BTreeSet::new();
        for (total, key_lost) in totals {
            if possible.full {
                next.insert((total + weight, key_lost));
            }
            if possible.half {
                next.insert((total + weight / 2, key_lost));
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
    let mut found = Outcomes { pass: false, warning: false, fail: false };
    for (total, key_lost) in totals {
        #[expect(clippy::cast_precision_loss, reason = "a sum of weights")]
        let score = 100.0 * (total as f64 / maximum as f64);
        if score >= spec.total.pass && !key_lost {
            found.pass = true;
        } else if spec.total.warning.is_some_and(|warning| score >= warning) && !key_lost {
            found.warning = true;
        } else {
            found.fail = true;
        }
    }
    Some(found)
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
