//! The gate language: any text is read or refused with a place and a way out; what is read is written as it can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::domain::gate::Criterion;

fuzz_target!(|text: &str| {
    match text.parse::<Criterion>() {
        Ok(criterion) => assert_eq!(criterion.to_string().parse(), Ok(criterion)),
        Err(error) => {
            assert!((1..=text.chars().count() + 1).contains(&error.column()), "{error}");
            assert!(!error.hint().is_empty(), "{error}");
        }
    }
});
