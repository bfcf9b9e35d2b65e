//! A line of the access log.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| portcullis_fuzz::access_log(text));
