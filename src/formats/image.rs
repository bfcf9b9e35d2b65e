//! Reads the image and the tag of a new artifact, by the rules of `send event new-artifact`. It asks no registry.

use std::fmt;

use crate::formats::problem::Problem;

/// The registry that knows images whose name has no host.
const DOCKER_HUB: &str = "docker.io/";

/// The registry of Red Hat, which keptn asked by an interface of its own.
const QUAY: &str = "quay.io/";

/// The longest name of an image, and the longest tag.
const LONGEST: (usize, usize) = (255, 128);

/// Which registry can say whether an image is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Docker Hub.
    DockerHub,
    /// Quay.
    Quay,
    /// None that is known: the image is taken on trust, or refused unless the user says so.
    None,
}

/// What of an image is deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// Whatever the tag points at.
    Tag(String),
    /// Exactly this content, such as `sha256:…`.
    Digest(String),
}

/// An image with its tag or digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageReference {
    /// The name without tag, such as `docker.io/keptnexamples/carts`.
    pub image: String,
    /// The tag or digest.
    pub pin: Pin,
    /// Who can say whether it is there.
    pub check: Check,
}

impl ImageReference {
    /// Returns the tag, or the digest that takes its place in events and templates.
    #[must_use]
    pub fn tag(&self) -> &str {
        match &self.pin {
            Pin::Tag(tag) | Pin::Digest(tag) => tag,
        }
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pin {
            Pin::Tag(tag) => write!(f, "{}:{tag}", self.image),
            Pin::Digest(digest) => write!(f, "{}@{digest}", self.image),
        }
    }
}

/// Reads an image and the tag that was given beside it strictly: a tag or a digest is there, once, and well formed.
///
/// A name without a host is one of Docker Hub; a first part with a dot, a colon or `localhost` is a host.
///
/// # Errors
///
/// Returns what is wrong with the image or the tag; `place` says where they were written, such as `command line`.
pub fn read(place: &str, image: &str, tag: Option<&str>) -> Result<ImageReference, Box<Problem>> {
    let refuse = |path: &str, message: String, hint: &str| Box::new(Problem::error(place, path, message).with_hint(hint));
    let whole = image.strip_suffix('/').unwrap_or(image);
    let (name, digest) = whole.split_once('@').map_or((whole, None), |(name, digest)| (name, Some(digest)));
    let (name, inside) = split_tag(name);
    if name.len() > LONGEST.0 || !is_name(name) {
        let message = format!("{:?} is not the name of an image", short(image));
        return Err(refuse("image", message, "write [host[:port]/]path:tag in small letters, such as docker.io/keptnexamples/carts:0.8.1"));
    }
    let tag = tag.filter(|tag| !tag.is_empty());
    let tag = match (inside, tag) {
        (Some(inside), Some(beside)) if inside != beside => {
            let message = format!("the image has the tag {:?}, and {:?} was given beside it", short(inside), short(beside));
            return Err(refuse("tag", message, "give the tag once"));
        }
        (inside, beside) => beside.or(inside),
    };
    let pin = match (tag, digest) {
        (Some(tag), None) if is_digest(tag) => Pin::Digest(tag.to_owned()),
        (Some(tag), None) if is_tag(tag) => Pin::Tag(tag.to_owned()),
        (None, Some(digest)) if is_digest(digest) => Pin::Digest(digest.to_owned()),
        (Some(_), Some(_)) => {
            return Err(refuse("tag", "there are both a tag and a digest".to_owned(), "leave the tag out: the digest says it all"));
        }
        (Some(tag), None) => {
            let message = format!("{:?} is not a tag", short(tag));
            return Err(refuse(
                "tag",
                message,
                "a tag has at most 128 letters, digits, '_', '.' and '-', and begins with none of the last two",
            ));
        }
        (None, Some(digest)) => {
            let message = format!("{:?} is not a digest", short(digest));
            return Err(refuse("image", message, "write sha256: and 64 hexadecimal digits in small letters"));
        }
        (None, None) => {
            let message = format!("{:?} has no tag", short(image));
            return Err(refuse("tag", message, "give --tag, or write image:tag or image@sha256:…"));
        }
    };
    let check = if name.starts_with(DOCKER_HUB) || host(name).is_none() {
        Check::DockerHub
    } else if name.starts_with(QUAY) {
        Check::Quay
    } else {
        Check::None
    };
    Ok(ImageReference { image: name.to_owned(), pin, check })
}

