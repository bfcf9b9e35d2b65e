//! The readers of Argo Rollouts' AnalysisTemplates.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| portcullis_fuzz::argo(text));
