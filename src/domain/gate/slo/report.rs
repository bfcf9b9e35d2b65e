//! The result of an evaluation in the shape of keptn's event, which other tools read; strict mode adds a verdict and reasons.

use serde::{Serialize, Serializer};

use crate::domain::gate::perfspec::js::Js;
use crate::domain::gate::slo::release::Lighthouse;
use crate::domain::gate::slo::value::Value;
use crate::domain::gate::verdict::Verdict;

/// One criterion against one value.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The criterion as written.
    pub criteria: String,
    /// What the value was compared with; `None` when that is not known.
    pub target: Option<f64>,
    /// Whether the value misses it; `None` when that is not known.
    pub violated: Option<bool>,
}

/// One objective with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The points; `None` when they are undecided.
    pub score: Option<f64>,
    /// The value.
    pub value: Value,
    /// The aggregate of earlier values it was compared with, else 0.
    pub compared: f64,
    /// The name for people; may be empty.
    pub display_name: String,
    /// The pass criteria; `None` is written as `null`, as in the original.
    pub pass_targets: Option<Vec<Target>>,
    /// The warning criteria.
    pub warning_targets: Option<Vec<Target>>,
    /// Whether it is a key objective.
    pub key: bool,
    /// `pass`, `warning`, `fail` or `info`; in strict mode also `inconclusive`.
    pub status: &'static str,
}

/// Who judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// Our strict rules.
    Strict,
    /// A release of lighthouse.
    Lighthouse(Lighthouse),
}

/// The result of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Who judged.
    pub judge: Judge,
    /// `succeeded` or `errored`.
    pub status: &'static str,
    /// The result of the event.
    pub result: &'static str,
    /// The message of the event.
    pub message: String,
    /// The result of the evaluation within, which may differ when the provider failed.
    pub evaluation_result: String,
    /// The points in percent of the maximum; `None` when they are undecided.
    pub score: Option<f64>,
    /// The rows; `None` is written as `null`.
    pub rows: Option<Vec<Row>>,
    /// The text of the gate file; empty when it is not known.
    pub slo_text: String,
    /// The verdict; the original's errors are a fail.
    pub verdict: Verdict,
    /// Why; never empty in strict mode.
    pub reasons: Vec<String>,
}

impl Report {
    /// Makes the report of an evaluation that the original ends with an error.
    #[must_use]
    pub fn errored(release: Lighthouse, message: impl Into<String>) -> Self {
        let message = message.into();
        let old = !release.separates_targets();
        Self {
            judge: Judge::Lighthouse(release),
            status: "errored",
            result: if old { "failed" } else { "fail" },
            evaluation_result: if old { message.clone() } else { "fail".to_owned() },
            reasons: vec![message.clone()],
            message,
            score: Some(0.0),
            rows: None,
            slo_text: String::new(),
            verdict: Verdict::Fail,
        }
    }

    /// Makes the report of an evaluation without a gate file.
    #[must_use]
    pub fn no_slo_file(release: Lighthouse, project: &str) -> Self {
        let message = format!("no evaluation performed by lighthouse because no SLO file configured for project {project}");
        let mut report = Self::errored(release, message);
        (report.status, report.result, report.verdict) = ("succeeded", "pass", Verdict::Pass);
        if release.separates_targets() {
            report.evaluation_result = "pass".to_owned();
        }
        report
    }

    /// Adds the text of the gate file.
    #[must_use]
    pub fn with_slo_text(mut self, text: &str) -> Self {
        text.clone_into(&mut self.slo_text);
        self
    }

