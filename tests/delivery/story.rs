//! The seed's story in three stages: a good version arrives, a slow one is stopped in staging and not tried again unless asked.

use serde_json::Value;

use crate::site::{IMAGE, PROJECT, Pipeline, SERVICE, SHIPYARD, STAGES, Site};

const V1: (&str, &str) = ("v1", "0");
const SEND: [&str; 9] = ["send", "event", "new-artifact", "--project", PROJECT, "--service", SERVICE, "--image", IMAGE];

/// Sends an artifact as anybody would and returns its context.
fn send(pipeline: &Pipeline, tag: &str) -> String {
    let said = pipeline.command(&[&SEND[..], &["--tag", tag]].concat());
    said.strip_prefix("ID of keptn context: ").unwrap_or_else(|| panic!("no context in {said}")).trim().to_owned()
}

/// Returns how an artifact ended in the stages it came to.
fn ends(story: &[Value]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    story.iter().filter(|entry| !entry["outcome"].is_null()).map(|entry| (text(&entry["stage"]), text(&entry["outcome"]))).collect()
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

fn shows(pipeline: &Pipeline, stage: &str, page: (&str, &str)) {
    for _ in 0..5 {
        assert_eq!(pipeline.page(stage), (page.0.to_owned(), page.1.to_owned()), "{stage}");
    }
}

#[test]
fn a_slow_version_fails_in_staging_and_production_never_sees_it() {
    let site = Site::new(&[]);
    let pipeline = site.start();
    site.furnish(&pipeline, SHIPYARD, "strict", &["staging"]);

    let first = send(&pipeline, "0.8.1");
    pipeline.idle();
    assert_eq!(ends(&pipeline.story(&first)), pairs(&[("dev", "passed"), ("staging", "passed"), ("production", "passed")]));
    STAGES.iter().for_each(|stage| shows(&pipeline, stage, V1));

    let second = send(&pipeline, "0.8.2");
    pipeline.idle();
    let story = pipeline.story(&second);
    assert_eq!(ends(&story), pairs(&[("dev", "passed"), ("staging", "failed")]), "{story:#?}");
    assert!(story.iter().all(|entry| entry["stage"] != "production"), "production was never touched: {story:#?}");
    shows(&pipeline, "staging", V1);
    shows(&pipeline, "production", V1);
    shows(&pipeline, "dev", ("v2", "1000"));
    assert_eq!(pipeline.live(), ["0.8.2", "0.8.1", "0.8.1"]);
    let stages: Vec<String> = site.deployed().into_iter().map(|deployed| deployed.stage).collect();
    assert_eq!(stages, ["dev", "production", "staging"], "one process for each stage");

    let again = send(&pipeline, "0.8.2");
    pipeline.idle();
    let story = pipeline.story(&again);
    assert_eq!(ends(&story), pairs(&[("dev", "passed"), ("staging", "refused")]), "{story:#?}");
    let why = story.last().unwrap()["reason"].as_str().unwrap();
    assert!(why.contains("has failed in staging") && why.contains("retry"), "{why}");

    told(&pipeline, &first, &second);
    pipeline.end();
    assert_eq!(site.deployed(), [], "nothing is left behind");
}

/// What the commands say of the story.
fn told(pipeline: &Pipeline, first: &str, second: &str) {
    let projects = pipeline.command(&["get", "projects"]);
    let lines: Vec<&str> = projects.lines().map(str::trim).collect();
    assert_eq!(lines[..2], ["project sockshop", "service carts"], "{projects}");
    for (stage, live) in [("dev", "0.8.2"), ("staging", "0.8.1"), ("production", "0.8.1")] {
        let line = lines.iter().find(|line| line.starts_with(stage)).unwrap();
        assert!(line.contains(&format!("live {live}")), "{line}");
        let url = format!("http://carts.sockshop-{stage}.localhost:{}/", pipeline.listen.port());
        assert!(lines.contains(&url.as_str()), "{url} is missing in:\n{projects}");
    }

    let context = pipeline.command(&["get", "context", second]);
    for part in ["0.8.2 was sent to dev", "failed", "[fail]", "staging"] {
        assert!(context.contains(part), "{part:?} is missing in:\n{context}");
    }
    let json: Value = serde_json::from_str(&pipeline.command(&["get", "context", second, "--json"])).unwrap();
    assert_eq!((&json["keptnContext"], &json["complete"]), (&second.into(), &true.into()));

    let evaluation = |context: &str| -> Value {
        serde_json::from_str(&pipeline.command(&["get", "event", "evaluation-done", "--keptn-context", context])).unwrap()
    };
    let (good, bad) = (evaluation(first), evaluation(second));
    assert_eq!((&good["type"], &good["data"]["evaluationpassed"]), (&"sh.keptn.events.evaluation-done".into(), &true.into()));
    assert_eq!((&bad["data"]["stage"], &bad["data"]["evaluationpassed"]), (&"staging".into(), &false.into()));
    assert_eq!(bad["data"]["evaluationdetails"]["result"], "fail");

    let unknown = pipeline.ask(&["get", "context", "nobody"]);
    assert_eq!(unknown.code, Some(2), "{}", unknown.stdout);
    assert!(unknown.stderr.contains("nothing is known of the context"), "{}", unknown.stderr);
}
