//! Grades a run as the original did, to the bit: its core 1.0.4, threshold grader 1.0.1, and the rules of its language.
//!
//! Nothing is checked beforehand; what the original ignores is ignored, what makes it throw makes the run `failed`.

use crate::domain::gate::perfspec::js::{self, Js};
use crate::domain::gate::perfspec::report::{Figures, IndicatorResult, NO_VALUES, Report, Violation};
use crate::domain::gate::perfspec::spec::{Answer, Answers, Compat, Source};
use crate::domain::gate::verdict::Verdict;

/// What the original says of a text that is no perfspec.
pub const BAD_FORMAT: &str = "Bad perfspec format.";

/// Grades a whole run; `fetch` returns what the source of an indicator answers, by the indicator's id, or why it cannot.
#[must_use]
pub fn evaluate(spec: &Js, fetch: &dyn Fn(&str) -> Result<Js, String>) -> Report {
    run(spec, fetch).unwrap_or_else(Report::failed)
}

/// Returns what `fetch` of [`evaluate`] returns for typed answers.
///
/// # Errors
///
/// Returns the reason of a source that could not answer.
pub fn fetch_from(answers: &Answers, id: &str) -> Result<Js, String> {
    match answers.get(id) {
        None => Ok(Js::List(Vec::new())),
        Some(Answer::Unavailable(reason)) => Err(reason.clone()),
        Some(Answer::Values(results)) => {
            let object = |(key, value): (&Js, &Js)| Js::Object(vec![("key".to_owned(), key.clone()), ("value".to_owned(), value.clone())]);
            Ok(Js::List(results.iter().map(|result| object((&result.key, &result.value))).collect()))
        }
    }
}

fn run(spec: &Js, fetch: &dyn Fn(&str) -> Result<Js, String>) -> Result<Report, String> {
    let indicators = match spec.get("indicators") {
        Ok(indicators) if indicators.truthy() => indicators,
        _ => return Err(BAD_FORMAT.to_owned()),
    };
    let Js::List(indicators) = indicators else {
        return Err("spec.indicators.forEach is not a function".to_owned());
    };
    let registered = register(indicators)?;
    let mut indicator_results = Vec::new();
    for (name, indicator) in &registered {
        check_query(indicator)?;
        indicator_results.push(grade(indicator.get("id")?, &fetch(name)?, indicator.get("grading")?)?);
    }
    let total_score = indicator_results.iter().fold(Js::Number(0.0), |total, result| total.plus(&result.score));
    let objectives = spec.get("objectives")?;
    let (result, verdict) = if objectives.get("pass")?.at_most(&total_score) {
        ("pass", Verdict::Pass)
    } else if objectives.get("warning")?.at_most(&total_score) {
        ("warning", Verdict::Warning)
    } else {
        ("fail", Verdict::Fail)
    };
    Ok(Report {
        compat: Compat::Keptn,
        options: Js::Undefined,
        reasons: vec![format!("totalScore {}", total_score.to_text())],
        figures: Some(Figures { total_score, objectives: objectives.clone(), indicator_results }),
        result,
        error: None,
        verdict,
    })
}

/// Returns the indicators by name in the order the original visits them: an unknown source is skipped, a later
/// definition replaces an earlier one at its place, names that are array indices come first in numeric order.
fn register(indicators: &[Js]) -> Result<Vec<(String, &Js)>, String> {
    // The service around the core asks every source for its lower-case name before anything runs.
    for indicator in indicators {
        match indicator.get("source")? {
            Js::Text(_) => {}
            missing @ (Js::Undefined | Js::Null) => return Err(format!("Cannot read property 'toLowerCase' of {}", missing.to_text())),
            _ => return Err("indicator.source.toLowerCase is not a function".to_owned()),
        }
    }
    let mut registered: Vec<(String, &Js)> = Vec::new();
    for indicator in indicators {
        if Source::from_name(&indicator.get("source")?.to_text()).is_none() {
            continue;
        }
        // An unknown grader is found out only when it is called, which rejects the run all the same.
        if indicator.get("grading")?.get("type")?.to_text() != "Threshold" {
            return Err("Cannot read property 'grade' of undefined".to_owned());
        }
        let name = indicator.get("id")?.to_text();
        match registered.iter_mut().find(|(known, _)| *known == name) {
            Some((_, place)) => *place = indicator,
            None => registered.push((name, indicator)),
        }
    }
    registered.sort_by_key(|(name, _)| js::array_index(name).map_or(u64::MAX, u64::from));
    Ok(registered)
}

