//! What is claimed of each reader whatever it is handed. The fuzz targets and the ordinary tests call the same functions.
//!
//! Each claims more than that nothing panics: what is refused is refused with an error that says something.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use portcullis::config::{Surroundings, load_text};
use portcullis::domain::gate::Criterion;
use portcullis::domain::gate::analysis::strict as analysis_strict;
use portcullis::domain::gate::slo::live;
use portcullis::domain::gate::slo::strict as slo_strict;
use portcullis::domain::gate::verdict::Verdict;
use portcullis::formats::problem::Problem;
use portcullis::formats::{access_log, analysis as analyses, argo as argos, flagger as flaggers, kind, metric_values, slo as slos};
use portcullis::simulate::scenario;

mod wire;

pub use wire::{h2_front, h2_to_h1, head, proxy_protocol, response};

/// A claim about any text.
pub type Claim = fn(&str);

/// A claim about any bytes.
pub type RawClaim = fn(&[u8]);

/// The claims about bytes by the names of their targets.
pub const RAW: [(&str, RawClaim); 5] =
    [("h2_front", h2_front), ("h2_to_h1", h2_to_h1), ("head", head), ("proxy_protocol", proxy_protocol), ("response", response)];

/// The claims by the names of their targets.
pub const CLAIMS: [(&str, Claim); 13] = [
    ("access_log", access_log),
    ("analysis", analysis),
    ("argo", argo),
    ("cloudevent", cloudevent),
    ("config", config),
    ("flagger", flagger),
    ("gate_language", gate_language),
    ("jmx", jmx),
    ("kind", kind_of_file),
    ("perfspec", perfspec),
    ("scenario", scenario),
    ("sli", sli),
    ("slo", slo),
];

/// Claims that a refusal has a reason and everything that is told has words.
fn refused<T>(read: Result<T, Vec<Problem>>) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(problems) => {
            assert!(problems.iter().any(Problem::is_error), "refused without an error");
            assert!(problems.iter().all(|problem| !problem.to_string().is_empty()));
            None
        }
    }
}

/// A line of the access log: what is read began no later than it was written; what is refused says why.
pub fn access_log(text: &str) {
    match access_log::read_line(text) {
        Ok(Some(read)) => assert!(read.started_ns() <= read.written_ns),
        Ok(None) => {}
        Err(why) => assert!(!why.is_empty()),
    }
}

/// An AnalysisDefinition: what is read passes nothing without values, unless it asks for nothing.
pub fn analysis(text: &str) {
    if let Some(loaded) = refused(analyses::read("f", text)) {
        let report = analysis_strict::evaluate(&loaded.definition, &BTreeMap::new());
        assert!(report.verdict != Verdict::Pass || loaded.definition.total_score.pass_percentage == 0, "{report:?}");
    }
    refused(analyses::read_keptn("f", text));
    refused(analyses::read_values("f", text, None));
}

/// An AnalysisTemplate, as gates and as the conditions on given values.
pub fn argo(text: &str) {
    refused(argos::read("f", text));
    refused(argos::read_conditions("f", text));
}

/// An event, as it is or as a request in binary mode: what is read is written as it can be read, and is refused with a reason.
pub fn cloudevent(text: &str) {
    use portcullis::formats::cloudevent::{Event, Limits, Refusal, carried, interpret, read, read_structured};
    let check = |read: Result<Event, Refusal>| match read {
        Ok(event) => {
            let written = event.to_json().to_string();
            assert_eq!(read_structured("f", written.as_bytes(), Limits { bytes: usize::MAX, depth: 100 }), Ok(event.clone()));
            let _ = carried(&event.data);
            refused(interpret("f", Some(text), &event));
        }
        Err(Refusal::Invalid(problems)) => {
            refused::<()>(Err(problems));
        }
        Err(other) => assert!(!other.to_string().is_empty()),
    };
    check(read_structured("f", text.as_bytes(), Limits::DEFAULT));
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut headers = http::HeaderMap::new();
    for (name, value) in head.lines().filter_map(|line| line.split_once(':')) {
        if let (Ok(name), Ok(value)) = (name.trim().parse::<http::HeaderName>(), value.trim().parse::<http::HeaderValue>()) {
            headers.append(name, value);
        }
    }
    check(read(&headers, body.as_bytes(), Limits::DEFAULT));
}

