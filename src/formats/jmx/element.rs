//! An element of a plan: its name, its properties with references filled in, and what of it nobody asked for.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use roxmltree::Node;

use crate::formats::jmx::expression::Values;
use crate::formats::yaml::place::{Place, Report};

/// Properties that say something to people or to JMeter's windows only.
const COMMENTS: [&str; 1] = ["TestPlan.comments"];

/// The most problems whose places are looked up; the report keeps fewer.
const MOST_PROBLEMS: usize = 600;

/// What every part of the reader needs.
pub struct Context<'c> {
    /// Where problems go.
    pub report: &'c Report<'c>,
    /// What references stand for.
    pub values: Values<'c>,
    /// Whether the slip in the published timers is mended.
    pub honour_think_time: bool,
    /// How many problems were told.
    pub told: Cell<usize>,
}

impl Context<'_> {
    /// Adds an error at a node.
    pub fn error(&self, node: Node<'_, '_>, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        if self.is_worth_telling() {
            self.report.error(&place(node, path), message, hint);
        }
    }

    /// Adds something the reader should know at a node.
    pub fn note(&self, node: Node<'_, '_>, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        if self.is_worth_telling() {
            self.report.note(&place(node, path), message, hint);
        }
    }

    /// Counts a problem, and says whether there is room for it.
    fn is_worth_telling(&self) -> bool {
        self.told.set(self.told.get() + 1);
        self.told.get() <= MOST_PROBLEMS
    }

    /// Adds an error about an element that is not supported.
    pub fn unsupported(&self, node: Node<'_, '_>, above: &str) {
        let tag = node.tag_name().name();
        let hint = if tag.ends_with("Assertion") {
            "a request goes well when its status is below 400; leave the rest to the gates, or set enabled=\"false\""
        } else if tag.ends_with("Controller") {
            "put the requests into the thread group itself, or set enabled=\"false\""
        } else if tag.contains("Sampler") {
            "only HTTP requests (HTTPSamplerProxy) are sent; set enabled=\"false\" to skip this"
        } else if tag.contains("Processor") {
            "the only script is the BeanShellPreProcessor that adds x-dynatrace-test; set enabled=\"false\" to skip this"
        } else {
            "supported are thread groups, user defined variables, HTTP requests, header and cookie managers and constant timers"
        };
        self.error(node, &path_of(above, node), format!("{} is not supported", label(node)), hint);
    }

    /// Fills in the references of a text that stands at a node.
    pub fn resolve(&self, node: Node<'_, '_>, path: &str, text: &str) -> Option<String> {
        match self.values.resolve(text) {
            Ok(text) => Some(text),
            Err(why) => {
                self.error(node, path, format!("{}: {}", subject(node), why.message), why.hint);
                None
            }
        }
    }
}

/// Returns where a node begins.
fn place(node: Node<'_, '_>, path: &str) -> Place {
    let spot = node.document().text_pos_at(node.range().start);
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    Place { path: path.to_owned(), spot: Some((count(spot.row), count(spot.col))) }
}

/// Returns an element's name as its author gave it, or its kind.
pub fn name(node: Node<'_, '_>) -> String {
    let named = node.attribute("testname").filter(|name| !name.trim().is_empty());
    named.unwrap_or_else(|| node.tag_name().name()).chars().take(200).collect()
}

/// Returns what a message calls an element: its kind and name.
fn label(node: Node<'_, '_>) -> String {
    let tag: String = node.tag_name().name().chars().take(100).collect();
    match node.attribute("testname") {
        Some(name) => format!("{tag} {:?}", name.chars().take(100).collect::<String>()),
        None => tag,
    }
}

/// Returns the element that a property belongs to, as a message calls it.
fn subject(node: Node<'_, '_>) -> String {
    let owner = node.ancestors().take(8).find(|above| above.attribute("testname").is_some() && !above.tag_name().name().ends_with("Prop"));
    label(owner.unwrap_or(node))
}

/// Returns the path of an element below another.
pub fn path_of(above: &str, node: Node<'_, '_>) -> String {
    if above.is_empty() { name(node) } else { format!("{above}/{}", name(node)) }
}

