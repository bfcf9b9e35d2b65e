//! Gates by what a Prometheus says: a fake one that answers as a real one was recorded to, or as a broken one would.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::site::{IMAGE, PROJECT, Pipeline, SERVICE, SHIPYARD, Site};

pub const PERFSPEC: &str = "tests/data/compat/perfspec_prometheus.json";

/// What the fake says.
#[derive(Clone, Debug)]
pub enum Says {
    /// This value, as one sample of a vector.
    Value(&'static str),
    /// These values for queries that contain these texts.
    Each(Vec<(&'static str, &'static str)>),
    /// This body with this status.
    Body(u16, &'static str),
    /// Nothing: it closes the connection.
    Nothing,
    /// Nothing, and it keeps the connection open.
    Silence,
}

/// A fake Prometheus; it ends with the process of the test.
pub struct Fake {
    address: SocketAddr,
    says: Arc<Mutex<Says>>,
    pub heard: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    pub fn start(says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (says, heard) = (Arc::new(Mutex::new(says)), Arc::new(Mutex::new(Vec::new())));
        let fake = Self { address, says: Arc::clone(&says), heard: Arc::clone(&heard) };
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (says, heard) = (says.lock().unwrap().clone(), Arc::clone(&heard));
                std::thread::spawn(move || answer(socket, &says, &heard));
            }
        });
        fake
    }

    pub fn say(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the targets that were asked for since the last look.
    pub fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

fn vector(value: &str) -> String {
    let sample = json!({"metric": {"instance": "carts:8080", "job": "carts-sockshop-staging"}, "value": [1_571_670_000.123, value]});
    json!({"status": "success", "data": {"resultType": "vector", "result": [sample]}}).to_string()
}

fn answer(mut socket: TcpStream, says: &Says, heard: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if !matches!(socket.read(&mut byte), Ok(1)) {
            return;
        }
        head.push(byte[0]);
    }
    let target = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap().to_owned();
    heard.lock().unwrap().push(target.clone());
    let of = |all: &[(&str, &str)]| all.iter().find(|(part, _)| target.contains(part)).map_or("NaN".to_owned(), |(_, v)| (*v).to_owned());
    let (status, body) = match says {
        Says::Value(value) => (200, vector(value)),
        Says::Each(all) => (200, vector(&of(all))),
        Says::Body(status, body) => (*status, (*body).to_owned()),
        Says::Nothing => return,
        // Until the client gives up.
        Says::Silence => return drop(socket.read(&mut [0])),
    };
    let _ = write!(socket, "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
}

/// A pipeline of the seed whose staging is judged by the perfspec for Prometheus, as it was published.
fn staged(fake: &Fake) -> (Site, Pipeline) {
    let site = Site::new(&["sources: [127.0.0.1]"]);
    let pipeline = site.start();
    site.furnish(&pipeline, SHIPYARD, "strict", &[]);
    add(&pipeline, "staging", PERFSPEC, "perfspec/perfspec.json");
    configure(&pipeline, fake);
    (site, pipeline)
}

pub fn add(pipeline: &Pipeline, stage: &str, file: &str, uri: &str) {
    let of = ["add-resource", "--project", PROJECT, "--service", SERVICE, "--stage", stage];
    pipeline.command(&[&of[..], &["--resource", file, "--resourceUri", uri]].concat());
}

pub fn configure(pipeline: &Pipeline, fake: &Fake) {
    let said = pipeline.command(&["configure", "monitoring", "prometheus", "--project", PROJECT, "--url", &fake.url()]);
    assert!(said.contains("answers") && said.contains("sockshop"), "{said}");
    fake.heard();
}

/// Tries an artifact again in staging, waits until its way is over and returns its context.
fn again(pipeline: &Pipeline, tag: &str) -> String {
    let path = format!("/v1/projects/{PROJECT}/services/{SERVICE}/artifacts");
    let answer = pipeline.post(&path, &json!({"image": IMAGE, "tag": tag, "stage": "staging", "retry": true}));
    assert_eq!(answer.status, 202, "{}", answer.body);
    pipeline.idle();
    answer.json()["keptnContext"].as_str().unwrap().to_owned()
}

/// Returns how an artifact ended in staging, how it was judged, and why.
fn staging(pipeline: &Pipeline, context: &str) -> (String, String, String) {
    let story = pipeline.story(context);
    let end = story.iter().find(|entry| entry["stage"] == "staging" && !entry["outcome"].is_null());
    let end = end.unwrap_or_else(|| panic!("no end in staging: {story:#?}"));
    let judged = story.iter().rev().find(|entry| entry["stage"] == "staging" && entry["actor"] == "gate").unwrap_or(end);
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    (text(end, "outcome"), text(judged, "actor"), text(judged, "reason"))
}

#[test]
fn staging_is_judged_by_prometheus_and_a_source_that_is_down_promotes_nothing() {
    let fake = Fake::start(Says::Value("0.0123"));
    let (_site, pipeline) = staged(&fake);

    let first = pipeline.delivered("0.8.1");
    let (outcome, _, reason) = staging(&pipeline, &first);
    assert_eq!(outcome, "passed", "{reason}");
    assert!(reason.contains("request_latency_seconds = 0.0123"), "the value is told: {reason}");
    let heard = fake.heard();
    let query = heard.first().expect("Prometheus was asked");
    assert!(query.starts_with("/api/v1/query?query=rate%28") && query.contains("sockshop-staging") && query.contains("1m"), "{query}");
    assert_eq!(pipeline.live(), ["0.8.1"; 3]);

    // A version that is fast for the proxy, and slow for Prometheus.
    fake.say(Says::Value("0.9"));
    let second = pipeline.delivered("0.8.3");
    let (outcome, actor, reason) = staging(&pipeline, &second);
    assert_eq!((outcome.as_str(), actor.as_str()), ("failed", "gate"), "{reason}");
    assert!(reason.contains("request_latency_seconds = 0.9"), "{reason}");
    assert!(reason.contains("by the proxy's own numbers: totalScore 100"), "the proxy itself saw nothing bad: {reason}");
    assert_eq!(pipeline.live(), ["0.8.3", "0.8.1", "0.8.1"]);
    assert_eq!(pipeline.page("staging").0, "v1");

    // The source is down: nobody can say, so stable stays, and the same artifact may be tried again.
    fake.say(Says::Nothing);
    let third = again(&pipeline, "0.8.3");
    let (outcome, _, reason) = staging(&pipeline, &third);
    assert_eq!(outcome, "inconclusive", "{reason}");
    assert!(reason.contains("cannot be asked") && reason.contains("request_latency_seconds has no value"), "{reason}");
    assert_eq!(pipeline.live(), ["0.8.3", "0.8.1", "0.8.1"]);
    assert_eq!(pipeline.page("staging").0, "v1");

    fake.say(Says::Value("0.01"));
    let last = again(&pipeline, "0.8.3");
    assert_eq!(staging(&pipeline, &last).0, "passed");
    assert_eq!(pipeline.live(), ["0.8.3"; 3]);
    let done: Value = serde_json::from_str(&pipeline.command(&["get", "event", "evaluation-done", "--keptn-context", &second])).unwrap();
    let details = &done["data"]["evaluationdetails"];
    assert_eq!((&done["data"]["evaluationpassed"], &details["result"]), (&false.into(), &"fail".into()));
    assert_eq!(details["indicatorResults"][0]["id"], "request_latency_seconds");
    pipeline.end();
}

/// Asks for an evaluation of staging, waits for it, and returns the exit code and what it says.
fn evaluated(pipeline: &Pipeline, more: &[&str]) -> (Option<i32>, String) {
    let of = ["send", "event", "start-evaluation", "--project", PROJECT, "--service", SERVICE, "--stage", "staging", "--wait"];
    let ended = pipeline.ask(&[&of[..], more].concat());
    let said = ended.stdout.lines().nth(1).unwrap_or_else(|| panic!("{}{}", ended.stdout, ended.stderr)).to_owned();
    (ended.code, said)
}

#[test]
fn an_evaluation_that_is_asked_for_delivers_nothing_and_what_is_odd_is_inconclusive() {
    let fake = Fake::start(Says::Value("0.1"));
    let (_site, pipeline) = staged(&fake);
    let before = pipeline.service();
    let odd = [
        Says::Value("NaN"),
        Says::Value("+Inf"),
        Says::Value("fast"),
        Says::Nothing,
        Says::Body(500, "broken"),
        Says::Body(200, "no JSON"),
        Says::Body(200, r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#),
        Says::Body(200, r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#),
        Says::Body(200, r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#),
        Says::Body(302, ""),
        Says::Silence,
    ];
    for says in odd {
        fake.say(says.clone());
        let (code, said) = evaluated(&pipeline, &["--timeframe", "5m"]);
        assert_eq!(code, Some(3), "{says:?}: {said}");
        assert!(said.starts_with("inconclusive: ") && said.contains("request_latency_seconds"), "{says:?}: {said}");
    }
    for (value, code, word) in [("0.79", 0, "pass: "), ("0.81", 3, "fail: ")] {
        fake.say(Says::Value(value));
        let (ended, said) = evaluated(&pipeline, &["--start", "2026-01-31T12:00:00", "--end", "2026-01-31T12:07:30"]);
        assert_eq!(ended, Some(code), "{said}");
        assert!(said.starts_with(word) && said.contains(&format!("request_latency_seconds = {value}")), "{said}");
        assert!(said.contains("from 12:00:00 to 12:07:30 UTC"), "{said}");
        let asked = fake.heard().pop().unwrap();
        assert!(asked.ends_with("time=1769861250.000") && asked.contains("8m"), "at its end, of its length: {asked}");
    }
    assert_eq!(pipeline.service(), before, "nothing is delivered");
    for (args, part) in [
        (["--timeframe", "5"], "the time frame format is invalid"),
        (["--start", "2026-01-31T12:00:00"], "--start needs"),
        (["--end", "2026-01-31T12:00:00"], "--end needs --start"),
    ] {
        let of = ["send", "event", "start-evaluation", "--project", PROJECT, "--service", SERVICE, "--stage", "staging"];
        let refused = pipeline.ask(&[&of[..], &args].concat());
        assert_eq!(refused.code, Some(2));
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    pipeline.end();
}

#[test]
fn an_evaluation_is_begun_by_the_events_of_every_era_and_its_story_is_kept() {
    let fake = Fake::start(Says::Value("0.9"));
    let (site, pipeline) = staged(&fake);
    let (start, end) = ("2026-01-31T12:00:00.000Z", "2026-01-31T12:05:00.000Z");
    let about = json!({"project": PROJECT, "stage": "staging", "service": SERVICE});
    let with = |more: Value| {
        let mut data = about.clone();
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        data
    };
    let forms = [
        ("0.2", "sh.keptn.event.start-evaluation", with(json!({"teststrategy": "manual", "start": start, "end": end}))),
        ("1.0", "sh.keptn.event.evaluation.triggered", with(json!({"evaluation": {"start": start, "end": end}}))),
        ("1.0", "sh.keptn.event.evaluation.triggered", with(json!({"test": {"start": start, "end": end}}))),
        ("1.0", "sh.keptn.event.evaluation.triggered", with(json!({"evaluation": {"timeframe": "5m"}}))),
    ];
    for (number, (version, kind, data)) in forms.into_iter().enumerate() {
        let context = format!("wish-{number}");
        let event = json!({"specversion": version, "type": kind, "source": "here", "id": context, "shkeptncontext": context, "data": data});
        let answer = pipeline.send("POST", "/v1/events", &[("content-type", "application/json")], event.to_string().as_bytes());
        assert_eq!(answer.status, 202, "{kind}: {}", answer.body);
        let story = pipeline.until("the evaluation is made", || {
            let story = pipeline.get(&format!("/v1/contexts/{context}")).json();
            (story["evaluating"] == false).then_some(story)
        });
        assert_eq!((&story["evaluations"][0]["verdict"], &story["entries"]), (&"fail".into(), &json!([])), "{story:#}");
        let done: Value =
            serde_json::from_str(&pipeline.command(&["get", "event", "evaluation-done", "--keptn-context", &context])).unwrap();
        assert_eq!((&done["data"]["evaluationpassed"], &done["data"]["stage"]), (&false.into(), &"staging".into()));
    }
    let timeless = json!({"specversion": "0.2", "type": "sh.keptn.event.start-evaluation", "source": "here", "id": "x", "data": about});
    let refused = pipeline.send("POST", "/v1/events", &[("content-type", "application/json")], timeless.to_string().as_bytes());
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(refused.body.contains("write start and end"), "{}", refused.body);

    // What was said outlives a kill, and so does the source.
    pipeline.kill();
    let pipeline = site.start();
    let context = pipeline.command(&["get", "context", "wish-0"]);
    assert!(context.contains("evaluation of staging: [fail]") && context.contains("request_latency_seconds = 0.9"), "{context}");
    assert_eq!(evaluated(&pipeline, &[]).0, Some(3));
    pipeline.end();
}

#[test]
fn an_slo_is_compared_with_the_evaluations_that_passed_before() {
    let fake = Fake::start(Says::Value("400"));
    let site = Site::new(&["sources: [127.0.0.1]"]);
    let pipeline = site.start();
    site.furnish(&pipeline, SHIPYARD, "strict", &[]);
    add(&pipeline, "staging", "tests/data/compat/sli-prometheus.yaml", "sli.yaml");
    add(&pipeline, "staging", "tests/data/compat/slo-quality-gates.yaml", "slo.yaml");
    configure(&pipeline, &fake);
    let judged = |value: &'static str| {
        fake.say(Says::Value(value));
        let (_, said) = evaluated(&pipeline, &[]);
        said
    };
    // V8: there is nothing to compare with yet, so nobody can say; a value beyond everything fails all the same.
    let first = judged("400");
    assert!(first.starts_with("inconclusive: ") && first.contains("response_time_p95 = 400"), "{first}");
    assert!(judged("900").starts_with("fail: "));
    // The file says what a first run is measured by.
    let lenient = std::fs::read_to_string("tests/data/compat/slo-quality-gates.yaml").unwrap();
    let lenient =
        site.write("slo.yaml", lenient.replace("  - sli: response_time_p95\n", "  - sli: response_time_p95\n    baseline: optional\n"));
    add(&pipeline, "staging", &lenient, "slo.yaml");
    assert!(judged("400").starts_with("pass: "));
    add(&pipeline, "staging", "tests/data/compat/slo-quality-gates.yaml", "slo.yaml");
    // From here on 10 per cent more than the last that passed is the most.
    for (value, word) in [("439", "pass: "), ("482", "pass: "), ("540", "fail: "), ("531", "fail: "), ("530", "pass: "), ("900", "fail: ")]
    {
        let said = judged(value);
        assert!(said.starts_with(word), "{value}: {said}");
    }
    pipeline.end();
}

#[test]
fn the_pair_of_keptn_0_5_judges_a_stage() {
    let good = vec![("container_cpu", "0.1"), ("requests_latency", "0.2")];
    let fake = Fake::start(Says::Each(good.clone()));
    let site = Site::new(&["sources: [127.0.0.1]"]);
    let pipeline = site.start();
    site.furnish(&pipeline, SHIPYARD, "strict", &[]);
    for name in ["service-indicators.yaml", "service-objectives.yaml"] {
        add(&pipeline, "staging", &format!("tests/data/compat/{name}"), name);
    }
    // Nothing says where it is measured, and the proxy knows of no processors: that is told before any traffic moves.
    let unknown = pipeline.delivered("0.8.1");
    let (outcome, _, reason) = staging(&pipeline, &unknown);
    assert_eq!(outcome, "inconclusive", "{reason}");
    assert!(reason.contains("cpu_usage_sockshop_carts"), "{reason}");
    configure(&pipeline, &fake);
    let first = pipeline.delivered("0.8.1");
    let (outcome, _, reason) = staging(&pipeline, &first);
    assert_eq!(outcome, "passed", "{reason}");
    for part in ["cpu_usage_sockshop_carts = 0.1", "request_latency_seconds = 0.2"] {
        assert!(reason.contains(part), "{reason}");
    }
    fake.say(Says::Each(vec![("container_cpu", "0.3"), ("requests_latency", "0.2")]));
    let second = pipeline.delivered("0.8.3");
    let (outcome, _, reason) = staging(&pipeline, &second);
    assert_eq!(outcome, "failed", "{reason}");
    assert!(reason.contains("cpu_usage_sockshop_carts = 0.3"), "{reason}");
    assert_eq!(pipeline.live(), ["0.8.3", "0.8.1", "0.8.1"]);
    pipeline.end();
}

#[test]
fn a_source_that_may_not_be_asked_or_does_not_answer_is_refused_and_nothing_changes() {
    let fake = Fake::start(Says::Value("1"));
    let site = Site::new(&["sources: [127.0.0.1]"]);
    let pipeline = site.start();
    site.furnish(&pipeline, SHIPYARD, "strict", &[]);
    add(&pipeline, "staging", PERFSPEC, "perfspec/perfspec.json");
    let url = fake.url();
    let of = |project: &'static str, url: &str| {
        let args = ["configure", "monitoring", "prometheus", "--project", project, "--url", url];
        pipeline.ask(&args)
    };
    let named = url.replace("127.0.0.1", "localhost");
    for (project, url, says, part) in [
        (PROJECT, named.as_str(), Says::Value("1"), "none of the hosts that may be asked (127.0.0.1)"),
        ("sockshopp", url.as_str(), Says::Value("1"), "there is no project sockshopp"),
        (PROJECT, "http://127.0.0.1:1", Says::Value("1"), "cannot be asked"),
        (PROJECT, url.as_str(), Says::Body(401, "who?"), "does not take the credentials"),
        (PROJECT, url.as_str(), Says::Body(200, "<html>"), "is no JSON"),
    ] {
        fake.say(says);
        let refused = of(project, url);
        assert_eq!(refused.code, Some(2), "{}", refused.stdout);
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    // Nobody is asked for an evaluation where the proxy itself would have to know the past.
    let args = ["send", "event", "start-evaluation", "--project", PROJECT, "--service", SERVICE, "--stage"];
    let refused = pipeline.ask(&[&args[..], &["staging"]].concat());
    assert!(refused.stderr.contains("configure monitoring"), "{}", refused.stderr);
    let refused = pipeline.ask(&[&args[..], &["dev"]].concat());
    assert!(refused.stderr.contains("there is no gate file for carts in dev"), "{}", refused.stderr);

    // The token is shown to the source, kept from everybody else's eyes, and told to nobody.
    fake.say(Says::Value("1"));
    let token = site.write("token", "a-token-that-nobody-sees\n");
    pipeline.command(&[
        "configure",
        "monitoring",
        "prometheus",
        "--project",
        PROJECT,
        "--service",
        SERVICE,
        "--url",
        &url,
        "--token-file",
        &token,
    ]);
    let kept = site.state().join("monitoring/sockshop.carts.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&kept).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(std::fs::read_to_string(&kept).unwrap().contains("a-token-that-nobody-sees"));
    assert!(!pipeline.get("/v1/projects").body.contains("nobody-sees"));
    pipeline.end();
}
