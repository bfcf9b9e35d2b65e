//! Asks a registry of images whether it has one: the manifest's head, by the distribution interface of the OCI (version 1.1, section
//! "Checking if content exists in the registry"), with a token where the registry sends us to fetch one.

use http::{HeaderValue, Method};
use serde_json::Value;

use crate::sources::endpoint::{Endpoint, Limits, NoEndpoint, Question, encoded};
use crate::sources::trouble::Trouble;

/// The kinds of manifests an image may have; a registry says of others that they are not there.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// A registry.
#[derive(Clone, Debug)]
pub struct Registry {
    endpoint: Endpoint,
    limits: Limits,
    /// Whether it is spoken to in clear text, so that a token may come from such a place too.
    clear: bool,
}

impl Registry {
    /// Takes the registry at this URL, such as `https://registry-1.docker.io`.
    ///
    /// # Errors
    ///
    /// Fails for what is no URL of a source.
    pub fn new(url: &str, limits: Limits) -> Result<Self, NoEndpoint> {
        let endpoint = Endpoint::new(url, None)?.with_limits(limits);
        Ok(Self { endpoint, limits, clear: url.starts_with("http://") })
    }

    /// Says whether it has an image of this name, such as `library/httpd`, under a tag or digest.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be asked, or lets nobody in.
    pub async fn has(&self, name: &str, reference: &str) -> Result<bool, Trouble> {
        let segments: Vec<String> = name.split('/').map(encoded).collect();
        let path = format!("/v2/{}/manifests/{}", segments.join("/"), encoded(reference));
        let question = Question { method: Method::HEAD, path, accept: Some(MANIFESTS), ..Question::default() };
        let mut reply = self.endpoint.ask(&question).await?;
        if reply.status == 401
            && let Some(challenge) = reply.challenge.as_deref().and_then(Challenge::read)
        {
            let bearer = self.token(&challenge).await?;
            reply = self.endpoint.ask(&Question { bearer: Some(bearer), ..question.clone() }).await?;
        }
        match reply.status.as_u16() {
            200 => Ok(true),
            404 => Ok(false),
            status => Err(Trouble::Refused { place: self.endpoint.place(&question.path), status, said: None }),
        }
    }

    /// Fetches the token that anybody may have.
    async fn token(&self, challenge: &Challenge) -> Result<HeaderValue, Trouble> {
        let place = || format!("the realm {:?} of {}", challenge.realm, self.endpoint.place(""));
        let odd = |why: String| Trouble::Odd { place: place(), why };
        if !challenge.realm.starts_with("https://") && !self.clear {
            return Err(odd("it is in clear text".to_owned()));
        }
        let realm = Endpoint::new(&challenge.realm, None).map_err(|error| odd(error.to_string()))?.with_limits(self.limits);
        let mut query = format!("scope={}", encoded(&challenge.scope));
        if let Some(service) = &challenge.service {
            query.push_str(&format!("&service={}", encoded(service)));
        }
        let reply = realm.ask(&Question { query, ..Question::default() }).await?;
        if !reply.status.is_success() {
            return Err(Trouble::Refused { place: place(), status: reply.status.as_u16(), said: None });
        }
        let answer: Value = serde_json::from_slice(&reply.body).map_err(|error| odd(format!("it is no JSON ({error})")))?;
        let token = ["token", "access_token"].iter().find_map(|key| answer.get(*key)?.as_str());
        let token = token.ok_or_else(|| odd("it has no token".to_owned()))?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| odd("the token is no plain text".to_owned()))?;
        bearer.set_sensitive(true);
        Ok(bearer)
    }
}

/// Where a token is to be had, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Challenge {
    realm: String,
    service: Option<String>,
    scope: String,
}

impl Challenge {
    /// Reads `Bearer realm="…",service="…",scope="…"` (RFC 6750 section 3); nothing where it is another scheme.
    fn read(text: &str) -> Option<Self> {
        let (scheme, mut rest) = text.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service, mut scope) = (None, None, String::new());
        while let Some((name, after)) = rest.split_once("=\"") {
            let (value, more) = after.split_once('"')?;
            match name.trim_start_matches([',', ' ']).to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value.to_owned()),
                "service" => service = Some(value.to_owned()),
                "scope" => value.clone_into(&mut scope),
                _ => {}
            }
            rest = more;
        }
        Some(Self { realm: realm?, service, scope })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::fake::{Act, Fake, SHORT};

    fn answer(head: &str) -> Act {
        Act::Bytes(format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").into_bytes())
    }

    #[tokio::test]
    async fn what_a_registry_has_it_says_and_what_it_does_not_say_is_trouble() {
        for (head, has) in [("200 OK", Some(true)), ("404 Not Found", Some(false)), ("401 X", None), ("500 X", None), ("302 X", None)] {
            let fake = Fake::start([answer(head)]).await;
            let asked = Registry::new(&fake.url(), SHORT).unwrap().has("keptnexamples/carts", "0.7.0").await;
            assert_eq!(asked.as_ref().ok(), has.as_ref(), "{head}: {asked:?}");
            let heard = &fake.heard()[0];
            assert_eq!(heard.line, "HEAD /v2/keptnexamples/carts/manifests/0.7.0");
            assert!(heard.head.contains("vnd.oci.image.index"), "{}", heard.head);
        }
        let registry = Registry::new("http://127.0.0.1:1", SHORT).unwrap();
        assert!(matches!(registry.has("a", "1").await, Err(Trouble::Unreached { .. })));
    }

    #[tokio::test]
    async fn a_token_is_fetched_where_the_registry_says_and_shown_to_it() {
        let realm = Fake::saying(r#"{"token": "let-me-in"}"#).await;
        let challenge =
            format!("401 X\r\nwww-authenticate: Bearer realm=\"{}/token\",service=\"r\",scope=\"repository:a/b:pull\"", realm.url());
        let fake = Fake::start([answer(&challenge), answer("200 OK")]).await;
        assert_eq!(Registry::new(&fake.url(), SHORT).unwrap().has("a/b", "1").await, Ok(true));
        assert_eq!(realm.heard()[0].line, "GET /token?scope=repository%3Aa%2Fb%3Apull&service=r");
        let heard = fake.heard();
        assert!(!heard[0].head.contains("let-me-in") && heard[1].head.contains("authorization: Bearer let-me-in"), "{:?}", heard[1].head);
    }

    #[test]
    fn a_challenge_is_read_in_any_order_and_another_scheme_is_none() {
        let read = Challenge::read("bearer scope=\"repository:a:pull\", realm=\"https://auth.docker.io/token\",error=\"x\"").unwrap();
        assert_eq!((read.realm.as_str(), read.service, read.scope.as_str()), ("https://auth.docker.io/token", None, "repository:a:pull"));
        for other in ["Basic realm=\"r\"", "Bearer", "Bearer service=\"s\"", "Bearer realm=\"r"] {
            assert_eq!(Challenge::read(other), None, "{other}");
        }
    }
}
