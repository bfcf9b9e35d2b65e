//! The files of a project: those of a service in a stage come first, and a bad one takes the place of none.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::site::{PROJECT, Pipeline, SERVICE, SHIPYARD, Site};

/// Returns every file of the project.
fn files(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), found);
        } else {
            found.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
}

fn all(site: &Site) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    files(&site.state().join("projects"), &mut found);
    found
}

fn data(name: &str) -> String {
    fs::read_to_string(format!("tests/data/compat/{name}")).unwrap()
}

fn add(pipeline: &Pipeline, site: &Site, stage: Option<&str>, uri: &str, content: &str) -> crate::process::Finished {
    let file = site.write("resource", content);
    let mut args = vec!["add-resource", "--project", PROJECT, "--service", SERVICE, "--resource", &file, "--resourceUri", uri];
    args.extend(stage.into_iter().flat_map(|stage| ["--stage", stage]));
    pipeline.ask(&args)
}

#[test]
fn a_file_that_its_reader_refuses_takes_the_place_of_none() {
    for more in [&[][..], &["sources: [127.0.0.1]"]] {
        let site = Site::new(more);
        let pipeline = site.start();
        site.furnish(&pipeline, SHIPYARD, "strict", &[]);
        let good = [
            ("perfspec/perfspec.json", data("perfspec_dynatrace.json")),
            ("sli.yaml", data("sli-prometheus.yaml")),
            ("slo.yaml", data("slo-quality-gates.yaml").replace("- \"<=+10%\"  #", "#")),
            ("service-indicators.yaml", data("service-indicators.yaml")),
            ("service-objectives.yaml", data("service-objectives.yaml")),
        ];
        // The queries that were published ask for more than the proxy can tell apart by itself.
        for (uri, content) in good.iter().filter(|(uri, _)| !more.is_empty() || *uri != "sli.yaml") {
            let added = add(&pipeline, &site, None, uri, content);
            assert_eq!(added.code, Some(0), "{uri}: {}", added.stderr);
        }
        let before = all(&site);
        let of = |uri: &str| good.iter().find(|(name, _)| *name == uri).unwrap().1.clone();
        let bad = [
            ("perfspec/perfspec.json", of("perfspec/perfspec.json").replace("metricScore", "metricsScore"), "did you mean"),
            ("perfspec/perfspec.json", "{".to_owned(), "perfspec/perfspec.json:1:"),
            ("perfspec.json", of("perfspec/perfspec.json").replace("\"Dynatrace\"", "\"dynatrace\""), "dynatrace"),
            ("slo.yaml", of("slo.yaml").replace("total_score", "totalscore"), "slo.yaml:"),
            ("slo.yaml", of("slo.yaml").replace("<600", "<=1%"), "<=+1%"),
            ("slo.yaml", of("slo.yaml").replace("response_time_p95", "response_thyme_p95"), "response_thyme_p95"),
            ("sli.yaml", "indicators: [a, b]\n".to_owned(), "sli.yaml:"),
            ("sli.yaml", "indicatorss: {}\n".to_owned(), "sli.yaml:"),
            ("service-objectives.yaml", of("service-objectives.yaml").replace("threshold", "treshold"), "treshold"),
            ("service-objectives.yaml", of("service-indicators.yaml"), "not a service-objectives.yaml"),
            (
                "service-indicators.yaml",
                of("service-indicators.yaml").replace("metric: cpu_usage", "metric: cpu_use"),
                "cpu_usage_sockshop_carts",
            ),
            ("shipyard.yaml", "stages: [{name: DEV}]\n".to_owned(), "shipyard.yaml:"),
            ("jmeter/jmeter.conf.yaml", "workloads: [{teststrategy: performance, vusers: 5}]\n".to_owned(), "vusers"),
            ("jmeter/load.jmx", data("jmeter/load.jmx").replace("HTTPSamplerProxy", "FTPSampler"), "FTPSampler"),
            ("jmeter/own.jmx", "<jmeterTestPlan>".to_owned(), "jmeter/own.jmx:"),
        ];
        for (uri, content, part) in bad {
            let refused = add(&pipeline, &site, None, uri, &content);
            assert_eq!(refused.code, Some(2), "{uri} {more:?}: {}", refused.stdout);
            assert!(refused.stderr.contains(part), "{part:?} is missing for {uri} {more:?}: {}", refused.stderr);
            assert!(all(&site) == before, "{uri}: nothing has changed");
        }
        pipeline.end();
    }
}

