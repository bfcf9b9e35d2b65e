//! Reads a perfspec strictly: every problem at once, nothing that is written is without effect and goes unsaid.

use std::collections::HashMap;

use crate::domain::gate::live;
use crate::domain::gate::perfspec::js::Js;
use crate::domain::gate::perfspec::spec::{
    Aggregation, Entities, Indicator, Objectives, Query, RelativeThresholds, Source, Spec, Thresholds,
};
use crate::formats::json::{self, Node, Value};
use crate::formats::perfspec::checks;
use crate::formats::perfspec::reader::{Object, Reader, nearest};
use crate::formats::problem::Problem;

/// Keys that are accepted anywhere and do nothing.
const INERT: [&str; 2] = ["output", "comment"];

/// A perfspec that can be used, and what its reader should know.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The gate file.
    pub spec: Spec,
    /// Notes: keys without effect, results that can never occur, the effective fail line of each indicator.
    pub notes: Vec<Problem>,
}

/// Reads a perfspec strictly. `file` is the name shown in problems.
///
/// # Errors
///
/// Returns every problem of the file, notes included, in the order of the file.
pub fn load(file: &str, text: &str) -> Result<Loaded, Vec<Problem>> {
    read(file, text, false)
}

/// Reads a perfspec strictly for a live rollout, where the proxy's own measurements must answer every indicator.
///
/// # Errors
///
/// Returns every problem of the file, notes included, in the order of the file.
pub fn load_live(file: &str, text: &str) -> Result<Loaded, Vec<Problem>> {
    read(file, text, true)
}

/// Returns everything that is wrong with a perfspec of a live rollout, or worth knowing about it.
#[must_use]
pub fn check(file: &str, text: &str) -> Vec<Problem> {
    load_live(file, text).map_or_else(|problems| problems, |loaded| loaded.notes)
}

fn read(file: &str, text: &str, live: bool) -> Result<Loaded, Vec<Problem>> {
    let root = json::parse(file, text).map_err(|problem| vec![*problem])?;
    let reader = Reader::new(file, text);
    let spec = read_spec(&reader, &root);
    if let Some(spec) = &spec
        && !reader.has_errors()
    {
        checks::contradictions(&reader, &root, spec);
        if live {
            not_live(&reader, &root, spec);
        }
        if !reader.has_errors() {
            checks::notes(&reader, &root, spec);
        }
    }
    let failed = reader.has_errors();
    let problems = reader.into_problems();
    match spec {
        Some(spec) if !failed => Ok(Loaded { spec, notes: problems }),
        _ => Err(problems),
    }
}

fn not_live(reader: &Reader<'_>, root: &Node, spec: &Spec) {
    for error in live::indicators(spec).err().into_iter().flatten() {
        let path = format!("indicators[{}].{}", error.index, error.key);
        let hint = format!("{}; 'portcullis evaluate --values' judges the file as it is", error.hint);
        reader.error(checks::place_of(root, error.index, error.key), &path, error.to_string(), hint);
    }
}

fn read_spec(reader: &Reader<'_>, root: &Node) -> Option<Spec> {
    let inert: Vec<&str> = INERT.into_iter().chain(["spec_version"]).collect();
    let object = reader.object(root, String::new(), &["indicators", "objectives"], &inert)?;
    let indicators = object
        .require("indicators", "write \"indicators\": [ … ], one entry for each value that is judged")
        .and_then(|node| read_indicators(reader, node));
    let objectives = object
        .require("objectives", "write \"objectives\": { \"pass\": 90, \"warning\": 75 }, points the run needs")
        .and_then(|node| read_objectives(reader, node));
    Some(Spec { indicators: indicators?, objectives: objectives? })
}

fn read_objectives(reader: &Reader<'_>, node: &Node) -> Option<Objectives> {
    let object = reader.object(node, "objectives".to_owned(), &["pass", "warning"], &INERT)?;
    let pass = object.required_number("pass", "write the points a run needs to pass, for example \"pass\": 90");
    let warning = object.number("warning");
    Some(Objectives { pass: pass?, warning })
}

fn read_indicators(reader: &Reader<'_>, node: &Node) -> Option<Vec<Indicator>> {
    let Some(items) = node.items() else {
        let message = format!("indicators must be a list, not {}", node.kind());
        reader.error(node.start, "indicators", message, "write \"indicators\": [ … ]");
        return None;
    };
    if items.is_empty() {
        reader.error(node.start, "indicators", "indicators is empty", "write at least one indicator, else nothing is judged");
    }
    let mut ids: HashMap<&str, usize> = HashMap::new();
    let mut indicators = Vec::new();
    for (index, item) in items.iter().enumerate() {
        if let Some((at, id)) = item.get("id").and_then(|node| Some((node.start, node.text()?))) {
            let first = *ids.entry(id).or_insert(index);
            if first != index {
                let path = format!("indicators[{index}].id");
                let message = format!("the id \"{id}\" is used twice, first by indicators[{first}]");
                reader.error(at, &path, message, "give each indicator its own id");
            }
        }
        indicators.push(read_indicator(reader, item, format!("indicators[{index}]")));
    }
    indicators.into_iter().collect()
}

