//! The reader of the gate language.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| portcullis_fuzz::gate_language(text));
