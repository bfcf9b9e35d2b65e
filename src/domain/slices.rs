//! The endpoints of a Service in Kubernetes as a version is written by: which Service, which of its ports, and which of its pods.
//!
//! It is written `kubernetes:NAMESPACE/SERVICE:PORT?LABEL=VALUE,…`. Without a namespace it is the proxy's own, without a port the only
//! one there is, and without labels every pod of the Service counts.

use std::fmt;
use std::str::FromStr;

/// What it is written behind.
pub const PREFIX: &str = "kubernetes:";

/// The endpoints of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slices {
    /// Where the Service is; `None` for the namespace that the proxy itself is in.
    pub namespace: Option<String>,
    /// Its name.
    pub service: String,
    /// Which of its ports.
    pub port: Port,
    /// Labels that a pod must have to count; none for all pods.
    pub pods: Vec<(String, String)>,
}

/// A port of the pods behind a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// The only one.
    Only,
    /// The one that the Service calls so.
    Name(String),
    /// The one with this number at the pods, above 0.
    Number(u16),
}

/// Why a text is not one; says how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSlices(pub String);

/// The family of addresses that is taken of a pod that has both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    #[default]
    V4,
    /// IPv6.
    V6,
}

impl Slices {
    /// Says whether a text is meant as one. `kubernetes:443` is none: that is the host `kubernetes`.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.strip_prefix(PREFIX).is_some_and(|rest| !rest.bytes().all(|b| b.is_ascii_digit()))
    }

    /// Returns the labels that a pod must have as the API server wants them said, such as `version=v2,track=canary`.
    #[must_use]
    pub fn selector(&self) -> Option<String> {
        let pairs: Vec<String> = self.pods.iter().map(|(key, value)| format!("{key}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join(","))
    }
}

impl FromStr for Slices {
    type Err = InvalidSlices;

    fn from_str(text: &str) -> Result<Self, InvalidSlices> {
        let wrong = |what: String| InvalidSlices(format!("{what}; write for example kubernetes:shop/carts-primary:http"));
        let rest = text.strip_prefix(PREFIX).ok_or_else(|| wrong("it does not begin with kubernetes:".to_owned()))?;
        let (place, labels) = rest.split_once('?').map_or((rest, None), |(place, labels)| (place, Some(labels)));
        let (place, port) = place.split_once(':').map_or((place, None), |(place, port)| (place, Some(port)));
        let (namespace, service) = place.split_once('/').map_or((None, place), |(namespace, service)| (Some(namespace), service));
        if let Some(namespace) = namespace.filter(|name| !is_label(name)) {
            return Err(wrong(format!("{namespace:?} is no namespace")));
        }
        if !is_label(service) {
            return Err(wrong(format!("{service:?} is no name of a Service")));
        }
        let port = port.map_or(Some(Port::Only), read_port);
        let port = port.ok_or_else(|| wrong("a port is a number from 1 to 65535 or a name in lower case, such as http".to_owned()))?;
        let pods = labels.map_or(Some(Vec::new()), read_labels);
        let pods = pods.ok_or_else(|| {
            let hint = "write the labels of the pods as ?label=value, several with commas, such as kubernetes:shop/carts:http?version=v2";
            InvalidSlices(hint.to_owned())
        })?;
        Ok(Self { namespace: namespace.map(str::to_owned), service: service.to_owned(), port, pods })
    }
}

impl fmt::Display for Slices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.service)?;
        match &self.port {
            Port::Only => {}
            Port::Name(name) => write!(f, ":{name}")?,
            Port::Number(number) => write!(f, ":{number}")?,
        }
        self.selector().map_or(Ok(()), |selector| write!(f, "?{selector}"))
    }
}

fn read_port(text: &str) -> Option<Port> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok().filter(|port| *port > 0).map(Port::Number);
    }
    is_label(text).then(|| Port::Name(text.to_owned()))
}

fn read_labels(text: &str) -> Option<Vec<(String, String)>> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        let name = key.rsplit_once('/').map_or(Some(key), |(domain, name)| is_domain(domain).then_some(name))?;
        (is_value(name) && is_value(value)).then(|| (key.to_owned(), value.to_owned()))
    };
    text.split(',').map(pair).collect()
}

/// A label of DNS (RFC 1123) in lower case, as names of namespaces, Services and their ports are.
#[must_use]
pub fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// Labels of DNS with dots between them, 253 bytes in all.
#[must_use]
pub fn is_domain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// The value of a label in Kubernetes, and the name of one: up to 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both
/// ends. An empty value is allowed there but says nothing here.
fn is_value(text: &str) -> bool {
    let end = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && end(text.bytes().next())
        && end(text.bytes().last())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Slices {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_written_is_read_and_written_the_same() {
        for text in [
            "kubernetes:carts",
            "kubernetes:carts-primary:8080",
            "kubernetes:shop/carts-primary:http",
            "kubernetes:shop/carts:http?version=v2",
            "kubernetes:shop/carts?app.kubernetes.io/name=carts,track=Canary_1.0",
        ] {
            assert_eq!(read(text).to_string(), text);
        }
        let all = read("kubernetes:shop/carts:http?version=v2,track=canary");
        assert_eq!(all.namespace.as_deref(), Some("shop"));
        assert_eq!((all.service.as_str(), &all.port), ("carts", &Port::Name("http".to_owned())));
        assert_eq!(all.selector().as_deref(), Some("version=v2,track=canary"));
        assert_eq!(read("kubernetes:carts:8080").port, Port::Number(8080));
        assert_eq!(read("kubernetes:carts").selector(), None);
    }

    #[test]
    fn what_is_none_says_how_to_mend_it() {
        for (text, hint) in [
            ("kubernetes:", "no name of a Service"),
            ("kubernetes:Shop/carts", "\"Shop\" is no namespace"),
            ("kubernetes:shop/", "\"\" is no name of a Service"),
            ("kubernetes:shop/carts/x", "no name of a Service"),
            ("kubernetes:shop/carts:0", "1 to 65535"),
            ("kubernetes:shop/carts:65536", "1 to 65535"),
            ("kubernetes:shop/carts:", "1 to 65535"),
            ("kubernetes:shop/carts:HTTP", "in lower case"),
            ("kubernetes:shop/carts?version", "?label=value"),
            ("kubernetes:shop/carts?version=", "?label=value"),
            ("kubernetes:shop/carts?a/b/c=d", "?label=value"),
            ("kubernetes:shop/carts?v=1&limit=2", "?label=value"),
        ] {
            let error = text.parse::<Slices>().unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn a_host_of_that_name_stays_one() {
        assert!(!Slices::is_meant("kubernetes:443") && !Slices::is_meant("kubernetes.default:443"));
        assert!(Slices::is_meant("kubernetes:carts") && Slices::is_meant("kubernetes:shop/carts:80"));
    }
}
