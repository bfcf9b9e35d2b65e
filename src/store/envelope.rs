//! The JSON around each stored value, with the number of its format, so that a later release can tell what it reads.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The number of the format written by this release.
pub(super) const FORMAT: u64 = 1;

/// A value read back from the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored<T> {
    /// The value as it was put.
    Known(T),
    /// There is something, but not a value this release can read; never to be taken for any value.
    Unknown {
        /// Why it cannot be read.
        reason: String,
    },
}

impl<T> Stored<T> {
    /// Returns the value where it is known.
    #[must_use]
    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown { .. } => None,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    format: u64,
    value: T,
}

#[derive(Deserialize)]
struct Format {
    format: u64,
}

/// Writes a value into its envelope: `{"format":1,"value":…}`.
///
/// # Errors
///
/// Fails when the value has no JSON form, such as a map whose keys are not texts.
pub(super) fn seal<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Envelope { format: FORMAT, value })
}

/// Writes the JSON of a value into its envelope together with the sum of what was written before it:
/// `{"format":1,"previous":"…","value":…}`.
pub(super) fn link(value: &[u8], previous: &str) -> Vec<u8> {
    [format!("{{\"format\":{FORMAT},\"previous\":\"{previous}\",\"value\":").as_bytes(), value, b"}"].concat()
}

/// Reads the sum of what was written before; `None` where none is held.
pub(super) fn previous(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Previous {
        previous: Option<String>,
    }
    serde_json::from_slice::<Previous>(bytes).ok()?.previous
}

/// Reads a value out of its envelope.
pub(super) fn open<T: DeserializeOwned>(bytes: &[u8]) -> Stored<T> {
    let format = match serde_json::from_slice::<Format>(bytes) {
        Ok(found) => found.format,
        Err(error) => return Stored::Unknown { reason: format!("it is not a stored value: {error}") },
    };
    if format != FORMAT {
        return Stored::Unknown { reason: format!("it has format {format}, and this release reads format {FORMAT}") };
    }
    match serde_json::from_slice::<Envelope<T>>(bytes) {
        Ok(envelope) => Stored::Known(envelope.value),
        Err(error) => Stored::Unknown { reason: format!("its content does not parse: {error}") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_read_back() {
        let sealed = seal(&vec![1_u8, 2]).unwrap();
        assert_eq!(sealed, br#"{"format":1,"value":[1,2]}"#);
        assert_eq!(open::<Vec<u8>>(&sealed), Stored::Known(vec![1, 2]));
    }

    #[test]
    fn what_does_not_parse_is_unknown_and_says_why() {
        for (bytes, part) in [
            (&b""[..], "not a stored value"),
            (b"\xff\xfe", "not a stored value"),
            (b"[1]", "does not parse"),
            (br#"{"value":1}"#, "not a stored value"),
            (br#"{"format":2,"value":1}"#, "format 2"),
            (br#"{"format":1}"#, "does not parse"),
            (br#"{"format":1,"value":"x"}"#, "does not parse"),
            (br#"{"format":1,"value":300}"#, "does not parse"),
        ] {
            match open::<u8>(bytes) {
                Stored::Unknown { reason } => assert!(reason.contains(part), "{reason}"),
                Stored::Known(value) => panic!("{bytes:?} became {value}"),
            }
        }
    }
}
