//! The description of the admin API as OpenAPI 3.1, made of one table of operations and one of shapes.
//!
//! A test holds it to the router: what is described is there, and what is there is described. Every status that an answer may have is
//! listed, and no other. Shapes say what is always there; an answer may hold more.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::admin::operations::Content::{Json, Type};
use crate::admin::operations::{EVENTS, OPERATIONS, Operation};
use crate::admin::refusals;
use crate::admin::shapes;
use crate::domain::rank::Rank;

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
    let mut responses: Map<String, Value> =
        refusals::of(operation).into_iter().map(|(status, refusal)| (status.to_string(), refusal.described())).collect();
    if operation.id == "show" {
        put(
            &mut answer,
            "headers",
            json!({"ETag": {"description": "Which state this is, for If-Match", "schema": {"type": "string"}, "required": true}}),
        );
    }
    if operation.id == "follow" {
        put(&mut answer, "description", json!(EVENTS));
        // OpenAPI 3.1 has no word for the events of a stream.
        put(&mut answer, "x-events", shapes::events());
    }
    responses.insert(status.to_string(), answer);
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "description": operation.rank.map_or_else(|| "Everybody may ask.".to_owned(), |rank| format!("Takes the role {rank}.")),
        "parameters": parameters(operation),
        "responses": responses,
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
    if operation.is_keyed() {
        let told = "The same key and the same request get the same answer, for a day and until the process ends";
        all.push(
            json!({"name": "Idempotency-Key", "in": "header", "required": false, "description": told, "schema": shapes::reference("Key")}),
        );
    }
    all
}
