//! Says in `portcullis status` which versions cannot be reached, which endpoints are left out, and what was done about it.

use crate::cli::figures::columns;
use crate::control::endpoints::ReachStatus;
use crate::domain::outcome::Role;

/// Tells what somebody should know; nothing while all is well.
pub fn told(versions: &[ReachStatus]) -> String {
    let rows: Vec<Vec<String>> = versions.iter().flat_map(version).collect();
    if rows.is_empty() { String::new() } else { columns("  ", &rows) }
}

fn version(reach: &ReachStatus) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    if !reach.standing.is_usable() {
        let so = match reach.role {
            Role::Stable => "its requests fail and nothing is raised",
            Role::Canary => "it gets nothing and its step waits",
            Role::Beside => "what is sent to it fails",
        };
        rows.push(vec!["unreachable".to_owned(), format!("{} {}: {so}", reach.version, reach.standing)]);
    }
    for watch in reach.watches.iter().filter(|watch| watch.state != "current") {
        let so = if watch.state == "lost" { "is not followed any more, its last endpoints stay" } else { "has told nothing yet" };
        let why = watch.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        rows.push(vec!["watch".to_owned(), format!("{}: {} {so}{why}", reach.version, watch.endpoint)]);
    }
    let odd: Vec<String> = reach.endpoints.iter().filter(|e| e.state != "in").map(|e| format!("{} ({})", e.endpoint, e.state)).collect();
    if !odd.is_empty() {
        rows.push(vec!["endpoints".to_owned(), format!("{}: {}", reach.version, odd.join(", "))]);
    }
    let done = [
        ("rescued by stable", reach.rescues),
        ("given to stable unasked", reach.vetoes),
        ("turned away by its limits", reach.limited),
        ("refused on the way back", reach.shed),
    ];
    let done: Vec<String> = done.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}")).collect();
    if !done.is_empty() {
        rows.push(vec!["requests".to_owned(), format!("{}: {}", reach.version, done.join(", "))]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::endpoints::{EndpointStatus, WatchStatus};
    use crate::domain::standing::Standing;

    fn reach(role: Role, standing: Standing, states: &[&str]) -> ReachStatus {
        let endpoint = |(i, state): (usize, &&str)| EndpointStatus { endpoint: format!("10.0.0.{i}:80"), state: (*state).to_owned() };
        ReachStatus {
            version: "v2".parse().unwrap(),
            role,
            standing,
            endpoints: states.iter().enumerate().map(endpoint).collect(),
            retries: Vec::new(),
            unaffordable: 0,
            rescues: 0,
            vetoes: 0,
            limited: 0,
            shed: 0,
            ejections: 0,
            watches: Vec::new(),
        }
    }

    #[test]
    fn only_what_is_amiss_is_told() {
        assert_eq!(told(&[reach(Role::Stable, Standing::Usable, &["in", "in"])]), "");
        let text = told(&[reach(Role::Stable, Standing::Failed, &["failing"])]);
        assert!(text.contains("v2 has no endpoint left that answers: its requests fail and nothing is raised"), "{text}");
        assert!(text.contains("10.0.0.0:80 (failing)"), "{text}");
        let text = told(&[ReachStatus { vetoes: 7, rescues: 3, ..reach(Role::Canary, Standing::Absent, &[]) }]);
        assert!(text.contains("v2 has no endpoint: it gets nothing and its step waits"), "{text}");
        assert!(text.contains("v2: 3 rescued by stable, 7 given to stable unasked"), "{text}");
        let watch = |state: &str| WatchStatus { endpoint: "kubernetes:carts".to_owned(), state: state.to_owned(), reason: None };
        let watched = |state: &str| told(&[ReachStatus { watches: vec![watch(state)], ..reach(Role::Stable, Standing::Usable, &[]) }]);
        assert_eq!(watched("current"), "");
        assert!(watched("lost").contains("v2: kubernetes:carts is not followed any more, its last endpoints stay"));
        assert!(watched("waiting").contains("v2: kubernetes:carts has told nothing yet"));
    }
}
