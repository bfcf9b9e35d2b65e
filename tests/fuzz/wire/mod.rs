//! What is claimed of whatever reads bytes that come over the network.

mod h2_front;
mod h2_to_h1;
mod head;
mod memory;
mod passed;
mod proxy_protocol;
mod response;

#[path = "../../support/message.rs"]
#[allow(dead_code, reason = "shared with test targets that use other parts")]
mod message;

pub use h2_front::h2_front;
pub use h2_to_h1::h2_to_h1;
pub use head::head;
pub use proxy_protocol::proxy_protocol;
pub use response::response;

/// Sizes of the pieces that bytes arrive in.
fn pieces(bytes: &[u8]) -> [usize; 3] {
    // A head that comes byte by byte is parsed anew with each: a long one takes its square.
    [usize::MAX, 7 + bytes.len() / 40, 1 + bytes.len() / 200]
}
