//! The dashboard as a browser gets it: one page and its assets, built beforehand and part of the program.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::admin::problem::Problem;

/// The page. It names its assets by the build they belong to.
const INDEX: &str = include_str!("dashboard/dist/index.html");
/// The assets: name, type, content.
const ASSETS: [(&str, &str, &[u8]); 3] = [
    ("app.js", "text/javascript; charset=utf-8", include_bytes!("dashboard/dist/app.js")),
    ("app.css", "text/css; charset=utf-8", include_bytes!("dashboard/dist/app.css")),
    ("icon.svg", "image/svg+xml", include_bytes!("dashboard/dist/icon.svg")),
];
/// What the page may do: run and show what comes from here, and talk to nobody else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The assets of a build never change.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// A tag that changes with the page.
static TAG: LazyLock<String> = LazyLock::new(|| {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, INDEX.as_bytes());
    let hex: String = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
});

/// Shows the page, or says that the browser has it already.
pub async fn index(headers: HeaderMap) -> Response {
    let tag = HeaderValue::from_str(&TAG).unwrap_or(HeaderValue::from_static("\"\""));
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    let unchanged = known.flat_map(|tags| tags.split(',')).any(|known| known.trim().trim_start_matches("W/") == TAG.as_str());
    let head = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::ETAG, tag),
    ];
    if unchanged {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    (head, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], INDEX).into_response()
}

/// Gives an asset of the build that the page names.
pub async fn asset(named: Result<Path<(String, String)>, PathRejection>) -> Result<Response, Problem> {
    let (build, file) = named.map_or_else(|_| Default::default(), |Path(named)| named);
    let found = ASSETS.iter().find(|(name, ..)| *name == file).filter(|_| INDEX.contains(&format!("\"/assets/{build}/{file}\"")));
    let Some((_, kind, content)) = found else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "this build of the dashboard has no such asset; load the page again"));
    };
    Ok(([(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, FOR_EVER)], *content).into_response())
}
