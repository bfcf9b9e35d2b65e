//! The perfspec readers: any text is read or refused with at least one error; the lenient reader takes everything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::formats::perfspec;
use portcullis::formats::problem::Problem;

fuzz_target!(|text: &str| {
    for read in [perfspec::load, perfspec::load_live] {
        if let Err(problems) = read("p.json", text) {
            assert!(problems.iter().any(Problem::is_error), "refused without an error");
            assert!(problems.iter().all(|problem| !problem.to_string().is_empty()));
        }
    }
    let _ = perfspec::load_keptn(text);
});
