//! Reads an HTTP request of a plan.

use std::time::Duration;

use http::{HeaderValue, Method, header};
use roxmltree::Node;

use crate::formats::jmeter_conf::TestUrl;
use crate::formats::jmx::element::{Context, Properties, short};
use crate::formats::jmx::plan::Sampler;
use crate::formats::jmx::scope::Scope;

/// The longest time-out, in milliseconds: an hour.
const LONGEST_TIMEOUT: u64 = 3_600_000;

/// The largest body.
const LARGEST_BODY: usize = 4 << 20;

/// The methods, and whether their arguments go into the query.
const METHODS: [(Method, bool); 7] = [
    (Method::GET, true),
    (Method::HEAD, true),
    (Method::OPTIONS, true),
    (Method::DELETE, true),
    (Method::POST, false),
    (Method::PUT, false),
    (Method::PATCH, false),
];

/// Properties that change nothing of what is sent here.
const INERT: [&str; 7] = [
    "HTTPSampler.implementation",
    "HTTPSampler.embedded_url_re",
    "HTTPSampler.embedded_url_exclude_re",
    "HTTPSampler.concurrentPool",
    "HTTPSampler.ipSourceType",
    "HTTPSampler.BROWSER_COMPATIBLE_MULTIPART",
    "HTTPSampler.cookie_manager",
];

