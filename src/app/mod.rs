//! The composition root: builds everything, knows everybody, and takes it down again.

mod access_log;
mod cluster;
mod delivery;
mod error;
mod handover;
mod listeners;
mod memory;
mod notify;
mod overload;
mod plane;
mod reload;
mod run;
mod setup;
mod signals;
mod socket_file;
mod supervisor;
mod traces;

pub use error::AppError;
pub use handover::is_successor;
pub use reload::Source;
pub use run::{Addresses, run};