/// The Dynatrace source rejects a query that is neither a time series nor a count of related entities.
fn check_query(indicator: &Js) -> Result<(), String> {
    if indicator.get("source")?.to_text() != "Dynatrace" {
        return Ok(());
    }
    let query = indicator.get("query")?;
    if query.get("timeseriesId")?.truthy() {
        return Ok(());
    }
    if !query.get("smartscape")?.truthy() {
        return Err("Unsupported query type".to_owned());
    }
    if query.get("aggregation")?.to_text().eq_ignore_ascii_case("count") { Ok(()) } else { Err("Unsupported aggregation".to_owned()) }
}

/// Grades the results of one indicator: the lowest score counts, all violations are kept.
///
/// # Errors
///
/// Returns the original's TypeError.
pub fn grade(id: &Js, results: &Js, grading: &Js) -> Result<IndicatorResult, String> {
    let metric_score = grading.get("metricScore")?;
    let metadata = grading.get("metadata")?;
    let results = match results {
        Js::List(results) => results,
        missing @ (Js::Undefined | Js::Null) => return Err(format!("Cannot read property 'forEach' of {}", missing.to_text())),
        _ => return Err("results.forEach is not a function".to_owned()),
    };
    let mut violations = Vec::new();
    let mut lowest: Option<Js> = None;
    for result in results {
        let score = grade_result(result, grading, &mut violations)?;
        lowest = Some(match lowest {
            Some(lowest) if !score.below(&lowest) => lowest,
            _ => score,
        });
    }
    let score = match lowest {
        Some(score) => score,
        None if grading.get("ignoreEmpty")?.truthy() => metric_score.clone(),
        None => {
            let (value, key, threshold) = (Js::Undefined, Js::Undefined, Js::Undefined);
            violations.push(Violation { metadata: metadata.clone(), value, key, breach: NO_VALUES, threshold });
            Js::Number(0.0)
        }
    };
    Ok(IndicatorResult { id: id.clone(), violations, score, unusable: Vec::new() })
}

