//! What the tests of events share: events as tools send them.
#![cfg(test)]

use http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::formats::cloudevent::event::Event;
use crate::formats::cloudevent::incoming::Incoming;
use crate::formats::cloudevent::intake::{Limits, Refusal, read_structured};
use crate::formats::cloudevent::interpret::interpret;
use crate::formats::problem::Problem;

mod intake;
mod meaning;
mod sent;

pub(super) fn structured(value: &Value) -> Result<Event, Refusal> {
    read_structured("event.json", serde_json::to_string_pretty(value).unwrap().as_bytes(), Limits::DEFAULT)
}

pub(super) fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

pub(super) fn event(kind: &str, data: Value) -> Event {
    let version = if kind.starts_with("sh.keptn.events") { "0.2" } else { "1.0" };
    let time = "2019-10-17T20:13:53.5Z";
    structured(&json!({ "specversion": version, "type": kind, "source": "s", "id": "1", "time": time, "data": data })).unwrap()
}

pub(super) fn meaning(kind: &str, data: Value) -> Result<Incoming, Vec<Problem>> {
    interpret("event.json", None, &event(kind, data))
}

/// Adds fields to what each event is about.
pub(super) fn about(fields: Value) -> Value {
    let mut data = json!({ "project": "sockshop", "stage": "staging", "service": "carts" });
    data.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    data
}

pub(super) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}
