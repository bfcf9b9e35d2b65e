//! Events in both modes and versions, and those that are refused.
#![cfg(test)]

use http::HeaderMap;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::formats::cloudevent::event::{Event, SpecVersion};
use crate::formats::cloudevent::incoming::Incoming;
use crate::formats::cloudevent::intake::{Limits, Refusal, read, read_structured};
use crate::formats::cloudevent::interpret::interpret;
use crate::formats::cloudevent::outgoing::carried;
use crate::formats::cloudevent::tests::{headers, structured, time};

#[test]
fn the_event_of_the_reference_scenario_is_a_new_artifact_for_the_first_stage() {
    let body = r#"{"specversion":"0.2","type":"sh.keptn.events.new-artifact","source":"https://github.com/keptn/keptn/cli#new-artifact",
        "id":"41f0","time":"2019-10-17T20:11:00.123456789Z","contenttype":"application/json","shkeptncontext":"db51be80",
        "data":{"project":"sockshop","service":"carts","image":"docker.io/keptnexamples/carts","tag":"0.8.2","githuborg":"me"}}"#;
    let event = read(&headers(&[("content-type", "application/json")]), body.as_bytes(), Limits::DEFAULT).unwrap();
    assert_eq!((event.version, event.context.as_deref()), (SpecVersion::V0_2, Some("db51be80")));
    assert_eq!(event.time, Some(time("2019-10-17T20:11:00.123456789Z")));
    let Ok(Incoming::NewArtifact(artifact)) = interpret("f", None, &event) else { panic!("no new artifact") };
    assert_eq!((artifact.project.as_str(), artifact.stage.as_deref(), artifact.service.as_str()), ("sockshop", None, "carts"));
    assert_eq!((artifact.image.as_str(), artifact.tag.as_deref()), ("docker.io/keptnexamples/carts", Some("0.8.2")));
    assert_eq!(carried(&event.data), json!({ "githuborg": "me" }).as_object().unwrap().clone());
}

#[test]
fn binary_mode_reads_attributes_from_headers_in_both_versions() {
    let attributes = [
        ("ce-specversion", "1.0"),
        ("ce-type", "sh.keptn.event.dev.delivery.triggered"),
        ("ce-source", "caf%C3%A9%20x"),
        ("ce-id", "1"),
        ("ce-time", "2026-01-31T12:00:00Z"),
        ("ce-shkeptncontext", "c"),
        ("ce-triggeredid", "t"),
        ("ce-shkeptnspecversion", "0.2.4"),
        ("ce-gitcommitid", "abc"),
        ("ce-mine", "x"),
        ("content-type", "application/json; charset=utf-8"),
    ];
    let body = br#"{"project":"sockshop","service":"carts","configurationChange":{"values":{"image":"a/b:1"}}}"#;
    let event = read(&headers(&attributes), body, Limits::DEFAULT).unwrap();
    assert_eq!((event.source.as_str(), event.extensions.get("mine")), ("café x", Some(&json!("x"))));
    assert_eq!((event.triggered_id.as_deref(), event.git_commit.as_deref()), (Some("t"), Some("abc")));
    let Ok(Incoming::NewArtifact(artifact)) = interpret("f", None, &event) else { panic!("no new artifact") };
    assert_eq!((artifact.stage.as_deref(), artifact.image.as_str()), (Some("dev"), "a/b:1"));
    // The same in its structured form.
    assert_eq!(structured(&event.to_json()), Ok(event));
    let old: Vec<_> = attributes.iter().map(|(name, value)| (*name, if *value == "1.0" { "0.2" } else { value })).collect();
    let event = read(&headers(&old), body, Limits::DEFAULT).unwrap();
    assert_eq!((event.version, event.source.as_str()), (SpecVersion::V0_2, "caf%C3%A9%20x"));
}

