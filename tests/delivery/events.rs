//! CloudEvents in and out: every form that keptn's releases speak is taken in, and sinks are told in order, each event once.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::site::{IMAGE, PROJECT, Pipeline, SERVICE, SHIPYARD, Site};

const PLAIN: &str = "stages:\n  - {name: dev, deployment_strategy: direct, gate: none}\n";
const NEW_ARTIFACT: &str = "sh.keptn.events.new-artifact";
const CHANGE: &str = "sh.keptn.event.configuration.change";
const TRIGGERED: &str = "sh.keptn.event.dev.delivery.triggered";

/// An event in one of its forms.
struct Form {
    version: &'static str,
    kind: &'static str,
    binary: bool,
}

fn data(kind: &str, tag: &str) -> Value {
    let image = format!("{IMAGE}:{tag}");
    match kind {
        NEW_ARTIFACT => json!({"project": PROJECT, "service": SERVICE, "image": IMAGE, "tag": tag}),
        CHANGE => json!({"project": PROJECT, "service": SERVICE, "stage": "", "canary": {"action": "set", "value": 100},
            "valuesCanary": {"image": image}}),
        _ => json!({"project": PROJECT, "service": SERVICE, "stage": "dev", "configurationChange": {"values": {"image": image}}}),
    }
}

#[test]
fn every_form_of_an_event_delivers_its_artifact_under_its_context() {
    let site = Site::new(&[]);
    let pipeline = site.start();
    site.furnish(&pipeline, PLAIN, "strict", &[]);
    let form = |version, kind, binary| Form { version, kind, binary };
    let forms = [
        form("0.2", NEW_ARTIFACT, false),
        form("0.2", NEW_ARTIFACT, true),
        form("0.2", CHANGE, false),
        form("0.2", CHANGE, true),
        form("1.0", CHANGE, false),
        form("1.0", CHANGE, true),
        form("1.0", TRIGGERED, false),
        form("1.0", TRIGGERED, true),
    ];
    for (number, Form { version, kind, binary }) in forms.into_iter().enumerate() {
        let tag = ["0.8.1", "0.8.3"][number % 2];
        let (id, context) = (format!("event-{number}"), format!("context-{number}"));
        let data = data(kind, tag);
        let answer = if binary {
            let headers = [
                ("content-type", "application/json"),
                ("ce-specversion", version),
                ("ce-type", kind),
                ("ce-source", "here"),
                ("ce-id", &id),
                ("ce-shkeptncontext", &context),
            ];
            pipeline.send("POST", "/v1/events", &headers, data.to_string().as_bytes())
        } else {
            let event = json!({"specversion": version, "type": kind, "source": "here", "id": id, "shkeptncontext": context, "data": data});
            pipeline.send("POST", "/v1/events", &[("content-type", "application/cloudevents+json")], event.to_string().as_bytes())
        };
        let what = format!("{version} {kind} binary={binary}");
        assert_eq!((answer.status, answer.json()["keptnContext"].as_str()), (202, Some(context.as_str())), "{what}: {}", answer.body);
        pipeline.idle();
        let story = pipeline.story(&context);
        assert_eq!(
            (&story[0]["artifact"]["tag"], &story.last().unwrap()["outcome"]),
            (&tag.into(), &"passed".into()),
            "{what}: {story:#?}"
        );
        assert_eq!(pipeline.live(), [tag], "{what}");
    }
    pipeline.end();
}

/// What a sink was sent: the content type and the event, in the order in which it came.
pub type Heard = Arc<Mutex<Vec<(String, Value)>>>;

/// Listens to events: the first `busy` requests are told to come again.
pub fn sink(busy: usize) -> (SocketAddr, Heard) {
    sink_while(move |number| number < busy)
}

