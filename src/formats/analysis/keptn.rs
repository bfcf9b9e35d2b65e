//! Reads an `AnalysisDefinition` as the original did: unknown keys are ignored, of several operators the first counts.

use crate::domain::gate::analysis::quantity::Quantity;
use crate::domain::gate::analysis::spec::{Definition, Objective, Operator, Reference, Target, TotalScore};
use crate::formats::analysis::documents;
use crate::formats::problem::Problem;
use crate::formats::yaml::tree::{Node, Value};

/// Reads the first `AnalysisDefinition` of a file. What Kubernetes refuses when it stores the resource is an error here:
/// a limit that is no quantity, a percentage or a weight that is no whole number.
///
/// # Errors
///
/// Returns what is no YAML, and what the original could not have stored.
pub fn read_keptn(file: &str, text: &str) -> Result<Definition, Vec<Problem>> {
    let documents = documents::parse(file, text)?;
    let is_definition = |node: &&Node| get(node, "kind").and_then(text_of) == Some("AnalysisDefinition");
    let spec = documents.iter().find(is_definition).map(|node| get(node, "spec").unwrap_or(node)).ok_or_else(|| {
        let problem = Problem::error(file, "", "there is no AnalysisDefinition");
        vec![problem.with_hint("add a document with 'kind: AnalysisDefinition'").at(text, 1, 1)]
    })?;
    let mut reader = Reader { file, text, problems: Vec::new() };
    let definition = reader.definition(spec);
    if reader.problems.is_empty() { Ok(definition) } else { Err(reader.problems) }
}

struct Reader<'t> {
    file: &'t str,
    text: &'t str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn definition(&mut self, spec: &Node) -> Definition {
        let objectives = match get(spec, "objectives").map(|node| &node.value) {
            Some(Value::List(items)) => items.iter().map(|item| self.objective(item)).collect(),
            _ => Vec::new(),
        };
        let total = get(spec, "totalScore");
        let mut percent = |key| total.and_then(|node| get(node, key)).map_or(0, |node| self.integer(node));
        let total_score = TotalScore { pass_percentage: percent("passPercentage"), warning_percentage: percent("warningPercentage") };
        Definition { objectives, total_score }
    }

    fn objective(&mut self, node: &Node) -> Objective {
        let reference = get(node, "analysisValueTemplateRef");
        let part = |key| reference.and_then(|node| get(node, key)).and_then(text_of).unwrap_or_default().to_owned();
        let target = get(node, "target");
        let mut operator = |key| target.and_then(|node| get(node, key)).and_then(|node| self.operator(node));
        let target = Target { failure: operator("failure"), warning: operator("warning") };
        Objective {
            reference: Reference { name: part("name"), namespace: part("namespace") },
            target,
            weight: get(node, "weight").map_or(1, |node| self.integer(node)),
            key_objective: get(node, "keyObjective").is_some_and(|node| node.value == Value::Bool(true)),
        }
    }

    fn operator(&mut self, node: &Node) -> Option<Operator> {
        Operator::KEYS.into_iter().find_map(|key| {
            let inner = get(node, key).filter(|inner| inner.value != Value::Nothing)?;
            let mut limit = |key| self.quantity(inner, key);
            Some(match key {
                "equalTo" => Operator::EqualTo(limit("fixedValue")),
                "lessThanOrEqual" => Operator::LessThanOrEqual(limit("fixedValue")),
                "lessThan" => Operator::LessThan(limit("fixedValue")),
                "greaterThanOrEqual" => Operator::GreaterThanOrEqual(limit("fixedValue")),
                "greaterThan" => Operator::GreaterThan(limit("fixedValue")),
                "inRange" => Operator::InRange(limit("lowBound"), limit("highBound")),
                _ => Operator::NotInRange(limit("lowBound"), limit("highBound")),
            })
        })
    }

    /// Reads a limit; an absent one is 0, as a Go value is that nobody set.
    fn quantity(&mut self, node: &Node, key: &str) -> Quantity {
        let found = get(node, key);
        let text = found.map_or(Some("0"), text_of).unwrap_or("");
        match Quantity::parse(text) {
            Ok(quantity) => quantity,
            Err(error) => {
                self.wrong(found.unwrap_or(node), error.to_string());
                Quantity::default()
            }
        }
    }

    fn integer(&mut self, node: &Node) -> i64 {
        let number = match &node.value {
            Value::Number(text) => text.parse().ok(),
            Value::Nothing => Some(0),
            _ => None,
        };
        number.unwrap_or_else(|| {
            self.wrong(node, "this is not a whole number".to_owned());
            0
        })
    }

    fn wrong(&mut self, node: &Node, message: String) {
        let hint = "the original refuses to store such a resource; write a plain number";
        self.problems.push(Problem::error(self.file, "", message).with_hint(hint).at(self.text, node.line, node.column));
    }
}

fn get<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().rev().find(|(found, _)| text_of(found) == Some(key)).map(|(_, value)| value)
}

fn text_of(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) | Value::Number(text) => Some(text),
        _ => None,
    }
}
