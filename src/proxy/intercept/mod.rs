//! Connections that were on their way elsewhere when the kernel redirected them here: where they were going, what they speak, and how
//! what no service of the configuration answers gets there all the same.

mod aim;
mod detect;
mod far;
mod onward;

pub use aim::{Interception, Refused};
pub use detect::Spoken;
pub use far::{Far, dial, keep_alive};
pub use onward::{Onward, PATIENCE, Request, pass};
