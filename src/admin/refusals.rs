//! Which refusals each operation may answer with, besides its success: all that can happen, and nothing else.
//!
//! What goes wrong before an operation is found, such as a method that is not possible (405), is none of its refusals.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::admin::operations::Operation;
use crate::admin::shapes;

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A problem; what it means.
    Problem(&'static str),
    /// The plain text of a check; what it means.
    Text(&'static str),
    /// Nothing at all; what it means.
    Empty(&'static str),
}

use Refusal::{Empty, Problem, Text};

impl Refusal {
    /// Describes it.
    pub(super) fn described(self) -> Value {
        match self {
            Problem(what) => {
                json!({"description": what, "content": {"application/problem+json": {"schema": shapes::reference("Problem")}}})
            }
            Text(what) => json!({"description": what, "content": {"text/plain": {"schema": {"type": "string"}}}}),
            Empty(what) => json!({"description": what}),
        }
    }
}

/// Returns what an operation may answer with instead of its success.
pub(super) fn of(operation: &Operation) -> BTreeMap<u16, Refusal> {
    let mut all = BTreeMap::from([
        (400, Problem("The request is malformed: its Host, its path, a field or its body")),
        (401, Problem("Nobody has this token, or the role needs one")),
        (403, Problem("The role does not suffice, or the request is of a page of another site, or for another host")),
        (429, Problem("Too many wrong tokens came from there; Retry-After says when to come again")),
    ]);
    if operation.body.is_some() {
        all.extend(of_body(operation));
    }
    if operation.is_keyed() {
        all.extend(of_key());
    }
    if operation.conditional {
        all.insert(412, Problem("The rollout has changed since; look again and decide anew"));
        all.insert(428, Problem("If-Match is missing"));
    }
    if operation.path.contains('{') || operation.id == "start" {
        all.insert(404, Problem("There is none of this name"));
    }
    all.extend(if delivers(operation) { of_delivery(operation) } else { of_proxy(operation) });
    all
}

/// Says whether it takes a proxy that delivers.
fn delivers(operation: &Operation) -> bool {
    ["/v1/projects", "/v1/contexts"].iter().any(|path| operation.path.starts_with(path)) || operation.id == "takeEvent"
}

fn of_body(operation: &Operation) -> Vec<(u16, Refusal)> {
    let mut all = vec![(408, Problem("The body did not arrive within 10 s")), (413, Problem("The body is too large"))];
    // A file and an event may be of any type.
    if !matches!(operation.body, Some(("File" | "Event", _))) {
        all.push((415, Problem("The body is not JSON, or does not say so")));
    }
    if operation.body.is_some_and(|(shape, _)| shape != "Object") {
        all.push((422, Problem("The body has values that cannot be used")));
    }
    all
}

fn of_key() -> [(u16, Refusal); 4] {
    [
        (409, Problem("The request with this Idempotency-Key is being carried out, or it contradicts how things stand")),
        (422, Problem("The Idempotency-Key came with another request, or values cannot be used")),
        (500, Problem("It was not carried out to its end")),
        (503, Problem("It cannot be carried out now; ask again in a moment")),
    ]
}

fn of_delivery(operation: &Operation) -> Vec<(u16, Refusal)> {
    let mut all = vec![
        (404, Problem("There is none of this name, or this proxy delivers nothing")),
        (500, Problem("It could not be read or written")),
        (503, Problem("The delivery has much to do, or has ended; ask again in a moment")),
    ];
    if operation.method != "get" {
        all.push((409, Problem("It contradicts how things stand")));
        all.push((422, Problem("The body has values that cannot be used")));
    }
    all
}

fn of_proxy(operation: &Operation) -> Vec<(u16, Refusal)> {
    match operation.id {
        "dashboard" => vec![(304, Empty("The browser has this page already"))],
        "live" | "health" => vec![(503, Text("Something hangs; restart the process"))],
        "ready" => vec![(503, Text("It may get no traffic now"))],
        "metrics" => vec![(500, Problem("The metrics cannot be written"))],
        "chain" | "journal" => vec![(503, Problem("The journal cannot be read"))],
        "follow" => vec![(503, Problem("Too many follow already, or the journal cannot be read"))],
        "abort" => vec![(503, Problem("The controller does not answer; it may be carried out all the same"))],
        "confirm" => vec![(409, Problem("The gates fail"))],
        _ if operation.method == "get" => Vec::new(),
        _ => vec![
            (409, Problem("It contradicts how things stand")),
            (503, Problem("The controller does not answer; it may be carried out all the same")),
        ],
    }
}
