//! Reads an `slo.yaml` as the original did: unknown keys are ignored, defaults filled in, errors in the words of its YAML library.

use crate::domain::gate::slo::written::{Comparison, CriteriaSet, Objective, Slo, TotalScore};
use crate::formats::yaml::tree::{self, Limits, Node, Value};

/// Reads an `slo.yaml`.
///
/// # Errors
///
/// Returns the errors of the original's YAML library, for a value of the wrong kind in its own words. Its users
/// saw only "Could not parse SLO file for service S in stage T in project P".
pub fn read_keptn(text: &str) -> Result<Slo, String> {
    let root = tree::parse("", text, Limits::GATES).map_err(|problem| {
        let line = problem.line.map_or(String::new(), |line| format!("line {line}: "));
        format!("yaml: {line}{}", problem.message)
    })?;
    let mut reader = Reader::default();
    let slo = reader.slo(&root);
    if reader.errors.is_empty() { Ok(slo) } else { Err(format!("yaml: unmarshal errors:\n  {}", reader.errors.join("\n  "))) }
}

/// Collects the values of a wrong kind.
#[derive(Default)]
struct Reader {
    errors: Vec<String>,
}

impl Reader {
    fn slo(&mut self, root: &Node) -> Slo {
        let entries = self.map(root, "keptn.ServiceLevelObjectives");
        let comparison = get(entries, "comparison").filter(|node| node.value != Value::Nothing);
        let objectives = self.list(get(entries, "objectives"), "[]*keptn.SLO").unwrap_or_default();
        Slo {
            spec_version: self.text(get(entries, "spec_version")),
            filter: self.filter(get(entries, "filter")),
            comparison: comparison.map_or_else(Comparison::default, |node| self.comparison(node)),
            objectives: objectives.iter().filter(|node| node.value != Value::Nothing).map(|node| self.objective(node)).collect(),
            total_score: get(entries, "total_score").filter(|node| node.value != Value::Nothing).map(|node| {
                let entries = self.map(node, "keptn.SLOScore");
                TotalScore { pass: self.text(get(entries, "pass")), warning: self.text(get(entries, "warning")) }
            }),
        }
    }

    fn filter(&mut self, node: Option<&Node>) -> Option<Vec<(String, String)>> {
        let node = node.filter(|node| node.value != Value::Nothing)?;
        let entries = self.map(node, "map[string]string");
        Some(entries.iter().map(|(key, value)| (self.text(Some(key)), self.text(Some(value)))).collect())
    }

    fn comparison(&mut self, node: &Node) -> Comparison {
        let entries = self.map(node, "keptn.SLOComparison");
        let or = |text: String, default: &str| if text.is_empty() { default.to_owned() } else { text };
        Comparison {
            compare_with: self.text(get(entries, "compare_with")),
            include_result_with_score: or(self.text(get(entries, "include_result_with_score")), "all"),
            number_of_comparison_results: match self.integer(get(entries, "number_of_comparison_results")) {
                0 => 3,
                number => number,
            },
            aggregate_function: or(self.text(get(entries, "aggregate_function")), "avg"),
        }
    }

    fn objective(&mut self, node: &Node) -> Objective {
        let entries = self.map(node, "keptn.SLO");
        Objective {
            sli: self.text(get(entries, "sli")),
            display_name: self.text(get(entries, "displayName")),
            pass: self.sets(get(entries, "pass")),
            warning: self.sets(get(entries, "warning")),
            weight: match self.integer(get(entries, "weight")) {
                0 => 1,
                weight => weight,
            },
            key_sli: self.boolean(get(entries, "key_sli")),
        }
    }

    fn sets(&mut self, node: Option<&Node>) -> Option<Vec<CriteriaSet>> {
        let items = self.list(node, "[]*keptn.SLOCriteria")?;
        let set = |node: &Node| {
            let entries = if node.value == Value::Nothing { &[] } else { self.map(node, "keptn.SLOCriteria") };
            let texts = self.list(get(entries, "criteria"), "[]string");
            CriteriaSet { criteria: texts.map(|texts| texts.iter().map(|text| self.text(Some(text))).collect()) }
        };
        Some(items.iter().map(set).collect())
    }

    fn map<'n>(&mut self, node: &'n Node, kind: &str) -> &'n [(Node, Node)] {
        match &node.value {
            Value::Map(entries) => entries,
            Value::Nothing => &[],
            _ => {
                self.wrong(node, kind);
                &[]
            }
        }
    }

    fn list<'n>(&mut self, node: Option<&'n Node>, kind: &str) -> Option<&'n [Node]> {
        match node.map(|node| (&node.value, node)) {
            None | Some((Value::Nothing, _)) => None,
            Some((Value::List(items), _)) => Some(items),
            Some((_, node)) => {
                self.wrong(node, kind);
                None
            }
        }
    }

    fn text(&mut self, node: Option<&Node>) -> String {
        match node.map(|node| (&node.value, node)) {
            None | Some((Value::Nothing, _)) => String::new(),
            Some((Value::Text(text) | Value::Number(text), _)) => text.clone(),
            Some((Value::Bool(value), _)) => value.to_string(),
            Some((Value::List(_) | Value::Map(_), node)) => {
                self.wrong(node, "string");
                String::new()
            }
        }
    }

    fn integer(&mut self, node: Option<&Node>) -> i64 {
        match node.map(|node| (&node.value, node)) {
            None | Some((Value::Nothing, _)) => 0,
            Some((Value::Number(number), node)) => number.replace('_', "").parse().unwrap_or_else(|_| {
                self.wrong(node, "int");
                0
            }),
            Some((_, node)) => {
                self.wrong(node, "int");
                0
            }
        }
    }

    fn boolean(&mut self, node: Option<&Node>) -> bool {
        match node.map(|node| (&node.value, node)) {
            None | Some((Value::Nothing, _)) => false,
            Some((Value::Bool(value), _)) => *value,
            // The library reads the words of YAML 1.1 where a Boolean is wanted.
            Some((Value::Text(word), _)) if ["y", "Y", "yes", "Yes", "YES", "on", "On", "ON"].contains(&word.as_str()) => true,
            Some((Value::Text(word), _)) if ["n", "N", "no", "No", "NO", "off", "Off", "OFF"].contains(&word.as_str()) => false,
            Some((_, node)) => {
                self.wrong(node, "bool");
                false
            }
        }
    }

    fn wrong(&mut self, node: &Node, kind: &str) {
        let (tag, spelled) = match &node.value {
            Value::Nothing => ("!!null", Some("null")),
            Value::Bool(value) => ("!!bool", Some(if *value { "true" } else { "false" })),
            Value::Number(text) if text.contains(['.', 'e', 'E']) => ("!!float", Some(text.as_str())),
            Value::Number(text) => ("!!int", Some(text.as_str())),
            Value::Text(text) => ("!!str", Some(text.as_str())),
            Value::List(_) => ("!!seq", None),
            Value::Map(_) => ("!!map", None),
        };
        // The library shows at most ten characters of a value.
        let shown = spelled.map_or(String::new(), |text| {
            if text.len() > 10 { format!(" `{}...`", text.chars().take(7).collect::<String>()) } else { format!(" `{text}`") }
        });
        self.errors.push(format!("line {}: cannot unmarshal {tag}{shown} into {kind}", node.line));
    }
}

/// Returns the value of a key, the last one where there are several.
fn get<'n>(entries: &'n [(Node, Node)], key: &str) -> Option<&'n Node> {
    let named = |node: &Node| matches!(&node.value, Value::Text(found) if found == key);
    entries.iter().rev().find(|(found, _)| named(found)).map(|(_, node)| node)
}