/// A configuration; files that it names are looked for where there are none.
pub fn config(text: &str) {
    let resolve = |_: &str| Err(io::Error::other("no names here"));
    let around =
        Surroundings { cores: 2, variable: &|_| None, resolve: &resolve, awaits_names: false, sends_traces: true, watches_clusters: true };
    refused(load_text("c.yaml", text, Path::new("/nowhere"), &around));
}

/// A Canary, as gates with a plan and as the ranges of given values.
pub fn flagger(text: &str) {
    refused(flaggers::read("f", text));
    refused(flaggers::read_ranges("f", text));
}

/// A gate: what is read is written as it can be read; a refusal has a place in the text and a way out.
pub fn gate_language(text: &str) {
    match text.parse::<Criterion>() {
        Ok(criterion) => assert_eq!(criterion.to_string().parse(), Ok(criterion)),
        Err(error) => {
            assert!((1..=text.chars().count() + 1).contains(&error.column()), "{error}");
            assert!(!error.hint().is_empty(), "{error}");
        }
    }
}

/// A JMeter plan: what is read sends something, each request to a place; its think time changes nothing but pauses.
pub fn jmx(text: &str) {
    use portcullis::formats::jmx::{Loops, Options, read};
    let properties = BTreeMap::from([("VUCount".to_owned(), "3".to_owned()), ("ThinkTime".to_owned(), "20".to_owned())]);
    let plan = refused(read("p.jmx", text, Options { properties: &properties, honour_think_time: false }));
    refused(read("p.jmx", text, Options { properties: &properties, honour_think_time: true }));
    for group in plan.iter().flat_map(|plan| &plan.groups) {
        assert!(group.threads > 0 && !group.samplers.is_empty(), "{group:?}");
        assert_eq!(group.requests().is_none(), group.loops == Loops::Forever);
        assert!(group.samplers.iter().all(|sampler| !sampler.url.host.is_empty() && sampler.url.path.starts_with('/')), "{group:?}");
    }
}

/// Any file: its kind is told or it is said why not. Measured values are what is read where no kind is asked for.
pub fn kind_of_file(text: &str) {
    if let Err(why) = kind::recognise("f", text) {
        assert!(why.problem.is_error() && !why.problem.to_string().is_empty());
    }
    refused(metric_values::read("f", text, None));
    refused(metric_values::read("f", text, Some(&["request-duration"])));
}

/// A perfspec; the lenient reader takes everything.
pub fn perfspec(text: &str) {
    use portcullis::formats::perfspec;
    if let Some(loaded) = refused(perfspec::load("p.json", text)) {
        refused(perfspec::load_values("v.json", text, &loaded.spec));
    }
    refused(perfspec::load_live("p.json", text));
    refused(perfspec::load_values_keptn("v.json", text));
    let _ = perfspec::load_keptn(text);
}

/// A file of scenarios: what is read is at least one, each with a name.
pub fn scenario(text: &str) {
    if let Some(scenarios) = refused(scenario::load("s.toml", text)) {
        assert!(!scenarios.is_empty());
    }
}

/// A file of indicators: each query of what is read can be looked at.
pub fn sli(text: &str) {
    for read in [slos::read_sli("f", text), slos::read_sli_keptn("f", text)] {
        if let Some(indicators) = refused(read) {
            for name in indicators.names() {
                let _ = live::recognise(name, indicators.query(name));
            }
        }
    }
    refused(slos::read_pair(("f", "objectives: []"), ("g", text)));
    let _ = slos::read_pair_keptn("objectives: []", text);
}

/// A file of objectives: what is read passes nothing without values, unless it asks for nothing, and says why.
pub fn slo(text: &str) {
    let checked = slos::check("f", text, None);
    match refused(slos::read("f", text)) {
        Some(loaded) => {
            let report = slo_strict::evaluate(&loaded.spec, &slo_strict::Readings::default(), &[]);
            assert!(report.verdict != Verdict::Pass || loaded.spec.total.pass <= 0.0, "{report:?}");
            assert!(!report.reasons.is_empty());
        }
        None => assert!(checked.iter().any(Problem::is_error), "check accepts what read refuses"),
    }
    if let Err(why) = slos::read_keptn(text) {
        assert!(!why.is_empty());
    }
    refused(slos::read_earlier("f", text));
    refused(slos::read_values("f", text, ["a"].into_iter()));
    refused(slos::read_pair(("f", text), ("g", "indicators: []")));
    let _ = slos::read_pair_keptn(text, "indicators: []");
}
