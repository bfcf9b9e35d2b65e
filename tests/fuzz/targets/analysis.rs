//! The readers of keptn's AnalysisDefinitions.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| portcullis_fuzz::analysis(text));
