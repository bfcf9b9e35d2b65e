//! Tests of the injection as a whole: of any JSON, twice is once, and the patch makes the same object.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::annotations::{KNOWN, STATUS};
use super::object::inject;
use super::patch::{Operation, patch};
use super::settings::{Mode, Settings};

fn settings() -> Settings {
    Settings::with_image("portcullis:test".parse().unwrap())
}

fn pod(annotations: Value) -> Value {
    let containers = json!([{"name": "app", "image": "app:1", "ports": [{"containerPort": 8080}]}]);
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "annotations": annotations}, "spec": {"containers": containers}})
}

/// Applies a patch as RFC 6902 says; `tests/kubernetes/run` has somebody else's do it too.
pub(in crate::kube) fn applied(mut value: Value, operations: &[Operation]) -> Value {
    for operation in operations {
        let (Operation::Add { path, .. } | Operation::Remove { path } | Operation::Replace { path, .. }) = operation;
        let Some((parent, key)) = path.rsplit_once('/') else {
            if let Operation::Replace { value: new, .. } = operation {
                value = new.clone();
            }
            continue;
        };
        let key = key.replace("~1", "/").replace("~0", "~");
        match (value.pointer_mut(parent).unwrap(), operation) {
            (Value::Object(map), Operation::Remove { .. }) => drop(map.shift_remove(&key).unwrap()),
            (Value::Object(map), Operation::Add { value, .. } | Operation::Replace { value, .. }) => drop(map.insert(key, value.clone())),
            (Value::Array(list), Operation::Remove { .. }) => drop(list.remove(key.parse().unwrap())),
            (Value::Array(list), Operation::Add { value, .. }) => list.insert(key.parse().unwrap(), value.clone()),
            (Value::Array(list), Operation::Replace { value, .. }) => list[key.parse::<usize>().unwrap()] = value.clone(),
            _ => panic!("no parent at {path}"),
        }
    }
    value
}

#[test]
fn every_annotation_of_the_list_is_refused_with_a_way_out_when_it_makes_no_sense() {
    for name in KNOWN {
        let key = format!("config.portcullis/{name}");
        for value in [json!("¿"), json!(""), json!("a".repeat(10_000)), json!("-1"), json!("$(HOME)"), json!(7), json!(null), json!(["80"])]
        {
            let faults = inject(&pod(json!({key.as_str(): value})), &settings()).expect_err(&format!("{key}: {value}"));
            assert!(faults.iter().all(|fault| !fault.hint.is_empty() && fault.message.len() < 400), "{key}: {faults:?}");
        }
    }
}

#[test]
fn no_pod_says_what_runs_or_as_whom() {
    let wished = inject(&pod(json!({"config.portcullis/log-level": "debug"})), &settings()).unwrap();
    let sidecar = wished.object.pointer("/spec/initContainers/0").unwrap();
    assert_eq!(sidecar["image"], "portcullis:test");
    assert_eq!(sidecar.pointer("/securityContext/runAsUser"), Some(&json!(Settings::UID)));
    for name in ["image", "uid", "args", "command", "init-image", "proxy-uid", "capabilities"] {
        assert!(inject(&pod(json!({format!("config.portcullis/{name}"): "x"})), &settings()).is_err(), "{name}");
    }
}

