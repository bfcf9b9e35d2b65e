//! Grades each metric by its rule and the whole by its worst metric; without a value a metric is inconclusive, never a pass.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::gate::metrics::expression::Expression;
use crate::domain::gate::slo::criterion::go_text;
use crate::domain::gate::verdict::Verdict;

/// A condition and how it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// As written.
    pub text: String,
    /// What it says.
    pub expression: Expression,
}

/// When the values of a metric are good.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// Nothing is asked of them.
    Free,
    /// Flagger's range; each limit is itself allowed.
    Range {
        /// No value may be below.
        min: Option<f64>,
        /// No value may be above.
        max: Option<f64>,
    },
    /// Argo's conditions, at least one of them.
    Conditions {
        /// What makes the metric successful.
        success: Option<Condition>,
        /// What makes it fail, whatever the other says.
        failure: Option<Condition>,
    },
}

/// A metric of a gate file.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name, under which its values are found.
    pub name: String,
    /// When it is good.
    pub rule: Rule,
}

/// What was measured, by metric: the values, not empty, or why there are none.
pub type Readings = BTreeMap<String, Result<Vec<f64>, String>>;

/// A metric with its verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The name of the metric.
    pub name: String,
    /// `pass`, `fail` or `inconclusive`; `info` for a metric of which nothing is asked.
    pub status: &'static str,
    /// The values, `null` where there is none.
    pub values: Option<Vec<f64>>,
    /// Why it is no pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The result of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// `pass`, `fail` or `inconclusive`.
    pub result: &'static str,
    /// Every metric in the order of the file.
    pub metrics: Vec<Row>,
    /// Why, the whole first.
    pub reasons: Vec<String>,
    /// The verdict.
    #[serde(skip)]
    pub verdict: Verdict,
}

/// Grades the values. One metric that fails fails the whole; else one that is inconclusive leaves it open.
#[must_use]
pub fn evaluate(metrics: &[Metric], readings: &Readings) -> Report {
    let rows: Vec<(Row, Option<Verdict>)> = metrics.iter().map(|metric| row(metric, readings.get(&metric.name))).collect();
    let count = |wanted: Verdict| rows.iter().filter(|(_, verdict)| *verdict == Some(wanted)).count();
    let judged = rows.iter().filter(|(_, verdict)| verdict.is_some()).count();
    let (verdict, sentence) = match (count(Verdict::Fail), count(Verdict::Inconclusive)) {
        _ if judged == 0 => (Verdict::Inconclusive, "nothing is asked of any metric, so nothing is judged".to_owned()),
        (0, 0) => (Verdict::Pass, format!("{judged} of {judged} metrics pass")),
        (0, open) => (Verdict::Inconclusive, format!("{open} of {judged} metrics are inconclusive")),
        (failed, _) => (Verdict::Fail, format!("{failed} of {judged} metrics fail")),
    };
    let mut reasons = vec![sentence];
    reasons.extend(rows.iter().filter_map(|(row, _)| Some(format!("{}: {}", row.name, row.reason.as_ref()?))));
    Report { result: verdict.as_str(), metrics: rows.into_iter().map(|(row, _)| row).collect(), reasons, verdict }
}

fn row(metric: &Metric, reading: Option<&Result<Vec<f64>, String>>) -> (Row, Option<Verdict>) {
    let usable = match reading {
        None => Err("no value".to_owned()),
        Some(Err(why)) => Err(why.clone()),
        Some(Ok(values)) => match values.iter().find(|value| !value.is_finite()) {
            Some(odd) => Err(format!("the value is {}", go_text(*odd))),
            None if values.is_empty() => Err("no value".to_owned()),
            None => Ok(values.clone()),
        },
    };
    let graded = match (&metric.rule, &usable) {
        (Rule::Free, _) => None,
        (_, Err(why)) => Some((Verdict::Inconclusive, Some(why.clone()))),
        (Rule::Range { min, max }, Ok(values)) => Some(within(*min, *max, values)),
        (Rule::Conditions { success, failure }, Ok(values)) => Some(conditions(success.as_ref(), failure.as_ref(), values)),
    };
    let (verdict, reason) = graded.map_or((None, None), |(verdict, reason)| (Some(verdict), reason));
    let status = verdict.map_or("info", Verdict::as_str);
    (Row { name: metric.name.clone(), status, values: usable.ok(), reason }, verdict)
}

fn within(min: Option<f64>, max: Option<f64>, values: &[f64]) -> (Verdict, Option<String>) {
    let [value] = values else {
        return (Verdict::Inconclusive, Some(format!("{} values where one is wanted", values.len())));
    };
    let told = |what: &str, limit: f64| (Verdict::Fail, Some(format!("{} is {what} {}", go_text(*value), go_text(limit))));
    match (min, max) {
        (Some(min), _) if *value < min => told("below min", min),
        (_, Some(max)) if *value > max => told("above max", max),
        _ => (Verdict::Pass, None),
    }
}

