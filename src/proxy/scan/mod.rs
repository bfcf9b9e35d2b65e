//! What the bytes of a client's connection show that its parser keeps to itself: oddities of HTTP/1 heads, floods of HTTP/2
//! frames, fragments in paths.

mod floods;
mod frames;
mod heads;
mod paths;

pub use floods::Flood;
pub use frames::{FrameScan, Offence};
pub use heads::HeadScan;
