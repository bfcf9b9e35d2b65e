//! The steps of the hot path for a request that becomes a WebSocket; all others are those of any request.

use http::{Response, response};

use crate::domain::outcome::Failure;
use crate::domain::transport::Protocol;
use crate::proxy::body::{Answer, Crossing};
use crate::proxy::passage::Passage;
use crate::proxy::patrol::Ticket;
use crate::proxy::sanitise::{Clean, Refusal};
use crate::proxy::upstream::Download;
use crate::seam::recorder::EpochBooks;

/// The refusal of a WebSocket where a version that could get it has no connection for it.
const NO_TUNNEL: Refusal =
    Refusal { status: 501, reason: "a version of this service speaks HTTP/2 only, over which WebSockets are not passed on" };

/// Refuses a request to switch protocols where a version that may get it speaks HTTP/2 only: a client's wish is not to count as the
/// version's failure, nor to depend on the draw.
pub fn refused(clean: &Clean, books: &EpochBooks) -> Option<Refusal> {
    if !clean.upgrade {
        return None;
    }
    let (stable, canary) = (&books.epoch().stable, &books.epoch().canary);
    let mut versions = std::iter::once(stable).chain(canary.as_ref().map(|canary| &canary.version));
    versions.any(|version| version.transport.protocol == Protocol::Http2).then_some(NO_TUNNEL)
}

/// Ends the measurement of a request whose version switches protocols, at the 101, and makes the answer that carries the tunnel: how
/// long a tunnel stays open says nothing of how fast its version is.
///
/// # Errors
///
/// Fails when the version switched before it could know what was asked.
pub fn cross(head: response::Parts, body: Download, mut passage: Passage, ticket: Ticket) -> Result<Response<Answer>, Failure> {
    let Some(far) = body.into_tunnel() else {
        passage.fail(Failure::ResponseInformational);
        return Err(Failure::ResponseInformational);
    };
    passage.complete();
    Ok(Response::from_parts(head, Answer::Tunnel(Box::new(Crossing { far, ticket }))))
}
