//! The reader of events.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| portcullis_fuzz::cloudevent(text));
