//! What the bytes of a client's connection show that its parser keeps to itself: oddities of HTTP/1 heads, floods of HTTP/2
//! frames, fragments in paths; and of a tunnel, where frames end.

mod floods;
mod frames;
mod heads;
mod messages;
mod paths;

pub use floods::Flood;
pub use frames::{FrameScan, Offence};
pub use heads::HeadScan;
pub use messages::FrameWalk;
