//! What the operator says of all sidecars; what a pod says of its own goes before, but never for the image.

use std::fmt;
use std::str::FromStr;

/// The settings of all sidecars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The image of the proxy.
    pub image: Image,
    /// The image of the init container of [`Mode::Intercept`], which needs `iptables-restore`; absent: the proxy's.
    pub init_image: Option<Image>,
    /// The oldest release of Kubernetes that must take the pods.
    pub release: Release,
    /// How traffic comes to the proxy.
    pub mode: Mode,
    /// The user and group that the proxy runs as; no application may share it in [`Mode::Intercept`].
    pub uid: u32,
    /// The families of addresses that pods have.
    pub families: Families,
    /// The ConfigMap with the configuration, for pods that name none.
    pub config_map: Option<String>,
    /// Only pods with the label `portcullis/inject: "true"` get a sidecar.
    pub opt_in: bool,
}

impl Settings {
    /// The user that the proxy runs as unless told otherwise.
    pub const UID: u32 = 2102;

    /// The usual settings with an image.
    #[must_use]
    pub fn with_image(image: Image) -> Self {
        Self {
            image,
            init_image: None,
            release: Release::USUAL,
            mode: Mode::Explicit,
            uid: Self::UID,
            families: Families::Ipv4,
            config_map: None,
            opt_in: false,
        }
    }
}

/// How traffic comes to the proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The application, or the Service's `targetPort`, names the proxy's port. Needs no privileges.
    #[default]
    Explicit,
    /// An init container redirects what the application sends to listed ports. Needs NET_ADMIN and NET_RAW.
    Intercept,
}

/// The families of addresses of pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Families {
    /// IPv4 alone.
    #[default]
    Ipv4,
    /// IPv6 alone.
    Ipv6,
    /// Both.
    Dual,
}

/// Why a text is none of the words that may stand in its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not known here; write {wanted}")]
pub struct InvalidWord {
    found: String,
    wanted: &'static str,
}

impl FromStr for Mode {
    type Err = InvalidWord;
    fn from_str(text: &str) -> Result<Self, InvalidWord> {
        match text {
            "explicit" => Ok(Self::Explicit),
            "intercept" => Ok(Self::Intercept),
            _ => Err(InvalidWord { found: text.chars().take(80).collect(), wanted: "explicit or intercept" }),
        }
    }
}

impl FromStr for Families {
    type Err = InvalidWord;
    fn from_str(text: &str) -> Result<Self, InvalidWord> {
        match text {
            "ipv4" => Ok(Self::Ipv4),
            "ipv6" => Ok(Self::Ipv6),
            "dual" => Ok(Self::Dual),
            _ => Err(InvalidWord { found: text.chars().take(80).collect(), wanted: "ipv4, ipv6 or dual" }),
        }
    }
}

impl Families {
    /// Returns how it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Dual => "dual",
        }
    }

    /// Says whether pods have IPv4 addresses.
    #[must_use]
    pub const fn v4(self) -> bool {
        matches!(self, Self::Ipv4 | Self::Dual)
    }

    /// Says whether pods have IPv6 addresses.
    #[must_use]
    pub const fn v6(self) -> bool {
        matches!(self, Self::Ipv6 | Self::Dual)
    }
}

/// A release of Kubernetes, 1.N.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(u16);

/// Why a text is no release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no release of Kubernetes that is known here; write one from 1.25 on, such as 1.33")]
pub struct InvalidRelease(String);

impl Release {
    /// The release that is meant where none is named.
    pub const USUAL: Self = Self(33);
    /// Init containers with `restartPolicy: Always` are on by default (KEP-753).
    const NATIVE_SIDECARS: u16 = 29;
    /// `lifecycle.preStop.sleep` is on by default (KEP-3960).
    const SLEEP: u16 = 30;

    /// Says whether init containers may be sidecars.
    #[must_use]
    pub const fn has_native_sidecars(self) -> bool {
        self.0 >= Self::NATIVE_SIDECARS
    }

    /// Says whether a container may sleep before it is stopped, without a program for it.
    #[must_use]
    pub const fn has_sleep(self) -> bool {
        self.0 >= Self::SLEEP
    }
}

impl FromStr for Release {
    type Err = InvalidRelease;
    fn from_str(text: &str) -> Result<Self, InvalidRelease> {
        let invalid = || InvalidRelease(text.chars().take(40).collect());
        let rest = text.strip_prefix('v').unwrap_or(text).strip_prefix("1.").ok_or_else(invalid)?;
        let minor = rest.split('.').next().and_then(|minor| minor.parse().ok()).filter(|minor| (25..100).contains(minor));
        minor.map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

/// The name of a container image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image(String);

/// Why a text names no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no image; write REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:DIGEST, such as registry.example.com/portcullis:0.1.0")]
pub struct InvalidImage(String);

impl Image {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Image {
    type Err = InvalidImage;
    fn from_str(text: &str) -> Result<Self, InvalidImage> {
        let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/' | b':' | b'@');
        let (first, last) = (text.bytes().next(), text.bytes().last());
        let ends = [first, last].into_iter().flatten().filter(u8::is_ascii_alphanumeric).count();
        if ends == 2 && text.len() <= 500 && text.bytes().all(known) && !text.contains("//") {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidImage(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_their_number() {
        let release = |text: &str| text.parse::<Release>();
        assert_eq!(release("1.33").unwrap(), Release::USUAL);
        assert_eq!(release("v1.29.4-gke.100").unwrap().to_string(), "1.29");
        assert!(release("1.29").unwrap() < release("1.30").unwrap());
        assert!(release("1.29").unwrap().has_native_sidecars() && !release("1.28").unwrap().has_native_sidecars());
        assert!(release("1.30").unwrap().has_sleep() && !release("1.29").unwrap().has_sleep());
        for text in ["", "1", "1.", "1.x", "2.0", "1.24", "1.100", "1.-3", "1.33x", "33"] {
            assert!(release(text).is_err(), "{text}");
        }
    }

    #[test]
    fn images_have_a_name_and_nothing_else() {
        for text in ["portcullis:0.1.0", "r.example.com:5000/a/b@sha256:0123abcd", "a"] {
            assert_eq!(text.parse::<Image>().unwrap().to_string(), text);
        }
        for text in ["", " a", "a b", "a:", "/a", "a//b", "a\n", "ä", "https://a"] {
            assert!(text.parse::<Image>().is_err(), "{text}");
        }
    }
}