fn read_indicator(reader: &Reader<'_>, node: &Node, path: String) -> Option<Indicator> {
    let inert: Vec<&str> = INERT.into_iter().chain(["metadata"]).collect();
    let object = reader.object(node, path, &["id", "source", "query", "grading"], &inert)?;
    let id = object.required_text("id", "give the indicator a name");
    let source = read_source(reader, &object);
    let query = object.require("query", "write what the source is asked");
    let query = query.zip(source).and_then(|(node, source)| read_query(reader, node, object.path_of("query"), source));
    let grading = object
        .require("grading", "write \"grading\": { \"type\": \"Threshold\", \"thresholds\": { … }, \"metricScore\": 100 }")
        .and_then(|node| read_grading(reader, node, object.path_of("grading")));
    let (id, source, query, grading) = (id?, source?, query?, grading?);
    Some(Indicator { id: id.to_owned(), source, query, ..grading })
}

fn read_source(reader: &Reader<'_>, object: &Object<'_>) -> Option<Source> {
    let name = object.required_text("source", "write \"source\": \"Prometheus\" or \"Dynatrace\"")?;
    let source = Source::from_name(name);
    if source.is_none() {
        let hint = nearest(name, &Source::NAMES);
        reader.error(object.place_of("source"), &object.path_of("source"), format!("unknown source \"{name}\""), hint);
    }
    source
}

fn read_query(reader: &Reader<'_>, node: &Node, path: String, source: Source) -> Option<Query> {
    checks::placeholders(reader, node, &path);
    match (source, &node.value) {
        (Source::Prometheus, Value::Text(query)) if !query.trim().is_empty() => Some(Query::Promql(query.clone())),
        (Source::Prometheus, _) => {
            let message = format!(
                "the query of a Prometheus indicator must be a line of PromQL, not {}",
                if matches!(node.value, Value::Text(_)) { "empty" } else { node.kind() }
            );
            reader.error(node.start, &path, message, "write the query as one text");
            None
        }
        (Source::Dynatrace, _) => read_dynatrace_query(reader, node, path),
    }
}

fn read_dynatrace_query(reader: &Reader<'_>, node: &Node, path: String) -> Option<Query> {
    let known = ["timeseriesId", "aggregation", "tags", "entityIds", "entityType", "smartscape"];
    let inert: Vec<&str> = INERT.into_iter().chain(["startTimestamp", "endTimestamp"]).collect();
    let object = reader.object(node, path, &known, &inert)?;
    let read = |key: &str, one: fn(&Node) -> Option<String>, hint: &str| entities(reader, &object, key, one, hint);
    let of = Entities {
        ids: read("entityIds", |node| node.text().map(str::to_owned), "write the id of an entity, such as \"SERVICE-64F930D2B8E888FF\""),
        tags: read("tags", tag, "write \"service:carts\" or {\"context\": \"…\", \"key\": \"service\", \"value\": \"carts\"}"),
    };
    let aggregation = object.required_text("aggregation", Aggregation::EXAMPLES);
    let parsed = aggregation.and_then(|text| {
        let parsed = Aggregation::from_text(text);
        if parsed.is_none() {
            let message = format!("unsupported aggregation {text:?}");
            reader.error(object.place_of("aggregation"), &object.path_of("aggregation"), message, Aggregation::EXAMPLES);
        }
        parsed
    });
    if object.get("timeseriesId").is_some() {
        let id = object.required_text("timeseriesId", "name the time series")?.to_owned();
        return Some(Query::Timeseries { id, aggregation: parsed?, of });
    }
    if object.get("smartscape").is_none() {
        let message = "unsupported query type: there is neither timeseriesId nor smartscape";
        reader.error(node.start, &object.path, message, "write \"timeseriesId\": \"com.dynatrace.builtin:service.responsetime\"");
        return None;
    }
    let relation = object.required_text("smartscape", "write \"smartscape\": \"toRelationships:calls\"");
    let entity_type = object.required_text("entityType", "write \"entityType\": \"Service\", \"Application\" or \"Process\"");
    if let Some(kind) = entity_type.filter(|kind| !["Service", "Application", "Process"].contains(kind)) {
        let hint = nearest(kind, &["Service", "Application", "Process"]);
        reader.error(object.place_of("entityType"), &object.path_of("entityType"), format!("unknown entityType {kind:?}"), hint);
    }
    if parsed.is_some_and(|parsed| parsed != Aggregation::Count) {
        let message = "a smartscape query can only be counted";
        reader.error(object.place_of("aggregation"), &object.path_of("aggregation"), message, "write \"aggregation\": \"count\"");
    }
    Some(Query::Smartscape { entity_type: entity_type?.to_owned(), relation: relation?.to_owned(), of })
}