#[test]
fn what_is_too_large_too_deep_or_another_format_is_refused_as_such() {
    let limits = Limits { bytes: 100, depth: 3 };
    assert_eq!(read(&HeaderMap::new(), &[b' '; 101], limits), Err(Refusal::TooLarge { limit: 100 }));
    let deep = "[".repeat(50) + &"]".repeat(50);
    let Err(Refusal::Invalid(problems)) = read(&HeaderMap::new(), deep.as_bytes(), limits) else { panic!("read") };
    assert!(problems[0].message.contains("deep"), "{problems:?}");
    let brackets = r#"{"specversion":"1.0","type":"[[[[[[[\"[[[[","source":"s","id":"1"}"#;
    assert!(read(&HeaderMap::new(), brackets.as_bytes(), limits).is_ok());
    for media in ["text/plain", "application/cloudevents-batch+json", "application/cloudevents+avro", "application/x-www-form-urlencoded"] {
        let refused = read(&headers(&[("content-type", media)]), b"{}", limits);
        assert_eq!(refused, Err(Refusal::ContentType(media.to_owned())));
    }
    let bomb = "[".repeat(1_000_000);
    let Err(Refusal::Invalid(_)) = read_structured("f", bomb.as_bytes(), Limits::DEFAULT) else { panic!("read") };
}

#[test]
fn what_an_event_lacks_is_named_with_its_place() {
    let whole = json!({ "specversion": "1.0", "type": "t", "source": "s", "id": "1" });
    assert!(structured(&whole).is_ok());
    for (key, value, words) in [
        ("specversion", Value::Null, "specversion is missing"),
        ("specversion", json!("0.3"), "\"0.3\" are not read"),
        ("id", json!(""), "id is missing"),
        ("id", json!(7), "id must be a text, not a number"),
        ("source", Value::Null, "source is missing"),
        ("type", Value::Null, "type is missing"),
        ("time", json!("yesterday"), "\"yesterday\""),
        ("datacontenttype", json!("text/xml"), "not JSON"),
        ("data_base64", json!("AA=="), "encoded"),
        ("shkeptncontext", json!("a\nb"), "control characters"),
    ] {
        let mut event = whole.clone();
        event[key] = value.clone();
        let Err(Refusal::Invalid(problems)) = structured(&event) else { panic!("{key} {value} was read") };
        let found = problems.iter().find(|problem| problem.path == key && problem.message.contains(words));
        let found = found.unwrap_or_else(|| panic!("{key} {value}: {problems:#?}"));
        assert!(found.hint.is_some() && found.line.is_some(), "{found}");
    }
    for (body, words) in [("", "not JSON"), ("{", "not JSON"), ("[]", "an event is an object"), ("{\"a\":1}x", "not JSON")] {
        let Err(refusal) = read_structured("f", body.as_bytes(), Limits::DEFAULT) else { panic!("{body} was read") };
        assert!(refusal.to_string().contains(words) && refusal.to_string().contains("hint"), "{refusal}");
    }
    assert!(matches!(read_structured("f", b"\xff", Limits::DEFAULT), Err(Refusal::Invalid(_))));
    let twice = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-id", "2"), ("ce-type", "t"), ("ce-source", "s")];
    let Err(Refusal::Invalid(problems)) = read(&headers(&twice), b"", Limits::DEFAULT) else { panic!("read") };
    assert!(problems[0].message.contains("ce-id occurs twice"), "{problems:?}");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({})),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".*", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_event() -> impl Strategy<Value = Event> {
    let attribute = "[^\\p{Cc}]{1,20}";
    let optional = || prop::option::of(attribute);
    let extensions = prop::collection::btree_map("x[a-z0-9]{0,8}", any_json(), 0..4);
    let version = prop_oneof![Just(SpecVersion::V0_2), Just(SpecVersion::V1_0)];
    let seconds = -60_000_000_000..250_000_000_000_i64;
    let time = prop::option::of((seconds, 0..1_000_000_000_i32)).prop_map(|time| time.map(|(s, n)| Timestamp::new(s, n).unwrap()));
    (version, [attribute, attribute, attribute], time, [optional(), optional(), optional(), optional()], extensions, any_json()).prop_map(
        |(version, [id, source, kind], time, [context, triggered_id, keptn_version, git_commit], extensions, data)| Event {
            version,
            id,
            source,
            kind,
            time,
            context,
            triggered_id,
            keptn_version,
            git_commit,
            extensions: extensions.into_iter().collect::<Map<_, _>>(),
            data,
        },
    )
}

proptest! {
    #[test]
    fn every_event_is_read_as_it_was_written(event in any_event()) {
        let limits = Limits { bytes: 1 << 20, depth: 64 };
        let body = event.to_json().to_string();
        prop_assert_eq!(read_structured("f", body.as_bytes(), limits), Ok(event));
    }
}