/// Listens to events: a request is told to come again while that is so of its number.
fn sink_while(is_busy: impl Fn(usize) -> bool + Send + 'static) -> (SocketAddr, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, heard) = (listener.local_addr().unwrap(), Heard::default());
    let log = Arc::clone(&heard);
    // It ends with the process of the test.
    std::thread::spawn(move || {
        for (number, socket) in listener.incoming().map_while(Result::ok).enumerate() {
            let Some(event) = hear(&socket) else { continue };
            log.lock().unwrap().push(event);
            let status = if is_busy(number) { "503 Service Unavailable" } else { "200 OK" };
            let _ = write!(&socket, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    (address, heard)
}

fn hear(socket: &TcpStream) -> Option<(String, Value)> {
    let mut reader = BufReader::new(socket);
    let (mut length, mut kind) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else {
            if line.trim().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "content-type" => kind = value.trim().to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    // A program that is killed may have said half of it.
    Some((kind, serde_json::from_slice(&body).ok()?))
}

#[test]
fn a_sink_that_is_busy_is_told_again_until_it_has_everything_in_order_and_once() {
    let (address, heard) = sink(2);
    let site = Site::new(&[&format!("sinks: [\"http://{address}/events\"]")]);
    let pipeline = site.start();
    site.furnish(&pipeline, SHIPYARD, "strict", &["staging"]);
    let first = pipeline.delivered("0.8.1");
    let second = pipeline.delivered("0.8.2");
    let judged = |context: &str, stage: &str| {
        let heard = heard.lock().unwrap();
        let of = |event: &Value| event["shkeptncontext"] == context && event["data"]["stage"] == stage;
        heard.iter().any(|(_, event)| of(event) && event["type"] == "sh.keptn.events.evaluation-done").then_some(())
    };
    pipeline.until("the last evaluation is told", || judged(&second, "staging"));
    pipeline.end();

    let heard = heard.lock().unwrap().clone();
    assert!(heard.iter().all(|(kind, _)| kind == "application/cloudevents+json"), "{:?}", heard[0].0);
    let ids: Vec<&str> = heard.iter().map(|(_, event)| event["id"].as_str().unwrap()).collect();
    assert!(ids[..3].iter().all(|id| *id == ids[0]), "what was not taken comes again before anything else: {ids:?}");
    let taken: Vec<&Value> = heard[2..].iter().map(|(_, event)| event).collect();
    let mut once: Vec<&str> = ids[2..].to_vec();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), taken.len(), "each event was taken once: {ids:?}");
    let told = |context: &str, stage: &str| -> Vec<String> {
        let of = |event: &&&Value| event["shkeptncontext"] == context && event["data"]["stage"] == stage;
        taken.iter().filter(of).map(|event| event["type"].as_str().unwrap().rsplit('.').next().unwrap().to_owned()).collect()
    };
    println!("{:?}", taken.iter().map(|event| format!("{} {}", event["data"]["stage"], event["type"])).collect::<Vec<_>>());
    let tested = ["deployment-finished", "tests-finished", "evaluation-done"];
    for (context, stage) in [(&first, "dev"), (&first, "staging"), (&second, "dev"), (&second, "staging")] {
        let told = told(context, stage);
        let in_order: Vec<&str> = told.iter().map(String::as_str).filter(|kind| tested.contains(kind)).collect();
        assert_eq!(in_order, tested, "{stage}: {told:?}");
    }
    assert_eq!(told(&second, "production"), Vec::<String>::new(), "nobody is told of what production never saw");
    let last = taken.iter().rev().find(|event| event["type"] == "sh.keptn.events.evaluation-done").unwrap();
    assert_eq!((&last["specversion"], &last["data"]["evaluationpassed"]), (&"0.2".into(), &false.into()));
}

#[test]
fn the_events_of_1_x_name_the_deployment_with_its_port_and_every_end() {
    let (address, heard) = sink(0);
    let site = Site::new(&[&format!("sinks: [\"http://{address}/events\"]"), "events: 1.x"]);
    let pipeline = site.start();
    site.furnish(&pipeline, SHIPYARD, "strict", &["staging"]);
    pipeline.delivered("0.8.1");
    let bad = pipeline.delivered("0.8.2");
    let data = |context: Option<&str>, stage: &str, kind: &str| {
        let heard = heard.lock().unwrap();
        let of = |event: &&(String, Value)| {
            let (_, event) = event;
            context.is_none_or(|context| event["shkeptncontext"] == context) && event["data"]["stage"] == stage && event["type"] == kind
        };
        heard.iter().find(of).map(|(_, event)| event["data"].clone())
    };
    let end = pipeline.until("the end in staging is told", || data(Some(&bad), "staging", "sh.keptn.event.staging.delivery.finished"));
    assert_eq!((&end["result"], &end["status"]), (&"fail".into(), &"succeeded".into()), "{end:#}");
    let end = data(Some(&bad), "dev", "sh.keptn.event.dev.delivery.finished").expect("the end in dev");
    assert_eq!(end["result"], "pass");
    assert!(data(None, "dev", "sh.keptn.event.release.finished").is_some());
    assert!(data(Some(&bad), "staging", "sh.keptn.event.release.finished").is_none(), "nothing was released there");
    assert!(data(None, "staging", "sh.keptn.event.deployment.triggered").is_some());
    let deployed = data(None, "staging", "sh.keptn.event.deployment.finished").expect("the deployment");
    let url = format!("http://carts.sockshop-staging.localhost:{}", pipeline.listen.port());
    assert_eq!(deployed["deployment"]["deploymentURIsLocal"], json!([url]));
    pipeline.end();
}

/// What must be told of an artifact that goes through all stages: where, and what.
fn expected() -> BTreeSet<(String, String)> {
    let of = |stage: &'static str, kinds: &'static [&'static str]| kinds.iter().map(move |kind| (stage.to_owned(), (*kind).to_owned()));
    let tested = &["configuration-changed", "deployment-finished", "tests-finished", "evaluation-done"];
    of("dev", tested).chain(of("staging", tested)).chain(of("production", &["new-artifact", "deployment-finished"])).collect()
}

/// Returns what was told of a context, in its order and with the ids.
fn told(heard: &Heard, context: &str) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let heard = heard.lock().unwrap();
    let of = heard.iter().map(|(_, event)| event).filter(|event| event["shkeptncontext"] == context);
    of.map(|event| (text(&event["data"]["stage"]), text(&event["type"]).rsplit('.').next().unwrap().to_owned(), text(&event["id"])))
        .collect()
}

fn complete(pipeline: &Pipeline, heard: &Heard, context: &str) {
    pipeline.until("everything is told", || {
        let told: BTreeSet<_> = told(heard, context).into_iter().map(|(stage, kind, _)| (stage, kind)).collect();
        expected().is_subset(&told).then_some(())
    });
}

#[test]
fn events_outlive_a_kill_and_a_sink_that_takes_nothing_holds_up_nobody_else() {
    let (deaf, refused) = sink(usize::MAX);
    let closed = Arc::new(AtomicBool::new(true));
    let gate = Arc::clone(&closed);
    let (address, heard) = sink_while(move |_| gate.load(Ordering::Relaxed));
    let site = Site::new(&[&format!("sinks: [\"http://{deaf}/\", \"http://{address}/\"]")]);
    let pipeline = site.start();
    site.furnish(&pipeline, SHIPYARD, "strict", &["staging"]);
    let context = pipeline.delivered("0.8.1");
    pipeline.kill();
    heard.lock().unwrap().clear();
    closed.store(false, Ordering::Relaxed);

    let pipeline = site.start();
    complete(&pipeline, &heard, &context);
    let told = told(&heard, &context);
    let ids: BTreeSet<&String> = told.iter().map(|(_, _, id)| id).collect();
    assert_eq!(ids.len(), told.len(), "nothing is told twice: {told:#?}");
    for stage in ["dev", "staging"] {
        let kinds: Vec<&str> = told.iter().filter(|(of, ..)| of == stage).map(|(_, kind, _)| kind.as_str()).collect();
        let order = ["configuration-changed", "deployment-finished", "tests-finished", "evaluation-done"];
        assert_eq!(kinds.into_iter().filter(|kind| order.contains(kind)).collect::<Vec<_>>(), order, "{stage}");
    }
    let refused: BTreeSet<String> = refused.lock().unwrap().iter().map(|(_, event)| event["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(refused.len(), 1, "the first one comes again and again, before anything else: {refused:?}");
    pipeline.end();
}

#[test]
fn whenever_the_program_is_killed_everything_that_came_about_is_told() {
    let (address, heard) = sink(0);
    let base = Site::new(&[]);
    let pipeline = base.start();
    base.furnish(&pipeline, SHIPYARD, "strict", &["staging"]);
    pipeline.delivered("0.8.1");
    pipeline.end();
    let sinks = format!("sinks: [\"http://{address}/\"]");
    for entries in [2, 4, 7, 10, 12] {
        let site = Site::clone_of(&base, &[&sinks]);
        let pipeline = site.start();
        let context = pipeline.deliver("0.8.3", false);
        pipeline.until_soon("it is on its way", || (pipeline.story(&context).len() >= entries).then_some(()));
        pipeline.kill();
        let pipeline = site.start();
        pipeline.idle();
        assert_eq!(pipeline.live(), ["0.8.3"; 3], "killed at entry {entries}");
        complete(&pipeline, &heard, &context);
        let told = told(&heard, &context);
        let mut kinds = BTreeMap::<_, BTreeSet<_>>::new();
        told.iter().for_each(|(stage, kind, id)| _ = kinds.entry((stage, kind)).or_default().insert(id));
        let twice: Vec<_> = kinds.iter().filter(|(_, ids)| ids.len() > 1).collect();
        assert!(twice.is_empty(), "killed at entry {entries}, the same has two ids: {twice:?}");
        pipeline.end();
    }
}
