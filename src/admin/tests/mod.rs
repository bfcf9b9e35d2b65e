//! Claims about the admin listener's answers, asked without a socket; the controller is a thread that obeys by name.

mod access;
mod bodies;
mod conditions;
mod guard;
mod health;
mod journal;
mod live;
mod openapi;
mod rollouts;

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use serde_json::Value;
use tokio::sync::watch;
use tower::ServiceExt;

use crate::admin::access::Access;
use crate::admin::live::Live;
use crate::admin::router::router;
use crate::admin::state::AdminState;
use crate::control::command::{Accepted, Command, CommandError, Commands, Order, Request as Asked};
use crate::control::status::{Board, Notice, RolloutStatus, ServiceStatus, Snapshot};
use crate::domain::rollout::Phase;
use crate::domain::version::{Name, Version};
use crate::domain::weight::Weight;
use crate::seam::clock::Clock;
use crate::seam::report;
use crate::seam::routes::Routes;
use crate::seam::table::Table;
use crate::store::Store;
use crate::telemetry::exposition::{Exposition, Figures};

/// An admin service with everything around it.
struct Desk {
    state: AdminState,
    drain: watch::Sender<bool>,
    /// The commands that reached the controller.
    seen: Arc<Mutex<Vec<Command>>>,
    _folder: tempfile::TempDir,
}

/// An answer that has been read.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns status and detail of a problem, after checking that it is one.
    fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let json = self.json();
        assert_eq!(json["status"], self.status.as_u16());
        assert!(json["type"].is_string() && json["title"].is_string(), "{json}");
        (self.status.as_u16(), json["detail"].as_str().unwrap().to_owned())
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn version(text: &str) -> Version {
    Version::new(name(text), vec!["127.0.0.1:8081".parse().unwrap()])
}

fn rollout(phase: Phase) -> RolloutStatus {
    RolloutStatus {
        id: 1,
        stable: version("0.8.1"),
        canary: version("0.8.2"),
        phase,
        step: 0,
        steps: 3,
        weight: Weight::from_basis_points(1_000).unwrap(),
        generation: 2,
        actor: None,
        warned: false,
        reason: "the plan begins".to_owned(),
        evidence: None,
        gates: Arc::default(),
        file: None,
        needs: Some(80),
        needs_seconds: None,
        held_seconds: None,
        warm_up_seconds: None,
        plan: None,
        policy: None,
        rate: 0.0,
        brakes: 0,
        canary_requests: 20,
        trip: None,
        durable: true,
    }
}

/// Obeys for `carts`, finds nothing to do for `idle`, is in conflict for `busy`, and knows no other.
fn obey(requests: &Receiver<Asked>, seen: &Mutex<Vec<Command>>) {
    for Asked { order, answer } in requests {
        let (command, changed) = match order {
            Order::Command(command) => (command, false),
            Order::Conditional(command, tags) => (command, !tags.iter().any(|tag| tag == "1.2.progressing")),
            Order::Consulted { .. } | Order::Reconfigure { .. } => panic!("no operator says that"),
        };
        let service = command.service();
        let reply = match service.as_str() {
            _ if changed => Err(CommandError::Changed("1.2.progressing".to_owned())),
            "carts" => Ok(Accepted::Done("it is done".to_owned())),
            "idle" => Ok(Accepted::Nothing("there was nothing to do".to_owned())),
            "busy" => Err(CommandError::Conflict("a rollout is progressing; abort it first".to_owned())),
            _ => Err(CommandError::UnknownService(service.clone())),
        };
        if !changed {
            seen.lock().unwrap().push(command);
        }
        answer.send(reply).unwrap();
    }
}

impl Desk {
    fn new() -> Self {
        let (board, clock, routes) = (Board::default(), Clock::start(), Routes::default());
        let (wake, reports) = report::channel();
        let (commands, requests) = Commands::channel(wake);
        let seen = Arc::default();
        let noted = Arc::clone(&seen);
        std::thread::spawn(move || {
            obey(&requests, &noted);
            drop(reports);
        });
        let figures = Figures {
            board: board.clone(),
            counters: Arc::default(),
            access_log_dropped: None,
            spans: None,
            compat: Default::default(),
            pressure: Arc::default(),
            reloads: Arc::default(),
            lockouts: Arc::default(),
            certificates: Vec::new(),
            clock,
        };
        let (drain, draining) = watch::channel(false);
        routes.publish(Table::new(1, Vec::new()));
        let exposition = Exposition::new(figures).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path()).unwrap().store);
        let live = Live::default();
        let state = AdminState {
            board,
            store,
            commands,
            exposition,
            routes,
            drain: draining,
            clock,
            access: Access::default(),
            delivery: None,
            answers: Default::default(),
            reading: Default::default(),
            live,
            patience: Default::default(),
        };
        let desk = Self { state, drain, seen, _folder: folder };
        desk.show(Some(rollout(Phase::Progressing)));
        desk
    }

    /// Shows `carts` with this rollout.
    fn show(&self, rollout: Option<RolloutStatus>) {
        let service = ServiceStatus {
            name: name("carts"),
            owner: version("0.8.1"),
            rollout,
            waits: None,
            rejected: vec![name("0.7.9")],
            endpoints: Vec::new(),
            way_back: None,
        };
        let notice =
            Notice { at: "2026-11-23T10:00:00.000Z".to_owned(), service: name("carts"), sentence: "it begins".to_owned(), alarm: false };
        let judged_ns = self.state.clock.now().as_nanos();
        self.state.board.show(Snapshot { services: vec![service.into()], notices: [notice].into(), judged_ns });
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response: Response<Body> = router(self.state.clone()).oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 23).await.unwrap();
        Answer { status: head.status, headers: head.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(request("GET", path, &[], "")).await
    }

    /// Sends a body as JSON.
    async fn post(&self, path: &str, body: &str) -> Answer {
        self.send(request("POST", path, &[("content-type", "application/json"), ("if-match", "*")], body)).await
    }

    fn commands(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|command| format!("{command:?}")).collect()
    }
}

/// Makes a request to `localhost` unless the headers name another host.
fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "localhost:9901");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}
