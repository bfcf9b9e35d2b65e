//! Refuses or cleans a head before it is passed on: one pure function for requests and one for responses.
//!
//! Framing fields are always removed and written anew, so that what goes upstream is framed by us alone. It does no I/O and
//! knows no connection; rule ids such as G02 are those of the tests in `tests/conformance`.

mod aside;
mod fields;
mod forward;
mod host;
mod http2;
mod outgoing;
mod policy;
mod request;
mod response;
mod trailers;
mod upgrade;

pub use aside::{put_aside, put_back};
pub use fields::{FORCE, MIRROR, OURS};
pub use host::{HostPort, host_and_port};
pub use outgoing::{Outgoing, call_from};
pub use policy::{Peer, Policy, Refusal, WireNotes};
pub use request::{Clean, Framing, request};
pub use response::{answer, response};
pub use trailers::{TooManyTrailers, trailers};

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
