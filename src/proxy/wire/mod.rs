//! The client's side of a connection below its parser: the socket, what it shares with the service, and the first bytes.

mod cork;
mod gathered;
mod io;
mod line;
mod preface;
mod socket;

pub use cork::{Cork, Corked, Spare};
pub use gathered::Gathered;
pub use io::Wire;
pub use line::Line;
pub use preface::Protocol;
pub use socket::Socket;
