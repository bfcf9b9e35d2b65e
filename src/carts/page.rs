//! The pages about the service itself: info page, version and health.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::carts::answer::{Json, date_now, plain};
use crate::carts::service::Service;
use crate::carts::settings::Settings;

/// The labels of the info page in their order; the first six show environment variables.
const LABELS: [&str; 9] = [
    "Pod name:",
    "Container image:",
    "Deployment name:",
    "keptn project:",
    "keptn stage:",
    "keptn service:",
    "Version:",
    "Delay in ms:",
    "Promotion rate:",
];

/// `GET /`: the info page, coloured by version as from 0.10 on.
pub async fn info(State(service): State<Arc<Service>>) -> Response {
    ([(CONTENT_TYPE, "text/html;charset=UTF-8")], render(&service.settings)).into_response()
}

/// `GET /version`.
pub async fn version(State(service): State<Arc<Service>>) -> Response {
    plain(format!("Version = {}", service.settings.tag.version()))
}

/// `GET /health`.
pub async fn health() -> Response {
    #[derive(Serialize)]
    struct Check {
        service: &'static str,
        status: &'static str,
        date: String,
    }
    #[derive(Serialize)]
    struct Health {
        health: [Check; 1],
    }
    Json(Health { health: [Check { service: "carts", status: "OK", date: date_now() }] }).into_response()
}

/// Reads a value off an info page, for example that of `Version:`; `None` when the page has no such row.
///
/// It reads the pages of all releases, with or without `<strong>`.
#[must_use]
pub fn value_of(page: &str, label: &str) -> Option<String> {
    let (_, row) = page.split_once(&format!(">{label}</td>"))?;
    let (_, cell) = row.split_once("<td>")?;
    let (cell, _) = cell.split_once("</td>")?;
    let value = cell.strip_prefix("<strong>").and_then(|rest| rest.strip_suffix("</strong>")).unwrap_or(cell);
    Some(value.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&"))
}

fn render(settings: &Settings) -> String {
    let version = settings.tag.version();
    let colour = match version {
        "v1" => "#90EE90",
        "v2" => "#DC143C",
        _ => "#14DC85",
    };
    let environment = settings
        .environment()
        .map(|(name, value)| value.map_or_else(|| format!("No value found in environment variable {name}"), str::to_owned));
    let own = [version.to_owned(), settings.delay_ms.to_string(), settings.failure_rate.to_string()];
    let rows: String = LABELS
        .iter()
        .zip(environment.chain(own))
        .map(|(label, value)| format!("<tr><td align=\"right\">{label}</td><td><strong>{}</strong></td></tr>\n", escape(&value)))
        .collect();
    format!(
        "<html><head><title>carts {version}</title><style>\
         body {{ margin: 0; padding-top: 20px; background-color: {colour}; font-family: sans-serif }} \
         table {{ margin: auto; border-spacing: 5px }}</style></head>\n\
         <body><table><tbody>\n{rows}</tbody></table></body></html>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_and_read_back() {
        let settings = Settings::new("0.8.2".parse().unwrap()).with_environment(|name| (name == "POD_NAME").then(|| "<a> & \"b\"".into()));
        let page = render(&settings);
        assert!(!page.contains("<a>"));
        assert_eq!(value_of(&page, "Pod name:").unwrap(), "<a> & \"b\"");
        assert_eq!(value_of(&page, "Delay in ms:").unwrap(), "1000");
        assert_eq!(value_of(&page, "Weight:"), None);
        assert_eq!(value_of("<tr><td>Version:</td><td>v1</td></tr>", "Version:").unwrap(), "v1");
    }
}
