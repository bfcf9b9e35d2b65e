//! Reads the pair of keptn 0.5, `service-objectives.yaml` and `service-indicators.yaml`, into the perfspec it stands for.

use std::collections::{HashMap, HashSet};

use crate::domain::gate::perfspec::js::Js;
use crate::domain::gate::perfspec::spec::{
    Aggregation, Entities, Indicator, Objectives, Query, RelativeThresholds, Source, Spec, Thresholds,
};
use crate::formats::perfspec::reader::nearest;
use crate::formats::problem::Problem;
use crate::formats::yaml::fields::{Fields, place_of};
use crate::formats::yaml::place::{At, Report};
use crate::formats::yaml::tree::{self, Limits, Node, Value};

/// One entry of `service-indicators.yaml`.
struct Measured {
    source: Source,
    query: Query,
}

/// A file by its name and its text.
type Text<'t> = (&'t str, &'t str);

/// Reads both files strictly.
///
/// # Errors
///
/// Returns every problem of both, an objective without an indicator among them.
pub fn read_pair(objectives: Text<'_>, indicators: Text<'_>) -> Result<(Spec, Vec<Problem>), Vec<Problem>> {
    let mut problems = Vec::new();
    let measured = read_one(indicators, &mut problems, read_indicators);
    let spec = read_one(objectives, &mut problems, |root, report| read_objectives(root, measured.as_ref(), report));
    match (spec, measured) {
        (Some(spec), Some(_)) => Ok((spec, problems)),
        _ => Err(problems),
    }
}

fn read_one<T>((file, text): Text<'_>, problems: &mut Vec<Problem>, read: impl FnOnce(&Node, &Report<'_>) -> Option<T>) -> Option<T> {
    let root = match tree::parse(file, text, Limits::GATES) {
        Ok(root) => root,
        Err(problem) => {
            problems.push(*problem);
            return None;
        }
    };
    let report = Report::new(file, text);
    let found = read(&root, &report).filter(|_| !report.has_errors());
    problems.extend(report.into_problems());
    found
}

fn read_indicators(root: &Node, report: &Report<'_>) -> Option<HashMap<String, Measured>> {
    let mut fields = Fields::open(root, String::new(), report)?;
    fields.inert(&["spec_version", "comment"]);
    fields.require("indicators", "write 'indicators:' with one entry for each metric");
    let items = fields.list("indicators");
    fields.close();
    let mut found = HashMap::new();
    for (node, path) in items?.value {
        let Some((metric, measured)) = read_indicator(node, path, report) else { continue };
        if found.insert(metric.value.clone(), measured).is_some() {
            report.error(&metric.place, format!("the metric {:?} is defined twice", metric.value), "keep one of the two");
        }
    }
    Some(found)
}

fn read_indicator(node: &Node, path: String, report: &Report<'_>) -> Option<(At<String>, Measured)> {
    let mut fields = Fields::open(node, path, report)?;
    let place = fields.place().clone();
    fields.inert(&["comment", "metadata"]);
    fields.require("metric", "give the indicator a name");
    fields.require("source", "write 'source: Prometheus' or 'source: Dynatrace'");
    let metric = fields.text("metric");
    let source = fields.text("source");
    let query = fields.text("query");
    let object = fields.list("queryObject");
    fields.close();
    let source = source.and_then(|found| {
        let source = Source::from_name(&found.value);
        if source.is_none() {
            report.error(&found.place, format!("unknown source {:?}", found.value), nearest(&found.value, &Source::NAMES));
        }
        source
    })?;
    let query = match (source, query, object) {
        (Source::Prometheus, Some(query), None) => Query::Promql(query.value),
        (Source::Dynatrace, None, Some(object)) => timeseries(object.value, report)?,
        (Source::Prometheus, ..) => {
            report.error(&place, "a Prometheus indicator needs a query and no queryObject", "write 'query: …' with a line of PromQL");
            return None;
        }
        (Source::Dynatrace, ..) => {
            let hint = "write 'queryObject: [{key: timeseriesId, value: …}, {key: aggregation, value: AVG}]'";
            report.error(&place, "a Dynatrace indicator needs a queryObject and no query", hint);
            return None;
        }
    };
    Some((metric?, Measured { source, query }))
}