/// As Argo does: with one condition alone the other is its opposite, and a condition that cannot be said is an error,
/// which is inconclusive here.
fn conditions(success: Option<&Condition>, failure: Option<&Condition>, values: &[f64]) -> (Verdict, Option<String>) {
    let said = |condition: Option<&Condition>| {
        let of = |condition: &Condition| condition.expression.holds(values).map_err(|why| format!("\"{}\": {why}", condition.text));
        condition.map(of).transpose()
    };
    let shown = values.iter().map(|value| go_text(*value)).collect::<Vec<_>>().join(", ");
    let told = |what: &str, condition: Option<&Condition>| {
        Some(format!("{shown} {what} \"{}\"", condition.map_or("", |condition| condition.text.as_str())))
    };
    match (said(success), said(failure)) {
        (Err(why), _) | (_, Err(why)) => (Verdict::Inconclusive, Some(why)),
        (_, Ok(Some(true))) => (Verdict::Fail, told("meets failureCondition", failure)),
        (Ok(Some(false)), Ok(None)) => (Verdict::Fail, told("misses successCondition", success)),
        (Ok(Some(false)), Ok(Some(false))) => {
            (Verdict::Inconclusive, Some(format!("{shown} meets neither successCondition nor failureCondition")))
        }
        (Ok(Some(true)), _) | (Ok(None), Ok(Some(false))) => (Verdict::Pass, None),
        (Ok(None), Ok(None)) => (Verdict::Inconclusive, Some("there is no condition".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::gate::slo::criterion::Operator;

    fn condition(operator: Operator, limit: f64) -> Option<Condition> {
        let expression = Expression::Compare(operator, Box::new(Expression::At(0)), Box::new(Expression::Number(limit)));
        Some(Condition { text: format!("result[0] {} {limit}", operator.sign()), expression })
    }

    fn verdict(rule: Rule, reading: Option<Result<Vec<f64>, String>>) -> Verdict {
        let readings = reading.map(|reading| ("m".to_owned(), reading)).into_iter().collect();
        evaluate(&[Metric { name: "m".into(), rule }], &readings).verdict
    }

    #[test]
    fn a_range_includes_its_limits() {
        let range = |value: f64| verdict(Rule::Range { min: Some(99.0), max: Some(100.0) }, Some(Ok(vec![value])));
        assert_eq!([99.0, 100.0].map(range), [Verdict::Pass; 2]);
        assert_eq!([98.999, 100.001].map(range), [Verdict::Fail; 2]);
    }

    #[test]
    fn conditions_are_judged_as_argo_does() {
        let good = || condition(Operator::AtLeast, 0.95);
        let bad = || condition(Operator::Below, 0.9);
        for (success, failure, wanted) in [
            (good(), None, [Verdict::Pass, Verdict::Fail, Verdict::Fail]),
            (None, bad(), [Verdict::Pass, Verdict::Pass, Verdict::Fail]),
            (good(), bad(), [Verdict::Pass, Verdict::Inconclusive, Verdict::Fail]),
            // A failure decides even where the success holds as well.
            (good(), condition(Operator::Above, 0.0), [Verdict::Fail; 3]),
        ] {
            let found = [0.95, 0.93, 0.5]
                .map(|value| verdict(Rule::Conditions { success: success.clone(), failure: failure.clone() }, Some(Ok(vec![value]))));
            assert_eq!(found, wanted, "{success:?} {failure:?}");
        }
    }

    #[test]
    fn without_a_value_nothing_passes() {
        let always = Some(Condition { text: "true".into(), expression: Expression::Truth(true) });
        for rule in [
            Rule::Range { min: None, max: Some(1e9) },
            Rule::Conditions { success: always, failure: None },
            Rule::Conditions { success: None, failure: condition(Operator::Above, 1e9) },
            Rule::Free,
        ] {
            for reading in
                [None, Some(Ok(Vec::new())), Some(Ok(vec![f64::NAN])), Some(Ok(vec![f64::NEG_INFINITY])), Some(Err("null".into()))]
            {
                assert_eq!(verdict(rule.clone(), reading.clone()), Verdict::Inconclusive, "{rule:?} {reading:?}");
            }
        }
        assert_eq!(evaluate(&[], &Readings::new()).verdict, Verdict::Inconclusive);
    }

    #[test]
    fn the_worst_metric_decides() {
        let metric = |name: &str| Metric { name: name.into(), rule: Rule::Range { min: None, max: Some(1.0) } };
        let metrics = [metric("a"), metric("b"), metric("c")];
        let of = |readings: &[(&str, f64)]| {
            let report = evaluate(&metrics, &readings.iter().map(|(name, value)| ((*name).to_owned(), Ok(vec![*value]))).collect());
            (report.verdict, report.reasons.join("; "))
        };
        assert_eq!(of(&[("a", 1.0), ("b", 0.0), ("c", 1.0)]), (Verdict::Pass, "3 of 3 metrics pass".into()));
        assert_eq!(of(&[("a", 1.0), ("b", 1.0)]), (Verdict::Inconclusive, "1 of 3 metrics are inconclusive; c: no value".into()));
        assert_eq!(of(&[("a", 1.5), ("b", 1.0)]), (Verdict::Fail, "1 of 3 metrics fail; a: 1.5 is above max 1; c: no value".into()));
    }
}
