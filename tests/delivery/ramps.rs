//! Rollouts of stages whose gate file a Prometheus answers: it is asked before the new version gets everything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::site::{Answer, IMAGE, PROJECT, Pipeline, SERVICE, Site, exchange, host};
use crate::sources::{Fake, PERFSPEC, Says, add, configure};

/// The end of a shipyard whose production takes a version by a ramp, which no test precedes.
fn ramped(hold: &str, approval: &str) -> String {
    format!(
        "stages:
  - {{name: dev, deployment_strategy: direct, test_strategy: functional, gate: none}}
  - {{name: production, deployment_strategy: canary, plan: {{start: 50%, factor: 2, hold: {hold}{approval}}}}}
"
    )
}

/// A pipeline with 0.8.1 everywhere, whose production a Prometheus answers.
fn staged(fake: &Fake, within: &str, approval: &str) -> (Site, Pipeline) {
    held(fake, within, "300ms", approval)
}

/// The same, with steps that are held for so long.
fn held(fake: &Fake, within: &str, hold: &str, approval: &str) -> (Site, Pipeline) {
    let site = Site::new(&["sources: [127.0.0.1]", &format!("sources_within: {within}")]);
    let pipeline = site.start();
    site.furnish(&pipeline, &ramped(hold, approval), "strict", &[]);
    add(&pipeline, "production", PERFSPEC, "perfspec/perfspec.json");
    configure(&pipeline, fake);
    pipeline.delivered("0.8.1");
    assert_eq!(pipeline.live(), ["0.8.1"; 2]);
    (site, pipeline)
}

/// Sends users to production for as long as something is done; none of them may be told of a failure.
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
                    // A program that was killed answers nobody.
                    if let Ok(answer) = exchange(to, &host("production"), "GET", "/", &[], b"") {
                        assert!(answer.status < 500, "{}", answer.body);
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
        }
        work()
    })
}

/// Sends an artifact to production alone.
fn ask_there(pipeline: &Pipeline, tag: &str, retry: bool) -> Answer {
    let path = format!("/v1/projects/{PROJECT}/services/{SERVICE}/artifacts");
    pipeline.post(&path, &json!({"image": IMAGE, "tag": tag, "stage": "production", "retry": retry}))
}

/// Sends an artifact to production alone, where it is taken, and returns its context.
fn try_there(pipeline: &Pipeline, tag: &str, retry: bool) -> String {
    let answer = ask_there(pipeline, tag, retry);
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.json()["keptnContext"].as_str().unwrap().to_owned()
}

/// Returns how an artifact ended in production, and all that is told of it there.
fn ended(pipeline: &Pipeline, context: &str) -> (String, String) {
    let story = pipeline.story(context);
    let there: Vec<&Value> = story.iter().filter(|entry| entry["stage"] == "production").collect();
    let end = there.iter().find(|entry| !entry["outcome"].is_null()).unwrap_or_else(|| panic!("no end: {story:#?}"));
    (end["outcome"].as_str().unwrap().to_owned(), json!(there).to_string())
}

fn rollout(pipeline: &Pipeline) -> Value {
    pipeline.get(&format!("/v1/rollouts/{SERVICE}.{PROJECT}-production")).json()["rollout"].clone()
}

/// Waits until production's rollout waits for whoever is to say that it may go on.
fn waits(pipeline: &Pipeline) {
    pipeline.until("the rollout waits", || (rollout(pipeline)["phase"] == "awaiting_approval").then_some(()));
}

/// Waits until the source has been asked so often since the last look.
fn asked(pipeline: &Pipeline, fake: &Fake, often: usize) {
    pipeline.until("the source is asked", || (fake.heard.lock().unwrap().len() >= often).then_some(()));
}

/// Waits until everything is back on 0.8.1 in production.
fn is_back(pipeline: &Pipeline) {
    pipeline.idle();
    assert_eq!(pipeline.live(), ["0.8.3", "0.8.1"]);
    let pages: Vec<String> = (0..8).map(|_| pipeline.page("production").0).collect();
    assert_eq!(pages, ["v1"; 8]);
}

