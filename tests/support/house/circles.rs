//! The rule that files do not import in circles.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::imports::{Target, Tree};
use super::{Problem, Rule};

/// Finds circles and reports each file group once, by its shortest circle.
#[must_use]
pub fn check(tree: &Tree) -> Vec<Problem> {
    let edges = edges(tree);
    let mut reported: BTreeSet<usize> = BTreeSet::new();
    let mut problems = Vec::new();
    for start in 0..tree.sources().len() {
        if reported.contains(&start) {
            continue;
        }
        let Some(circle) = shortest_circle(&edges, start) else { continue };
        reported.extend(&circle);
        let shown: Vec<String> =
            circle.iter().zip(circle.iter().cycle().skip(1)).map(|(from, to)| step(tree, &edges, *from, *to)).collect();
        let line = edges[&start][&circle[1 % circle.len()]];
        let message = format!("files import in a circle: {}", shown.join(", "));
        problems.push(Problem { path: tree.sources()[start].path.clone(), line, rule: Rule::Circle, message });
    }
    problems
}

fn step(tree: &Tree, edges: &Edges, from: usize, to: usize) -> String {
    format!("{}:{} imports {}", tree.sources()[from].path, edges[&from][&to], tree.sources()[to].path)
}

/// From each file to the files it imports, with the first line that does so.
type Edges = BTreeMap<usize, BTreeMap<usize, usize>>;

fn edges(tree: &Tree) -> Edges {
    let mut edges = Edges::new();
    for file in 0..tree.sources().len() {
        for (target, line) in tree.targets(file) {
            let Target::Here(path) = target else { continue };
            if let Some(to) = tree.file_of(path).filter(|to| *to != file) {
                edges.entry(file).or_default().entry(to).or_insert(line);
            }
        }
    }
    edges
}

/// The shortest way from a file back to itself, the file first; `None` when there is none.
fn shortest_circle(edges: &Edges, start: usize) -> Option<Vec<usize>> {
    let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for &next in edges.get(&file).into_iter().flat_map(BTreeMap::keys) {
            if next == start {
                let mut circle = vec![file];
                while let Some(&before) = came_from.get(circle.last()?) {
                    circle.push(before);
                }
                circle.reverse();
                return Some(circle);
            }
            if let std::collections::btree_map::Entry::Vacant(place) = came_from.entry(next) {
                place.insert(file);
                queue.push_back(next);
            }
        }
    }
    None
}
