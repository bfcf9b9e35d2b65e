//! What stands for a text that is too long or too free to be a name.

use aws_lc_rs::digest::{SHA256, digest};

/// Returns the SHA-256 of a text in hexadecimal digits.
pub(super) fn sha256(text: &[u8]) -> String {
    digest(&SHA256, text).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
