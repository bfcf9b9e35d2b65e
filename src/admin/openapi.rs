//! The description of the admin API as OpenAPI 3.1, made of one table of operations and one of shapes.
//!
//! A test holds it to the router: what is described is there, and what is there is described. Shapes say what is always there; an
//! answer may hold more.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::admin::idempotency;
use crate::admin::shapes;
use crate::domain::rank::Rank;

/// One operation.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// Its name for programs.
    id: &'static str,
    /// What it does, one sentence without a full stop.
    summary: &'static str,
    /// The role it takes; `None` where everybody may ask.
    rank: Option<Rank>,
    /// The shape of its body, where it takes one, and whether it may be left out.
    body: Option<(&'static str, bool)>,
    /// The status of success, and what it holds.
    success: (u16, Content),
    /// Whether it needs an `If-Match`.
    conditional: bool,
    /// What its query may say: name, whether it is needed, the schema.
    query: &'static [(&'static str, bool, &'static str)],
}

/// What an answer holds.
#[derive(Clone, Copy)]
enum Content {
    /// JSON of a shape.
    Json(&'static str),
    /// Anything else of this type.
    Type(&'static str),
}

use Content::{Json, Type};

const fn look(path: &'static str, id: &'static str, summary: &'static str, content: Content) -> Operation {
    let success = (200, content);
    Operation { method: "get", path, id, summary, rank: Some(Rank::Viewer), body: None, success, conditional: false, query: &[] }
}

const fn act(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    body: (&'static str, bool),
    success: (u16, Content),
) -> Operation {
    Operation { method: "post", path, id, summary, rank: Some(Rank::Operator), body: Some(body), success, conditional: false, query: &[] }
}

impl Operation {
    const fn open(self) -> Self {
        Self { rank: None, ..self }
    }

    const fn put(self) -> Self {
        Self { method: "put", ..self }
    }

    const fn of_admins(self) -> Self {
        Self { rank: Some(Rank::Admin), ..self }
    }

    const fn of_viewers(self) -> Self {
        Self { rank: Some(Rank::Viewer), ..self }
    }

    const fn conditional(self) -> Self {
        Self { conditional: true, ..self }
    }

    const fn asking(self, query: &'static [(&'static str, bool, &'static str)]) -> Self {
        Self { query, ..self }
    }
}

/// What a follower is told.
const EVENTS: &str = "Server-sent events, each with JSON as its data. At first and once a second, and at once when something changes: \
    snapshot, with the rollouts as GET /v1/rollouts lists them, the newest figures and whether the process drains. At first and when they \
    change: notices and projects. With the sequence of the journal as its id: transition, an entry of the journal";

const TOLD: Content = Json("Told");
const ANY: Content = Json("Object");
const TEXT: Content = Type("text/plain");

/// Every operation, in the order of the router.
pub(super) const OPERATIONS: [Operation; 39] = [
    look("/", "dashboard", "Shows the dashboard to a browser", Type("text/html")),
    look("/assets/{build}/{file}", "asset", "Gives an asset of the dashboard", Type("*/*")),
    look("/livez", "live", "Says whether the process lives", TEXT).open(),
    look("/healthz", "health", "Says whether the process lives", TEXT).open(),
    look("/readyz", "ready", "Says whether the process may get traffic", TEXT).open(),
    look("/version", "version", "Tells the version of the program", ANY).open(),
    look("/metrics", "metrics", "Shows the metrics to Prometheus", TEXT),
    look("/v1/openapi.json", "describe", "Shows this description", ANY),
    look("/v1/journal", "chain", "Says whether the journal is the chain it was written as", Json("Chain")),
    look("/v1/notices", "notices", "Shows what people were told", Json("Notices")),
    look("/v1/rollouts", "list", "Shows every service with its current or last rollout", Json("Services")),
    act("/v1/rollouts", "start", "Starts a rollout", ("Start", false), (202, TOLD)),
    look("/v1/rollouts/{name}", "show", "Shows one service with its current or last rollout", Json("Service")),
    look("/v1/rollouts/{name}/history", "history", "Shows how both versions answered lately", Json("History")),
    look("/v1/rollouts/{name}/journal", "journal", "Shows what was decided and why", Json("Journal")).asking(&[("last", false, "Last")]),
    look("/v1/rollouts/{name}/verdict", "verdict", "Says in one word what the gates say", Json("Verdict")),
    act(
        "/v1/rollouts/{name}/verdict",
        "confirm",
        "Says whether anything speaks against the canary, to a webhook of Flagger",
        ("Object", true),
        (200, Json("Verdict")),
    )
    .of_viewers(),
    act("/v1/rollouts/{name}/abort", "abort", "Ends a rollout, whatever its state: the canary gets nothing", ("Ask", true), (200, TOLD)),
    act("/v1/rollouts/{name}/promote", "promote", "Waives the remaining holds; evidence is still required", ("Ask", true), (202, TOLD))
        .conditional(),
    act("/v1/rollouts/{name}/resume", "resume", "Lets a held rollout go on, with fresh evidence", ("Ask", true), (202, TOLD)).conditional(),
    act("/v1/rollouts/{name}/approve", "approveRollout", "Lets a rollout go on that waits for approval", ("Ask", true), (202, TOLD))
        .conditional(),
    act(
        "/v1/rollouts/{name}/deny",
        "denyRollout",
        "Gives everything back of a rollout that waits for approval",
        ("Ask", true),
        (200, TOLD),
    ),
    act("/v1/rollouts/{name}/pause", "pause", "Holds a rollout where it is; its gates stay armed", ("Ask", true), (200, TOLD))
        .conditional(),
    act("/v1/rollouts/{name}/weight", "setWeight", "Holds the canary with another share of its plan", ("Share", false), (200, TOLD))
        .put()
        .conditional(),
    act("/v1/rollouts/{name}/retry", "retry", "Tries the last canary again", ("Ask", true), (202, TOLD)).conditional(),
    look("/v1/projects", "projects", "Shows every project with what stands in its stages", ANY),
    act("/v1/projects", "createProject", "Makes a project of its shipyard", ("Project", false), (201, ANY)).of_admins(),
    act("/v1/projects/{project}/services", "onboard", "Makes a service of a project known", ("Named", false), (201, ANY)).of_admins(),
    act(
        "/v1/projects/{project}/resources",
        "addResource",
        "Puts a file where a stage, a service or both look for it",
        ("File", false),
        (201, ANY),
    )
    .put()
    .of_admins()
    .asking(&[("uri", true, "Uri"), ("stage", false, "Stage"), ("service", false, "Name")]),
    act("/v1/projects/{project}/services/{service}/artifacts", "deliver", "Delivers an artifact", ("Artifact", false), (202, ANY)),
    act(
        "/v1/projects/{project}/services/{service}/stages/{stage}/approve",
        "approve",
        "Lets an artifact into a stage",
        ("Decision", true),
        (202, ANY),
    ),
    act(
        "/v1/projects/{project}/services/{service}/stages/{stage}/deny",
        "deny",
        "Does not let an artifact into a stage",
        ("Decision", true),
        (202, ANY),
    ),
    act(
        "/v1/projects/{project}/services/{service}/stages/{stage}/abort",
        "abortStage",
        "Stops what is on trial in a stage",
        ("Decision", true),
        (202, ANY),
    ),
    act(
        "/v1/projects/{project}/services/{service}/stages/{stage}/evaluations",
        "evaluate",
        "Begins an evaluation that delivers nothing",
        ("Window", false),
        (202, ANY),
    ),
    act(
        "/v1/projects/{project}/monitoring",
        "monitor",
        "Names a source of the values behind a project's gates",
        ("Source", false),
        (200, ANY),
    )
    .of_admins(),
    look("/v1/events", "follow", "Tells what happens as server-sent events, without an end", Type("text/event-stream"))
        .asking(&[("after", false, "After")]),
    act("/v1/events", "takeEvent", "Takes in a CloudEvent; it may prove itself instead of its sender", ("Event", false), (202, ANY)),
    look("/v1/contexts/{id}", "context", "Shows everything that was decided under a context", ANY),
    look("/v1/whoami", "whoami", "Says who asks, and what they may do", Json("Caller")),
];

/// Gives the description.
pub async fn show() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document().to_string()).into_response()
}

/// Makes the description.
pub(super) fn document() -> Value {
    let mut paths = Map::new();
    for operation in &OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(operation.method.to_owned(), described(operation));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Portcullis admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Shows and commands the rollouts of a proxy. Over its Unix socket whoever may open the file may do everything; over a \
                            loopback address everybody may look unless a token is brought; from other machines it takes TLS and a token or a \
                            client certificate. Every refusal is a problem (RFC 9457).",
        },
        "paths": paths,
        "components": {
            "schemas": shapes::all(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token of admin.tokens; its role is written there."},
            },
            "responses": {"Problem": {"description": "What is wrong, and how to mend it", "content": {"application/problem+json": {"schema": shapes::reference("Problem")}}}},
        },
    })
}

