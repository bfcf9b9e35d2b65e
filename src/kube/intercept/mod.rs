//! The rules by which what an application sends to some ports is redirected to the proxy in its pod: pure, texts for
//! `iptables-restore`. Nothing but numbers and networks gets into them.

mod networks;
mod ports;
mod rules;
mod standing;

pub use networks::Networks;
pub use ports::Ports;
pub use rules::{Family, Redirect, removal};
pub use standing::Standing;
