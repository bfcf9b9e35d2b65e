//! What clients send over HTTP/2.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portcullis_fuzz::h2_front(bytes));
