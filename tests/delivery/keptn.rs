//! A project delivered as keptn 0.4 did: everything to the new version first, and back when the evaluation fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::site::{PROJECT, SERVICE, Site, page};

/// A performance test that a slow version ends soon.
const SHORT: &str = "spec_version: '0.1.0'
workloads:
  - {teststrategy: performance, vuser: 5, loopcount: 2, script: jmeter/load.jmx, thinktime: 0, acceptederrorrate: 0.1}
";

#[test]
fn staging_is_given_away_before_the_test_and_taken_back_after_it_and_dev_keeps_the_bad_version() {
    let site = Site::new(&[]);
    let pipeline = site.start();
    let shipyard = std::fs::read_to_string("tests/data/compat/shipyard.yaml").unwrap();
    site.furnish(&pipeline, &shipyard, "keptn", &["staging"]);
    let short = site.write("short.yaml", SHORT);
    let of = ["add-resource", "--project", PROJECT, "--service", SERVICE, "--resource", &short];
    pipeline.command(&[&of[..], &["--resourceUri", "jmeter/jmeter.conf.yaml"]].concat());

    // What a user of staging meets during the test is judged too, so that the limit lies well below the mean of both.
    let perfspec = std::fs::read_to_string("tests/data/compat/perfspec_dynatrace.json").unwrap();
    let perfspec = site.write("perfspec.json", perfspec.replace("1000000", "200000").replace("800000", "160000"));
    let of = ["add-resource", "--project", PROJECT, "--service", SERVICE, "--stage", "staging", "--resource", &perfspec];
    pipeline.command(&[&of[..], &["--resourceUri", "perfspec/perfspec.json"]].concat());

    pipeline.delivered("0.8.1");
    assert_eq!(pipeline.live(), ["0.8.1"; 3]);

    let (over, listen) = (AtomicBool::new(false), pipeline.listen);
    let (context, seen) = std::thread::scope(|scope| {
        let observer = scope.spawn(|| {
            let mut seen: Vec<String> = Vec::new();
            while !over.load(Ordering::Relaxed) {
                seen.push(page(listen, "staging").0);
                // A user who looks ten times a second.
                std::thread::sleep(Duration::from_millis(100));
            }
            // Once more after the end, so that the last state is seen however slow the page was.
            seen.push(page(listen, "staging").0);
            seen
        });
        let context = pipeline.delivered("0.8.2");
        over.store(true, Ordering::Relaxed);
        (context, observer.join().unwrap())
    });
    let trial = seen.iter().filter(|version| *version == "v2").count();
    println!("{} looks at staging, {trial} of them during the trial", seen.len());
    let mut sequence = seen;
    sequence.dedup();
    assert_eq!(sequence, ["v1", "v2", "v1"], "all of staging went to the new version and came back once");

    let story = pipeline.story(&context);
    let phases: Vec<&str> = story.iter().filter(|entry| entry["stage"] == "staging").filter_map(|entry| entry["phase"].as_str()).collect();
    assert_eq!(phases, ["deploying", "switching", "checking", "testing", "evaluating", "returning"], "{story:#?}");
    assert!(story.iter().all(|entry| entry["stage"] != "production"), "{story:#?}");
    assert_eq!(pipeline.live(), ["0.8.2", "0.8.1", "0.8.1"]);
    assert_eq!(pipeline.page("dev"), ("v2".to_owned(), "1000".to_owned()));
    assert_eq!(pipeline.page("production"), ("v1".to_owned(), "0".to_owned()));
    let stages: Vec<String> = site.deployed().into_iter().map(|deployed| deployed.stage).collect();
    assert_eq!(stages, ["dev", "production", "staging"]);
    pipeline.end();
}
