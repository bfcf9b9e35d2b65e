//! Rollouts of stages whose gate file a Prometheus answers: it is asked before the new version gets everything.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::site::{IMAGE, PROJECT, Pipeline, SERVICE, Site, exchange, host};
use crate::sources::{Fake, PERFSPEC, Says, add, configure};

/// Production takes a version by a ramp, which no test precedes.
const RAMPED: &str = "stages:
  - {name: dev, deployment_strategy: direct, test_strategy: functional, gate: none}
  - {name: staging, deployment_strategy: blue_green_service, gate: none}
  - {name: production, deployment_strategy: canary, plan: {start: 50%, factor: 2, hold: 300ms}}
";

/// Sends users to production for as long as something is done.
fn among_users<T>(pipeline: &Pipeline, work: impl FnOnce() -> T) -> T {
    struct Home<'h>(&'h AtomicBool);
    impl Drop for Home<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let home = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _home = Home(&home);
        let (to, home) = (pipeline.listen, &home);
        for _ in 0..2 {
            scope.spawn(move || {
                while !home.load(Ordering::Relaxed) {
                    let answer = exchange(to, &host("production"), "GET", "/", &[], b"").expect("an answer of production");
                    assert!(answer.status < 500, "{}", answer.body);
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
            });
        }
        work()
    })
}

#[test]
fn a_ramp_ends_with_everything_only_where_the_sources_agree() {
    let fake = Fake::start(Says::Value("0.0123"));
    let site = Site::new(&["sources: [127.0.0.1]"]);
    let pipeline = site.start();
    site.furnish(&pipeline, RAMPED, "strict", &[]);
    add(&pipeline, "production", PERFSPEC, "perfspec/perfspec.json");
    configure(&pipeline, &fake);
    pipeline.delivered("0.8.1");
    let ended = |context: &str| {
        let story = pipeline.story(context);
        let end = story.into_iter().find(|entry| entry["stage"] == "production" && !entry["outcome"].is_null()).expect("an end");
        (end["outcome"].as_str().unwrap().to_owned(), end.to_string())
    };
    among_users(&pipeline, || {
        // Fast for the proxy, and slow for Prometheus.
        fake.say(Says::Value("0.9"));
        let (outcome, told) = ended(&pipeline.delivered("0.8.3"));
        assert_eq!(outcome, "failed", "{told}");
        assert!(told.contains("request_latency_seconds = 0.9"), "{told}");
        assert_eq!(pipeline.live(), ["0.8.3", "0.8.3", "0.8.1"]);
        let heard = fake.heard();
        assert!(heard.iter().any(|query| query.contains("sockshop-production")), "{heard:?}");

        // One that says nothing is asked until it says something; meanwhile half of the users are with the version on trial.
        fake.say(Says::Nothing);
        let path = format!("/v1/projects/{PROJECT}/services/{SERVICE}/artifacts");
        let answer = pipeline.post(&path, &json!({"image": IMAGE, "tag": "0.8.3", "stage": "production", "retry": true}));
        assert_eq!(answer.status, 202, "{}", answer.body);
        let context = answer.json()["keptnContext"].as_str().unwrap().to_owned();
        pipeline.until("the silent source was asked twice", || {
            let asked = fake.heard.lock().unwrap().len();
            (asked >= 2).then_some(())
        });
        let rollout = pipeline.get(&format!("/v1/rollouts/{SERVICE}.{PROJECT}-production")).json();
        assert_eq!((&rollout["rollout"]["phase"], pipeline.live()[2].as_str()), (&"awaiting_approval".into(), "0.8.1"), "{rollout}");
        fake.say(Says::Value("0.01"));
        pipeline.idle();
        let (outcome, told) = ended(&context);
        assert_eq!(outcome, "passed", "{told}");
        assert_eq!(pipeline.live(), ["0.8.3"; 3]);
    });
    pipeline.end();
}
