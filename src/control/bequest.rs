//! What a process hands to its successor of a bound on what a stable version may hold: a line of text.
//!
//! The successor knows nothing of what the version can take. Without this it would let everything onto a version that was bounded a
//! moment ago because it is too small.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::domain::version::Name;

/// How the line begins.
const WORD: &str = "shed";

/// A bound that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bequest {
    /// The service whose owner is bounded.
    pub service: Name,
    /// The owner; nothing is known of any other version.
    pub version: Name,
    /// How many requests it may hold.
    pub most: u32,
    /// How much longer, in whole milliseconds.
    pub left: Duration,
    /// How many requests per second it was asked for when everything came back.
    pub asked: u32,
}

/// The text is no bequest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not 'shed SERVICE VERSION MOST LEFT_MS ASKED'; start the new program anew instead of letting it take over")]
pub struct NotABequest;

impl fmt::Display for Bequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{WORD} {} {} {} {} {}", self.service, self.version, self.most, self.left.as_millis(), self.asked)
    }
}

impl FromStr for Bequest {
    type Err = NotABequest;

    fn from_str(text: &str) -> Result<Self, NotABequest> {
        let mut parts = text.split(' ');
        let mut next = || parts.next().ok_or(NotABequest);
        let (word, service, version, most, left, asked) = (next()?, next()?, next()?, next()?, next()?, next()?);
        let bequest = Self {
            service: service.parse().map_err(|_| NotABequest)?,
            version: version.parse().map_err(|_| NotABequest)?,
            most: most.parse().map_err(|_| NotABequest)?,
            left: Duration::from_millis(left.parse().map_err(|_| NotABequest)?),
            asked: asked.parse().map_err(|_| NotABequest)?,
        };
        if word == WORD && parts.next().is_none() { Ok(bequest) } else { Err(NotABequest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bequest_is_read_as_it_was_written_and_fits_a_word() {
        let name: Name = "x".repeat(63).parse().unwrap();
        let bequest =
            Bequest { service: name.clone(), version: name, most: u32::MAX, left: Duration::from_millis(600_000), asked: u32::MAX };
        let text = bequest.to_string();
        assert!(text.len() <= 256, "{text}");
        assert_eq!(text.parse(), Ok(bequest));
        for wrong in [
            "",
            "state",
            "shed",
            "shed a v b 3 4",
            "shed -a v 1 2 3",
            "shed a -v 1 2 3",
            "shed a v 1 2",
            "shed a v 1 2 3 4",
            "told a v 1 2 3",
            "shed a v 1 99999999999999999999 3",
        ] {
            assert_eq!(wrong.parse::<Bequest>(), Err(NotABequest), "{wrong:?}");
        }
    }
}