/// Grades one result; a limit counts only when it is truthy, so 0 is no limit.
fn grade_result(result: &Js, grading: &Js, violations: &mut Vec<Violation>) -> Result<Js, String> {
    let (value, key) = (result.get("value")?, result.get("key")?);
    let thresholds = grading.get("thresholds")?;
    let metadata = grading.get("metadata")?;
    let mut score = grading.get("metricScore")?.clone();
    for (severe, warning, violates) in [
        ("lowerSevere", "lowerWarning", Js::at_most as fn(&Js, &Js) -> bool),
        ("upperSevere", "upperWarning", Js::at_least as fn(&Js, &Js) -> bool),
    ] {
        for breach in [severe, warning] {
            let threshold = thresholds.get(breach)?;
            if !threshold.truthy() || !violates(value, threshold) {
                continue;
            }
            score = if breach == severe { Js::Number(0.0) } else { score.halved() };
            violations.push(Violation {
                metadata: metadata.clone(),
                value: value.clone(),
                key: key.clone(),
                breach,
                threshold: threshold.clone(),
            });
            break;
        }
    }
    Ok(score)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn carts(id: &Value, source: &str, limit: i32) -> Value {
        let grading = json!({"type": "Threshold", "thresholds": {"upperSevere": limit}, "metricScore": 100});
        json!({"id": id, "source": source, "query": "up", "grading": grading})
    }

    /// Runs a spec in which every indicator has the one value 5.
    fn run(spec: &Value) -> Value {
        let five = Js::from(&json!([{"key": "k", "value": 5}]));
        serde_json::to_value(evaluate(&Js::from(spec), &|_| Ok(five.clone()))).unwrap()
    }

    #[test]
    fn ids_like_integers_come_first_and_a_later_definition_wins_at_the_first_place() {
        let [b, ten, nine, b_again] = [
            carts(&json!("b"), "Prometheus", 1),
            carts(&json!("10"), "Prometheus", 9),
            carts(&json!(9), "Prometheus", 9),
            carts(&json!("b"), "Prometheus", 9),
        ];
        let report = run(&json!({"indicators": [b, ten, nine, carts(&json!("c"), "Prometheus", 1), b_again], "objectives": {"pass": 300}}));
        let rows: Vec<String> =
            report["indicatorResults"].as_array().unwrap().iter().map(|r| format!("{}={}", r["id"], r["score"])).collect();
        assert_eq!(rows, ["9=100", "\"10\"=100", "\"b\"=100", "\"c\"=0"]);
        assert_eq!(report["result"], "pass");
    }

    #[test]
    fn what_makes_the_original_throw_makes_the_run_failed() {
        let ok = carts(&json!("a"), "Prometheus", 9);
        let with = |key: &str, value: Value| {
            let mut indicator = ok.clone();
            indicator[key] = value;
            json!({"indicators": [indicator], "objectives": {"pass": 90}})
        };
        for (spec, error) in [
            (json!({"objectives": {}}), BAD_FORMAT),
            (json!("text"), BAD_FORMAT),
            (Value::Null, BAD_FORMAT),
            (json!({"indicators": {}, "objectives": {}}), "spec.indicators.forEach is not a function"),
            (json!({"indicators": [null]}), "Cannot read property 'source' of null"),
            (json!({"indicators": [{}]}), "Cannot read property 'toLowerCase' of undefined"),
            (json!({"indicators": []}), "Cannot read property 'pass' of undefined"),
            (with("source", json!(7)), "indicator.source.toLowerCase is not a function"),
            (with("grading", json!({"type": "Fancy"})), "Cannot read property 'grade' of undefined"),
            (with("grading", Value::Null), "Cannot read property 'type' of null"),
            (with("grading", json!({"type": "Threshold"})), "Cannot read property 'lowerSevere' of undefined"),
            (with("source", json!("Dynatrace")), "Unsupported query type"),
        ] {
            assert_eq!(run(&spec), json!({"result": "failed", "error": error}), "{spec}");
        }
    }

    #[test]
    fn a_dynatrace_count_of_relations_is_the_only_other_query() {
        for (aggregation, result) in [("COUNT", "pass"), ("avg", "failed")] {
            let mut indicator = carts(&json!("a"), "Dynatrace", 9);
            indicator["query"] = json!({"entityType": "Service", "smartscape": "toRelationships:calls", "aggregation": aggregation});
            assert_eq!(run(&json!({"indicators": [indicator], "objectives": {"pass": 90}}))["result"], result);
        }
    }

    #[test]
    fn a_source_that_fails_rejects_the_run() {
        let spec = Js::from(&json!({"indicators": [carts(&json!("a"), "Prometheus", 9)], "objectives": {"pass": 90}}));
        let answers = Answers::from([("a".to_owned(), Answer::Unavailable("No Dynatrace Service Entity found.".to_owned()))]);
        let report = evaluate(&spec, &|id| fetch_from(&answers, id));
        assert_eq!((report.result, report.error.as_deref()), ("failed", Some("No Dynatrace Service Entity found.")));
    }

    #[test]
    fn a_score_written_as_text_is_concatenated_and_still_compared_as_a_number() {
        let mut indicator = carts(&json!("a"), "Prometheus", 9);
        indicator["grading"]["metricScore"] = json!("100");
        let report = run(&json!({"indicators": [indicator], "objectives": {"pass": 90}}));
        assert_eq!((report["totalScore"].clone(), report["result"].clone()), (json!("0100"), json!("pass")));
    }
}
