//! Reads and compiles where traces go, and of which requests there are some.

use std::path::{Path, PathBuf};

use http::{HeaderName, HeaderValue};

use crate::config::otel;
use crate::config::surroundings::Surroundings;
use crate::config::values;
use crate::domain::weight::Weight;
use crate::formats::yaml::fields::Fields;
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::quantities;
use crate::formats::yaml::tree::Node;

/// What the program is built with to send traces.
const FEATURE: &str = "otlp";
/// Where collectors take traces (OTLP/HTTP, section "OTLP/HTTP Request").
const PATH: &str = "/v1/traces";
/// Which share of requests is recorded where nothing is written, in basis points.
const USUAL: u16 = 100;

/// Where traces go, and of which requests there are some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces {
    /// Where a collector takes them, with http or https.
    pub url: String,
    /// The share of requests that are recorded, of those of which nobody has decided.
    pub sample: Weight,
    /// Whether a caller's decision holds.
    pub follow: bool,
    /// The file of a token that lets us in.
    pub token_file: Option<PathBuf>,
    /// The file with the authorities that may vouch for the collector; `None` for those the system trusts.
    pub ca: Option<PathBuf>,
    /// What is sent along besides, each marked as a secret.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// What the process calls its service; `None` for the name of the program.
    pub service: Option<String>,
}

#[derive(Debug)]
pub(super) struct TracesSpec {
    place: Place,
    endpoint: Option<At<String>>,
    sample: Option<At<String>>,
    parent: Option<At<String>>,
    token_file: Option<At<String>>,
    ca: Option<At<String>>,
}

impl TracesSpec {
    pub(super) fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self {
            place: fields.place().clone(),
            endpoint: fields.text("endpoint"),
            sample: fields.text("sample"),
            parent: fields.text("parent"),
            token_file: fields.text("token_file"),
            ca: fields.text("ca"),
        };
        fields.require("endpoint", "write where a collector takes OTLP over HTTP, such as http://127.0.0.1:4318");
        fields.close();
        Some(spec)
    }

    pub(super) fn compile(&self, base: &Path, around: &Surroundings<'_>, report: &Report<'_>) -> Option<Traces> {
        if !around.sends_traces {
            let hint = format!("build it with 'cargo build --release --features {FEATURE}', or leave 'traces' out");
            report.error(&self.place, format!("this program was built without the feature {FEATURE} and sends no traces"), hint);
        }
        let url = self.endpoint.as_ref().and_then(|text| url(text, true, report));
        // What nobody would use stops no start.
        let all_is_written = self.sample.is_some() && self.parent.is_some();
        let said = if all_is_written { Some(None) } else { otel::sampling(around, report) };
        let usual = said.map(|said| said.unwrap_or_else(usual));
        let sample = self.sample.as_ref().map_or(usual.map(|(share, _)| share), |text| share(text, report));
        let follow = self.parent.as_ref().map_or(usual.map(|(_, follow)| follow), |text| follow(text, report));
        let located = |text: &Option<At<String>>| text.as_ref().map(|text| values::located(text, base));
        Some(Traces {
            url: url?,
            sample: sample?,
            follow: follow?,
            token_file: located(&self.token_file),
            ca: located(&self.ca),
            // What the environment sends along is for the collector that it names, which this one need not be.
            fields: Vec::new(),
            service: otel::service(around),
        })
    }
}

/// Returns where traces go as the configuration says, or else the environment; the outer `None` where that cannot be.
pub(super) fn compile(written: Option<&TracesSpec>, base: &Path, around: &Surroundings<'_>, report: &Report<'_>) -> Option<Option<Traces>> {
    if let Some(spec) = written {
        return spec.compile(base, around, report).map(Some);
    }
    // What is said to every program of a machine is no mistake where it is said to one that sends nothing.
    let Some((endpoint, is_base)) = otel::endpoint(around).filter(|_| around.sends_traces) else { return Some(None) };
    let (url, sampling, fields) = (url(&endpoint, is_base, report), otel::sampling(around, report), otel::fields(around, report));
    let (sample, follow) = sampling?.unwrap_or_else(usual);
    Some(Some(Traces { url: url?, sample, follow, token_file: None, ca: None, fields: fields?, service: otel::service(around) }))
}

/// Returns which share is recorded and whether a caller's decision holds where nobody says.
fn usual() -> (Weight, bool) {
    (Weight::from_basis_points(USUAL).unwrap_or_default(), true)
}

/// Reads a share; whoever writes a fraction, as other programs want it, means a hundred times as many percent.
fn share(text: &At<String>, report: &Report<'_>) -> Option<Weight> {
    match text.value.parse::<f64>() {
        Ok(fraction) if (0.0..=1.0).contains(&fraction) => {
            let percent = (fraction * 1e6).round() / 1e4;
            let hint = format!("write {percent}%, which is the fraction {}", text.value);
            report.error(&text.place, format!("{:?} is a share without its %", text.value), hint);
            None
        }
        _ => quantities::weight(text, report),
    }
}

fn follow(text: &At<String>, report: &Report<'_>) -> Option<bool> {
    match text.value.as_str() {
        "follow" => Some(true),
        "ignore" => Some(false),
        other => {
            let hint = "write follow, so that a caller's decision holds, or ignore, where callers are not to decide";
            report.error(&text.place, format!("{other:?} is not what can be done with a caller's decision"), hint);
            None
        }
    }
}

/// Reads a URL with http or https and a host, and nobody's password; adds the path of traces to that of a collector where it is not there.
fn url(text: &At<String>, is_base: bool, report: &Report<'_>) -> Option<String> {
    let uri = text.value.parse::<http::Uri>().ok();
    let is_good = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.query().is_none()
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    });
    if is_good {
        let base = text.value.trim_end_matches('/');
        return Some(if base.ends_with(PATH) || !is_base { base.to_owned() } else { format!("{base}{PATH}") });
    }
    let hint = "write http:// or https:// and a host, such as http://127.0.0.1:4318; a token goes into a 'token_file'";
    report.error(&text.place, "this is no URL that traces can be sent to", hint);
    None
}
