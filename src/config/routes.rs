//! Which requests a service answers: its hosts, and routes over path, method, headers and query.

use http::{HeaderName, HeaderValue, Method};

use crate::config::values;
use crate::domain::route::{Conditions, HostPattern, InvalidPath, PathPattern, Rule};
use crate::formats::yaml::fields::Fields;
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::tree::Node;

/// A list of texts and where it stands.
type Texts = At<Vec<At<String>>>;

/// One route as written; all that is written must be met.
#[derive(Debug)]
pub(super) struct RouteSpec {
    place: Place,
    hosts: Option<Texts>,
    path: Option<At<String>>,
    methods: Vec<At<String>>,
    headers: Vec<At<String>>,
    query: Vec<At<String>>,
}

/// A rule and where it is written.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) rule: Rule,
    pub(super) place: Place,
    pub(super) kind: Claimed,
}

/// What a rule was written as.
#[derive(Debug)]
pub(super) enum Claimed {
    /// A host, as spelled.
    Host(String),
    /// Nothing.
    Everything,
    /// A route.
    Route,
}

impl RouteSpec {
    /// Reads the routes of a service.
    pub(super) fn read_all(fields: &mut Fields<'_>, report: &Report<'_>) -> Option<At<Vec<Self>>> {
        let At { value, place } = fields.list("routes")?;
        if value.is_empty() {
            report.error(
                &place,
                "there is no route, so no request would reach the service",
                "write a route such as {path: /carts}, or leave 'routes' out",
            );
        }
        Some(At::new(value.into_iter().filter_map(|(node, path)| Self::read(node, path, report)).collect(), place))
    }

    fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let mut texts = |key| fields.one_or_more(key).map_or_else(Vec::new, |list| list.value);
        let (methods, headers, query) = (texts("methods"), texts("headers"), texts("query"));
        let spec =
            Self { place: fields.place().clone(), hosts: fields.one_or_more("hosts"), path: fields.text("path"), methods, headers, query };
        fields.close();
        Some(spec)
    }

    /// Compiles what is asked beside the host; `None` after reporting why it cannot be.
    fn compile(&self, report: &Report<'_>) -> Option<(PathPattern, Conditions)> {
        let path = self.path.as_ref().map_or_else(|| Some(PathPattern::everything()), |text| path(text, report));
        let methods: Vec<_> = self.methods.iter().map(|text| method(text, report)).collect();
        let headers: Vec<_> = self.headers.iter().map(|text| header(text, report)).collect();
        let query = self.query.iter().map(parameter).collect();
        let (methods, headers) = (methods.into_iter().collect::<Option<_>>(), headers.into_iter().collect::<Option<_>>());
        Some((path?, Conditions::new(methods?, headers?, query)))
    }
}

/// Compiles the rules of a service: one for each of its hosts, or for each of its routes and their hosts, which are those of the
/// service where a route names none.
pub(super) fn compile(service: &Place, written: Option<&Texts>, routes: Option<&At<Vec<RouteSpec>>>, report: &Report<'_>) -> Vec<Claim> {
    let own: Vec<_> = hosts(written, report);
    let unwritten = |list: Option<&Texts>| list.is_none_or(|list| list.value.is_empty());
    let Some(routes) = routes else {
        if unwritten(written) {
            return vec![Claim { rule: Rule::for_host(HostPattern::Any), place: service.clone(), kind: Claimed::Everything }];
        }
        let claim = |(host, text): (HostPattern, &At<String>)| Claim {
            rule: Rule::for_host(host),
            place: text.place.clone(),
            kind: Claimed::Host(text.value.clone()),
        };
        return own.into_iter().map(claim).collect();
    };
    let mut claims = Vec::new();
    for route in &routes.value {
        let named: Vec<_> = match &route.hosts {
            Some(list) => hosts(Some(list), report),
            None => own.clone(),
        };
        let Some((path, conditions)) = route.compile(report) else { continue };
        let mut patterns: Vec<HostPattern> = named.into_iter().map(|(host, _)| host).collect();
        if unwritten(route.hosts.as_ref()) && unwritten(written) {
            patterns.push(HostPattern::Any);
        }
        claims.extend(patterns.into_iter().map(|host| Claim {
            rule: Rule { host, path: path.clone(), conditions: conditions.clone() },
            place: route.place.clone(),
            kind: Claimed::Route,
        }));
    }
    claims
}

fn hosts<'s>(list: Option<&'s Texts>, report: &Report<'_>) -> Vec<(HostPattern, &'s At<String>)> {
    let written = list.map_or(&[][..], |list| &list.value);
    written.iter().filter_map(|text| Some((values::host(text, report)?, text))).collect()
}

fn path(text: &At<String>, report: &Report<'_>) -> Option<PathPattern> {
    text.value.parse().map_err(|InvalidPath(hint)| report.error(&text.place, format!("{:?} is not a path", text.value), hint)).ok()
}

pub(super) fn method(text: &At<String>, report: &Report<'_>) -> Option<Method> {
    let spelled = text.value.as_str();
    match spelled.parse::<Method>() {
        Ok(Method::CONNECT | Method::TRACE) => {
            report.error(&text.place, format!("{spelled} is refused for every service"), "leave it out");
            None
        }
        Ok(method) if !spelled.bytes().any(|byte| byte.is_ascii_lowercase()) => Some(method),
        Ok(_) => {
            let hint = format!("methods are case-sensitive; write {}", spelled.to_ascii_uppercase());
            report.error(&text.place, format!("{spelled:?} is not a method that clients use"), hint);
            None
        }
        Err(_) => {
            report.error(&text.place, format!("{spelled:?} is not a method"), "write for example GET");
            None
        }
    }
}

/// Reads `name: value`, or a name for any value.
fn header(text: &At<String>, report: &Report<'_>) -> Option<(HeaderName, Option<HeaderValue>)> {
    let (name, value) = text.value.split_once(':').map_or((text.value.as_str(), None), |(name, value)| (name, Some(value.trim())));
    let name = values::field(text, name.trim(), report)?;
    let Some(value) = value else { return Some((name, None)) };
    match HeaderValue::try_from(value) {
        Ok(value) if !value.is_empty() => Some((name, Some(value))),
        _ => {
            let hint = format!("write \"{name}: value\", or {name} alone for any value");
            report.error(&text.place, format!("{value:?} is not the value of a header"), hint);
            None
        }
    }
}

/// Reads `name=value`, or a name for any value.
fn parameter(text: &At<String>) -> (String, Option<String>) {
    text.value.split_once('=').map_or_else(|| (text.value.clone(), None), |(name, value)| (name.to_owned(), Some(value.to_owned())))
}