fn described(operation: &Operation) -> Value {
    let (status, content) = operation.success;
    let (kind, schema) = match content {
        Json(shape) => ("application/json", shapes::reference(shape)),
        Type(kind) => (kind, json!({"type": "string"})),
    };
    let mut answer = json!({"description": "It is so", "content": {kind: {"schema": schema}}});
    if operation.id == "show" {
        put(
            &mut answer,
            "headers",
            json!({"ETag": {"description": "Which state this is, for If-Match", "schema": {"type": "string"}, "required": true}}),
        );
    }
    if operation.id == "follow" {
        put(&mut answer, "description", json!(EVENTS));
    }
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "description": operation.rank.map_or_else(|| "Everybody may ask.".to_owned(), |rank| format!("Takes the role {rank}.")),
        "parameters": parameters(operation),
        "responses": {status.to_string(): answer, "default": {"$ref": "#/components/responses/Problem"}},
        "security": match operation.rank {
            None => json!([]),
            Some(Rank::Viewer) => json!([{}, {"token": []}]),
            // An event may be signed instead.
            Some(_) if operation.id == "takeEvent" => json!([{}, {"token": []}]),
            Some(_) => json!([{"token": []}]),
        },
    });
    if let Some((shape, optional)) = operation.body {
        let kind = match shape {
            "File" => "application/octet-stream",
            "Event" => "application/cloudevents+json",
            _ => "application/json",
        };
        put(&mut described, "requestBody", json!({"required": !optional, "content": {kind: {"schema": shapes::reference(shape)}}}));
    }
    described
}