/// Returns the text of a node, comments left out.
pub fn text_of(node: Node<'_, '_>) -> String {
    node.children().filter(Node::is_text).filter_map(|text| text.text()).collect()
}

/// The properties of an element. Every one that is asked for counts as known; [`Properties::close`] reports the others.
pub struct Properties<'c, 'd> {
    context: &'c Context<'c>,
    node: Node<'d, 'd>,
    /// The path of the element.
    pub path: String,
    entries: Vec<(&'d str, Node<'d, 'd>)>,
    known: BTreeSet<&'static str>,
}

impl<'c, 'd> Properties<'c, 'd> {
    /// Begins to read the properties of an element.
    pub fn open(context: &'c Context<'c>, node: Node<'d, 'd>, path: String) -> Self {
        let entries = node.children().filter(Node::is_element).map(|child| (child.attribute("name").unwrap_or_default(), child)).collect();
        Self { context, node, path, entries, known: BTreeSet::from(COMMENTS) }
    }

    /// Returns a property's node.
    pub fn get(&mut self, name: &'static str) -> Option<Node<'d, 'd>> {
        self.known.insert(name);
        self.entries.iter().find(|(found, _)| *found == name).map(|(_, node)| *node)
    }

    /// Returns a text before its references are filled in.
    pub fn written(&mut self, name: &'static str) -> Option<(Node<'d, 'd>, String)> {
        self.get(name).map(|node| (node, text_of(node)))
    }

    /// Returns a text, empty where there is none; `None` where its references cannot be filled in.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        match self.written(name) {
            Some((node, text)) => self.context.resolve(node, &self.path_of(name), &text),
            None => Some(String::new()),
        }
    }

    /// Returns `true` or `false`, and what it is by default where there is nothing.
    pub fn flag(&mut self, name: &'static str, default: bool) -> bool {
        let Some(text) = self.text(name) else { return default };
        match text.trim() {
            "" => default,
            "true" => true,
            "false" => false,
            other => {
                self.error(name, format!("{name} is {:?}, neither true nor false", short(other)), "write true or false");
                default
            }
        }
    }

    /// Returns a whole number; `None` where there is none, or one that is reported.
    pub fn whole(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let text = self.text(name)?;
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        let number = text.parse::<u64>().ok().filter(|number| range.contains(number));
        if number.is_none() {
            let hint = format!("write a whole number from {} to {}", range.start(), range.end());
            self.error(name, format!("{name} is {:?}", short(text)), hint);
        }
        number
    }

    /// Returns the elements of a collection.
    pub fn collection(&mut self, name: &'static str) -> Vec<Node<'d, 'd>> {
        self.get(name).map(|node| node.children().filter(Node::is_element).collect()).unwrap_or_default()
    }

    /// Accepts properties that change nothing of what is sent.
    pub fn inert(&mut self, names: &[&'static str]) {
        self.known.extend(names);
    }

    /// Returns the path of a property.
    pub fn path_of(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// Adds an error about a property, at its place or that of the element.
    pub fn error(&self, name: &str, message: impl Into<String>, hint: impl Into<String>) {
        if self.context.told.get() > MOST_PROBLEMS {
            return;
        }
        let node = self.entries.iter().find(|(found, _)| *found == name).map_or(self.node, |(_, node)| *node);
        self.context.error(node, &self.path_of(name), format!("{}: {}", subject(node), message.into()), hint);
    }

    /// Reports the properties nobody asked for, unless they are empty, `false` or 0, and those that occur twice.
    pub fn close(self) {
        let mut seen = BTreeSet::new();
        for (name, node) in &self.entries {
            if self.known.contains(name) && !seen.insert(*name) {
                self.error(name, format!("the property {} occurs twice", short(name)), "keep one of the two");
            }
            let idle = |node: &Node<'_, '_>| matches!(text_of(*node).trim(), "" | "false" | "0");
            if !self.known.contains(name) && !node.descendants().all(|inside| !inside.is_element() || idle(&inside)) {
                let shown = if name.is_empty() { node.tag_name().name() } else { name };
                self.error(name, format!("the property {} is not supported", short(shown)), "set it to nothing or false, or leave it out");
            }
        }
    }
}

/// Returns the first characters of a text.
pub fn short(text: &str) -> String {
    text.chars().take(80).collect()
}
