//! Reads `jmeter.conf.yaml`, strictly or as the original did.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::formats::jmeter_conf::workload::{Workload, Workloads};
use crate::formats::problem::Problem;
use crate::formats::yaml::fields::{Fields, place_of, text_of};
use crate::formats::yaml::place::{At, Report, child};
use crate::formats::yaml::tree::{self, Limits, Node, Value};

/// What a file may ask for at most; more is a slip, or an attack on the service under test.
const USERS: RangeInclusive<u32> = 1..=10_000;
const LOOPS: RangeInclusive<u32> = 1..=10_000_000;
const MILLISECONDS: RangeInclusive<u64> = 0..=3_600_000;

/// Reads a file strictly. What a workload leaves out is as in the default of its strategy.
///
/// # Errors
///
/// Returns every problem of the file, notes included, in the order of the file.
pub fn read(file: &str, text: &str) -> Result<Workloads, Vec<Problem>> {
    let root = tree::parse(file, text, Limits::CONFIGURATION).map_err(|problem| vec![*problem])?;
    let report = Report::new(file, text);
    let workloads = read_root(&root, &report);
    report.close(workloads).map(|(workloads, notes)| Workloads { workloads, notes })
}

fn read_root(root: &Node, report: &Report<'_>) -> Option<Vec<Workload>> {
    let mut fields = Fields::open(root, String::new(), report)?;
    fields.inert(&["spec_version"]);
    fields.require("workloads", "write 'workloads:' with a list of workloads");
    let items = fields.list("workloads");
    fields.close();
    let At { value: items, place } = items?;
    if items.is_empty() {
        report.error(&place, "workloads is empty", "write a workload, or remove the file: the known strategies have defaults");
    }
    let mut workloads: Vec<Workload> = Vec::new();
    for (node, path) in items {
        let Some((workload, named)) = read_workload(node, path, report) else { continue };
        if workloads.iter().any(|earlier| earlier.strategy == workload.strategy) {
            report.error(&named.place, format!("the test strategy {:?} has two workloads", workload.strategy), "keep one of the two");
        }
        workloads.push(workload);
    }
    Some(workloads)
}

fn read_workload(node: &Node, path: String, report: &Report<'_>) -> Option<(Workload, At<String>)> {
    let mut fields = Fields::open(node, path, report)?;
    fields.require("teststrategy", "write 'teststrategy: performance', or another name that a stage uses");
    let strategy = fields.text("teststrategy");
    let named = strategy.as_ref().map_or("", |strategy| strategy.value.as_str());
    let default = Workload::by_default(named);
    if let Some(strategy) = strategy.as_ref().filter(|strategy| strategy.value.trim().is_empty()) {
        report.error(&strategy.place, "teststrategy is empty", "write its name");
    }
    if default.is_none() {
        for (key, hint) in [
            ("vuser", "write the number of users; only healthcheck, functional and performance have defaults"),
            ("loopcount", "write how often each user goes through the script"),
            ("script", "write the script, such as jmeter/load.jmx"),
        ] {
            fields.require(key, hint);
        }
    }
    let users = fields.text("vuser").and_then(|text| number(&text, USERS, report));
    let loops = fields.text("loopcount").and_then(|text| number(&text, LOOPS, report));
    let think = fields.text("thinktime").and_then(|text| number(&text, MILLISECONDS, report));
    let rate = fields.text("acceptederrorrate").and_then(|text| number(&text, 0.0..=1.0, report));
    let average = fields.text("avgrtvalidation").and_then(|text| number(&text, MILLISECONDS, report));
    let script = fields.text("script");
    if let Some(script) = script.as_ref().filter(|script| script.value.trim().is_empty()) {
        report.error(&script.place, "script is empty", "write the script, such as jmeter/load.jmx");
    }
    let properties = fields.get("properties").and_then(|(node, path)| properties(node, path, report));
    fields.close();
    let base = default.or_else(|| Workload::by_default("performance"))?;
    let workload = Workload {
        strategy: named.to_owned(),
        users: users.unwrap_or(base.users),
        loops: loops.unwrap_or(base.loops),
        think_time: think.map_or(base.think_time, Duration::from_millis),
        script: script.map_or(base.script, |script| script.value),
        accepted_error_rate: rate.unwrap_or(base.accepted_error_rate),
        average_limit: average.filter(|limit| *limit > 0).map(Duration::from_millis),
        properties: properties.unwrap_or_default(),
    };
    Some((workload, strategy?))
}

