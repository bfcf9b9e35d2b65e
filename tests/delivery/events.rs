//! CloudEvents in and out: every form that keptn's releases speak is taken in, and sinks are told in order, each event once.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::site::{IMAGE, PROJECT, SERVICE, SHIPYARD, Site};

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
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, heard) = (listener.local_addr().unwrap(), Heard::default());
    let log = Arc::clone(&heard);
    // It ends with the process of the test.
    std::thread::spawn(move || {
        for (number, socket) in listener.incoming().map_while(Result::ok).enumerate() {
            let Some(event) = hear(&socket) else { continue };
            log.lock().unwrap().push(event);
            let status = if number < busy { "503 Service Unavailable" } else { "200 OK" };
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
    Some((kind, serde_json::from_slice(&body).unwrap()))
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
