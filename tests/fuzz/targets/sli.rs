//! The readers of indicators.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| portcullis_fuzz::sli(text));
