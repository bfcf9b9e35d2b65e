//! What is delivered: an image with the tag or digest that pins it, and the version name it goes by.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::version::Name;

/// The most characters of an image's name and of a tag.
const MAX_IMAGE: usize = 255;
const MAX_TAG: usize = 128;
/// The most characters of a tag that a derived version name keeps before its mark.
const KEPT: usize = 48;

/// An image, pinned by a tag or a digest.
///
/// Two artifacts are the same when their references are; the version name is derived from the tag or digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Artifact {
    image: String,
    tag: Option<String>,
    digest: Option<String>,
    version: Name,
}

/// An artifact as it is stored.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    image: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

/// The reason why an image and a tag are not an [`Artifact`]; the text says how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidArtifact {
    /// The image's name is not one.
    #[error("{0:?} is not an image: write [host[:port]/]path in small letters, such as docker.io/keptnexamples/carts")]
    Image(String),
    /// The tag is not one.
    #[error("{0:?} is not a tag: use 1 to 128 letters, digits, '.', '-' or '_', beginning with a letter, digit or '_'")]
    Tag(String),
    /// The digest is not one.
    #[error("{0:?} is not a digest: write sha256: and 64 hexadecimal digits")]
    Digest(String),
    /// Neither tag nor digest is given.
    #[error("the image {0:?} has neither tag nor digest: add --tag, or write {0}:TAG; \"latest\" is not assumed")]
    Unpinned(String),
    /// The image has a tag and another one is given beside it.
    #[error("the image says tag {inside:?} and --tag says {beside:?}: leave one of them out")]
    TwoTags {
        /// The tag inside the image's name.
        inside: String,
        /// The tag beside it.
        beside: String,
    },
}

impl Artifact {
    /// Makes an artifact from an image, which may carry a tag or a digest, and perhaps a tag beside it. Slashes at the
    /// end of the image are dropped, as the original did.
    ///
    /// # Errors
    ///
    /// Fails when a part is malformed, when nothing pins the image, and when two different tags are given.
    pub fn new(image: &str, tag: Option<&str>) -> Result<Self, InvalidArtifact> {
        let (name, inside, digest) = split(image);
        if !is_name(name) {
            return Err(InvalidArtifact::Image(shown(name)));
        }
        // A digest may also stand where the tag does.
        let (tag, digest) = match (tag.filter(|tag| !tag.is_empty()), digest) {
            (Some(tag), None) if is_digest(tag) => (None, Some(tag)),
            other => other,
        };
        let tag = match (inside, tag) {
            (Some(inside), Some(beside)) if inside != beside => {
                return Err(InvalidArtifact::TwoTags { inside: shown(inside), beside: shown(beside) });
            }
            (inside, beside) => beside.or(inside),
        };
        if tag.is_none() && digest.is_none() {
            return Err(InvalidArtifact::Unpinned(shown(name)));
        }
        Self::checked(name, tag, digest)
    }

    /// Makes an artifact by the rules of keptn 0.2 to 0.6: the tag beside the image wins and one inside it stays where it
    /// is; without either the tag is `latest`.
    ///
    /// # Errors
    ///
    /// Fails when a part is malformed.
    pub fn keptn(image: &str, tag: Option<&str>) -> Result<Self, InvalidArtifact> {
        let (name, inside, digest) = split(image);
        match tag.filter(|tag| !tag.is_empty()) {
            Some(tag) => Self::checked(image.trim_end_matches('/'), Some(tag), None),
            None if digest.is_some() => Self::checked(name, inside, digest),
            None => Self::checked(name, Some(inside.unwrap_or("latest")), None),
        }
    }

    fn checked(image: &str, tag: Option<&str>, digest: Option<&str>) -> Result<Self, InvalidArtifact> {
        let graphic =
            image.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/' | b':' | b'@' | b'[' | b']'));
        let parts = image.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        let starts = image.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'[');
        if !(graphic && parts && starts && !image.ends_with(':') && image.len() <= MAX_IMAGE) {
            return Err(InvalidArtifact::Image(shown(image)));
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(InvalidArtifact::Tag(shown(tag)));
        }
        if let Some(digest) = digest.filter(|digest| !is_digest(digest)) {
            return Err(InvalidArtifact::Digest(shown(digest)));
        }
        let version = version(tag, digest).ok_or_else(|| InvalidArtifact::Unpinned(shown(image)))?;
        Ok(Self { image: image.to_owned(), tag: tag.map(str::to_owned), digest: digest.map(str::to_owned), version })
    }

    /// Returns the image without tag and digest.
    #[must_use]
    pub fn image(&self) -> &str {
        &self.image
    }

    /// Returns the tag, where there is one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Returns the digest, where there is one.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Returns the name of the version: the tag where that is a name, else one derived from tag or digest.
    #[must_use]
    pub const fn version(&self) -> &Name {
        &self.version
    }
}

impl fmt::Display for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.image)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl TryFrom<Written> for Artifact {
    type Error = InvalidArtifact;
    fn try_from(written: Written) -> Result<Self, InvalidArtifact> {
        Self::checked(&written.image, written.tag.as_deref(), written.digest.as_deref())
    }
}

impl From<Artifact> for Written {
    fn from(artifact: Artifact) -> Self {
        Self { image: artifact.image, tag: artifact.tag, digest: artifact.digest }
    }
}

