//! Which requests a service answers: what can be written, and what is refused.

use http::{HeaderName, HeaderValue, Method};

use super::*;
use crate::domain::route::{Conditions, HostPattern, Rule};

/// The smallest configuration with these lines for its service.
fn with(lines: &str) -> String {
    format!("{SMALL}{lines}")
}

fn rules(lines: &str) -> Vec<Rule> {
    loaded(&with(lines)).settings.services.remove(0).rules
}

#[test]
fn routes_are_for_their_own_hosts_or_for_those_of_the_service() {
    let own = rules("    hosts: [a.test, '*.b.test']\n    routes: [{path: /x}, {hosts: c.test, path: =/y}]\n");
    let shown: Vec<String> = own.iter().map(|rule| format!("{} {}", rule.host, rule.path)).collect();
    assert_eq!(shown, ["a.test /x", "*.b.test /x", "c.test =/y"]);
    let any = rules("    routes: [{path: '/{id}/x'}, {methods: GET}]\n");
    assert!(any.iter().all(|rule| rule.host == HostPattern::Any) && any[1].path.is_everything() && any.len() == 2);
}

#[test]
fn conditions_are_a_name_or_a_name_with_its_value() {
    let written = "    routes: [{methods: [GET, POST], headers: [\"x-a: 1: 2\", X-B], query: [v=2, debug, e=]}]\n";
    let header = |name, value: Option<&'static str>| (HeaderName::from_static(name), value.map(HeaderValue::from_static));
    let parameter = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
    let wanted = Conditions::new(
        vec![Method::POST, Method::GET],
        vec![header("x-b", None), header("x-a", Some("1: 2"))],
        vec![parameter("debug", None), parameter("v", Some("2")), parameter("e", Some(""))],
    );
    assert_eq!(rules(written)[0].conditions, wanted);
}

#[test]
fn a_route_that_could_never_be_met_is_refused_with_its_place() {
    for (line, path, message, hint) in [
        ("routes: []", "routes", "no route", "{path: /carts}"),
        ("routes: [{}, {}]", "routes[1]", "the same as one of the service \"carts\"", "something else"),
        ("routes: [{path: '/a/{x}'}, {path: '/a/{y}'}]", "routes[1]", "the same as", "something else"),
        ("routes: [{methods: [GET, PUT]}, {methods: [PUT, GET]}]", "routes[1]", "the same as", "something else"),
        ("routes: [{path: carts}]", "routes[0].path", "not a path", "/carts"),
        ("routes: [{path: /a%2fb}]", "routes[0].path", "not a path", "escape"),
        ("routes: [{path: '/{a...}/b'}]", "routes[0].path", "not a path", "come last"),
        ("routes: [{pth: /a}]", "routes[0].pth", "unknown key", "path"),
        ("routes: [{methods: get}]", "routes[0].methods", "not a method that clients use", "GET"),
        ("routes: [{methods: 'G T'}]", "routes[0].methods", "not a method", "GET"),
        ("routes: [{methods: CONNECT}]", "routes[0].methods", "refused for every service", "leave it out"),
        ("routes: [{headers: 'x a: 1'}]", "routes[0].headers", "not the name of a header", "x-tenant"),
        ("routes: [{headers: host}]", "routes[0].headers", "'hosts'", "hosts:"),
        ("routes: [{headers: x-portcullis-version}]", "routes[0].headers", "taken out of every request", "another"),
        ("routes: [{headers: te}]", "routes[0].headers", "taken out of every request", "another"),
        ("routes: [{headers: x_a}]", "routes[0].headers", "taken out of every request", "another"),
        ("routes: [{headers: 'x-a:'}]", "routes[0].headers", "not the value of a header", "x-a alone"),
        ("routes: [{hosts: 'a:80'}]", "routes[0].hosts", "not a host name", "leave out the port"),
    ] {
        let problems = refused(&with(&format!("    {line}\n")));
        let problem = &problems[0];
        assert_eq!(
            (problems.len(), problem.path.as_str(), problem.line),
            (1, format!("services[0].{path}").as_str(), Some(5)),
            "{line}\n{}",
            shown(&problems)
        );
        assert!(problem.message.contains(message), "{line}: {problem}");
        assert!(problem.hint.as_deref().unwrap().contains(hint), "{line}: {problem}");
    }
}

#[test]
fn two_services_cannot_ask_for_the_same_and_many_routes_of_one_path_are_refused() {
    let second = "  - name: other\n    stable: {version: v1, endpoints: [\"127.0.0.1:8082\"]}\n";
    let both = with(&format!("    routes: [{{path: /a}}]\n{second}    routes: [{{path: /b}}, {{path: /a}}]\n"));
    let problems = refused(&both);
    assert_eq!((problems.len(), problems[0].path.as_str()), (1, "services[1].routes[1]"), "{}", shown(&problems));
    assert!(loaded(&with(&format!("    routes: [{{path: /a}}]\n{second}"))).notes.is_empty(), "the rest may belong to another service");
    let many = |count: usize| {
        let routes: Vec<String> = (0..count).map(|number| format!("{{headers: 'x-a: {number}'}}")).collect();
        with(&format!("    routes: [{}]\n", routes.join(", ")))
    };
    assert_eq!(loaded(&many(100)).settings.services[0].rules.len(), 100);
    let problems = refused(&many(101));
    assert_eq!((problems.len(), problems[0].path.as_str()), (1, "services[0].routes[100]"), "{}", shown(&problems));
}