fn number<T: FromStr + PartialOrd + Display>(text: &At<String>, range: RangeInclusive<T>, report: &Report<'_>) -> Option<T> {
    match text.value.parse::<T>() {
        Ok(number) if range.contains(&number) => Some(number),
        _ => {
            let key = text.place.path.rsplit('.').next().unwrap_or_default();
            let hint = format!("write a number from {} to {}", range.start(), range.end());
            report.error(&text.place, format!("{key} is {:?}, which is not a number in range", text.value), hint);
            None
        }
    }
}

fn properties(node: &Node, path: String, report: &Report<'_>) -> Option<BTreeMap<String, String>> {
    let Value::Map(entries) = &node.value else {
        report.error(&place_of(node, path), format!("properties must be a mapping, not {}", node.value.kind()), "write 'NAME: value'");
        return None;
    };
    let mut found = BTreeMap::new();
    for (key, value) in entries {
        let Some(name) = text_of(key, path.clone(), report) else { continue };
        let here = child(&path, &name.value);
        let text = match &value.value {
            Value::Bool(flag) => flag.to_string(),
            _ => match text_of(value, here.clone(), report) {
                Some(text) => text.value,
                None => continue,
            },
        };
        if found.insert(name.value, text).is_some() {
            report.error(&place_of(key, here), "this property occurs twice", "keep one of the two");
        }
    }
    Some(found)
}

/// Reads a file as the original did: unknown keys are ignored, and what a workload leaves out is zero or empty.
///
/// # Errors
///
/// Returns what the original could not read either: no YAML, or a value of another kind.
pub fn read_keptn(file: &str, text: &str) -> Result<Workloads, Vec<Problem>> {
    let root = tree::parse(file, text, Limits::CONFIGURATION).map_err(|problem| vec![*problem])?;
    let report = Report::new(file, text);
    let items = match entry(&root, "workloads").map(|node| (&node.value, node)) {
        Some((Value::List(items), _)) => items.as_slice(),
        None | Some((Value::Nothing, _)) => &[],
        Some((other, node)) => {
            let place = place_of(node, "workloads".to_owned());
            report.error(&place, format!("workloads must be a list, not {}", other.kind()), "write 'workloads: [ … ]'");
            &[]
        }
    };
    let workloads = items.iter().enumerate().map(|(index, node)| workload_keptn(node, &format!("workloads[{index}]"), &report)).collect();
    report.close(Some(workloads)).map(|(workloads, notes)| Workloads { workloads, notes })
}

fn workload_keptn(node: &Node, path: &str, report: &Report<'_>) -> Workload {
    let text = |key: &str| {
        let node = entry(node, key).filter(|node| node.value != Value::Nothing)?;
        text_of(node, child(path, key), report)
    };
    let whole = |key: &str| text(key).and_then(|text| number(&text, 0..=u32::MAX, report)).unwrap_or_default();
    let average = text("avgrtvalidation").and_then(|text| number(&text, 0..=u64::from(u32::MAX), report)).unwrap_or_default();
    Workload {
        strategy: text("teststrategy").map(|text| text.value).unwrap_or_default(),
        users: whole("vuser"),
        loops: whole("loopcount"),
        think_time: Duration::from_millis(u64::from(whole("thinktime"))),
        script: text("script").map(|text| text.value).unwrap_or_default(),
        accepted_error_rate: text("acceptederrorrate").and_then(|text| number(&text, f64::MIN..=f64::MAX, report)).unwrap_or_default(),
        average_limit: (average > 0).then(|| Duration::from_millis(average)),
        properties: entry(node, "properties")
            .filter(|node| node.value != Value::Nothing)
            .and_then(|node| properties(node, child(path, "properties"), report))
            .unwrap_or_default(),
    }
}

