//! The signature of keptn 0.2 to 0.4: `X-Keptn-Signature: sha1=<HMAC-SHA1 of the body with the API token, in hexadecimal>`.
//!
//! HMAC-SHA1 is accepted because those tools send nothing else; what is new uses a bearer token over TLS.

use aws_lc_rs::hmac;

/// The header, in small letters.
pub const SIGNATURE: &str = "x-keptn-signature";

/// How the value begins.
const METHOD: &str = "sha1=";

/// The bytes of a signature.
const LENGTH: usize = 20;

/// Returns the value of the header for a body.
#[must_use]
pub fn sign(token: &[u8], body: &[u8]) -> String {
    let tag = hmac::sign(&key(token), body);
    let hexadecimal: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{METHOD}{hexadecimal}")
}

/// Says whether a header's value signs a body with the token; it compares in constant time. Without a token nothing is signed.
#[must_use]
pub fn verify(token: &[u8], body: &[u8], value: &str) -> bool {
    let Some(hexadecimal) = value.trim().strip_prefix(METHOD).filter(|text| text.len() == 2 * LENGTH && text.is_ascii()) else {
        return false;
    };
    let byte = |at: usize| {
        let digits = hexadecimal.get(2 * at..2 * at + 2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        u8::from_str_radix(digits, 16).ok()
    };
    let tag: Option<Vec<u8>> = (0..LENGTH).map(byte).collect();
    tag.is_some_and(|tag| !token.is_empty() && hmac::verify(&key(token), body, &tag).is_ok())
}

fn key(token: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2202, test case 2.
    const PUBLISHED: &str = "sha1=effcdf6ae5eb2fa2d27416d5f184df9c259a7c79";

    #[test]
    fn the_signature_is_hmac_sha1_in_hexadecimal() {
        assert_eq!(sign(b"Jefe", b"what do ya want for nothing?"), PUBLISHED);
        assert!(verify(b"Jefe", b"what do ya want for nothing?", PUBLISHED));
        assert!(verify(b"Jefe", b"what do ya want for nothing?", &PUBLISHED.replace("effcdf", "EFFCDF")));
    }

    #[test]
    fn anything_else_is_not_signed() {
        let body = b"what do ya want for nothing?";
        assert!(!verify(b"Jefe", b"what do ya want for nothing!", PUBLISHED));
        assert!(!verify(b"jefe", body, PUBLISHED));
        assert!(!verify(b"", body, &sign(b"", body)));
        let hexadecimal = PUBLISHED.trim_start_matches(METHOD);
        for value in [
            "",
            "sha1=",
            hexadecimal,
            &format!("sha256={hexadecimal}"),
            &PUBLISHED[..43],
            &format!("{PUBLISHED}00"),
            &PUBLISHED.replace('e', "+"),
        ] {
            assert!(!verify(b"Jefe", body, value), "{value}");
        }
        let last = PUBLISHED.replace("7c79", "7c78");
        assert!(!verify(b"Jefe", body, &last));
    }
}