#[test]
fn what_no_source_answers_must_be_what_the_proxy_can_judge() {
    let site = Site::new(&[]);
    let pipeline = site.start();
    site.furnish(&pipeline, SHIPYARD, "strict", &[]);
    let unknown = data("perfspec_prometheus.json").replace("requests_latency", "cpu_usage");
    let refused = add(&pipeline, &site, None, "perfspec/perfspec.json", &unknown);
    assert!(refused.code == Some(2) && refused.stderr.contains("the proxy's own measurements"), "{}", refused.stderr);
    let unknown = "objectives: [{sli: cpu, pass: [{criteria: ['<1']}]}]\ntotal_score: {pass: '90%', warning: '75%'}\n";
    let refused = add(&pipeline, &site, None, "slo.yaml", unknown);
    assert!(refused.code == Some(2) && refused.stderr.contains("slo.yaml:") && refused.stderr.contains("cpu"), "{}", refused.stderr);
    pipeline.end();
}

#[test]
fn the_tests_of_a_service_in_a_stage_come_before_those_of_the_service() {
    let site = Site::new(&[]);
    let pipeline = site.start();
    site.furnish(&pipeline, SHIPYARD, "strict", &["staging"]);
    let own = "spec_version: '0.1.0'\nworkloads:\n  \
               - {teststrategy: performance, vuser: 1, loopcount: 37, script: jmeter/own.jmx, thinktime: 0, acceptederrorrate: 0.1}\n";
    for (uri, content) in [("jmeter/jmeter.conf.yaml", own.to_owned()), ("jmeter/own.jmx", data("jmeter/carts_load.jmx"))] {
        let added = add(&pipeline, &site, Some("staging"), uri, &content);
        assert_eq!(added.code, Some(0), "{}", added.stderr);
    }
    let context = pipeline.delivered("0.8.1");
    let tested = |stage: &str| {
        let story = pipeline.story(&context);
        let said = story.iter().rev().find(|entry| entry["stage"] == stage && entry["actor"] == "tests").cloned();
        said.unwrap_or_else(|| panic!("{stage} was not tested: {story:#?}"))["reason"].as_str().unwrap().to_owned()
    };
    assert!(tested("staging").contains("37 requests, 0 errors"), "{}", tested("staging"));
    assert!(tested("dev").contains("1 requests, 0 errors"), "{}", tested("dev"));
    assert_eq!(pipeline.live(), ["0.8.1"; 3]);
    pipeline.end();
}

#[test]
fn a_gate_file_of_the_original_that_a_source_answers_must_be_one_that_it_could_read() {
    let site = Site::new(&["sources: [127.0.0.1]"]);
    let pipeline = site.start();
    site.furnish(&pipeline, SHIPYARD, "keptn", &[]);
    let good = [
        // What is no key of it was ignored.
        ("perfspec/perfspec.json", data("perfspec_dynatrace.json").replacen('{', "{\"comment\": 1,", 1)),
        ("slo.yaml", data("slo-quality-gates.yaml")),
        ("sli.yaml", data("sli-prometheus.yaml")),
        ("service-indicators.yaml", data("service-indicators.yaml")),
        ("service-objectives.yaml", data("service-objectives.yaml")),
    ];
    for (uri, content) in &good {
        let added = add(&pipeline, &site, None, uri, content);
        assert_eq!(added.code, Some(0), "{uri}: {}", added.stderr);
    }
    let before = all(&site);
    for (uri, content, wanted) in [
        ("perfspec/perfspec.json", "{\"indicators\": [", "perfspec/perfspec.json:1:"),
        ("perfspec.json", "{\"indicator\": []}", "no list of 'indicators'"),
        ("slo.yaml", "objectives: {sli: x}\n", "slo.yaml: yaml:"),
        ("sli.yaml", "indicators: [a\n", "sli.yaml:"),
        ("service-indicators.yaml", "a: [b\n", "service-indicators.yaml:"),
        ("service-objectives.yaml", "a: [b\n", "service-objectives.yaml:"),
    ] {
        let refused = add(&pipeline, &site, None, uri, content);
        assert_ne!(refused.code, Some(0), "{uri} {content}");
        assert!(refused.stderr.contains(wanted), "{uri}: {wanted} is missing in {}", refused.stderr);
    }
    assert_eq!(all(&site), before);
    pipeline.end();
}