fn timeseries(items: Vec<(&Node, String)>, report: &Report<'_>) -> Option<Query> {
    let (mut id, mut aggregation) = (None, None);
    let place = items.first().map(|(node, path)| place_of(node, path.clone()));
    for (node, path) in items {
        let mut fields = Fields::open(node, path, report)?;
        fields.require("key", "write 'key: timeseriesId' or 'key: aggregation'");
        fields.require("value", "write the value of the key");
        let (key, value) = (fields.text("key"), fields.text("value"));
        fields.close();
        let (key, value) = (key?, value?);
        match key.value.as_str() {
            "timeseriesId" => id = Some(value.value),
            "aggregation" => {
                aggregation = Aggregation::from_text(&value.value);
                if aggregation.is_none() {
                    report.error(&value.place, format!("unsupported aggregation {:?}", value.value), Aggregation::EXAMPLES);
                }
            }
            "startTimestamp" | "endTimestamp" => {
                report.note(&key.place, format!("\"{}\" has no effect", key.value), "the window of the test is used");
            }
            other => {
                report.error(&key.place, format!("unknown key {other:?} of a query"), nearest(other, &["timeseriesId", "aggregation"]))
            }
        }
    }
    if let (None, Some(place)) = (&id, place) {
        report.error(
            &place,
            "the queryObject has no timeseriesId",
            "add {key: timeseriesId, value: com.dynatrace.builtin:service.responsetime}",
        );
    }
    Some(Query::Timeseries { id: id?, aggregation: aggregation?, of: Entities::default() })
}

fn read_objectives(root: &Node, measured: Option<&HashMap<String, Measured>>, report: &Report<'_>) -> Option<Spec> {
    let mut fields = Fields::open(root, String::new(), report)?;
    fields.inert(&["spec_version", "comment"]);
    fields.require("pass", "write the points a run needs to pass, for example 'pass: 90'");
    fields.require("objectives", "write 'objectives:' with one entry for each metric that is judged");
    let pass = fields.text("pass").and_then(|found| number(&found, report));
    let warning = fields.text("warning").map(|found| number(&found, report));
    let items = fields.list("objectives");
    fields.close();
    let At { value: items, place } = items?;
    if items.is_empty() {
        report.error(&place, "objectives is empty", "write at least one objective, else nothing is judged");
    }
    let mut seen = HashSet::new();
    let read: Vec<_> = items.into_iter().map(|(node, path)| read_objective(node, path, measured, &mut seen, report)).collect();
    let indicators = read.into_iter().collect::<Option<Vec<_>>>()?;
    let warning = warning.map_or(Some(None), |warning| warning.map(Some))?;
    Some(Spec { indicators, objectives: Objectives { pass: pass?, warning } })
}

fn read_objective(
    node: &Node,
    path: String,
    measured: Option<&HashMap<String, Measured>>,
    seen: &mut HashSet<String>,
    report: &Report<'_>,
) -> Option<Indicator> {
    let mut fields = Fields::open(node, path, report)?;
    fields.inert(&["timeframe", "comment"]);
    fields.require("metric", "name the metric, as in service-indicators.yaml");
    fields.require("threshold", "write the value from which the metric fails, in the unit of its query");
    fields.require("score", "write the points the metric can earn");
    let metric = fields.text("metric");
    let threshold = fields.text("threshold").and_then(|found| number(&found, report));
    let score = fields.text("score").and_then(|found| {
        let points = number(&found, report)?;
        if points < 0.0 {
            report.error(&found.place, format!("score {points} is below 0"), "write the points the metric can earn");
        }
        Some(points)
    });
    fields.close();
    let metric = metric?;
    if !seen.insert(metric.value.clone()) {
        report.error(&metric.place, format!("the metric {:?} is judged twice", metric.value), "keep one of the two");
    }
    let known = measured?;
    let Some(found) = known.get(&metric.value) else {
        let names: Vec<&str> = known.keys().map(String::as_str).take(200).collect();
        report.error(&metric.place, format!("there is no indicator for the metric {:?}", metric.value), nearest(&metric.value, &names));
        return None;
    };
    Some(Indicator {
        id: metric.value,
        source: found.source,
        query: found.query.clone(),
        thresholds: Thresholds { upper_severe: Some(threshold?), ..Thresholds::default() },
        relative: RelativeThresholds::default(),
        metric_score: score?,
        ignore_empty: false,
        metadata: Js::Undefined,
    })
}

