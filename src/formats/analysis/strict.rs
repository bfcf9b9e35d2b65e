//! Reads an `AnalysisDefinition` strictly: unknown keys, several operators in one target, limits that are no quantity.

use crate::domain::gate::analysis::quantity::{self, Quantity};
use crate::domain::gate::analysis::spec::{Definition, Objective, Operator, Reference, Target, TotalScore};
use crate::formats::analysis::checks::{self, Places};
use crate::formats::analysis::documents;
use crate::formats::problem::Problem;
use crate::formats::rigour::Rigour;
use crate::formats::yaml::fields::{Fields, place_of};
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::tree::{Node, Value};

/// The versions of the API that are known.
const VERSIONS: [&str; 4] = ["metrics.keptn.sh/v1", "metrics.keptn.sh/v1beta1", "metrics.keptn.sh/v1alpha3", "metrics.keptn.sh/v1alpha2"];

/// An `AnalysisValueTemplate`: what a provider is asked for one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Its name and namespace.
    pub reference: Reference,
    /// The name of the provider.
    pub provider: String,
    /// The query, a Go template.
    pub query: String,
}

/// A gate file that can be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The definition.
    pub definition: Definition,
    /// The templates that stand in the same file.
    pub templates: Vec<Template>,
    /// What its reader should know.
    pub notes: Vec<Problem>,
}

/// Reads a file with one `AnalysisDefinition` and any number of `AnalysisValueTemplate` documents.
///
/// # Errors
///
/// Returns every problem of the file, notes included, in the order of the file.
pub fn read(file: &str, text: &str) -> Result<Loaded, Vec<Problem>> {
    read_as(file, text, Rigour::Load)
}

/// Returns everything that is wrong with a file, or worth knowing about it; a definition that can never say anything, or
/// never anything but one result, is an error here.
#[must_use]
pub fn check(file: &str, text: &str) -> Vec<Problem> {
    read_as(file, text, Rigour::Check).map_or_else(|problems| problems, |loaded| loaded.notes)
}

fn read_as(file: &str, text: &str, rigour: Rigour) -> Result<Loaded, Vec<Problem>> {
    let documents = documents::parse(file, text)?;
    let report = Report::new(file, text);
    let mut found = None;
    let mut templates = Vec::new();
    for document in &documents {
        let Some((kind, fields)) = open(document, &report) else { continue };
        match kind.value.as_str() {
            "AnalysisDefinition" if found.is_some() => {
                report.error(&kind.place, "there are two AnalysisDefinitions", "write each into a file of its own");
            }
            "AnalysisDefinition" => found = Some(spec_of(fields).and_then(|(node, path)| read_definition(node, path, &report))),
            "AnalysisValueTemplate" => templates.extend(read_template(fields, &report)),
            _ => report.note(&kind.place, format!("the {} is not read", kind.value), "this file is read for its AnalysisDefinition"),
        }
    }
    let start = Place { path: String::new(), spot: Some((1, 1)) };
    if found.is_none() && !report.has_errors() {
        report.error(&start, "there is no AnalysisDefinition", "add a document with 'kind: AnalysisDefinition'");
    }
    let found = found.flatten();
    if let Some((definition, places)) = &found
        && !report.has_errors()
    {
        let names: Vec<&str> = templates.iter().map(|template: &Template| template.reference.name.as_str()).collect();
        checks::all(&report, definition, places, &names, rigour);
    }
    report.close(found).map(|((definition, _), notes)| Loaded { definition, templates, notes })
}

/// Reads what every document has; the keys below `metadata` belong to Kubernetes and are not looked at.
fn open<'n>(document: &'n Node, report: &'n Report<'n>) -> Option<(At<String>, Fields<'n>)> {
    let mut fields = Fields::open(document, String::new(), report)?;
    fields.require("apiVersion", "write 'apiVersion: metrics.keptn.sh/v1'");
    fields.require("kind", "write 'kind: AnalysisDefinition'");
    let version = fields.text("apiVersion");
    let kind = fields.text("kind");
    let known = ["AnalysisDefinition", "AnalysisValueTemplate"];
    let ours = kind.as_ref().is_some_and(|kind| known.contains(&kind.value.as_str()));
    if let Some(version) = version.filter(|version| ours && !VERSIONS.contains(&version.value.as_str())) {
        report.error(&version.place, format!("unknown apiVersion {:?}", version.value), format!("write one of {}", VERSIONS.join(", ")));
    }
    let Some(kind) = kind else {
        fields.close();
        return None;
    };
    Some((kind, fields))
}

