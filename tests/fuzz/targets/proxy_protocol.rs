//! The header of the PROXY protocol that a trusted peer sends first.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portcullis_fuzz::proxy_protocol(bytes));
