//! The worker's patrol: a round every 100 ms that ends what has taken too long, so that no request needs a timer of its own.
//!
//! Whoever makes progress writes the number of the current round, a plain store; the patrol compares. A time-out is therefore
//! late by at most one round, and by the 5 ms for which a round waits for a moment without requests.

mod connection;
mod idle;
mod limits;
mod request;
mod rounds;
mod stream;

pub use connection::{Awaits, ConnectionGuard};
pub use idle::Idle;
pub use limits::{Limits, ROUND};
pub use request::{RequestGuard, Transfer};
pub use rounds::{Patrol, Ticket};
pub use stream::StreamGuard;
