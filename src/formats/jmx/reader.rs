//! Walks a plan: variables first, then each level with what it adds to the requests at and below it.

use std::cell::Cell;
use std::collections::BTreeMap;

use roxmltree::{Document, Node, ParsingOptions};

use crate::formats::jmx::element::{Context, Properties, name, path_of};
use crate::formats::jmx::expression::Values;
use crate::formats::jmx::plan::{Group, Plan, Sampler};
use crate::formats::jmx::scope::Scope;
use crate::formats::jmx::{group, sampler};
use crate::formats::problem::Problem;
use crate::formats::yaml::place::Report;

/// The largest file.
const LARGEST: usize = 2 << 20;

/// The most elements and texts of a file.
const NODES: u32 = 200_000;

/// The most requests of a plan.
const REQUESTS: usize = 1_000;

/// How deep a disabled element is looked for above another.
const MAX_DEPTH: usize = 64;

/// The one element that sends something.
const REQUEST: &str = "HTTPSamplerProxy";

/// Elements that only look at what is sent, or are never run.
const LISTENERS: [&str; 6] = ["ResultCollector", "Summariser", "BackendListener", "MailerResultCollector", "ResultSaver", "WorkBench"];

/// What a plan is read for.
#[derive(Clone, Copy, Debug)]
pub struct Options<'p> {
    /// The properties, as `-J` gives them to JMeter.
    pub properties: &'p BTreeMap<String, String>,
    /// Whether the delay `{__P(ThinkTime,…)}` of the published plans is what its author meant, rather than 0 ms as in JMeter.
    pub honour_think_time: bool,
}

/// Reads a plan.
///
/// # Errors
///
/// Returns every problem of the file, notes included, in the order of the file: what is no XML, no plan, not supported,
/// out of range, or refers to what there is not.
pub fn read(file: &str, text: &str, options: Options<'_>) -> Result<Plan, Vec<Problem>> {
    if text.len() > LARGEST {
        let problem = Problem::error(file, "", format!("the file has more than {LARGEST} bytes"));
        return Err(vec![problem.with_hint("a plan has some kilobytes; leave recorded results out")]);
    }
    let parsing = ParsingOptions { nodes_limit: NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, parsing).map_err(|error| vec![syntax_problem(file, text, &error)])?;
    let report = Report::new(file, text);
    let values = Values::new(options.properties);
    let mut context = Context { report: &report, values, honour_think_time: options.honour_think_time, told: Cell::new(0) };
    let plan = read_root(&mut context, document.root_element());
    drop(context);
    report.close(plan).map(|(plan, notes)| Plan { notes, ..plan })
}

fn syntax_problem(file: &str, text: &str, error: &roxmltree::Error) -> Problem {
    let pos = error.pos();
    let hint = match error {
        roxmltree::Error::DtdDetected => "leave the document type out; a plan needs none",
        roxmltree::Error::NodesLimitReached => "a plan has some hundred elements; leave recorded results out",
        _ => "give a plan as JMeter saves it",
    };
    let whole = error.to_string();
    let message = whole.split(" at ").next().unwrap_or(&whole);
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX).max(1);
    Problem::error(file, "", format!("this is not XML that can be read: {message}")).with_hint(hint).at(
        text,
        count(pos.row),
        count(pos.col),
    )
}

fn read_root(context: &mut Context<'_>, root: Node<'_, '_>) -> Option<Plan> {
    if root.tag_name().name() != "jmeterTestPlan" {
        context.error(
            root,
            "",
            format!("the file begins with <{}>, not <jmeterTestPlan>", root.tag_name().name()),
            "give a plan as JMeter saves it",
        );
        return None;
    }
    if root.descendants().filter(|node| node.has_tag_name(REQUEST)).count() > REQUESTS {
        context.error(root, "", format!("there are more than {REQUESTS} requests"), "let the loop count repeat them");
        return None;
    }
    let top = level(root.children().find(|child| child.has_tag_name("hashTree")));
    let plans: Vec<&Item<'_>> = top.iter().filter(|item| item.tag == "TestPlan").collect();
    for other in top.iter().filter(|item| item.tag != "TestPlan" && !LISTENERS.contains(&item.tag)) {
        context.unsupported(other.node, "");
    }
    let [plan] = plans.as_slice() else {
        context.error(root, "", format!("there are {} test plans that are enabled", plans.len()), "a file has one");
        return None;
    };
    let name = name(plan.node);
    let mut properties = Properties::open(context, plan.node, name.clone());
    let one_after_another = properties.flag("TestPlan.serialize_threadgroups", false);
    let own = properties.get("TestPlan.user_defined_variables");
    properties.inert(&["TestPlan.functional_mode", "TestPlan.tearDown_on_shutdown"]);
    properties.close();
    let elsewhere = root.descendants().filter(|node| node.has_tag_name("Arguments") && is_enabled(*node));
    for arguments in own.into_iter().chain(elsewhere) {
        define(context, arguments, &name);
    }
    let groups = groups(context, plan.below, &name);
    Some(Plan { name, one_after_another, groups, notes: Vec::new() })
}

