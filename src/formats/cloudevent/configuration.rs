//! What `configuration.change` (0.5 to 0.7) asks for: a new artifact, a share of the traffic, or an end of the trial.

use serde_json::Value;

use crate::formats::cloudevent::event::Event;
use crate::formats::cloudevent::fields::{Fields, kind};
use crate::formats::cloudevent::incoming::{CanaryWeight, Incoming, NewArtifact, Subject};

/// What is to be done with the version on trial.
#[derive(Clone, Copy, Debug)]
enum Action {
    Set,
    Promote,
    Discard,
}

const ACTIONS: [(&str, Action); 3] = [("set", Action::Set), ("promote", Action::Promote), ("discard", Action::Discard)];

/// Reads the event. `set` with 100 and an image is a new artifact; without `canary` it means nothing to the pipeline.
///
/// An action that is not known is refused, where keptn took it for `set`; so is a share that is no whole number of per cent.
pub fn configuration_change(data: &Fields<'_>, event: &Event) -> Option<Incoming> {
    if data.get("canary").is_none() {
        return Some(Incoming::Other { kind: event.kind.clone() });
    }
    let canary = data.object("canary")?;
    let action = canary.required("action", "write set, promote or discard").and_then(|_| canary.word("action", &ACTIONS));
    let image = data.object("valuesCanary").and_then(|values| values.text("image"));
    let labels = data.labels();
    let (project, service) = (data.required_name("project"), data.required_name("service"));
    let weight = match action {
        Some(Action::Set) => Some(weight(&canary)?),
        _ => None,
    };
    match (action?, weight, image) {
        (Action::Set, Some(100), Some(image)) => {
            let stage = data.name("stage");
            Some(Incoming::NewArtifact(NewArtifact { project: project?, stage, service: service?, image, tag: None, labels }))
        }
        (action, weight, image) => {
            let stage = data.required_name("stage");
            let subject = Subject { project: project?, stage: stage?, service: service?, labels };
            Some(match action {
                Action::Set => Incoming::CanaryWeight(CanaryWeight { subject, image, weight: weight? }),
                Action::Promote => Incoming::Promote(subject),
                Action::Discard => Incoming::Discard(subject),
            })
        }
    }
}

fn weight(canary: &Fields<'_>) -> Option<u8> {
    let value = canary.get("value");
    let weight = value.and_then(Value::as_u64).and_then(|weight| u8::try_from(weight).ok()).filter(|weight| *weight <= 100);
    if weight.is_none() {
        let shown =
            value.map_or_else(|| "missing".to_owned(), |value| if value.is_number() { value.to_string() } else { kind(value).to_owned() });
        canary.error("value", format!("the share of the traffic is {shown}"), "write a whole number of per cent from 0 to 100");
    }
    weight
}
