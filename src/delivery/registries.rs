//! Whether an image is there: asked of the registries that the configuration lists, before anything is delivered.
//!
//! Strictly an image must be found, or be vouched for by whoever sends it; the original asked Docker Hub and Quay, and took the rest
//! on trust. A process that is started from a template has no registry, and is not asked about.

use std::time::Duration;

use crate::domain::delivery::Artifact;
use crate::domain::delivery::shipyard::Mode;
use crate::sources::endpoint::Limits;
use crate::sources::registry::Registry;

/// The registry of images whose name has no host, and where it answers.
const DOCKER_HUB: (&str, &str) = ("docker.io", "https://registry-1.docker.io");
/// The other registry that the original asked.
const QUAY: &str = "quay.io";
/// The bounds on one question, while whoever sends the artifact waits.
const LIMITS: Limits = Limits { within: Duration::from_secs(2), most: 1 << 16, attempts: 2, pause: Duration::from_millis(200) };

/// The registries that may be asked, by the host in the names of their images.
#[derive(Clone, Debug)]
pub(super) struct Registries(Vec<(String, Registry)>);

impl Registries {
    /// Takes the registries as they are configured: `host`, or `host=URL` where it answers elsewhere.
    ///
    /// # Errors
    ///
    /// Says which cannot be asked.
    pub(super) fn new(written: &[String]) -> Result<Self, String> {
        let one = |text: &String| {
            let (host, url) = match text.split_once('=') {
                Some((host, url)) => (host, url.to_owned()),
                None if text == DOCKER_HUB.0 => (text.as_str(), DOCKER_HUB.1.to_owned()),
                None => (text.as_str(), format!("https://{text}")),
            };
            let registry = Registry::new(&url, LIMITS).map_err(|error| format!("'registries' in 'delivery': {error}"))?;
            Ok((host.to_owned(), registry))
        };
        written.iter().map(one).collect::<Result<_, String>>().map(Self)
    }