fn spec_of<'n>(mut fields: Fields<'n>) -> Option<(&'n Node, String)> {
    fields.require("spec", "write 'spec:' with objectives and totalScore");
    fields.peek("metadata");
    fields.peek("status");
    let spec = fields.get("spec");
    fields.close();
    spec
}

fn read_template(mut fields: Fields<'_>, report: &Report<'_>) -> Option<Template> {
    let metadata = fields.peek("metadata").map(|(node, _)| node);
    let named = |wanted: &str| match metadata.map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.iter().find_map(|(key, value)| match (&key.value, &value.value) {
            (Value::Text(key), Value::Text(value) | Value::Number(value)) if key == wanted => Some(value.clone()),
            _ => None,
        }),
        _ => None,
    };
    let place = fields.place().clone();
    let (name, namespace) = (named("name"), named("namespace").unwrap_or_default());
    let (node, path) = spec_of(fields)?;
    if name.is_none() {
        report.error(&place.missing("metadata.name"), "metadata.name is missing", "give the template a name");
    }
    let mut spec = Fields::open(node, path, report)?;
    spec.require("provider", "write 'provider: {name: …}'");
    spec.require("query", "write what the provider is asked");
    let provider = spec.get("provider");
    let query = spec.text("query");
    spec.close();
    let provider = provider.and_then(|(node, path)| read_reference(node, path, report));
    let reference = Reference { name: name?, namespace };
    Some(Template { reference, provider: provider?.0.name, query: query?.value })
}

fn read_definition(node: &Node, path: String, report: &Report<'_>) -> Option<(Definition, Places)> {
    let mut fields = Fields::open(node, path, report)?;
    fields.require("objectives", "write 'objectives:' with one entry for each value that is judged");
    fields.require("totalScore", "write 'totalScore: {passPercentage: 90, warningPercentage: 75}'");
    let objectives = fields.list("objectives");
    let total = fields.get("totalScore").and_then(|(node, path)| read_total(node, path, report));
    fields.close();
    let At { value: items, place } = objectives?;
    if items.is_empty() {
        report.error(&place, "objectives is empty", "write at least one objective, else nothing is judged");
    }
    let read: Vec<_> = items.into_iter().map(|(node, path)| read_objective(node, path, report)).collect();
    let (objectives, each) = read.into_iter().collect::<Option<Vec<_>>>()?.into_iter().unzip();
    let (total_score, total) = total?;
    Some((Definition { objectives, total_score }, Places { objectives: place, each, total }))
}

fn read_total(node: &Node, path: String, report: &Report<'_>) -> Option<(TotalScore, Place)> {
    let mut fields = Fields::open(node, path, report)?;
    let place = fields.place().clone();
    fields.require("passPercentage", "write the share of the points that is needed, for example 'passPercentage: 90'");
    fields.require("warningPercentage", "write for example 'warningPercentage: 75'");
    let mut percent = |key: &'static str| {
        let found = fields.text(key)?;
        let number = found.value.parse::<i64>().ok().filter(|number| (0..=100).contains(number));
        if number.is_none() {
            report.error(&found.place, format!("{key} {} is not a whole number from 0 to 100", found.value), "write for example 90");
        }
        number
    };
    let (pass, warning) = (percent("passPercentage"), percent("warningPercentage"));
    fields.close();
    Some((TotalScore { pass_percentage: pass?, warning_percentage: warning? }, place))
}

fn read_objective(node: &Node, path: String, report: &Report<'_>) -> Option<(Objective, (Place, Place))> {
    let mut fields = Fields::open(node, path, report)?;
    let whole = fields.place().clone();
    fields.require("analysisValueTemplateRef", "write 'analysisValueTemplateRef: {name: …}'");
    let reference = fields.get("analysisValueTemplateRef").and_then(|(node, path)| read_reference(node, path, report));
    let target = fields.get("target").map(|(node, path)| read_target(node, path, report));
    let weight = fields.text("weight").map_or(Some(1), |found| {
        let weight = found.value.parse::<i64>().ok().filter(|weight| (1..=1_000_000_000).contains(weight));
        if weight.is_none() {
            report.error(
                &found.place,
                format!("weight {} is not a whole number of 1 or more", found.value),
                "write whole points, such as 2",
            );
        }
        weight
    });
    let key = fields.boolean("keyObjective").is_some_and(|found| found.value);
    fields.close();
    let (target, at) = match target {
        None => (Target::default(), whole),
        Some(found) => found?,
    };
    let (reference, place) = reference?;
    Some((Objective { reference, target, weight: weight?, key_objective: key }, (place, at)))
}

