//! The recogniser of files and the reader of measured values.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| portcullis_fuzz::kind_of_file(text));