    /// Says whether an image is there.
    ///
    /// # Errors
    ///
    /// Says that it is not, or strictly why that cannot be told.
    pub(super) async fn check(&self, artifact: &Artifact, mode: Mode) -> Result<(), String> {
        let (host, name) = match mode {
            Mode::Strict => place(artifact.image()),
            Mode::Keptn => match keptn_place(artifact.image()) {
                Some(place) => place,
                None => return trusted(artifact),
            },
        };
        let Some((_, registry)) = self.0.iter().find(|(known, _)| known == host) else {
            return match mode {
                Mode::Keptn => trusted(artifact),
                Mode::Strict => Err(format!(
                    "whether {artifact} is there cannot be told, because {host} is none of the registries that may be asked; list it in \
                     'delivery.registries', or send the artifact with --unchecked"
                )),
            };
        };
        let reference = artifact.digest().or(artifact.tag()).unwrap_or_default();
        match (registry.has(&name, reference).await, mode) {
            (Ok(true), _) => Ok(()),
            (Ok(false), Mode::Keptn) => Err("Provided image not found: Tag not found".to_owned()),
            (Err(trouble), Mode::Keptn) => Err(format!("Provided image not found: {trouble}")),
            (Ok(false), Mode::Strict) => Err(format!("there is no image {artifact} in {host}; push it first, or mend its name and tag")),
            (Err(trouble), Mode::Strict) => {
                Err(format!("whether {artifact} is there cannot be told: {trouble}; send it with --unchecked where you know that it is"))
            }
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it is an answer like the others")]
fn trusted(artifact: &Artifact) -> Result<(), String> {
    tracing::info!("{artifact}: availability of provided image cannot be checked");
    Ok(())
}

/// Returns the registry of an image and its name there. A first part with a dot, a colon, or `localhost`, is a host; official images
/// of Docker Hub have no other part.
fn place(image: &str) -> (&str, String) {
    let (host, name) = match image.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => (DOCKER_HUB.0, image),
    };
    let official = host == DOCKER_HUB.0 && !name.contains('/');
    (host, if official { format!("library/{name}") } else { name.to_owned() })
}

/// Returns the registry that the original asked: Docker Hub for its own prefix and for every name with one slash, Quay for its prefix.
fn keptn_place(image: &str) -> Option<(&str, String)> {
    let prefixed = |host: &str| Some(image.strip_prefix(host)?.strip_prefix('/')?.to_owned());
    if let Some(name) = prefixed(DOCKER_HUB.0) {
        return Some((DOCKER_HUB.0, name));
    }
    if image.matches('/').count() == 1 {
        return Some((DOCKER_HUB.0, image.to_owned()));
    }
    prefixed(QUAY).map(|name| (QUAY, name))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A Docker Hub that has what the cases assume; it ends with its runtime.
    async fn hub(tags: Value) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(socket.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let path = head.strip_prefix("HEAD /v2/").unwrap().split(' ').next().unwrap();
                let (name, tag) = path.split_once("/manifests/").unwrap();
                let there = tags[name].as_array().is_some_and(|tags| tags.iter().any(|one| one == tag));
                let status = if there { "200 OK" } else { "404 Not Found" };
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        url
    }

    async fn replay() -> (Registries, Vec<Value>) {
        let all: Value = serde_json::from_str(include_str!("../../tests/data/compat/newartifact-image-cases.json")).unwrap();
        let url = hub(all["existing_tags"].clone()).await;
        let cases = all["cases"].as_array().unwrap().clone();
        assert_eq!(cases.len(), 16);
        (Registries::new(&[format!("docker.io={url}")]).unwrap(), cases)
    }

    #[tokio::test]
    async fn every_case_of_the_command_line_ends_as_in_the_original() {
        let (registries, cases) = replay().await;
        for case in cases {
            let expect = &case["expect"];
            let artifact = Artifact::keptn(case["image"].as_str().unwrap(), case["tag"].as_str()).unwrap();
            assert_eq!((artifact.image(), artifact.tag()), (expect["image"].as_str().unwrap(), expect["tag"].as_str()), "{case}");
            let checked = registries.check(&artifact, Mode::Keptn).await;
            assert_eq!(checked.is_ok(), expect["accepted"].as_bool().unwrap(), "{case}: {checked:?}");
            if let Err(why) = checked {
                assert_eq!(why, "Provided image not found: Tag not found", "{case}");
            }
        }
    }

    #[tokio::test]
    async fn strictly_every_case_is_found_or_refused_for_its_tag_or_because_nobody_can_say() {
        let (registries, cases) = replay().await;
        let mut refused = Vec::new();
        for case in cases {
            let (image, tag) = (case["image"].as_str().unwrap(), case["tag"].as_str());
            let why = match Artifact::new(image, tag) {
                // R14 and R15 of the compatibility rules.
                Err(why) => why.to_string(),
                Ok(artifact) => match registries.check(&artifact, Mode::Strict).await {
                    Ok(()) => continue,
                    Err(why) => why,
                },
            };
            let short = ["neither tag nor digest", "cannot be told", "there is no image", "is not an image"];
            let known = short.iter().find(|part| why.contains(**part)).unwrap_or_else(|| panic!("{case}: {why}"));
            refused.push((image.to_owned(), tag.unwrap_or_default().to_owned(), *known));
        }
        let expected = [
            ("keptnexamples/carts", "", "neither tag nor digest"),
            ("10.10.10.10:10/keptnexamples/carts", "0.7.5", "cannot be told"),
            ("10.10.10.10:10/keptnexamples/carts:0.7.5", "", "cannot be told"),
            ("httpd", "", "neither tag nor digest"),
            ("keptnexamples/carts", "0.7.5", "there is no image"),
            ("docker.io/keptnexamples/carts:0.7.5", "", "there is no image"),
            ("httpd:2.4", "", "there is no image"),
            ("registry.example.org/team/carts", "", "neither tag nor digest"),
            ("registry.example.org:5000/carts", "", "neither tag nor digest"),
            ("team/sub/carts:a:b", "", "is not an image"),
        ];
        assert_eq!(refused, expected.map(|(image, tag, why)| (image.to_owned(), tag.to_owned(), why)));
    }

    #[tokio::test]
    async fn a_registry_that_does_not_answer_lets_nothing_in_unless_somebody_vouches_for_it() {
        let registries = Registries::new(&["docker.io=http://127.0.0.1:1".to_owned()]).unwrap();
        let artifact = Artifact::new("keptnexamples/carts", Some("0.7.0")).unwrap();
        let why = registries.check(&artifact, Mode::Strict).await.unwrap_err();
        assert!(why.contains("cannot be asked") && why.contains("--unchecked"), "{why}");
        assert!(registries.check(&artifact, Mode::Keptn).await.unwrap_err().contains("Provided image not found: "));
        assert!(Registries::new(&["docker.io=ftp://x".to_owned()]).unwrap_err().contains("no URL"));
    }

    #[test]
    fn a_host_is_told_from_a_name_of_docker_hub() {
        for (image, host, name) in [
            ("httpd", "docker.io", "library/httpd"),
            ("docker.io/httpd", "docker.io", "library/httpd"),
            ("team/carts", "docker.io", "team/carts"),
            ("docker.io/team/carts", "docker.io", "team/carts"),
            ("localhost/carts", "localhost", "carts"),
            ("registry.example.org:5000/a/b", "registry.example.org:5000", "a/b"),
            ("quay.io/team/carts", "quay.io", "team/carts"),
        ] {
            assert_eq!(place(image), (host, name.to_owned()), "{image}");
        }
        assert_eq!(keptn_place("quay.io/team/carts"), Some(("quay.io", "team/carts".to_owned())));
        assert_eq!(keptn_place("registry.example.org/team/carts"), None);
    }
}
