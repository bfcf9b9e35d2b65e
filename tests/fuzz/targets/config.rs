//! The reader of configurations: any text is read or refused with at least one error.
#![no_main]

use std::io;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use portcullis::config::{Surroundings, load_text};
use portcullis::formats::problem::Problem;

fuzz_target!(|text: &str| {
    let around = Surroundings { cores: 2, variable: &|_| None, resolve: &|_| Err(io::Error::other("no names here")) };
    // Files that the text names are looked for where there are none.
    if let Err(problems) = load_text("c.yaml", text, Path::new("/nowhere"), &around) {
        assert!(problems.iter().any(Problem::is_error), "refused without an error");
        assert!(problems.iter().all(|problem| !problem.to_string().is_empty()));
    }
});
