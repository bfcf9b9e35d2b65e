//! The reader of JMeter plans.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| portcullis_fuzz::jmx(text));
