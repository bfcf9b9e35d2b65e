//! The table of layers, and the rule that a module imports only from lower ones.

use std::collections::BTreeSet;

use super::imports::{Target, Tree};
use super::{Problem, Rule};

/// The layers from the bottom up. Two modules of one layer never import each other.
pub const LAYERS: [&[&str]; 7] = [
    &["domain"],
    &["seam", "formats", "store"],
    &["proxy", "control", "config", "load", "carts", "sources"],
    &["delivery", "fleet", "kube", "notify", "simulate", "telemetry"],
    &["admin"],
    &["app"],
    &["cli"],
];

/// The layer of a top-level module, counted from 0.
#[must_use]
pub fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Finds top-level modules that the table does not know, and modules whose file has another name than the module.
#[must_use]
pub fn check_modules(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for source in tree.sources() {
        let declared = source.modules.iter().filter(|module| module.len() == 1);
        for module in declared.chain([&source.module]).filter_map(|module| module.first()) {
            if is_program(&source.path) || layer_of(module).is_some() || !seen.insert(module.clone()) {
                continue;
            }
            let message = format!("the module `{module}` stands in no layer; add it to the table in tests/support/house/layers.rs");
            problems.push(Problem { path: source.path.clone(), line: 1, rule: Rule::KnownModule, message });
        }
        for (module, line) in &source.displaced {
            let message = format!("`#[path]` hides where the module `{module}` lives; only modules for tests may have it");
            problems.push(Problem { path: source.path.clone(), line: *line, rule: Rule::KnownModule, message });
        }
    }
    problems
}

/// Finds imports from the same or a higher layer, and imports of items that the root of the crate defines.
#[must_use]
pub fn check_imports(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (file, source) in tree.sources().iter().enumerate() {
        if is_program(&source.path) {
            continue;
        }
        for (target, line) in tree.targets(file) {
            let Target::Here(path) = target else { continue };
            if let Some(message) = complaint(source.module.first(), path) {
                problems.push(Problem { path: source.path.clone(), line, rule: Rule::Layers, message });
            }
        }
    }
    problems
}

/// The program itself stands above all layers.
fn is_program(path: &str) -> bool {
    path == "src/main.rs"
}

fn complaint(from: Option<&String>, path: &[String]) -> Option<String> {
    let to = path.first()?;
    let named = path.join("::");
    let Some(from) = from else {
        return Some(format!("the root of the crate names `{named}`; it only declares modules"));
    };
    if from == to {
        return None;
    }
    match (layer_of(from), layer_of(to)) {
        (Some(own), Some(other)) if other > own => Some(format!("`{from}` (L{own}) imports `{named}` from the higher layer L{other}")),
        (Some(own), Some(other)) if other == own => {
            Some(format!("`{from}` imports `{named}`; both stand in L{own}, and modules of one layer never import each other"))
        }
        (Some(_), None) => Some(format!("`{named}` comes from the root of the crate or from a module without a layer")),
        _ => None,
    }
}
