//! The readers of objectives.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| portcullis_fuzz::slo(text));