/// Reads a request with what the elements around it add.
pub fn read(context: &Context<'_>, node: Node<'_, '_>, path: String, name: String, scope: Scope) -> Option<Sampler> {
    let mut properties = Properties::open(context, node, path);
    properties.inert(&INERT);
    let method = method(&mut properties);
    let arguments = arguments(context, &mut properties);
    let url = url(&mut properties, method.as_ref(), arguments.as_ref());
    let follow = properties.flag("HTTPSampler.follow_redirects", false) | properties.flag("HTTPSampler.auto_redirects", false);
    let keep_alive = properties.flag("HTTPSampler.use_keepalive", true);
    encoding(&mut properties);
    let timeout = |milliseconds: u64| (milliseconds > 0).then(|| Duration::from_millis(milliseconds));
    let connect_timeout = properties.whole("HTTPSampler.connect_timeout", 0..=LONGEST_TIMEOUT).and_then(timeout);
    let response_timeout = properties.whole("HTTPSampler.response_timeout", 0..=LONGEST_TIMEOUT).and_then(timeout);
    properties.close();
    let (method, url) = (method?, url?);
    let mut headers = scope.headers;
    let body = match arguments? {
        Arguments::Raw(body) => Some(body),
        Arguments::Form(form) if !form.is_empty() && !in_query(&method) => {
            if headers.iter().all(|(name, _)| name != header::CONTENT_TYPE) {
                headers.push((header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")));
            }
            Some(form)
        }
        Arguments::Form(_) => None,
    };
    Some(Sampler {
        name,
        method,
        url,
        headers,
        body,
        follow_redirects: follow,
        keep_alive,
        cookies: scope.cookies,
        pause: scope.pause,
        connect_timeout,
        response_timeout,
        dynatrace: scope.dynatrace,
    })
}

fn in_query(method: &Method) -> bool {
    METHODS.iter().any(|(known, in_query)| known == method && *in_query)
}

fn method(properties: &mut Properties<'_, '_>) -> Option<Method> {
    let text = properties.text("HTTPSampler.method")?;
    let found = METHODS.iter().find(|(method, _)| method.as_str() == text.trim());
    if found.is_none() {
        let known = METHODS.map(|(method, _)| method.to_string()).join(", ");
        properties.error("HTTPSampler.method", format!("the method {:?} is not supported", short(&text)), format!("write one of {known}"));
    }
    found.map(|(method, _)| method.clone())
}

fn encoding(properties: &mut Properties<'_, '_>) {
    const ENCODING: &str = "HTTPSampler.contentEncoding";
    if let Some(text) = properties.text(ENCODING)
        && !["", "utf-8", "utf8"].contains(&text.trim().to_lowercase().as_str())
    {
        properties.error(ENCODING, format!("the encoding {:?} is not supported", short(&text)), "write UTF-8, or nothing");
    }
}

/// Puts the URL together; the port is the protocol's where it is empty or 0.
fn url(properties: &mut Properties<'_, '_>, method: Option<&Method>, arguments: Option<&Arguments>) -> Option<TestUrl> {
    let protocol = properties.text("HTTPSampler.protocol");
    let domain = properties.text("HTTPSampler.domain");
    let port = properties.text("HTTPSampler.port");
    let path = properties.text("HTTPSampler.path");
    let (protocol, domain, port, path) = (protocol?, domain?, port?, path?);
    let protocol = protocol.trim().to_lowercase();
    let protocol = if protocol.is_empty() { "http" } else { &protocol };
    let (domain, port, path) = (domain.trim(), port.trim(), path.trim());
    if !["http", "https"].contains(&protocol) {
        properties.error("HTTPSampler.protocol", format!("the protocol {:?} is not supported", short(protocol)), "write http or https");
        return None;
    }
    if domain.is_empty() || domain.contains(['/', '@', '?', '#']) {
        properties.error("HTTPSampler.domain", format!("{:?} is no server", short(domain)), "write its name or address, without a path");
        return None;
    }
    if path.starts_with("http://") || path.starts_with("https://") {
        properties.error(
            "HTTPSampler.path",
            "a whole URL as path is not supported",
            "write protocol, domain, port and path each in its place",
        );
        return None;
    }
    let port = if ["", "0"].contains(&port) { String::new() } else { format!(":{port}") };
    let slash = if path.starts_with('/') { "" } else { "/" };
    let query = match arguments {
        Some(Arguments::Form(form)) if !form.is_empty() && method.is_some_and(in_query) => {
            format!("{}{form}", if path.contains('?') { '&' } else { '?' })
        }
        _ => String::new(),
    };
    let url = format!("{protocol}://{domain}{port}{slash}{path}{query}").parse::<TestUrl>();
    if let Err(why) = &url {
        properties.error("HTTPSampler.path", why.to_string(), "mend protocol, domain, port and path; blanks in a path are written %20");
    }
    url.ok()
}

/// What a request carries.
enum Arguments {
    /// A body as it is written.
    Raw(String),
    /// Names and values, encoded.
    Form(String),
}

fn arguments(context: &Context<'_>, properties: &mut Properties<'_, '_>) -> Option<Arguments> {
    let raw = properties.flag("HTTPSampler.postBodyRaw", false);
    let Some(node) = properties.get("HTTPsampler.Arguments") else { return Some(Arguments::Form(String::new())) };
    let mut list = Properties::open(context, node, properties.path.clone());
    let (mut pairs, mut whole) = (Vec::new(), true);
    for entry in list.collection("Arguments.arguments") {
        let mut argument = Properties::open(context, entry, list.path.clone());
        let (name, value) = (argument.text("Argument.name"), argument.text("Argument.value"));
        let (encode, equals) = (argument.flag("HTTPArgument.always_encode", false), argument.flag("HTTPArgument.use_equals", true));
        argument.inert(&["Argument.metadata", "Argument.desc", "HTTPArgument.content_type"]);
        argument.close();
        match (name, value) {
            (Some(name), Some(value)) => pairs.push((name, value, encode, equals)),
            _ => whole = false,
        }
    }
    list.close();
    let size: usize = pairs.iter().map(|(name, value, ..)| name.len() + value.len()).sum();
    if size > LARGEST_BODY {
        properties.error("HTTPsampler.Arguments", "the body is too large", format!("{LARGEST_BODY} bytes are the most"));
        return None;
    }
    if !whole {
        return None;
    }
    // Arguments without any name are a body as well.
    if raw || (!pairs.is_empty() && pairs.iter().all(|(name, ..)| name.is_empty())) {
        return Some(Arguments::Raw(pairs.into_iter().map(|(_, value, ..)| value).collect()));
    }
    let pair = |(name, value, encode, equals): &(String, String, bool, bool)| {
        let (name, value) = if *encode { (encoded(name), encoded(value)) } else { (name.clone(), value.clone()) };
        if value.is_empty() && !equals { name } else { format!("{name}={value}") }
    };
    Some(Arguments::Form(pairs.iter().map(pair).collect::<Vec<_>>().join("&")))
}

/// Encodes a text for a form (application/x-www-form-urlencoded).
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => char::from(byte).to_string(),
        b' ' => "+".to_owned(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}