    /// Returns the report as an object with the original's field names.
    #[must_use]
    pub fn to_js(&self) -> Js {
        let release = match self.judge {
            Judge::Strict => Lighthouse::V1,
            Judge::Lighthouse(release) => release,
        };
        let rows = self.rows.as_ref().map_or(Js::Null, |rows| Js::List(rows.iter().map(|row| row_object(row, release)).collect()));
        let evaluation = object(vec![
            ("result", text(&self.evaluation_result)),
            ("score", number(self.score)),
            ("sloFileContent", text(&base64(self.slo_text.as_bytes()))),
            ("indicatorResults", rows),
        ]);
        if !release.separates_targets() {
            return object(vec![("result", text(self.result)), ("evaluationdetails", evaluation)]);
        }
        let mut fields = vec![
            ("status", text(self.status)),
            ("result", text(self.result)),
            ("message", text(&self.message)),
            ("evaluation", evaluation),
        ];
        if self.judge == Judge::Strict {
            fields.push(("verdict", text(self.verdict.as_str())));
            fields.push(("reasons", Js::List(self.reasons.iter().map(|reason| text(reason)).collect())));
        }
        object(fields)
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_js().serialize(serializer)
    }
}

impl Row {
    /// Returns the row as an object with the original's field names.
    #[must_use]
    pub fn to_js(&self, release: Lighthouse) -> Js {
        row_object(self, release)
    }
}

fn row_object(row: &Row, release: Lighthouse) -> Js {
    let mut value = vec![("metric", text(&row.value.metric)), ("value", Js::Number(row.value.value))];
    if release.takes_values() {
        value.push(("comparedValue", Js::Number(row.compared)));
    }
    value.push(("success", Js::Bool(row.value.success)));
    value.push(("message", text(&row.value.message)));
    let mut fields = vec![("score", number(row.score)), ("value", object(value))];
    if release.separates_targets() {
        fields.push(("displayName", text(&row.display_name)));
        fields.push(("passTargets", targets(row.pass_targets.as_deref())));
        fields.push(("warningTargets", targets(row.warning_targets.as_deref())));
    } else {
        let all: Vec<Target> = row.warning_targets.iter().chain(&row.pass_targets).flatten().cloned().collect();
        fields.push(("targets", targets(Some(all.as_slice()).filter(|all| !all.is_empty()))));
    }
    if release.takes_values() {
        fields.push(("keySli", Js::Bool(row.key)));
    }
    fields.push(("status", text(row.status)));
    object(fields)
}

fn targets(targets: Option<&[Target]>) -> Js {
    let shown = |target: &Target| {
        object(vec![
            ("criteria", text(&target.criteria)),
            ("targetValue", number(target.target)),
            ("violated", target.violated.map_or(Js::Null, Js::Bool)),
        ])
    };
    targets.map_or(Js::Null, |targets| Js::List(targets.iter().map(shown).collect()))
}

fn object(fields: Vec<(&str, Js)>) -> Js {
    Js::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn text(text: &str) -> Js {
    Js::Text(text.to_owned())
}

fn number(number: Option<f64>) -> Js {
    number.map_or(Js::Null, Js::Number)
}

/// Encodes bytes as base64 with padding (RFC 4648, section 4).
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| (word << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = ALPHABET.get(((word >> (18 - 6 * place)) & 63) as usize).copied().unwrap_or(b'=');
            out.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads_as_the_rfc_shows() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn the_shape_follows_the_release() {
        let row = Row {
            score: Some(1.0),
            value: Value::new("a", 5.0),
            compared: 0.0,
            display_name: String::new(),
            pass_targets: Some(vec![Target { criteria: "<10".into(), target: Some(10.0), violated: Some(false) }]),
            warning_targets: None,
            key: false,
            status: "pass",
        };
        let keys = |release| match row.to_js(release) {
            Js::Object(fields) => fields.into_iter().map(|(name, _)| name).collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        assert_eq!(keys(Lighthouse::V0_6_0), ["score", "value", "targets", "status"]);
        assert_eq!(keys(Lighthouse::V0_8), ["score", "value", "displayName", "passTargets", "warningTargets", "status"]);
        assert_eq!(keys(Lighthouse::V1), ["score", "value", "displayName", "passTargets", "warningTargets", "keySli", "status"]);
        let errored = serde_json::to_value(Report::errored(Lighthouse::V0_6_0, "no target score defined")).unwrap();
        assert_eq!((&errored["result"], &errored["evaluationdetails"]["result"]), (&"failed".into(), &"no target score defined".into()));
    }
}
