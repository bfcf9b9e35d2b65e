//! What the bytes of a client's connection show that its parser keeps to itself: oddities of heads and of chunked bodies.

mod heads;

pub use heads::HeadScan;
