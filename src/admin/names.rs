//! Where the host names among a canary's endpoints lead: looked up before its rollout begins, as a configuration's are when it is
//! read. From then on the proxy looks again by itself.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::http::StatusCode;

use crate::admin::problem::{FieldError, Problem};
use crate::domain::destination;
use crate::domain::endpoint::Endpoint;

/// How long all look-ups of a command may take together.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks up every host name among the endpoints.
///
/// # Errors
///
/// Returns 422 with every name that leads nowhere, or to no address that may be connected to.
pub async fn resolve(endpoints: &[Endpoint]) -> Result<Vec<(Endpoint, Vec<SocketAddr>)>, Problem> {
    let (mut led, mut errors) = (Vec::new(), Vec::new());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    for (index, endpoint) in endpoints.iter().enumerate() {
        if matches!(endpoint, Endpoint::Slices(_)) && !cfg!(feature = "kubernetes") {
            errors.push(wrong(index, "the program was built without the feature kubernetes and watches no cluster".to_owned()));
        }
        let Endpoint::Name { host, port } = endpoint else { continue };
        let looking = tokio::time::timeout_at(deadline, tokio::net::lookup_host((host.as_str(), *port)));
        let found = looking.await.unwrap_or_else(|late| Err(io::Error::from(late))).map(Iterator::collect::<Vec<_>>);
        match found.map(destination::chosen) {
            Ok(addresses) if !addresses.is_empty() => led.push((endpoint.clone(), addresses)),
            Ok(_) => errors.push(wrong(index, format!("the host name {host:?} leads to no address that may be connected to"))),
            Err(error) => errors.push(wrong(index, format!("the host name {host:?} cannot be resolved: {error}"))),
        }
    }
    if errors.is_empty() {
        return Ok(led);
    }
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "the body has values that cannot be used; see errors").with_errors(errors))
}

fn wrong(index: usize, detail: String) -> FieldError {
    FieldError { pointer: format!("/canary/endpoints/{index}"), detail }
}
