//! Requests that may be repeated because their client says so: with an `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header),
//! where the configuration says that the service does once what comes twice with the same one.

use http::request::Parts;

use crate::proxy::sanitise::Framing;
use crate::proxy::upload::Upload;
use crate::seam::choice::Choice;

const KEY: &str = "idempotency-key";

/// Keeps the body of such a request, which goes on when it is here in full. One without an announced length or with a longer one than
/// is allowed is sent once, as any other.
pub async fn keep(upload: &mut Upload, choice: Option<&Choice>, head: &Parts, framing: Framing) {
    let Some(most) = choice.and_then(|choice| choice.repeat) else { return };
    let short = match framing {
        Framing::None => true,
        Framing::Length(bytes) => bytes <= most as u64,
        Framing::Chunked => false,
    };
    if short && has_key(head) {
        upload.keep().await;
    }
}

/// Says whether there is one key that can be told from others.
fn has_key(head: &Parts) -> bool {
    let mut keys = head.headers.get_all(KEY).iter();
    matches!((keys.next(), keys.next()), (Some(key), None) if !key.as_bytes().trim_ascii().is_empty())
}
