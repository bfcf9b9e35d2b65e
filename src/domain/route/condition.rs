//! What a rule asks of a request beside its host and path: a method, headers, query parameters.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::domain::route::forms::escaped;

/// The conditions of a rule; all of them must be met.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Conditions {
    methods: Vec<Method>,
    headers: Vec<(HeaderName, Option<HeaderValue>)>,
    query: Vec<(String, Option<String>)>,
}

impl Conditions {
    /// Makes conditions: one of these methods where there are some, and each header and query parameter with this value, or with
    /// any where none is given. Their order does not matter.
    #[must_use]
    pub fn new(
        mut methods: Vec<Method>,
        mut headers: Vec<(HeaderName, Option<HeaderValue>)>,
        mut query: Vec<(String, Option<String>)>,
    ) -> Self {
        methods.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        methods.dedup();
        headers.sort_by(|one, other| (one.0.as_str(), &one.1).cmp(&(other.0.as_str(), &other.1)));
        headers.dedup();
        query.sort();
        query.dedup();
        Self { methods, headers, query }
    }

    /// Returns how many conditions there are; the methods are one.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.headers.len() + self.query.len() + !self.methods.is_empty() as usize
    }

    /// Returns the first field of which a value is asked.
    #[must_use]
    pub fn field(&self) -> Option<(&HeaderName, &HeaderValue)> {
        self.headers.iter().find_map(|(name, value)| Some((name, value.as_ref()?)))
    }

    /// Says whether a request meets them. Of a field or parameter that occurs several times one occurrence is enough; a
    /// parameter is compared decoded.
    #[must_use]
    pub fn meets(&self, method: &Method, headers: &HeaderMap, query: Option<&str>) -> bool {
        (self.methods.is_empty() || self.methods.contains(method))
            && self.headers.iter().all(|(name, wanted)| match wanted {
                None => headers.contains_key(name),
                Some(value) => headers.get_all(name).iter().any(|given| given == value),
            })
            && self.query.iter().all(|(name, wanted)| {
                let pairs = query.unwrap_or_default().split('&');
                pairs
                    .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                    .any(|(key, value)| reads(key, name) && wanted.as_ref().is_none_or(|wanted| reads(value, wanted)))
            })
    }
}

/// Says whether a part of a query reads like this once it is decoded.
fn reads(part: &str, wanted: &str) -> bool {
    let (mut rest, mut wanted) = (part.as_bytes(), wanted.bytes());
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) = match escaped(rest) {
            Some(byte) => (byte, after.get(2..).unwrap_or_default()),
            None if *first == b'+' => (b' ', after),
            None => (*first, after),
        };
        if wanted.next() != Some(byte) {
            return false;
        }
        rest = after;
    }
    wanted.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(wanted: Option<&str>) -> Conditions {
        Conditions::new(Vec::new(), Vec::new(), vec![("a b".to_owned(), wanted.map(str::to_owned))])
    }

    #[test]
    fn parameters_are_compared_decoded() {
        let meets = |conditions: &Conditions, query| conditions.meets(&Method::GET, &HeaderMap::new(), query);
        for given in ["a%20b=x", "z&a+b=x", "a%20b=y&a+b=%78"] {
            assert!(meets(&query(Some("x")), Some(given)) && meets(&query(None), Some(given)), "{given}");
        }
        for given in ["a%20b=xx", "a%20b", "a%20b=", "ab=x", "a%20bc=x"] {
            assert!(!meets(&query(Some("x")), Some(given)), "{given}");
        }
        assert!(!meets(&query(None), None) && meets(&query(None), Some("a+b")));
    }

    #[test]
    fn every_condition_must_be_met() {
        let mut headers = HeaderMap::new();
        headers.append("x-tenant", HeaderValue::from_static("a"));
        headers.append("x-tenant", HeaderValue::from_static("b"));
        let tenant = |value: &'static str| (HeaderName::from_static("x-tenant"), Some(HeaderValue::from_static(value)));
        let both = Conditions::new(vec![Method::GET, Method::HEAD, Method::GET], vec![tenant("b")], Vec::new());
        assert_eq!(both.count(), 2);
        assert!(both.meets(&Method::HEAD, &headers, None) && !both.meets(&Method::POST, &headers, None));
        assert!(!both.meets(&Method::GET, &HeaderMap::new(), None));
        let present = Conditions::new(Vec::new(), vec![(HeaderName::from_static("x-tenant"), None)], Vec::new());
        assert!(present.meets(&Method::POST, &headers, None) && !present.meets(&Method::POST, &HeaderMap::new(), None));
        assert_eq!(Conditions::new(vec![Method::HEAD, Method::GET], vec![tenant("b")], Vec::new()), both);
    }
}