fn number(found: &At<String>, report: &Report<'_>) -> Option<f64> {
    let number = found.value.parse::<f64>().ok().filter(|number| number.is_finite());
    if number.is_none() {
        report.error(&found.place, format!("{:?} is not a finite number", found.value), "write a number such as 0.8");
    }
    number
}

/// Reads both files as keptn 0.5 did and returns the perfspec it made of them: an objective without an indicator is
/// dropped, unknown keys are ignored. What is no YAML stays the text it is, which the grader then refuses.
#[must_use]
pub fn read_pair_keptn(objectives: &str, indicators: &str) -> Js {
    let parse = |text: &str| tree::parse("", text, Limits::GATES).map(|root| js(&root));
    let (Ok(objectives_js), Ok(indicators)) = (parse(objectives), parse(indicators)) else {
        return Js::Text(objectives.to_owned());
    };
    let field = |value: &Js, key: &str| match value {
        Js::Object(fields) => fields.iter().rev().find(|(name, _)| name == key).map_or(Js::Undefined, |(_, value)| value.clone()),
        _ => Js::Undefined,
    };
    let list = |value: &Js, key: &str| match field(value, key) {
        Js::List(items) => items,
        _ => Vec::new(),
    };
    let object = |fields: Vec<(&str, Js)>| Js::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    let known = list(&indicators, "indicators");
    let indicator = |objective: &Js| {
        let metric = field(objective, "metric");
        let found = known.iter().find(|one| field(one, "metric") == metric)?;
        let query = match field(found, "queryObject") {
            Js::List(entries) => Js::Object(entries.iter().map(|entry| (field(entry, "key").to_text(), field(entry, "value"))).collect()),
            _ => field(found, "query"),
        };
        let thresholds = object(vec![("upperSevere", field(objective, "threshold"))]);
        let grading = object(vec![
            ("type", Js::Text("Threshold".to_owned())),
            ("thresholds", thresholds),
            ("metricScore", field(objective, "score")),
        ]);
        Some(object(vec![("id", metric), ("source", field(found, "source")), ("query", query), ("grading", grading)]))
    };
    let made = list(&objectives_js, "objectives").iter().filter_map(indicator).collect();
    let needed = object(vec![("pass", field(&objectives_js, "pass")), ("warning", field(&objectives_js, "warning"))]);
    object(vec![("indicators", Js::List(made)), ("objectives", needed)])
}

fn js(node: &Node) -> Js {
    match &node.value {
        Value::Nothing => Js::Null,
        Value::Bool(value) => Js::Bool(*value),
        Value::Number(text) => text.parse().map_or_else(|_| Js::Text(text.clone()), Js::Number),
        Value::Text(text) => Js::Text(text.clone()),
        Value::List(items) => Js::List(items.iter().map(js).collect()),
        Value::Map(entries) => {
            let name = |key: &Node| match &key.value {
                Value::Text(text) | Value::Number(text) => Some(text.clone()),
                _ => None,
            };
            Js::Object(entries.iter().filter_map(|(key, value)| Some((name(key)?, js(value)))).collect())
        }
    }
}
