//! What one carts process is told at its start: the tag, and what follows from it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The environment variables the info page shows, in the order of the page.
pub(super) const SHOWN: [&str; 6] = ["POD_NAME", "CONTAINER_IMAGE", "DEPLOYMENT_NAME", "KEPTN_PROJECT", "KEPTN_STAGE", "KEPTN_SERVICE"];

/// The tag of a carts image: `X.Y.1` is v1, `X.Y.2` is v2 and slow, `X.Y.3` is v3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    major: u32,
    minor: u32,
    build: Build,
}

/// The three builds every release of carts was published as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Build {
    First,
    Slow,
    Mended,
}

/// The reason why a text is not a [`Tag`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a tag of carts: use X.Y.1 (v1), X.Y.2 (v2, answers 1000 ms late) or X.Y.3 (v3), for example 0.8.2")]
pub struct InvalidTag(String);

impl Tag {
    /// Returns the version as the service names itself: `v1`, `v2` or `v3`.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self.build {
            Build::First => "v1",
            Build::Slow => "v2",
            Build::Mended => "v3",
        }
    }

    /// Returns the built-in delay of a POST of an item, in milliseconds.
    #[must_use]
    pub const fn delay_ms(self) -> u32 {
        match self.build {
            Build::Slow => 1000,
            Build::First | Build::Mended => 0,
        }
    }

    /// Returns the release, for example `(0, 8)`.
    #[must_use]
    pub const fn release(self) -> (u32, u32) {
        (self.major, self.minor)
    }
}

impl FromStr for Tag {
    type Err = InvalidTag;
    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        let number = |part: Option<&str>| part.filter(|p| p.bytes().all(|b| b.is_ascii_digit())).and_then(|p| p.parse().ok());
        let mut parts = text.split('.');
        let (major, minor, build) = (number(parts.next()), number(parts.next()), number(parts.next()));
        let build = match build {
            Some(1) => Some(Build::First),
            Some(2) => Some(Build::Slow),
            Some(3) => Some(Build::Mended),
            _ => None,
        };
        match (major, minor, build, parts.next()) {
            (Some(major), Some(minor), Some(build), None) => Ok(Self { major, minor, build }),
            _ => Err(InvalidTag(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let build = match self.build {
            Build::First => 1,
            Build::Slow => 2,
            Build::Mended => 3,
        };
        write!(f, "{}.{}.{build}", self.major, self.minor)
    }
}

/// What one carts process is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which published build it plays.
    pub tag: Tag,
    /// The delay of a POST of an item, in milliseconds, and the value shown on the info page.
    pub delay_ms: u32,
    /// The share of POSTs of items that fail, in percent from 0 to 100, and the value shown on the info page.
    ///
    /// In the original this property only shows on the page; here it also takes effect, as nothing else sets it.
    pub failure_rate: u8,
    /// Whether a POST of an item never answers, while its connection stays open.
    pub hang: bool,
    /// How long requests in flight may go on after the shutdown began.
    pub drain: Duration,
    /// The seed of the draw that decides which POST fails and of the ids of items.
    pub seed: u64,
    /// The values of the variables the info page shows.
    pub environment: Environment,
}

/// The values of the environment variables the info page shows, `None` where one is not set.
#[derive(Clone, Debug, Default)]
pub struct Environment([Option<String>; SHOWN.len()]);

impl Settings {
    /// Returns what the image of this tag does, with no environment variable set.
    #[must_use]
    pub fn new(tag: Tag) -> Self {
        Self {
            tag,
            delay_ms: tag.delay_ms(),
            failure_rate: 0,
            hang: false,
            drain: Duration::from_secs(5),
            seed: 0,
            environment: Environment::default(),
        }
    }

    /// Takes the variables the info page shows from `lookup`.
    #[must_use]
    pub fn with_environment(mut self, lookup: impl Fn(&str) -> Option<String>) -> Self {
        self.environment = Environment(SHOWN.map(lookup));
        self
    }

    /// Returns the values of the variables in the order of [`SHOWN`].
    pub(super) fn environment(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        SHOWN.into_iter().zip(self.environment.0.iter().map(Option::as_deref))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_of_a_tag_decides_version_and_delay() {
        for (text, version, delay) in
            [("0.8.1", "v1", 0), ("0.8.2", "v2", 1000), ("0.8.3", "v3", 0), ("0.11.2", "v2", 1000), ("12.0.1", "v1", 0)]
        {
            let tag: Tag = text.parse().unwrap();
            assert_eq!((tag.version(), tag.delay_ms(), tag.to_string()), (version, delay, text.to_owned()));
        }
    }

    #[test]
    fn any_other_tag_is_refused_with_a_hint() {
        for bad in ["", "0.8", "0.8.4", "0.8.0", "0.8.2.1", "v0.8.2", "0.8.2 ", "+0.8.2", "0..2", "latest", "99999999999.1.1"] {
            let message = bad.parse::<Tag>().unwrap_err().to_string();
            assert!(message.contains(&format!("{bad:?}")) && message.contains("X.Y.2"), "{message}");
        }
    }
}