/// Takes the tag and the digest off an image's name. A tag is what follows the only colon of the last part of the path.
fn split(image: &str) -> (&str, Option<&str>, Option<&str>) {
    let image = image.trim_end_matches('/');
    let (image, digest) = image.split_once('@').map_or((image, None), |(image, digest)| (image, Some(digest)));
    let last = image.rsplit('/').next().unwrap_or(image);
    match last.split_once(':') {
        Some((_, tag)) if !tag.contains(':') && !tag.is_empty() => {
            let name = image.get(..image.len() - tag.len() - 1).unwrap_or(image);
            (name, Some(tag), digest)
        }
        _ => (image, None, digest),
    }
}

/// Says whether this is a name as registries want it: an optional host, and path parts in small letters.
fn is_name(name: &str) -> bool {
    let host = name.split_once('/').map(|(first, _)| first).filter(|first| first.contains(['.', ':']) || *first == "localhost");
    let path = host.and_then(|host| name.strip_prefix(host)?.strip_prefix('/')).unwrap_or(name);
    let sound = |host: &str| {
        let (host, port) = host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port)));
        let letters = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
        letters && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
    };
    host.is_none_or(sound) && path.split('/').all(is_part)
}

fn is_part(part: &str) -> bool {
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    bytes.first().is_some_and(plain) && bytes.last().is_some_and(plain) && bytes.iter().all(|b| plain(b) || b"._-".contains(b))
}

fn is_tag(tag: &str) -> bool {
    let first = tag.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    first && tag.len() <= MAX_TAG && tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

fn is_digest(digest: &str) -> bool {
    digest.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A tag that is a name is the version. Others are cut and marked with a hash of the whole, so that no two tags share one.
fn version(tag: Option<&str>, digest: Option<&str>) -> Option<Name> {
    let short = digest.and_then(|digest| digest.get(7..19));
    match (tag, short) {
        (Some(tag), None) => tag.parse().ok().or_else(|| marked(tag, &format!("{:08x}", fnv(tag)))),
        (Some(tag), Some(short)) => marked(tag, short),
        (None, Some(short)) => format!("sha256-{short}").parse().ok(),
        (None, None) => None,
    }
}

fn marked(tag: &str, mark: &str) -> Option<Name> {
    let kept: String = tag.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).chars().take(KEPT).collect();
    let text = if kept.is_empty() { format!("tag-{mark}") } else { format!("{kept}-{mark}") };
    text.parse().ok()
}

/// FNV-1a with 32 bits; offset basis and prime as published by its authors.
fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn shown(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(image: &str, tag: Option<&str>) -> String {
        Artifact::new(image, tag).unwrap().version().to_string()
    }

    #[test]
    fn the_version_is_the_tag_or_derived_from_tag_or_digest() {
        assert_eq!(name("docker.io/keptnexamples/carts", Some("0.8.2")), "0.8.2");
        assert_eq!(name("docker.io/keptnexamples/carts:0.8.2", None), "0.8.2");
        assert_eq!(name("10.10.10.10:10/keptnexamples/carts:0.7.5", None), "0.7.5");
        let digest = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(Artifact::new("carts", Some(&digest)).unwrap(), Artifact::new(&format!("carts@{digest}"), Some("")).unwrap());
        assert_eq!(name(&format!("carts@{digest}"), None), "sha256-abababababab");
        assert_eq!(name(&format!("carts:1@{digest}"), None), "1-abababababab");
        let long = ["x".repeat(100), format!("{}y", "x".repeat(99))].map(|tag| name("carts", Some(&tag)));
        assert_ne!(long[0], long[1]);
        assert!(name("carts", Some("_")).starts_with("tag-"));
    }

    #[test]
    fn what_does_not_pin_one_image_is_refused_and_the_original_assumes_latest() {
        for (image, tag, part) in [
            ("httpd", None, "neither tag nor digest"),
            ("10.10.10.10:10/carts", None, "neither tag nor digest"),
            ("carts:1", Some("2"), "leave one of them out"),
            ("", Some("1"), "not an image"),
            ("a b", Some("1"), "not an image"),
            ("a/../b", Some("1"), "not an image"),
            ("Carts", Some("1"), "not an image"),
            ("a//b:1", None, "not an image"),
            ("x.y:99999/a:1", None, "not an image"),
            ("team/sub/carts:a:b", None, "not an image"),
            ("a:-x", None, "not a tag"),
            ("carts", Some("a b"), "not a tag"),
            ("carts@sha256:12", None, "not a digest"),
        ] {
            let error = Artifact::new(image, tag).unwrap_err().to_string();
            assert!(error.contains(part), "{image:?} {tag:?}: {error}");
        }
        assert_eq!(Artifact::new("carts:1/", Some("1")).unwrap().to_string(), "carts:1");
        assert_eq!(Artifact::keptn("httpd", None).unwrap().to_string(), "httpd:latest");
        assert_eq!(Artifact::keptn("carts:1", Some("2")).unwrap().to_string(), "carts:1:2");
    }

    #[test]
    fn a_stored_artifact_is_read_back_and_checked() {
        let artifact = Artifact::new("docker.io/keptnexamples/carts", Some("0.8.2")).unwrap();
        let json = serde_json::to_string(&artifact).unwrap();
        assert_eq!(json, r#"{"image":"docker.io/keptnexamples/carts","tag":"0.8.2"}"#);
        assert_eq!(serde_json::from_str::<Artifact>(&json).unwrap(), artifact);
        assert!(serde_json::from_str::<Artifact>(r#"{"image":"carts"}"#).is_err());
        assert!(serde_json::from_str::<Artifact>(r#"{"image":"carts","tag":"1","x":1}"#).is_err());
    }
}
