//! Runs the scenario files, by the chapter of the document that their figures come from.

use std::path::PathBuf;

use portcullis::simulate::report::Report;
use portcullis::simulate::run;
use portcullis::simulate::scenario::{self, Scenario};

/// The chapters, as the names of the files begin.
const CHAPTERS: [&str; 11] = ["s0_", "s3_", "s4_", "s5_", "s6_", "s8_", "s10_", "s12_", "acceptance_", "case_", "chaos"];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/simulation/scenarios")
}

/// Returns the names of the files, sorted.
fn files() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn load(file: &str) -> Vec<Scenario> {
    let text = std::fs::read_to_string(folder().join(file)).unwrap();
    scenario::load(file, &text).unwrap_or_else(|problems| {
        let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("{}", shown.join("\n"));
    })
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a whole number")))
}

/// Runs every file of a chapter and fails with everything that is not as expected.
fn hold(chapter: &str) {
    let seed = number("PORTCULLIS_SEED");
    let mut failed = String::new();
    for file in files().into_iter().filter(|file| file.starts_with(chapter)) {
        for mut scenario in load(&file) {
            let runs = number("PORTCULLIS_RUNS").or(seed.map(|_| 1)).map(|runs| usize::try_from(runs).unwrap());
            let runs = runs.unwrap_or_else(|| scenario.quick_runs.unwrap_or(scenario.runs).0);
            if seed.is_some() {
                // One run says nothing about how often something happens.
                scenario.expect = scenario::Expect::default();
                scenario.peer.clear();
            }
            let results = run::run(&scenario, runs, seed.unwrap_or(1), 2, &|| {});
            let report = Report::new(format!("{file} [{}]", scenario.name), &scenario, &results);
            println!("{}", report.text());
            if !report.holds() {
                failed.push_str(&report.text());
            }
        }
    }
    assert!(failed.is_empty(), "not as expected:\n{failed}");
}

#[test]
fn section_0_the_headline() {
    hold("s0_");
}

#[test]
fn section_3_requests_in_flight() {
    hold("s3_");
}

#[test]
fn section_4_bursts() {
    hold("s4_");
}

#[test]
fn section_5_versions_that_turn_bad() {
    hold("s5_");
}

#[test]
fn section_6_relative_to_stable() {
    hold("s6_");
}

#[test]
fn section_8_gates_steps_and_warm_up() {
    hold("s8_");
}

#[test]
fn section_10_delays_and_harm() {
    hold("s10_");
}

#[test]
fn section_12_the_default_ramp() {
    hold("s12_");
}

#[test]
fn acceptance() {
    hold("acceptance_");
}

#[test]
fn cases() {
    hold("case_");
}

#[test]
fn chaos_breaks_no_invariant() {
    hold("chaos");
}

#[test]
fn every_file_belongs_to_a_chapter_and_expects_something() {
    for file in files() {
        assert!(CHAPTERS.iter().any(|chapter| file.starts_with(chapter)), "{file} is run by no test");
        for scenario in load(&file) {
            assert_ne!(scenario.expect, scenario::Expect::default(), "{file} [{}] expects nothing", scenario.name);
        }
    }
}

#[test]
fn a_seed_means_the_same_whatever_the_threads() {
    let scenario = load("chaos.toml").remove(0);
    let [one, many] = [1, 5].map(|threads| {
        let results = run::run(&scenario, 24, 7, threads, &|| {});
        serde_json::to_string(&Report::new("chaos".to_owned(), &scenario, &results)).unwrap() + &format!("{:?}", results.runs)
    });
    assert_eq!(one, many);
}
