//! What is told to others: the metrics besides the program's own families, what answers tell their clients, and how the log is written.

use crate::config::settings::{Answers, Compatible, LogFormat, Metrics};
use crate::formats::yaml::fields::Fields;
use crate::formats::yaml::place::{At, Report};
use crate::formats::yaml::tree::Node;

/// The longest name of a namespace (RFC 1123).
const MOST: usize = 63;

/// The metrics as written.
#[derive(Debug, Default)]
pub(super) struct MetricsSpec {
    compat: Vec<At<String>>,
    namespace: Option<At<String>>,
}

impl MetricsSpec {
    pub(super) fn read(node: &Node, path: String, report: &Report<'_>) -> Self {
        let Some(mut fields) = Fields::open(node, path, report) else { return Self::default() };
        let spec =
            Self { compat: fields.one_or_more("compat").map_or_else(Vec::new, |list| list.value), namespace: fields.text("namespace") };
        fields.close();
        spec
    }

    pub(super) fn compile(&self, report: &Report<'_>) -> Option<Metrics> {
        let default = Metrics::default();
        let mut compat = Vec::new();
        for text in &self.compat {
            let family = match text.value.as_str() {
                "istio" => Compatible::Istio,
                "linkerd" => Compatible::Linkerd,
                other => {
                    report.error(&text.place, format!("there are no families of {other:?}"), "write istio, linkerd, or both");
                    return None;
                }
            };
            if !compat.contains(&family) {
                compat.push(family);
            }
        }
        let namespace = match &self.namespace {
            None => default.namespace,
            Some(text) if is_label(&text.value) => text.value.clone(),
            Some(text) => {
                let hint = "write 1 to 63 lower-case letters, digits and '-', such as shop";
                report.error(&text.place, format!("{:?} is no name of a namespace", text.value), hint);
                return None;
            }
        };
        Some(Metrics { compat, namespace })
    }
}

/// What answers tell, as written.
#[derive(Debug, Default)]
pub(super) struct AnswersSpec {
    version: Option<At<bool>>,
    server_timing: Option<At<bool>>,
}

impl AnswersSpec {
    pub(super) fn read(node: &Node, path: String, report: &Report<'_>) -> Self {
        let Some(mut fields) = Fields::open(node, path, report) else { return Self::default() };
        let spec = Self { version: fields.boolean("version"), server_timing: fields.boolean("server_timing") };
        fields.close();
        spec
    }

    pub(super) fn compile(&self) -> Answers {
        let is = |flag: &Option<At<bool>>| flag.as_ref().is_some_and(|flag| flag.value);
        Answers { version: is(&self.version), server_timing: is(&self.server_timing) }
    }
}

/// Reads how the access log is written.
pub(super) fn log_format(text: &At<String>, report: &Report<'_>) -> Option<LogFormat> {
    match text.value.as_str() {
        "json" => Some(LogFormat::Json),
        "common" => Some(LogFormat::Common),
        other => {
            report.error(&text.place, format!("{other:?} is no format of the access log"), "write json or common");
            None
        }
    }
}

fn is_label(text: &str) -> bool {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=MOST).contains(&text.len()) && text.chars().all(good) && !text.starts_with('-') && !text.ends_with('-')
}