/// Adds a key to an object.
fn put(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let in_path = operation.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let shape = |name: &str| match name {
        "id" | "build" | "file" => "Segment",
        "stage" => "Stage",
        _ => "Name",
    };
    let of_path = |name: &str| json!({"name": name, "in": "path", "required": true, "schema": shapes::reference(shape(name))});
    let mut all: Vec<Value> = in_path.map(of_path).collect();
    for (name, needed, shape) in operation.query {
        all.push(json!({"name": name, "in": "query", "required": needed, "schema": shapes::reference(shape)}));
    }
    if operation.id == "follow" {
        let told = "The id of the last transition that was told; what came after it is told first";
        all.push(
            json!({"name": "Last-Event-ID", "in": "header", "required": false, "description": told, "schema": shapes::reference("After")}),
        );
    }
    if operation.conditional {
        let told = "The ETag of the rollout as it was seen, or * for any";
        all.push(json!({"name": "If-Match", "in": "header", "required": true, "description": told, "schema": shapes::reference("Tag")}));
    }
    if operation.method != "get" && !idempotency::is_urgent(operation.path) {
        let told = "The same key and the same request get the same answer, for a day and until the process ends";
        all.push(
            json!({"name": "Idempotency-Key", "in": "header", "required": false, "description": told, "schema": shapes::reference("Key")}),
        );
    }
    all
}
