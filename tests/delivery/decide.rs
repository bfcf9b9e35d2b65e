//! People let an artifact into a stage, keep it out, or stop it there, over the API and from the command line.

use serde_json::{Value, json};

use crate::site::{PROJECT, Pipeline, SERVICE, Site};

/// Production waits for people.
const SHIPYARD: &str = "stages:\n  - {name: dev, deployment_strategy: direct, gate: none}\n  - name: production\n    \
                        deployment_strategy: direct\n    gate: none\n    approval_strategy: {pass: manual, warning: manual}\n";

fn begun() -> (Site, Pipeline) {
    let site = Site::new(&[]);
    let pipeline = site.start();
    site.furnish(&pipeline, SHIPYARD, "strict", &[]);
    (site, pipeline)
}

/// Sends an artifact and waits until production is asked about it.
fn awaited(pipeline: &Pipeline, tag: &str) -> String {
    let context = pipeline.deliver(tag, false);
    pipeline.until("production is asked", || (pipeline.service()["stages"][1]["run"]["phase"] == "approval").then_some(()));
    context
}

fn decide(pipeline: &Pipeline, what: &str, context: &str, expected: u16) -> Value {
    let path = format!("/v1/projects/{PROJECT}/services/{SERVICE}/stages/production/{what}");
    let answer = pipeline.post(&path, &json!({"context": context, "actor": "ann", "reason": "so it is"}));
    assert_eq!(answer.status, expected, "{what}: {}", answer.body);
    answer.json()
}

/// The command line's way to say the same.
fn said(what: &str) -> Vec<&str> {
    vec![what, "--project", PROJECT, "--service", SERVICE, "--stage", "production", "--actor", "bob", "--reason", "so it is"]
}

fn tells(pipeline: &Pipeline, context: &str, what: &str) -> bool {
    pipeline.story(context).iter().any(|entry| entry["reason"].as_str().is_some_and(|reason| reason.contains(what)))
}

#[test]
fn people_decide_over_the_api_what_enters_a_stage() {
    let (_site, pipeline) = begun();
    decide(&pipeline, "approve", "nothing-waits", 409);
    let first = awaited(&pipeline, "0.8.1");
    assert_eq!(pipeline.live(), ["0.8.1", "none"], "nothing enters unasked");
    decide(&pipeline, "approve", &first, 202);
    pipeline.idle();
    assert_eq!(pipeline.live(), ["0.8.1", "0.8.1"]);
    assert!(tells(&pipeline, &first, "ann lets 0.8.1 into production"), "{:#?}", pipeline.story(&first));

    let second = awaited(&pipeline, "0.8.3");
    decide(&pipeline, "deny", &second, 202);
    pipeline.idle();
    assert_eq!(pipeline.live(), ["0.8.3", "0.8.1"], "what is denied stays where it was let in");
    assert!(tells(&pipeline, &second, "ann does not let 0.8.3 into production: so it is"), "{:#?}", pipeline.story(&second));
    decide(&pipeline, "approve", &second, 409);

    let third = awaited(&pipeline, "0.9.1");
    decide(&pipeline, "abort", &third, 202);
    pipeline.idle();
    assert_eq!(pipeline.live()[1], "0.8.1");
    assert!(tells(&pipeline, &third, "ann stops 0.9.1 in production"), "{:#?}", pipeline.story(&third));
    pipeline.end();
}

#[test]
fn people_decide_from_the_command_line() {
    let (_site, pipeline) = begun();
    awaited(&pipeline, "0.8.1");
    assert!(pipeline.command(&said("approve")).contains("approve: carts in production"));
    pipeline.idle();
    assert_eq!(pipeline.live(), ["0.8.1", "0.8.1"]);
    let refused = pipeline.ask(&said("approve"));
    assert!(refused.code == Some(2) && !refused.stderr.is_empty(), "{}", refused.stderr);

    let second = awaited(&pipeline, "0.8.3");
    pipeline.command(&said("deny"));
    pipeline.idle();
    assert!(tells(&pipeline, &second, "bob does not let 0.8.3 into production"));

    let third = awaited(&pipeline, "0.9.1");
    pipeline.command(&said("abort"));
    pipeline.idle();
    assert!(tells(&pipeline, &third, "bob stops 0.9.1 in production"));
    assert_eq!(pipeline.live()[1], "0.8.1");
    let unclear = pipeline.ask(&["approve", "carts", "--project", PROJECT, "--service", SERVICE, "--stage", "production"]);
    assert_eq!(unclear.code, Some(2), "a rollout and an artifact at once: {}", unclear.stderr);
    pipeline.end();
}
