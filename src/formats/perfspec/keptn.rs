//! Reads a perfspec as the original did: anything goes.

use crate::domain::gate::perfspec::js::Js;
use crate::formats::json;

/// Reads a perfspec without checking anything.
///
/// What is not JSON stays the text it is, which the original then refuses as badly formatted; so does a text that is
/// nested deeper than [`json::MAX_DEPTH`].
#[must_use]
pub fn load_keptn(text: &str) -> Js {
    json::parse("", text).map_or_else(|_| Js::Text(text.to_owned()), |root| root.to_js())
}
