//! The readers of foreign gate files in YAML: any text is read or refused with at least one error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::formats::problem::Problem;
use portcullis::formats::{analysis, argo, flagger, slo};

fn told(problems: &[Problem]) {
    assert!(problems.iter().any(Problem::is_error), "refused without an error");
    assert!(problems.iter().all(|problem| !problem.to_string().is_empty()));
}

fuzz_target!(|text: &str| {
    if let Err(problems) = flagger::read("f", text) {
        told(&problems);
    }
    if let Err(problems) = argo::read("f", text) {
        told(&problems);
    }
    if let Err(problems) = slo::read("f", text) {
        told(&problems);
    }
    if let Err(problems) = slo::read_sli("f", text) {
        told(&problems);
    }
    if let Err(problems) = analysis::read("f", text) {
        told(&problems);
    }
    let _ = slo::read_keptn(text);
});