/// Reads an image and a tag as keptn's command line did in 0.2 to 0.6, which refused nothing by itself.
///
/// The tag is the one beside the image, else the part behind the only colon of the last path element, else `latest`.
#[must_use]
pub fn read_keptn(image: &str, tag: Option<&str>) -> ImageReference {
    let whole = image.strip_suffix('/').unwrap_or(image);
    let (image, tag) = match (tag.filter(|tag| !tag.is_empty()), split_tag(whole)) {
        (Some(tag), _) => (whole, tag),
        (None, (image, Some(tag))) => (image, tag),
        (None, (_, None)) => (whole, "latest"),
    };
    let check = if image.starts_with(DOCKER_HUB) || image.matches('/').count() == 1 {
        Check::DockerHub
    } else if image.starts_with(QUAY) {
        Check::Quay
    } else {
        Check::None
    };
    ImageReference { image: image.to_owned(), pin: Pin::Tag(tag.to_owned()), check }
}

/// Takes the tag off a name: what follows the only colon of the last path element.
fn split_tag(name: &str) -> (&str, Option<&str>) {
    let last = name.rsplit('/').next().unwrap_or(name);
    match last.split_once(':') {
        Some((_, tag)) if !tag.contains(':') => {
            let image = name.strip_suffix(tag).and_then(|rest| rest.strip_suffix(':')).unwrap_or(name);
            (image, Some(tag))
        }
        _ => (name, None),
    }
}

/// Returns the host of a name that has one.
fn host(name: &str) -> Option<&str> {
    let (first, _) = name.split_once('/')?;
    (first.contains(['.', ':']) || first == "localhost").then_some(first)
}

