//! What is left out of a request to a service and not of one to somebody else: names with underscores, and what a client says of itself.

use http::HeaderMap;
use http::header::{self, HeaderName};
use http::request::Parts;

use crate::proxy::sanitise::fields;

/// What was copied before the cleaning.
#[derive(Clone)]
struct Aside(HeaderMap);

/// Keeps what the cleaning may leave out, if there is anything of it. What `Connection` names ends here in any case.
pub fn put_aside(head: &mut Parts) {
    if !head.headers.keys().any(is_aside) {
        return;
    }
    let hop = fields::nominated(&head.headers);
    let kept = head.headers.iter().filter(|(name, _)| is_aside(name) && !hop.contains(name));
    let kept = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
    head.extensions.insert(Aside(kept));
}

/// Puts it back into a cleaned head, as it was.
pub fn put_back(head: &mut Parts) {
    let others: Vec<HeaderName> = head.headers.keys().filter(|name| is_aside(name)).cloned().collect();
    for name in others {
        head.headers.remove(name);
    }
    if let Some(Aside(kept)) = head.extensions.remove() {
        head.headers.extend(kept);
    }
}

fn is_aside(name: &HeaderName) -> bool {
    let text = name.as_str();
    text.contains('_') || *name == header::FORWARDED || text == "x-real-ip" || text.starts_with("x-forwarded-")
}
