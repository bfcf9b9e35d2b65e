//! One client connection: let in, told by its first bytes or by TLS what it speaks, served by hyper, and ended.

mod admitted;
mod answering;
mod bootstrap;
mod drive;
mod held;
mod http1;
mod http2;
mod intercepted;
pub mod proxied;
mod secure;
mod serve;
mod tunnelled;

pub use admitted::{Admitted, Door};
pub use serve::serve;