/// Returns the value of a key of a mapping, the last one where there are several.
fn entry<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &node.value else { return None };
    let named = |found: &Node| matches!(&found.value, Value::Text(name) if name == key);
    entries.iter().rev().find(|(found, _)| named(found)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &str = include_str!("../../../tests/data/compat/jmeter.conf.yaml");

    #[test]
    fn the_published_file_is_read_in_both_modes() {
        let strict = read("jmeter.conf.yaml", PUBLISHED).unwrap();
        let keptn = read_keptn("jmeter.conf.yaml", PUBLISHED).unwrap();
        assert_eq!(strict.workloads, keptn.workloads);
        let light = strict.of("performance_light").unwrap();
        assert_eq!((light.users, light.loops, light.think_time.as_millis(), light.accepted_error_rate), (50, 10, 250, 1.0));
        let performance = strict.of("performance").unwrap();
        assert_eq!((performance.users, performance.script.as_str()), (100, "jmeter/load.jmx"));
        assert_eq!(strict.of("functional").unwrap(), Workload::by_default("functional").unwrap());
        assert!(strict.notes.iter().any(|note| note.message.contains("spec_version")));
    }

    #[test]
    fn strictly_every_problem_has_its_place() {
        let text = "workloads:\n  - teststrategy: performance\n    vusers: 10\n    acceptederrorrate: 10\n    thinktime: 250ms\n  - teststrategy: soak\n    vuser: 0\n  - teststrategy: performance\n";
        let problems = read("f", text).unwrap_err();
        let found: Vec<_> = problems.iter().map(|problem| (problem.line.unwrap(), problem.path.as_str())).collect();
        let wanted = [
            (3, "workloads[0].vusers"),
            (4, "workloads[0].acceptederrorrate"),
            (5, "workloads[0].thinktime"),
            (6, "workloads[1].loopcount"),
            (6, "workloads[1].script"),
            (7, "workloads[1].vuser"),
            (8, "workloads[2].teststrategy"),
        ];
        assert_eq!(found, wanted, "{problems:#?}");
        assert!(problems[0].hint.as_ref().unwrap().contains("\"vuser\""));
        assert!(problems.iter().all(|problem| problem.hint.is_some()));
    }

    #[test]
    fn what_is_left_out_is_the_default_strictly_and_zero_in_the_original() {
        let text = "workloads: [{teststrategy: performance, extra: 1}]";
        let zero = read_keptn("f", text).unwrap().of("performance").unwrap();
        assert_eq!((zero.users, zero.loops, zero.script.as_str()), (0, 0, ""));
        assert!(read("f", text).unwrap_err()[0].message.contains("extra"));
        let default = read("f", "workloads: [{teststrategy: performance, avgrtvalidation: 0}]").unwrap().of("performance").unwrap();
        assert_eq!(default, Workload::by_default("performance").unwrap());
        let limited = read("f", "workloads: [{teststrategy: performance, avgrtvalidation: 800}]").unwrap().of("performance").unwrap();
        assert_eq!(limited.average_limit, Some(Duration::from_millis(800)));
    }

    #[test]
    fn properties_are_texts_numbers_or_booleans() {
        let text = "workloads: [{teststrategy: performance, properties: {A: x, B: 1.50, C: true, D: [1]}}]";
        let problems = read("f", text).unwrap_err();
        assert_eq!(problems[0].path, "workloads[0].properties.D");
        let read = read("f", &text.replace(", D: [1]", "")).unwrap().of("performance").unwrap();
        assert_eq!(read.properties.into_values().collect::<Vec<_>>(), ["x", "1.50", "true"]);
    }

    #[test]
    fn what_the_original_could_not_read_is_an_error_in_both_modes() {
        for text in ["a: [", "workloads: 1", "workloads: [{vuser: many}]", "workloads: [{teststrategy: [a]}]"] {
            assert!(read_keptn("f", text).is_err(), "{text}");
            assert!(read("f", text).is_err(), "{text}");
        }
        assert_eq!(read_keptn("f", "x: 1").unwrap().workloads, []);
    }
}
