//! Replays the vectors of the project's statistics that read a criterion and find its limit.
#![cfg(test)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::domain::gate::slo::criterion::Criterion;
use crate::domain::gate::slo::release::Lighthouse;

/// How many vectors the repository's file holds of each function that is replayed here.
const COUNTS: [(&str, usize); 2] = [("criterion_limit", 8), ("parse_keptn_criterion", 8)];

/// The vectors' file: the repository's, or the one named by `PORTCULLIS_VECTORS`.
fn file() -> (Value, bool) {
    let named = std::env::var_os("PORTCULLIS_VECTORS");
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/statistics/vectors.json");
    let path = named.clone().map_or_else(|| own.into(), PathBuf::from);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())), named.is_none())
}

#[test]
fn every_vector_of_a_criterion_is_replayed() {
    let (vectors, own) = file();
    let mut replayed = BTreeMap::<&str, usize>::new();
    for case in vectors["cases"].as_array().expect("the file holds cases") {
        let function = case["fn"].as_str().expect("a vector names its function");
        if !COUNTS.iter().any(|(name, _)| *name == function) {
            continue;
        }
        let text = case["args"]["text"].as_str().expect("a vector has a text");
        let criterion = Criterion::parse(text, Lighthouse::V1).unwrap_or_else(|error| panic!("{text}: {error}"));
        if function == "criterion_limit" {
            let baseline = case["args"]["baseline"].as_f64().expect("a vector has a baseline");
            let (found, wanted) = (criterion.target(baseline), case["expect"].as_f64().expect("a limit"));
            assert!((found - wanted).abs() <= case["tol"].as_f64().expect("a tolerance"), "{case}\nfound {found}");
        } else {
            // The vectors' sign is -1 only for what is subtracted from an earlier value.
            let sign = if criterion.comparison && !criterion.increase { -1 } else { 1 };
            let Criterion { operator, value, comparison, percentage, .. } = criterion;
            assert_eq!(json!([operator.sign(), value, comparison, percentage, sign]), case["expect"], "{case}");
        }
        *replayed.entry(function).or_default() += 1;
    }
    if own {
        assert_eq!(replayed, BTreeMap::from(COUNTS));
    }
}
