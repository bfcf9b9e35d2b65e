//! What a command is conditional on: that the rollout is still as its caller saw it (RFC 9110 section 13.1.1, RFC 6585 section 3).
//!
//! The rollout's tag is compared by the controller, right before the command is carried out. An abort and a denial need no condition:
//! whatever has happened meanwhile, the canary is to get nothing.

use axum::http::{HeaderMap, Method, StatusCode, header};

use crate::admin::problem::Problem;

/// The commands that need a condition.
const NEEDING: [&str; 6] = ["approve", "pause", "resume", "promote", "weight", "retry"];
/// The most tags that are looked at.
pub(super) const TAGS: usize = 16;

tokio::task_local! {
    /// The tags one of which the rollout must have, for as long as a request is being answered; `None` where any will do.
    pub(super) static EXPECTED: Option<Vec<String>>;
}

/// Returns the tags one of which the rollout must have for the request that is being answered.
pub(super) fn expected() -> Option<Vec<String>> {
    EXPECTED.try_with(Clone::clone).ok().flatten()
}

/// Says whether a method changes something at a path: a share and a file are put there, everything else is posted. Others are refused
/// for their method, whatever else is wrong with them.
pub(super) fn changes(method: &Method, path: &str) -> bool {
    let put = path.ends_with("/weight") || path.ends_with("/resources");
    *method == if put { Method::PUT } else { Method::POST }
}

/// Reads the condition of a request.
///
/// # Errors
///
/// Returns 428 where one is needed and missing, 400 for what is no list of tags.
pub(super) fn of(method: &Method, path: &str, headers: &HeaderMap) -> Result<Option<Vec<String>>, Problem> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let ["v1", "rollouts", name, verb] = parts.as_slice() else { return Ok(None) };
    if !changes(method, path) || !NEEDING.contains(verb) {
        return Ok(None);
    }
    let (mut tags, mut stars) = (Vec::new(), 0);
    for value in headers.get_all(header::IF_MATCH) {
        let value = value.to_str().map_err(|_| malformed())?;
        for tag in value.split(',').map(str::trim) {
            if tag == "*" {
                stars += 1;
                continue;
            }
            let inner = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).filter(|tag| !tag.contains('"'));
            tags.push(inner.ok_or_else(malformed)?.to_owned());
        }
    }
    match (stars, tags.len()) {
        (1, 0) => Ok(None),
        (0, 0) => Err(Problem::new(
            StatusCode::PRECONDITION_REQUIRED,
            format!(
                "this needs an If-Match with the ETag of GET /v1/rollouts/{name:.80}, so that it is not about a rollout that has changed since; * is for any; an abort needs none"
            ),
        )),
        (0, 1..=TAGS) => Ok(Some(tags)),
        _ => Err(malformed()),
    }
}

fn malformed() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        format!("If-Match is *, or at most {TAGS} tags such as \"3.17.progressing\", as the ETag says; weak ones match nothing"),
    )
}