/// Says whether this is a name as registries want it: an optional host, and path parts in small letters.
fn is_name(name: &str) -> bool {
    let host = host(name);
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
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= LONGEST.1 && tag.bytes().next().is_some_and(word) && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_digest(digest: &str) -> bool {
    digest
        .strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn cases() -> (Value, Vec<Value>) {
        let all: Value = serde_json::from_str(include_str!("../../tests/data/compat/newartifact-image-cases.json")).unwrap();
        (all["existing_tags"].clone(), all["cases"].as_array().unwrap().clone())
    }

    /// What Docker Hub would say, from the tags that the cases assume.
    fn is_there(tags: &Value, reference: &ImageReference) -> bool {
        let name = reference.image.strip_prefix(DOCKER_HUB).unwrap_or(&reference.image);
        tags[name].as_array().is_some_and(|tags| tags.iter().any(|tag| tag == reference.tag()))
    }

    #[test]
    fn every_case_of_the_command_line_is_resolved_as_keptn_did() {
        let (tags, cases) = cases();
        assert_eq!(cases.len(), 16);
        for case in cases {
            let read = read_keptn(case["image"].as_str().unwrap(), case["tag"].as_str());
            let expect = &case["expect"];
            assert_eq!((read.image.as_str(), read.tag()), (expect["image"].as_str().unwrap(), expect["tag"].as_str().unwrap()), "{case}");
            let check = match read.check {
                Check::DockerHub => "docker-hub",
                Check::Quay => "quay",
                Check::None => "none",
            };
            assert_eq!(check, expect["availability_check"], "{case}");
            assert_eq!(read.check == Check::None || is_there(&tags, &read), expect["accepted"].as_bool().unwrap(), "{case}");
        }
    }

    #[test]
    fn every_case_strictly_is_the_same_artifact_or_refused_for_its_tag_or_host() {
        let (tags, cases) = cases();
        let mut refused = Vec::new();
        for case in &cases {
            let (image, tag) = (case["image"].as_str().unwrap(), case["tag"].as_str());
            match read("command line", image, tag) {
                Ok(read) => {
                    let (host_is_known, expect) = (read.check != Check::None, &case["expect"]);
                    assert_eq!(read.tag(), expect["tag"], "{case}");
                    if image != "keptnexamples/carts:0.7.0" || tag == Some("") {
                        assert_eq!(read.image, expect["image"].as_str().unwrap(), "{case}");
                    }
                    // What the original accepted is there, is not checked, or was never asked for and can be now.
                    if host_is_known && expect["availability_check"] == "docker-hub" {
                        let twice = image.contains(":0.7.0") && tag == Some("0.7.0");
                        assert_eq!(is_there(&tags, &read), expect["accepted"].as_bool().unwrap() || twice, "{case}");
                    }
                }
                Err(problem) => {
                    assert!(problem.hint.is_some(), "{problem}");
                    refused.push(image);
                }
            }
        }
        // R14: no tag; and one whose last part has two colons.
        let untagged =
            ["keptnexamples/carts", "httpd", "registry.example.org/team/carts", "registry.example.org:5000/carts", "team/sub/carts:a:b"];
        assert_eq!(refused, untagged);
    }

    #[test]
    fn a_tag_given_twice_must_be_the_same() {
        assert_eq!(read("f", "a/b:1", Some("1")).unwrap().to_string(), "a/b:1");
        let problem = read("f", "a/b:1", Some("2")).unwrap_err();
        assert_eq!((problem.path.as_str(), problem.hint.as_deref()), ("tag", Some("give the tag once")));
        assert!(problem.message.contains("\"1\"") && problem.message.contains("\"2\""), "{problem}");
    }

    #[test]
    fn a_digest_takes_the_place_of_a_tag() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        let read_it = read("f", &format!("quay.io/team/carts@{digest}"), None).unwrap();
        assert_eq!((&read_it.pin, read_it.check), (&Pin::Digest(digest.clone()), Check::Quay));
        assert_eq!(read_it.to_string(), format!("quay.io/team/carts@{digest}"));
        assert_eq!(read("f", "team/carts", Some(&digest)).unwrap().pin, Pin::Digest(digest.clone()));
        assert!(read("f", &format!("team/carts:1@{digest}"), None).unwrap_err().hint.unwrap().contains("leave the tag out"));
        assert!(read("f", "team/carts@sha256:12", None).unwrap_err().hint.unwrap().contains("64"));
    }

    #[test]
    fn strictly_a_host_is_told_from_a_name_of_docker_hub() {
        for (image, check) in [
            ("httpd:2.4", Check::DockerHub),
            ("team/carts:1", Check::DockerHub),
            ("docker.io/team/carts:1", Check::DockerHub),
            ("registry.example.org:5000/carts:1", Check::None),
            ("localhost/carts:1", Check::None),
            ("quay.io/team/carts:1", Check::Quay),
        ] {
            assert_eq!(read("f", image, None).unwrap().check, check, "{image}");
        }
    }

    #[test]
    fn what_is_no_image_is_refused() {
        for image in ["", "/", "Carts:1", "a//b:1", "a/b:", "a:-x", "a b:1", "a/../b:1", "é:1", "x.y:99999/a:1", ":1", "a/b:1/"] {
            let read = read("f", image, None);
            assert_eq!(read.is_ok(), image == "a/b:1/", "{image:?}: {read:?}");
        }
        assert!(read("f", &format!("{}:1", "a".repeat(256)), None).is_err());
        assert!(read("f", &format!("a:{}", "1".repeat(129)), None).is_err());
    }
}
