//! Keys that sign what clients bring back: tokens that force a version, and cookies that keep a user on one.
//!
//! HMAC-SHA-256 of `aws-lc-rs`, which TLS brings along; a tag is cut to 128 bits (RFC 2104 section 5) and compared in constant
//! time. What is signed begins with what it is for, so that no tag serves two purposes.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::version::Name;

/// The least bytes of a key: as many as the hash gives (RFC 2104 section 3).
pub const LEAST_KEY: usize = 32;

/// How many bytes of a tag are kept.
const TAG: usize = 16;

/// A key and its name.
#[derive(Clone)]
struct Key {
    id: Name,
    key: hmac::Key,
}

/// Keys of which the first signs and all verify, so that they can be replaced one after the other. Copies share them.
#[derive(Clone)]
pub struct Keys(Arc<[Key]>);

/// Why there are no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    /// There is none.
    #[error("there is no key")]
    Missing,
    /// One is too short.
    #[error("the key has less than {LEAST_KEY} bytes")]
    Short,
}

impl Keys {
    /// Makes keys of their names and secrets.
    ///
    /// # Errors
    ///
    /// Fails without a key, and when one has less than [`LEAST_KEY`] bytes.
    pub fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = (Name, S)>) -> Result<Self, InvalidKeys> {
        let key = |(id, secret): (Name, S)| {
            let secret = secret.as_ref();
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            if secret.len() < LEAST_KEY { Err(InvalidKeys::Short) } else { Ok(Key { id, key }) }
        };
        let keys: Arc<[Key]> = secrets.into_iter().map(key).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(InvalidKeys::Missing) } else { Ok(Self(keys)) }
    }

    /// Returns the name of the key that signs.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.first().map_or("", |key| key.id.as_str())
    }

    /// Signs a text for a purpose and a service, with the first key.
    #[must_use]
    pub fn sign(&self, purpose: &str, service: &Name, text: &str) -> String {
        let tag = self.0.first().map(|key| tag(key, purpose, service, text.as_bytes()));
        URL_SAFE_NO_PAD.encode(tag.unwrap_or_default())
    }

    /// Says whether a text was signed for a purpose and a service with the key of this name.
    #[must_use]
    pub fn verify(&self, id: &str, purpose: &str, service: &Name, text: &str, signature: &str) -> bool {
        let Some(key) = self.0.iter().find(|key| key.id.as_str() == id) else { return false };
        let given = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        verify_slices_are_equal(&given, &tag(key, purpose, service, text.as_bytes())).is_ok()
    }

    /// Hashes a value for a purpose and a service with the first key.
    #[must_use]
    pub fn hash(&self, purpose: &str, service: &Name, value: &[u8]) -> u64 {
        let tag = self.0.first().map(|key| tag(key, purpose, service, value)).unwrap_or_default();
        tag.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

/// Makes a tag; neither purposes nor names have line ends, so the parts cannot be shifted.
fn tag(key: &Key, purpose: &str, service: &Name, text: &[u8]) -> [u8; TAG] {
    let mut context = hmac::Context::with_key(&key.key);
    for part in [b"portcullis ", purpose.as_bytes(), b"\n", service.as_str().as_bytes(), b"\n", text] {
        context.update(part);
    }
    let whole = context.sign();
    let mut tag = [0; TAG];
    tag.iter_mut().zip(whole.as_ref()).for_each(|(to, from)| *to = *from);
    tag
}

impl PartialEq for Keys {
    /// Compares names and, by a tag of their own, secrets.
    fn eq(&self, other: &Self) -> bool {
        let proof = |keys: &Self| -> Vec<(Name, [u8; TAG])> {
            keys.0.iter().map(|key| (key.id.clone(), tag(key, "comparison", &key.id, b""))).collect()
        };
        proof(self) == proof(other)
    }
}

impl fmt::Debug for Keys {
    /// Shows the names alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| key.id.as_str())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn keys(secrets: &[(&str, u8)]) -> Keys {
        Keys::new(secrets.iter().map(|(id, byte)| (name(id), [*byte; LEAST_KEY]))).unwrap()
    }

    #[test]
    fn a_signature_is_for_one_text_purpose_service_and_key() {
        let (one, carts) = (keys(&[("a", 1), ("b", 2)]), name("carts"));
        let signature = one.sign("x", &carts, "text");
        assert_eq!(signature.len(), 22);
        assert!(one.verify("a", "x", &carts, "text", &signature));
        assert!(keys(&[("b", 2), ("a", 1)]).verify("a", "x", &carts, "text", &signature), "keys may be replaced one by one");
        for (id, purpose, service, text) in [
            ("b", "x", "carts", "text"),
            ("c", "x", "carts", "text"),
            ("a", "y", "carts", "text"),
            ("a", "x", "cart", "text"),
            ("a", "x", "carts", "tex"),
        ] {
            assert!(!one.verify(id, purpose, &name(service), text, &signature), "{id} {purpose} {service} {text}");
        }
        for wrong in ["", "!", &signature[..21], &format!("{signature}A"), &one.sign("x", &carts, "texu")] {
            assert!(!one.verify("a", "x", &carts, "text", wrong), "{wrong}");
        }
        assert!(!keys(&[("a", 3)]).verify("a", "x", &carts, "text", &signature));
    }

    #[test]
    fn keys_are_compared_and_shown_without_their_secrets() {
        assert_eq!(keys(&[("a", 1)]), keys(&[("a", 1)]));
        assert_ne!(keys(&[("a", 1)]), keys(&[("a", 2)]));
        assert_ne!(keys(&[("a", 1)]), keys(&[("b", 1)]));
        assert_eq!(format!("{:?}", keys(&[("a", 65), ("b", 66)])), r#"["a", "b"]"#);
        assert_eq!(Keys::new([(name("a"), [0; LEAST_KEY - 1])]).unwrap_err(), InvalidKeys::Short);
        assert_eq!(Keys::new(Vec::<(Name, Vec<u8>)>::new()).unwrap_err(), InvalidKeys::Missing);
    }
}
