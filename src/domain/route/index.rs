//! The index over all rules: hosts by hash, then a tree over the segments of the path, so that thousands of rules cost what few do.

use std::cmp::Reverse;
use std::collections::HashMap;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::domain::route::condition::Conditions;
use crate::domain::route::forms;
use crate::domain::route::path::{Kind, PathPattern, Rank, Segment};
use crate::domain::route::rule::{HostPattern, Rule};

/// What is known of a request.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The host, in lower case, without a port and a trailing dot.
    pub host: &'a str,
    /// The method.
    pub method: &'a Method,
    /// The path as it came.
    pub path: &'a str,
    /// The query as it came.
    pub query: Option<&'a str>,
    /// The fields.
    pub headers: &'a HeaderMap,
}

/// Why nobody gets a request: a version may read its path so that it would belong to another service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disagreement;

/// The index over all rules of all services.
///
/// A look-up takes a hash for each of at most two names, and one for each segment of the path on each of its branches; a path has
/// more than one branch only where a template and a fixed text go apart. Rules of the same host and path are found by a hash for each field
/// that they ask for a value of; only those without one, and those of the same value, are tried one by one.
/// It allocates only for a path that is not plain.
#[derive(Debug, Default)]
pub struct Index {
    exact: HashMap<Box<str>, Tree>,
    below: HashMap<Box<str>, Tree>,
    any: Tree,
    /// Whether a rule looks at the path, so that its readings matter.
    by_path: bool,
}

#[derive(Debug, Default)]
struct Tree {
    root: Node,
    /// How many rules there are.
    count: usize,
    /// The service, where there is one rule and every request meets it, as for a service that has hosts alone.
    only: Option<usize>,
}

/// What follows some segments.
#[derive(Debug, Default)]
struct Node {
    fixed: HashMap<Box<[u8]>, Self>,
    any: Option<Box<Self>>,
    /// The rules that end here, by kind; few nodes have any.
    ends: Vec<(Kind, Rules)>,
}

/// The rules of one host and path.
#[derive(Debug)]
struct Rules {
    rank: Rank,
    count: usize,
    /// By the first field that a rule asks for a value of, and by that value.
    by_field: Vec<(HeaderName, HashMap<HeaderValue, List>)>,
    /// Those that ask for none.
    others: List,
}

/// Rules that are tried one by one, the one that goes before the others first.
#[derive(Debug, Default)]
struct List(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    /// More conditions first, then in order.
    turn: (Reverse<usize>, usize),
    conditions: Conditions,
    service: usize,
}

impl Index {
    /// Makes an index of rules, each with the position of its service, in the order of the configuration.
    #[must_use]
    pub fn new<'r>(rules: impl IntoIterator<Item = (&'r Rule, usize)>) -> Self {
        let mut index = Self::default();
        for (rule, service) in rules {
            index.by_path |= !rule.path.is_everything();
            let tree = match &rule.host {
                HostPattern::Any => &mut index.any,
                HostPattern::Exact(host) => index.exact.entry(host.as_str().into()).or_default(),
                HostPattern::Below(parent) => index.below.entry(parent.as_str().into()).or_default(),
            };
            tree.root.put(&rule.path, &rule.conditions, service);
            let alone = tree.count == 0 && rule.path.is_everything() && rule.conditions.count() == 0;
            tree.only = Some(service).filter(|_| alone);
            tree.count += 1;
        }
        index
    }

    /// Finds the service a request belongs to, `None` where no rule is met.
    ///
    /// # Errors
    ///
    /// Fails when a version could read the path so that another service, or none, would be found.
    pub fn find(&self, asked: &Asked<'_>) -> Result<Option<usize>, Disagreement> {
        let path = asked.path.as_bytes();
        let found = self.search(asked, path);
        if !self.by_path || forms::is_plain(path) || forms::readings(path).iter().all(|reading| self.search(asked, reading) == found) {
            return Ok(found);
        }
        Err(Disagreement)
    }

    fn search(&self, asked: &Asked<'_>, path: &[u8]) -> Option<usize> {
        let exact = if self.exact.is_empty() { None } else { self.exact.get(asked.host) };
        if let Some(found) = exact.and_then(|tree| tree.search(asked, path)) {
            return Some(found);
        }
        if !self.below.is_empty()
            && let Some((label, parent)) = asked.host.split_once('.')
            && !label.is_empty()
            && let Some(found) = self.below.get(parent).and_then(|tree| tree.search(asked, path))
        {
            return Some(found);
        }
        self.any.search(asked, path)
    }
}

