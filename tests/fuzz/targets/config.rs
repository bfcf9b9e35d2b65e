//! The reader of configurations.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| portcullis_fuzz::config(text));
