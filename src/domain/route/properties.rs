//! The index finds what a plain search through all rules finds.
#![cfg(test)]

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;

use super::forms::readings;
use super::path::{Kind, Segment};
use super::*;

/// A rule's claim on a request, more special ones first: host, kind of path, fixed segments, segments, no rest, which are fixed,
/// conditions.
type Claim = (u8, u8, usize, usize, bool, Vec<bool>, usize);

/// Compares a pattern with a path segment by segment.
fn matches(pattern: &PathPattern, path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return pattern.is_everything() };
    let parts: Vec<&str> = rest.split('/').collect();
    let count = pattern.segments.len();
    let fits = match pattern.kind {
        Kind::Prefix => parts.len() >= count,
        Kind::Rest => parts.len() > count,
        Kind::Exact | Kind::Whole => parts.len() == count,
    };
    fits && pattern.segments.iter().zip(parts).all(|(segment, part)| match segment {
        Segment::Fixed(text) => **text == *part,
        Segment::Any => !part.is_empty(),
    })
}

fn claim(rule: &Rule, asked: &Asked<'_>, path: &str) -> Option<Claim> {
    let host = match &rule.host {
        HostPattern::Any => 0,
        HostPattern::Below(parent) => {
            let label = asked.host.strip_suffix(parent.as_str())?.strip_suffix('.')?;
            (!label.is_empty() && !label.contains('.')).then_some(1)?
        }
        HostPattern::Exact(host) => (host == asked.host).then_some(2)?,
    };
    if !matches(&rule.path, path) || !rule.conditions.meets(asked.method, asked.headers, asked.query) {
        return None;
    }
    let kind = match rule.path.kind {
        Kind::Prefix => 0,
        Kind::Whole | Kind::Rest => 1,
        Kind::Exact => 2,
    };
    let fixed: Vec<bool> = rule.path.segments.iter().map(|segment| matches!(segment, Segment::Fixed(_))).collect();
    let count = fixed.iter().filter(|fixed| **fixed).count();
    Some((host, kind, count, fixed.len(), rule.path.kind != Kind::Rest, fixed, rule.conditions.count()))
}

/// Goes through all rules.
fn naive(rules: &[Rule], asked: &Asked<'_>) -> Result<Option<usize>, Disagreement> {
    let search = |path: &str| {
        let mut best: Option<(Claim, usize)> = None;
        for (at, rule) in rules.iter().enumerate() {
            if let Some(claim) = claim(rule, asked, path)
                && best.as_ref().is_none_or(|(known, _)| claim > *known)
            {
                best = Some((claim, at));
            }
        }
        best.map(|(_, at)| at)
    };
    let raw = search(asked.path);
    let agree = readings(asked.path.as_bytes()).iter().all(|reading| search(std::str::from_utf8(reading).unwrap()) == raw);
    if agree { Ok(raw) } else { Err(Disagreement) }
}

fn pattern() -> impl Strategy<Value = PathPattern> {
    let part = prop::sample::select(vec!["a", "b", "c", "{x}"]);
    (prop::sample::select(vec!["", "="]), prop::collection::vec(part, 0..4), prop::sample::select(vec!["", "/{rest...}", "/"])).prop_map(
        |(exact, parts, end)| {
            let named = parts.iter().enumerate().map(|(at, part)| part.replace('x', &format!("x{at}")));
            let path: String = named.map(|part| format!("/{part}")).chain([end.to_owned()]).collect();
            // What is no pattern stands for everything.
            format!("{exact}{path}").parse().unwrap_or_else(|_| PathPattern::everything())
        },
    )
}