impl Tree {
    fn search(&self, asked: &Asked<'_>, path: &[u8]) -> Option<usize> {
        if self.only.is_some() {
            return self.only;
        }
        let mut best = None;
        match path.strip_prefix(b"/") {
            Some(rest) => self.root.search(asked, Some(rest), &mut best),
            // '*' has no segments.
            None => self.root.consider(Kind::Prefix, asked, &mut best),
        }
        best.map(|(_, service)| service)
    }
}

impl Node {
    fn put(&mut self, path: &PathPattern, conditions: &Conditions, service: usize) {
        let mut node = self;
        for segment in &path.segments {
            node = match segment {
                Segment::Fixed(text) => node.fixed.entry(text.as_bytes().into()).or_default(),
                Segment::Any => node.any.get_or_insert_default(),
            };
        }
        let at = node.ends.iter().position(|(kind, _)| *kind == path.kind).unwrap_or_else(|| {
            node.ends.push((path.kind, Rules { rank: path.rank(), count: 0, by_field: Vec::new(), others: List::default() }));
            node.ends.len() - 1
        });
        if let Some((_, rules)) = node.ends.get_mut(at) {
            rules.put(conditions, service);
        }
    }

    /// Looks at everything that matches; `rest` is what follows the next slash, `None` where the path is over. It goes as deep as
    /// the longest pattern at most.
    fn search(&self, asked: &Asked<'_>, rest: Option<&[u8]>, best: &mut Option<(Rank, usize)>) {
        self.consider(Kind::Prefix, asked, best);
        let Some(rest) = rest else {
            self.consider(Kind::Whole, asked, best);
            return self.consider(Kind::Exact, asked, best);
        };
        self.consider(Kind::Rest, asked, best);
        if self.fixed.is_empty() && self.any.is_none() {
            return;
        }
        let mut parts = rest.splitn(2, |byte| *byte == b'/');
        let (segment, after) = (parts.next().unwrap_or_default(), parts.next());
        if let Some(next) = self.fixed.get(segment) {
            next.search(asked, after, best);
        }
        if let Some(next) = self.any.as_ref().filter(|_| !segment.is_empty()) {
            next.search(asked, after, best);
        }
    }

    /// Takes the first rule of this kind that is met, unless a more special one was found.
    fn consider(&self, kind: Kind, asked: &Asked<'_>, best: &mut Option<(Rank, usize)>) {
        let Some((_, rules)) = self.ends.iter().find(|(known, _)| *known == kind) else { return };
        if best.is_some_and(|(found, _)| found >= rules.rank) {
            return;
        }
        if let Some(service) = rules.first(asked) {
            *best = Some((rules.rank, service));
        }
    }
}

impl Rules {
    fn put(&mut self, conditions: &Conditions, service: usize) {
        let turn = (Reverse(conditions.count()), self.count);
        self.count += 1;
        let list = match conditions.field() {
            None => &mut self.others,
            Some((name, value)) => {
                let at = self.by_field.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                    self.by_field.push((name.clone(), HashMap::new()));
                    self.by_field.len() - 1
                });
                let Some((_, by_value)) = self.by_field.get_mut(at) else { return };
                by_value.entry(value.clone()).or_default()
            }
        };
        let place = list.0.partition_point(|known| known.turn < turn);
        list.0.insert(place, Entry { turn, conditions: conditions.clone(), service });
    }

    /// Finds the service of the first rule that is met.
    fn first(&self, asked: &Asked<'_>) -> Option<usize> {
        let mut best = self.others.first(asked, None);
        for (name, by_value) in &self.by_field {
            for value in asked.headers.get_all(name) {
                if let Some(list) = by_value.get(value) {
                    best = list.first(asked, best);
                }
            }
        }
        best.map(|rule| rule.service)
    }
}

impl List {
    /// Finds the first rule that is met, `before` where none of these goes before it.
    fn first<'r>(&'r self, asked: &Asked<'_>, before: Option<&'r Entry>) -> Option<&'r Entry> {
        let mut earlier = self.0.iter().take_while(|rule| before.is_none_or(|before| rule.turn < before.turn));
        earlier.find(|rule| rule.conditions.meets(asked.method, asked.headers, asked.query)).or(before)
    }
}