/// Says whether neither an element nor one above it is disabled.
fn is_enabled(node: Node<'_, '_>) -> bool {
    let owner = |tree: Node<'_, '_>| tree.has_tag_name("hashTree") && tree.prev_sibling_element().is_some_and(|owner| !enabled(owner));
    enabled(node) && !node.ancestors().take(MAX_DEPTH).any(owner)
}

fn enabled(node: Node<'_, '_>) -> bool {
    node.attribute("enabled") != Some("false")
}

/// Defines the variables of a list, each of which may refer to those before it.
fn define(context: &mut Context<'_>, node: Node<'_, '_>, above: &str) {
    let mut defined = Vec::new();
    {
        let mut list = Properties::open(context, node, format!("{above}/{}", name(node)));
        for entry in list.collection("Arguments.arguments") {
            let variable = entry.attribute("name").unwrap_or_default().to_owned();
            defined.push((variable, entry));
        }
        list.close();
    }
    for (attribute, entry) in defined {
        let mut argument = Properties::open(context, entry, format!("{above}/{attribute}"));
        let (name, value) = (argument.text("Argument.name"), argument.text("Argument.value"));
        argument.inert(&["Argument.metadata", "Argument.desc"]);
        argument.close();
        if let (Some(name), Some(value)) = (name, value) {
            context.values.define(if name.is_empty() { attribute } else { name }, value);
        }
    }
}

/// An element that is enabled, with its tree.
struct Item<'d> {
    tag: &'d str,
    node: Node<'d, 'd>,
    below: Option<Node<'d, 'd>>,
}

/// Returns the elements of a tree that are enabled, each with the tree that follows it.
fn level<'d>(tree: Option<Node<'d, 'd>>) -> Vec<Item<'d>> {
    let elements = tree.into_iter().flat_map(|tree| tree.children()).filter(|child| child.is_element() && !child.has_tag_name("hashTree"));
    let item = |node: Node<'d, 'd>| Item {
        tag: node.tag_name().name(),
        node,
        below: node.next_sibling_element().filter(|next| next.has_tag_name("hashTree")),
    };
    elements.filter(|node| enabled(*node)).map(item).collect()
}

fn groups(context: &Context<'_>, tree: Option<Node<'_, '_>>, path: &str) -> Vec<Group> {
    let items = level(tree);
    let scope = scope(context, &items, Scope::default(), path, "ThreadGroup");
    let mut groups = Vec::new();
    for item in items.iter().filter(|item| item.tag == "ThreadGroup") {
        let here = path_of(path, item.node);
        let read = group::read(context, Properties::open(context, item.node, here.clone()), name(item.node));
        let samplers = samplers(context, item.below, &scope, &here);
        let found = level(item.below).iter().any(|inside| inside.tag == REQUEST);
        if !found {
            context.error(
                item.node,
                &here,
                format!("the thread group {:?} sends nothing", name(item.node)),
                "add an HTTP request, or set enabled=\"false\"",
            );
        }
        groups.extend(read.map(|group| Group { samplers, ..group }));
    }
    if !items.iter().any(|item| item.tag == "ThreadGroup")
        && let Some(tree) = tree
    {
        context.error(tree, path, "the plan has no thread group that is enabled", "add a ThreadGroup");
    }
    groups
}

fn samplers(context: &Context<'_>, tree: Option<Node<'_, '_>>, outer: &Scope, path: &str) -> Vec<Sampler> {
    let items = level(tree);
    let around = scope(context, &items, outer.clone(), path, REQUEST);
    let requests = items.iter().filter(|item| item.tag == REQUEST);
    let read = |item: &Item<'_>| {
        let here = path_of(path, item.node);
        let own = scope(context, &level(item.below), around.clone(), &here, "");
        sampler::read(context, item.node, here, name(item.node), own)
    };
    requests.filter_map(read).collect()
}

/// Adds what the elements of a level say; reports those that are not supported there, `wanted` ones left to the caller.
fn scope(context: &Context<'_>, items: &[Item<'_>], mut scope: Scope, path: &str, wanted: &str) -> Scope {
    for item in items.iter().filter(|item| item.tag != wanted && !LISTENERS.contains(&item.tag)) {
        if item.tag != "Arguments" && !scope.add(context, item.node, path_of(path, item.node)) {
            context.unsupported(item.node, path);
        }
        for inside in level(item.below).iter().filter(|inside| item.tag != "TestPlan" && !LISTENERS.contains(&inside.tag)) {
            context.unsupported(inside.node, &path_of(path, item.node));
        }
    }
    scope
}