fn conditions() -> impl Strategy<Value = Conditions> {
    let methods = prop::sample::subsequence(vec![Method::GET, Method::POST], 0..=2);
    let header = prop::option::of(prop::sample::select(vec![None, Some("1"), Some("2")]));
    let query = prop::option::of(prop::sample::select(vec![None, Some("1")]));
    (methods, header, query).prop_map(|(methods, header, query)| {
        let header = header.map(|value| (HeaderName::from_static("x-a"), value.map(HeaderValue::from_static)));
        let query = query.map(|value| ("q".to_owned(), value.map(str::to_owned)));
        Conditions::new(methods, header.into_iter().collect(), query.into_iter().collect())
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let host = prop::sample::select(vec!["", "a.test", "b.a.test", "*.test", "*.a.test"]);
    (host, pattern(), conditions()).prop_map(|(host, path, conditions)| Rule { host: host.parse().unwrap_or_default(), path, conditions })
}

fn path() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["a", "b", "c", "d", "", ".", "..", "%61", "%2e%2e", "a%2fb", "a\\b", "a;b", "%2F.."]);
    prop_oneof![
        8 => prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "d"]), 0..5).prop_map(|parts| format!("/{}", parts.join("/"))),
        4 => prop::collection::vec(part, 0..6).prop_map(|parts| format!("/{}", parts.join("/"))),
        1 => Just("*".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_index_finds_what_a_search_through_all_rules_finds(
        rules in prop::collection::vec(rule(), 0..40),
        asked in prop::collection::vec((path(), prop::sample::select(vec!["a.test", "b.a.test", "x.test", "c.b.a.test", "test", ".test"]),
            any::<bool>(), prop::sample::select(vec![None, Some("q"), Some("q=1"), Some("q=2")]), prop::option::of(0..3_u8)), 1..20),
    ) {
        // Each rule is a service of its own, so that the rule itself is compared.
        let index = Index::new(rules.iter().zip(0..));
        for (path, host, get, query, header) in asked {
            let mut headers = HeaderMap::new();
            if let Some(value) = header {
                headers.insert("x-a", HeaderValue::from(u16::from(value)));
            }
            let method = if get { Method::GET } else { Method::POST };
            let asked = Asked { host, method: &method, path: &path, query, headers: &headers };
            prop_assert_eq!(index.find(&asked), naive(&rules, &asked), "{:?} among {:?}", asked, rules);
        }
    }
}

/// Finds the name of the service that gets a path, among services each with one path.
fn found(paths: &[&'static str], path: &str) -> Result<Option<&'static str>, Disagreement> {
    let rules: Vec<Rule> = paths.iter().map(|path| Rule { path: path.parse().unwrap(), ..Rule::for_host(HostPattern::Any) }).collect();
    let asked = Asked { host: "a.test", method: &Method::GET, path, query: None, headers: &HeaderMap::new() };
    Ok(Index::new(rules.iter().zip(0..)).find(&asked)?.map(|at| paths[at]))
}

#[test]
fn the_most_special_path_decides() {
    let paths = [
        "/",
        "/carts",
        "/carts/{id}",
        "=/carts/1",
        "/carts/{id}/items",
        "/carts/{id}/{rest...}",
        "/carts/old",
        "/{any}/1/items",
        "/x/{rest...}",
    ];
    for (path, wanted) in [
        ("/", "/"),
        ("*", "/"),
        ("/cartsx", "/"),
        ("/carts", "/carts"),
        ("/carts/", "/carts"),
        ("/carts/1", "=/carts/1"),
        ("/carts/1/", "/carts/{id}/{rest...}"),
        ("/carts/2", "/carts/{id}"),
        ("/carts/old", "/carts/{id}"),
        ("/carts/old/1/2", "/carts/{id}/{rest...}"),
        ("/carts/1/items", "/carts/{id}/items"),
        ("/other/1/items", "/{any}/1/items"),
        ("/x", "/"),
        ("/x/", "/x/{rest...}"),
        ("/x/y/z", "/x/{rest...}"),
    ] {
        assert_eq!(found(&paths, path), Ok(Some(wanted)), "{path}");
    }
    assert_eq!(found(&["/a"], "/b"), Ok(None));
}

#[test]
fn u18_a_path_that_others_may_read_as_anothers_belongs_to_nobody() {
    for path in ["/a/../t", "/a/%2e%2e/t", "//t", "/a%2f..%2ft", "/a\\..\\t", "/%74", "/a/..;/t", "/t/..", "/./t"] {
        assert_eq!(found(&["/", "/t"], path), Err(Disagreement), "{path}");
        assert_eq!(found(&["/"], path), Ok(Some("/")), "{path}: there is nothing to confuse");
    }
    for path in ["/t//x", "/t/%2e/x", "/t/caf%C3%A9"] {
        assert_eq!(found(&["/", "/t"], path), Ok(Some("/t")), "{path}");
    }
}
