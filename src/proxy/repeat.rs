//! Requests that may be repeated because their client says so: with an `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header),
//! where the configuration says that the service does once what comes twice with the same one.

use http::request::Parts;

use crate::proxy::pressure::Level;
use crate::proxy::sanitise::Framing;
use crate::proxy::upload::Upload;
use crate::proxy::worker::Worker;
use crate::seam::choice::Choice;

const KEY: &str = "idempotency-key";

/// Keeps the body of such a request, which goes on when it is here in full; says whether it was waited for. One without an announced
/// length or with a longer one than is allowed is sent once, as any other, and so is what does not fit beside what the worker keeps.
pub async fn keep(upload: &mut Upload, worker: &Worker, choice: Option<&Choice>, head: &Parts, framing: Framing) -> bool {
    let Some(most) = choice.and_then(|choice| choice.repeat) else { return false };
    let length = match framing {
        Framing::None => 0,
        Framing::Length(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
        Framing::Chunked => return false,
    };
    if length > most || !has_key(head) || worker.pressure.level() > Level::Normal {
        return false;
    }
    let Some(room) = worker.larder.take(length) else { return false };
    // In a box, so that other requests do not carry the room for it.
    Box::pin(upload.keep(room)).await;
    true
}

/// Says whether there is one key that can be told from others.
fn has_key(head: &Parts) -> bool {
    let mut keys = head.headers.get_all(KEY).iter();
    matches!((keys.next(), keys.next()), (Some(key), None) if !key.as_bytes().trim_ascii().is_empty())
}