#[test]
fn a_ramp_ends_with_everything_only_where_the_sources_agree() {
    let fake = Fake::start(Says::Value("0.0123"));
    let (_site, pipeline) = staged(&fake, "10m", "");
    among_users(&pipeline, || {
        // Fast for the proxy, and slow for Prometheus.
        fake.heard();
        fake.say(Says::Value("0.9"));
        let context = pipeline.delivered("0.8.3");
        let (outcome, told) = ended(&pipeline, &context);
        assert_eq!(outcome, "failed", "{told}");
        assert!(told.contains("fail by the sources of perfspec.json") && told.contains("request_latency_seconds = 0.9"), "{told}");
        assert!(told.contains(r#""actor":"sources""#), "the story says who: {told}");
        is_back(&pipeline);
        let heard = fake.heard();
        assert!(heard.iter().any(|query| query.contains("sockshop-production")), "{heard:?}");
        let of_rollout = rollout(&pipeline);
        assert_eq!((&of_rollout["phase"], &of_rollout["actor"]), (&"rolled_back".into(), &"sources".into()), "{of_rollout}");
        let done: Value =
            serde_json::from_str(&pipeline.command(&["get", "event", "evaluation-done", "--keptn-context", &context])).unwrap();
        assert_eq!((&done["data"]["evaluationpassed"], &done["data"]["evaluationdetails"]["result"]), (&false.into(), &"fail".into()));
        assert!(done.to_string().contains("request_latency_seconds"), "{done}");

        // It has failed there, and is not tried again unless somebody says so.
        let refused = ask_there(&pipeline, "0.8.3", false);
        assert!(refused.status == 409 && refused.body.contains("0.8.3 has failed in production"), "{}", refused.body);

        // One that says nothing is asked until it says something; meanwhile half of the users are with the version on trial.
        fake.say(Says::Nothing);
        let context = try_there(&pipeline, "0.8.3", true);
        asked(&pipeline, &fake, 2);
        assert_eq!((&rollout(&pipeline)["phase"], pipeline.live()[1].as_str()), (&"awaiting_approval".into(), "0.8.1"));
        fake.say(Says::Value("0.01"));
        pipeline.idle();
        let (outcome, told) = ended(&pipeline, &context);
        assert_eq!(outcome, "passed", "{told}");
        assert_eq!(pipeline.live(), ["0.8.3"; 2]);
        assert_eq!(pipeline.page("production").0, "v3");
    });
    pipeline.end();
}

#[test]
fn what_the_sources_say_nothing_of_goes_back_and_may_be_tried_again() {
    let fake = Fake::start(Says::Value("0.0123"));
    let (_site, pipeline) = staged(&fake, "1s", "");
    let odd = [
        Says::Nothing,
        Says::Value("NaN"),
        Says::Body(500, "broken"),
        Says::Body(200, r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#),
        Says::Silence,
    ];
    among_users(&pipeline, || {
        fake.say(odd[0].clone());
        let mut context = pipeline.delivered("0.8.3");
        for next in odd.iter().skip(1).map(Some).chain([None]) {
            let (outcome, told) = ended(&pipeline, &context);
            assert_eq!(outcome, "inconclusive", "{told}");
            assert!(told.contains("the sources of perfspec.json have said nothing of use for 1 s"), "{told}");
            assert!(told.contains("so everything is given back") && told.contains(r#""actor":"sources""#), "{told}");
            is_back(&pipeline);
            if let Some(next) = next {
                fake.say(next.clone());
                context = try_there(&pipeline, "0.8.3", false);
                pipeline.idle();
            }
        }
    });
    pipeline.end();
}

#[test]
fn whom_the_plan_wants_to_be_asked_is_asked_beside_the_sources() {
    let fake = Fake::start(Says::Value("0.0123"));
    let (_site, pipeline) = staged(&fake, "10m", ", approval: {deadline: 10m, then: roll_back}");
    let approve = |expected: u16| {
        let path = format!("/v1/rollouts/{SERVICE}.{PROJECT}-production/approve");
        let whoever = [("content-type", "application/json"), ("if-match", "*")];
        let answer = pipeline.send("POST", &path, &whoever, br#"{"actor": "ann", "reason": "so it is"}"#);
        assert_eq!(answer.status, expected, "{}", answer.body);
    };
    among_users(&pipeline, || {
        // A failure needs nobody's word.
        fake.say(Says::Value("0.9"));
        let (outcome, told) = ended(&pipeline, &pipeline.delivered("0.8.3"));
        assert_eq!(outcome, "failed", "{told}");
        is_back(&pipeline);

        fake.say(Says::Value("0.01"));
        let context = try_there(&pipeline, "0.8.3", true);
        pipeline.until("the sources have passed it", || {
            pipeline.get("/v1/notices").body.contains("pass by sources, and somebody must approve").then_some(())
        });
        assert_eq!(rollout(&pipeline)["phase"], "awaiting_approval", "what the sources say is not what the plan asks for");
        approve(202);
        pipeline.idle();
        let (outcome, told) = ended(&pipeline, &context);
        assert_eq!(outcome, "passed", "{told}");
        assert_eq!(pipeline.live(), ["0.8.3"; 2]);
        approve(409);
    });
    pipeline.end();
}

#[test]
fn whoever_approves_first_does_not_silence_the_sources() {
    let fake = Fake::start(Says::Value("0.0123"));
    // Long enough that they are asked again before everything is promoted.
    let (_site, pipeline) = held(&fake, "10m", "10s", ", approval: {deadline: 10m, then: roll_back}");
    among_users(&pipeline, || {
        fake.say(Says::Nothing);
        let context = pipeline.deliver("0.8.3", false);
        waits(&pipeline);
        let path = format!("/v1/rollouts/{SERVICE}.{PROJECT}-production/approve");
        let whoever = [("content-type", "application/json"), ("if-match", "*")];
        let answer = pipeline.send("POST", &path, &whoever, br#"{"actor": "ann", "reason": "it is late"}"#);
        assert_eq!(answer.status, 202, "{}", answer.body);
        fake.say(Says::Value("0.9"));
        pipeline.idle();
        let (outcome, told) = ended(&pipeline, &context);
        assert_eq!(outcome, "failed", "{told}");
        assert!(told.contains("fail by the sources of perfspec.json"), "{told}");
        is_back(&pipeline);
    });
    pipeline.end();
}

#[test]
fn a_kill_while_the_source_is_waited_for_promotes_nothing_and_the_source_is_asked_anew() {
    for (says, outcome, live) in [("0.9", "failed", ["0.8.3", "0.8.1"]), ("0.01", "passed", ["0.8.3"; 2])] {
        let fake = Fake::start(Says::Value("0.0123"));
        let (site, pipeline) = staged(&fake, "10m", "");
        let context = among_users(&pipeline, || {
            fake.say(Says::Nothing);
            let context = pipeline.deliver("0.8.3", false);
            waits(&pipeline);
            fake.heard();
            asked(&pipeline, &fake, 1);
            context
        });
        pipeline.kill();

        fake.heard();
        let pipeline = site.start();
        assert_eq!(pipeline.live()[1], "0.8.1");
        among_users(&pipeline, || {
            asked(&pipeline, &fake, 1);
            assert_eq!((&rollout(&pipeline)["phase"], pipeline.live()[1].as_str()), (&"awaiting_approval".into(), "0.8.1"));
            fake.say(Says::Value(says));
            pipeline.idle();
            let (ended, told) = ended(&pipeline, &context);
            assert_eq!((ended.as_str(), pipeline.live()), (outcome, live.map(str::to_owned).to_vec()), "{told}");
            assert!(told.contains("begins again in production after a restart"), "{told}");
        });
        pipeline.end();
    }
}

#[test]
fn what_the_sources_were_against_stays_failed_when_the_program_is_killed_right_after() {
    let fake = Fake::start(Says::Value("0.0123"));
    let (site, pipeline) = staged(&fake, "10m", "");
    let context = among_users(&pipeline, || {
        fake.say(Says::Value("0.9"));
        let context = pipeline.deliver("0.8.3", false);
        // The rollout has it durable before the run that asked for it knows.
        pipeline.until_soon("it is rolled back", || {
            let rollout = rollout(&pipeline);
            (rollout["phase"] == "rolled_back" && rollout["durable"] == true).then_some(())
        });
        let hard = std::process::Command::new("kill").args(["-KILL", &pipeline.id().to_string()]).status().unwrap();
        assert!(hard.success());
        context
    });
    pipeline.kill();

    fake.heard();
    fake.say(Says::Value("0.01"));
    let pipeline = site.start();
    among_users(&pipeline, || {
        is_back(&pipeline);
        let (outcome, told) = ended(&pipeline, &context);
        assert_eq!(outcome, "failed", "{told}");
        assert!(told.contains("request_latency_seconds = 0.9") && told.contains(r#""actor":"sources""#), "{told}");
        assert_eq!(fake.heard(), [""; 0], "what is known needs nobody's word");
    });
    pipeline.end();
}
