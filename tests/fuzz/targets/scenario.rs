//! The reader of scenarios.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| portcullis_fuzz::scenario(text));
