//! Requests over HTTP/2, passed on over HTTP/1.1.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portcullis_fuzz::h2_to_h1(bytes));
