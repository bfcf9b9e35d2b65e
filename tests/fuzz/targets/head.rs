//! What clients send over HTTP/1.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portcullis_fuzz::head(bytes));