/// Reads a list of entities or of tags, which need not be there.
fn entities(reader: &Reader<'_>, object: &Object<'_>, key: &str, one: fn(&Node) -> Option<String>, hint: &str) -> Vec<String> {
    let Some(node) = object.get(key) else { return Vec::new() };
    let path = object.path_of(key);
    let Some(items) = node.items() else {
        reader.error(node.start, &path, format!("{key} must be a list, not {}", node.kind()), format!("write \"{key}\": [ … ]"));
        return Vec::new();
    };
    let read = |(index, item): (usize, &Node)| {
        let read = one(item).filter(|text| !text.trim().is_empty());
        if read.is_none() {
            reader.error(item.start, &format!("{path}[{index}]"), format!("this stands for nothing in {key}"), hint);
        }
        read
    };
    items.iter().enumerate().filter_map(read).collect()
}

/// Returns a tag as one text: `key:value`, with `[context]` before it where it has one.
fn tag(node: &Node) -> Option<String> {
    if node.members().is_none() {
        return node.text().map(str::to_owned);
    }
    let part = |key| node.get(key).and_then(Node::text).filter(|text| !text.is_empty());
    let key = part("key")?;
    let context = part("context").filter(|context| *context != "CONTEXTLESS").map_or_else(String::new, |context| format!("[{context}]"));
    Some(part("value").map_or_else(|| format!("{context}{key}"), |value| format!("{context}{key}:{value}")))
}

/// Reads a grading into an indicator whose name and query are still to be filled in.
fn read_grading(reader: &Reader<'_>, node: &Node, path: String) -> Option<Indicator> {
    let known = ["type", "thresholds", "metricScore", "ignoreEmpty", "metadata", "baseline"];
    let object = reader.object(node, path, &known, &INERT)?;
    let kind = object.required_text("type", "write \"type\": \"Threshold\", the only grader there is");
    if let Some(kind) = kind.filter(|kind| *kind != "Threshold") {
        let hint = "write \"type\": \"Threshold\", the only grader there is";
        reader.error(object.place_of("type"), &object.path_of("type"), format!("unknown grader type {kind:?}"), hint);
    }
    let limits = object
        .require("thresholds", "write \"thresholds\": { \"upperSevere\": … }")
        .and_then(|node| read_thresholds(reader, node, object.path_of("thresholds")));
    let metric_score = object.required_number("metricScore", "write the points the indicator can earn, for example \"metricScore\": 100");
    if let Some(points) = metric_score.filter(|points| *points < 0.0) {
        let message = format!("metricScore {points} is below 0");
        reader.error(object.place_of("metricScore"), &object.path_of("metricScore"), message, "write the points the indicator can earn");
    }
    let ignore_empty = object.flag("ignoreEmpty");
    let baseline_optional = read_baseline(reader, &object);
    let metadata = object.get("metadata").map_or(Js::Undefined, Node::to_js);
    let (thresholds, mut relative) = limits?;
    relative.baseline_optional = baseline_optional;
    let query = Query::Promql(String::new());
    Some(Indicator {
        id: String::new(),
        source: Source::Prometheus,
        query,
        thresholds,
        relative,
        metric_score: metric_score?,
        ignore_empty,
        metadata,
    })
}

fn read_baseline(reader: &Reader<'_>, object: &Object<'_>) -> bool {
    match object.get("baseline").map(|node| &node.value) {
        None => false,
        Some(Value::Text(word)) if word == "optional" => true,
        Some(Value::Text(word)) if word == "required" => false,
        Some(_) => {
            let hint = "write \"optional\" to judge a first run without the relative limits, or \"required\"";
            reader.error(object.place_of("baseline"), &object.path_of("baseline"), "baseline must be \"optional\" or \"required\"", hint);
            false
        }
    }
}

fn read_thresholds(reader: &Reader<'_>, node: &Node, path: String) -> Option<(Thresholds, RelativeThresholds)> {
    let known = [
        "upperSevere",
        "upperWarning",
        "lowerSevere",
        "lowerWarning",
        "upperSeverePerc",
        "upperWarningPerc",
        "lowerSeverePerc",
        "lowerWarningPerc",
    ];
    let object = reader.object(node, path, &known, &INERT)?;
    let absolute = Thresholds {
        upper_severe: object.number("upperSevere"),
        upper_warning: object.number("upperWarning"),
        lower_severe: object.number("lowerSevere"),
        lower_warning: object.number("lowerWarning"),
    };
    let relative = RelativeThresholds {
        upper_severe_perc: object.number("upperSeverePerc"),
        upper_warning_perc: object.number("upperWarningPerc"),
        lower_severe_perc: object.number("lowerSeverePerc"),
        lower_warning_perc: object.number("lowerWarningPerc"),
        baseline_optional: false,
    };
    Some((absolute, relative))
}