fn read_reference(node: &Node, path: String, report: &Report<'_>) -> Option<(Reference, Place)> {
    let mut fields = Fields::open(node, path, report)?;
    let place = fields.place().clone();
    fields.require("name", "give the name of the resource");
    let (name, namespace) = (fields.text("name"), fields.text("namespace"));
    fields.close();
    Some((Reference { name: name?.value, namespace: namespace.map_or(String::new(), |found| found.value) }, place))
}

fn read_target(node: &Node, path: String, report: &Report<'_>) -> Option<(Target, Place)> {
    let mut fields = Fields::open(node, path, report)?;
    let place = fields.place().clone();
    let mut operator = |key: &'static str| fields.get(key).map(|(node, path)| read_operator(node, path, report));
    let (failure, warning) = (operator("failure"), operator("warning"));
    fields.close();
    let known = |found: Option<Option<Operator>>| found.map_or(Some(None), |found| found.map(Some));
    Some((Target { failure: known(failure)?, warning: known(warning)? }, place))
}

/// Reads the one operator of a criterion.
fn read_operator(node: &Node, path: String, report: &Report<'_>) -> Option<Operator> {
    let mut fields = Fields::open(node, path, report)?;
    let place = fields.place().clone();
    let written: Vec<&'static str> = Operator::KEYS.into_iter().filter(|key| fields.has(key)).collect();
    let mut found = None;
    for key in Operator::KEYS {
        let Some((node, path)) = fields.get(key) else { continue };
        found = if key.ends_with("nRange") { read_range(key, node, path, report) } else { read_limit(key, node, path, report) };
    }
    fields.close();
    match written.as_slice() {
        [_] => found,
        [] => {
            report.error(&place, "there is no operator", "write for example 'greaterThan: {fixedValue: 600}'");
            None
        }
        [first, ..] => {
            let message = format!("there are several operators: {}; the original reads {first} alone", written.join(", "));
            report.error(&place, message, "keep one, or use inRange or notInRange");
            None
        }
    }
}

fn read_limit(key: &'static str, node: &Node, path: String, report: &Report<'_>) -> Option<Operator> {
    let mut fields = Fields::open(node, path, report)?;
    fields.require("fixedValue", "write 'fixedValue: 600'");
    let limit = fields.text("fixedValue").and_then(|found| read_quantity(&found, report));
    fields.close();
    Some(match key {
        "equalTo" => Operator::EqualTo(limit?),
        "lessThanOrEqual" => Operator::LessThanOrEqual(limit?),
        "lessThan" => Operator::LessThan(limit?),
        "greaterThanOrEqual" => Operator::GreaterThanOrEqual(limit?),
        _ => Operator::GreaterThan(limit?),
    })
}

fn read_range(key: &'static str, node: &Node, path: String, report: &Report<'_>) -> Option<Operator> {
    let place = place_of(node, path.clone());
    let mut fields = Fields::open(node, path, report)?;
    fields.require("lowBound", "write 'lowBound: 300'");
    fields.require("highBound", "write 'highBound: 500'");
    let low = fields.text("lowBound").and_then(|found| read_quantity(&found, report));
    let high = fields.text("highBound").and_then(|found| read_quantity(&found, report));
    fields.close();
    let (low, high) = (low?, high?);
    if low.exact() > high.exact() {
        report.error(&place, format!("lowBound {low} is above highBound {high}, so no value lies between them"), "exchange the two");
    }
    Some(if key == "inRange" { Operator::InRange(low, high) } else { Operator::NotInRange(low, high) })
}

fn read_quantity(found: &At<String>, report: &Report<'_>) -> Option<Quantity> {
    Quantity::parse(&found.value).map_err(|error| report.error(&found.place, error.to_string(), quantity::EXAMPLES)).ok()
}
