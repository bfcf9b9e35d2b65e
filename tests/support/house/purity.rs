//! The rule that the domain names no clock, socket, file, thread, random source or async.

use super::imports::{Target, Tree};
use super::{Problem, Rule};

/// Crates that compute and do nothing else; the domain may name them. `core` and `alloc` count as `std`.
const PURE_CRATES: [&str; 9] = ["std", "serde", "libm", "thiserror", "hdrhistogram", "http", "ipnet", "strsim", "jiff"];

/// Crates and modules that are closed to the domain, but for the names listed with them.
const CLOSED: [(&[&str], &[&str]); 12] = [
    (&["jiff"], &["SignedDuration"]),
    (&["std", "time"], &["Duration", "TryFromFloatSecsError"]),
    (&["std", "net"], &["SocketAddr", "SocketAddrV4", "SocketAddrV6", "IpAddr", "Ipv4Addr", "Ipv6Addr", "AddrParseError"]),
    (&["std", "sync"], &["Arc", "Weak", "LazyLock"]),
    (&["std", "fs"], &[]),
    (&["std", "io"], &[]),
    (&["std", "os"], &[]),
    (&["std", "env"], &[]),
    (&["std", "process"], &[]),
    (&["std", "thread"], &[]),
    (&["std", "future"], &[]),
    (&["std", "task"], &[]),
];

/// Macros that print, read the environment or bind to a thread.
const CLOSED_MACROS: [&str; 8] = ["print", "println", "eprint", "eprintln", "dbg", "thread_local", "env", "option_env"];

/// Finds impure names in the domain.
#[must_use]
pub fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (file, source) in tree.sources().iter().enumerate() {
        if source.module.first().is_none_or(|top| top != "domain") {
            continue;
        }
        let mut complain = |line: usize, what: String| {
            let message = format!("the domain names {what}; take time, chance and data as arguments instead");
            problems.push(Problem { path: source.path.clone(), line, rule: Rule::Pure, message });
        };
        for (target, line) in tree.targets(file) {
            if let Target::Other(path) = target
                && is_impure(path)
            {
                complain(line, format!("`{}`", path.join("::")));
            }
        }
        for line in &source.async_lines {
            complain(*line, "async".to_owned());
        }
        for (name, line) in source.macros.iter().filter(|(name, _)| CLOSED_MACROS.contains(&name.as_str())) {
            complain(*line, format!("the macro `{name}!`"));
        }
    }
    problems
}

fn is_impure(path: &[String]) -> bool {
    let mut path: Vec<&str> = path.iter().map(String::as_str).collect();
    if let Some(first) = path.first_mut().filter(|first| ["core", "alloc"].contains(first)) {
        *first = "std";
    }
    if !path.first().is_some_and(|first| PURE_CRATES.contains(first)) || path.contains(&"RandomState") || path == ["std", "*"] {
        return true;
    }
    let closed = CLOSED.iter().find(|(module, _)| path.starts_with(module));
    // The bare module may be imported when some of its names are open; what is then named through it is checked by itself.
    closed.is_some_and(|(module, open)| path.get(module.len()).map_or(open.is_empty(), |name| !open.contains(name)))
}
