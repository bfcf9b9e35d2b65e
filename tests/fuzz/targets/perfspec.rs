//! The readers of perfspecs.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| portcullis_fuzz::perfspec(text));
