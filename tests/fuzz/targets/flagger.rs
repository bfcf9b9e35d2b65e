//! The readers of Flagger's Canaries.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| portcullis_fuzz::flagger(text));
