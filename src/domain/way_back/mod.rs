//! The way back: whether a stable version that gets everything again can take it, and what is done where it cannot.
//!
//! A canary that fails loses its share at once, and nothing here delays that (invariant I18). But stable may have been scaled down
//! while the canary had the traffic, and a version that is overrun serves nobody. What stable can take is estimated from what it has
//! shown ([`Capacity`]); where the operator wants it, what is beyond that is refused quickly for a while instead of queueing
//! ([`Shedding`]). The failed version gets nothing of it either way. Where people or clocks end a rollout whose canary is not known to
//! be bad there is another way: its share may go down in steps, each as soon as stable bears it ([`Recession`]).

mod capacity;
mod recession;
mod rule;
mod shedding;

pub use capacity::{Capacity, Forecast, Room, Stretch, Tape};
pub use recession::{Prospect, Recession};
pub use rule::{Terms, WayBack};
pub use shedding::{End, Shedding};