#[test]
fn no_port_is_listened_on_twice() {
    for (families, listens) in [("ipv4", "0.0.0.0:4143"), ("ipv6", "[::]:4143"), ("dual", "[::]:4143")] {
        let done = inject(&pod(json!({"config.portcullis/ip-families": families})), &settings()).unwrap();
        let text = serde_json::to_string(&done.object).unwrap();
        let listened: Vec<&str> = text.split(r#""--listen",""#).skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(listened, [listens], "{families}");
    }
}

#[test]
fn requests_never_pass_their_limits() {
    let resources = |annotations: Value| {
        let injected = inject(&pod(annotations), &settings()).map_err(|faults| faults[0].message.clone())?;
        Ok::<_, String>(injected.object.pointer("/spec/initContainers/0/resources").unwrap().clone())
    };
    let lowered = resources(json!({"config.portcullis/memory-limit": "48Mi", "config.portcullis/cpu-limit": "50m"})).unwrap();
    assert_eq!(lowered, json!({"requests": {"cpu": "50m", "memory": "48Mi"}, "limits": {"memory": "48Mi", "cpu": "50m"}}));
    let raised = resources(json!({"config.portcullis/memory-request": "1Gi"})).unwrap();
    assert_eq!(raised, json!({"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}));
    let refused = resources(json!({"config.portcullis/memory-request": "1Gi", "config.portcullis/memory-limit": "512Mi"}));
    assert!(refused.unwrap_err().contains("above"));
}

#[test]
fn a_status_without_the_container_is_written_anew() {
    let copied = pod(json!({STATUS: "copied from elsewhere"}));
    let injected = inject(&copied, &settings()).unwrap();
    assert_eq!(injected.count, 1);
    assert_ne!(
        injected.object.pointer("/metadata/annotations/portcullis~1status"),
        copied.pointer("/metadata/annotations/portcullis~1status")
    );
}

#[test]
fn one_more_container_is_few_operations_however_large_the_pod() {
    let mut large = pod(json!({"a/b~c": "d"}));
    let others: Vec<Value> = (0..500).map(|n| json!({"name": format!("init-{n}"), "image": "x"})).collect();
    large["spec"]["initContainers"] = others.into();
    let injected = inject(&large, &settings()).unwrap();
    let operations = patch(&large, &injected.object);
    assert!(operations.len() <= 5, "{operations:#?}");
    assert_eq!(applied(large, &operations), injected.object);
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        "[a-z~/]{0,6}",
        prop::sample::select(vec!["Always", "Never", "portcullis", "true", "false", "8080"]).prop_map(str::to_owned)
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        word.clone().prop_map(Value::String)
    ];
    leaf.prop_recursive(3, 20, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((word.clone(), inner), 0..4).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// A pod in which something is changed for anything at all.
fn odd_pod() -> impl Strategy<Value = Value> {
    let paths = vec![
        "metadata",
        "metadata/labels",
        "metadata/annotations",
        "spec",
        "spec/containers",
        "spec/containers/0",
        "spec/initContainers",
        "spec/volumes",
        "spec/containers/0/ports",
        "spec/containers/0/name",
        "spec/terminationGracePeriodSeconds",
        "spec/securityContext",
        "spec/restartPolicy",
        "spec/ephemeralContainers",
        "spec/hostNetwork",
        "spec/os",
        "kind",
        "metadata/annotations/config.portcullis~1mode",
        "items",
    ];
    prop::collection::vec((prop::sample::select(paths), any_json()), 0..4).prop_map(|changes| {
        let mut object = pod(json!({}));
        for (path, value) in changes {
            let (parent, key) = path.rsplit_once('/').map_or((String::new(), path), |(parent, key)| (format!("/{parent}"), key));
            match object.pointer_mut(&parent) {
                Some(Value::Object(map)) => drop(map.insert(key.replace("~1", "/"), value)),
                Some(Value::Array(list)) if !list.is_empty() => list[0] = value,
                _ => {}
            }
        }
        object
    })
}

fn holds(object: &Value, settings: &Settings) -> Result<(), TestCaseError> {
    let Ok(once) = inject(object, settings) else { return Ok(()) };
    let twice = inject(&once.object, settings);
    prop_assert_eq!(twice.map(|twice| (twice.object, twice.count)), Ok((once.object.clone(), 0)));
    prop_assert_eq!(once.count == 0, *object == once.object);
    prop_assert_eq!(applied(object.clone(), &patch(object, &once.object)), once.object);
    Ok(())
}

proptest! {
    #[test]
    fn twice_is_once_and_the_patch_makes_the_same(object in odd_pod(), intercept in any::<bool>(), old in any::<bool>()) {
        let mut settings = settings();
        if intercept {
            settings.mode = Mode::Intercept;
        }
        if old {
            settings.release = "1.28".parse().unwrap();
        }
        holds(&object, &settings)?;
    }

    #[test]
    fn any_json_is_taken(object in any_json()) {
        holds(&object, &settings())?;
    }

    #[test]
    fn a_patch_makes_the_other_value(before in any_json(), after in any_json()) {
        prop_assert_eq!(applied(before.clone(), &patch(&before, &after)), after);
    }

    #[test]
    fn any_annotation_of_ours_is_read_or_refused(name in "[a-z~/-]{0,12}", value in any::<String>(), label in any::<String>()) {
        let annotations: Map<String, Value> = [(format!("config.portcullis/{name}"), value.clone().into())].into_iter().collect();
        let mut object = pod(annotations.into());
        prop_assert!(inject(&object, &settings()).is_err() || KNOWN.contains(&name.as_str()));
        for known in KNOWN {
            object["metadata"]["annotations"] = json!({format!("config.portcullis/{known}"): value});
            holds(&object, &settings())?;
        }
        object["metadata"]["labels"] = json!({"portcullis/inject": label});
        prop_assert!(inject(&object, &settings()).is_err() || label == "true" || label == "false");
    }
}
