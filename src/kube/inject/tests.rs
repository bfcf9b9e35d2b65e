//! Tests of the injection as a whole: of any JSON, twice is once, and the patch makes the same object.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::annotations::{KNOWN, STATUS};
use super::fault::Fault;
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

/// Puts a value at a path of keys, making the mappings on the way.
fn put(object: &mut Value, path: &[&str], value: Value) {
    let (last, before) = path.split_last().unwrap();
    let place = before.iter().fold(object, |place, key| &mut place[*key]);
    place[*last] = value;
}

fn cron_job() -> Value {
    let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": pod(json!({}))["spec"]});
    let job = json!({"metadata": {}, "spec": {"template": template}});
    json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "a"}, "spec": {"schedule": "0 3 * * *", "jobTemplate": job}})
}

#[test]
fn a_label_or_annotation_of_ours_in_a_wrong_place_is_told_and_never_passed_over() {
    let ours = [("portcullis/inject", json!("false")), ("config.portcullis/mode", json!("explicit"))];
    let places: [&[&str]; 9] = [
        &["metadata", "labels"],
        &["metadata", "annotations"],
        &["metadata"],
        &["spec"],
        &["spec", "jobTemplate", "metadata", "labels"],
        &["spec", "jobTemplate", "metadata", "annotations"],
        &["spec", "jobTemplate", "spec"],
        &["spec", "jobTemplate", "spec", "template", "labels"],
        &["spec", "jobTemplate", "spec", "template", "spec"],
    ];
    for (key, value) in ours {
        for place in places {
            let mut object = cron_job();
            put(&mut object, &[place, &[key]].concat(), value.clone());
            let faults = inject(&object, &settings()).expect_err(&format!("{key} below {place:?}"));
            assert!(faults[0].message.contains(key) && faults[0].path.starts_with(&place.join(".")), "{place:?}: {faults:?}");
            assert!(faults[0].hint.contains("spec.jobTemplate.spec.template.metadata."), "{faults:?}");
        }
    }
    for (place, key) in [("labels", "config.portcullis/mode"), ("annotations", "portcullis/inject")] {
        for opt_in in [false, true] {
            let mut object = pod(json!({}));
            put(&mut object, &["metadata", place, key], json!("false"));
            let faults = inject(&object, &Settings { opt_in, ..settings() }).expect_err(&format!("{key} below {place}"));
            assert!(faults.iter().any(|fault| fault.message.contains(key)), "{faults:?}");
        }
    }
    for object in [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "labels": {"portcullis/inject": "false"}}}),
        json!({"apiVersion": "v1", "kind": "List", "metadata": {"labels": {"portcullis/inject": "false"}}, "items": [pod(json!({}))]}),
    ] {
        let faults = inject(&object, &settings()).expect_err(&object.to_string());
        assert!(faults[0].hint.contains("metadata.labels"), "{faults:?}");
    }
}

#[test]
fn however_much_stands_in_a_wrong_place_is_told_briefly() {
    let long = "k".repeat(10_000);
    let many = |count: usize| (0..count).map(|n| (format!("config.portcullis/{n}"), json!(0))).collect::<Map<_, _>>();
    let mut object = pod(json!({}));
    object["spec"][&long] = json!([many(99)]);
    let faults = inject(&object, &settings()).unwrap_err();
    assert!(
        faults.len() == 99 && faults[98].path.starts_with("spec.kkk") && faults[98].path.ends_with("…[0]"),
        "{:?}",
        faults[98].path.get(..200)
    );
    object["spec"][&long] = (0..5).fold(json!([many(2000)]), |inner, _| json!({long.as_str(): inner}));
    let faults = inject(&object, &settings()).unwrap_err();
    let bytes: usize = faults.iter().map(|Fault { path, message, hint }| path.len() + message.len() + hint.len()).sum();
    assert!(faults.len() == 101 && bytes < 100_000, "{} faults of {bytes} bytes", faults.len());
    assert!(faults[100].message.contains("more than 100"), "{:?}", faults[100].message);
}

#[test]
fn a_key_with_dots_is_not_the_place_that_it_looks_like() {
    let mut object = pod(json!({}));
    object["metadata.annotations"] = json!({"config.portcullis/mode": "explicit"});
    assert!(inject(&object, &settings()).unwrap_err()[0].message.contains("has no effect here"));
}

#[test]
fn selectors_and_texts_may_name_what_is_ours() {
    let mut object = cron_job();
    put(&mut object, &["spec", "jobTemplate", "spec", "template", "metadata", "labels", "portcullis/inject"], json!("true"));
    put(&mut object, &["spec", "jobTemplate", "spec", "selector", "matchLabels", "portcullis/inject"], json!("true"));
    let rule = json!([{"labelSelector": {"matchLabels": {"portcullis/inject": "false"}}, "topologyKey": "a"}]);
    let affinity = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": rule}});
    put(&mut object, &["spec", "jobTemplate", "spec", "template", "spec", "affinity"], affinity);
    put(&mut object, &["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"], json!("{portcullis/inject: x}"));
    assert_eq!(inject(&object, &settings()).map(|injected| injected.count), Ok(1));
}

#[test]
fn annotations_of_others_are_left_alone_and_what_looks_like_ours_is_told() {
    let others = json!({"example.com/portcullis": "1", "portcullis.example.com/state": "on", "config.portcullis.io/mode": "explicit"});
    let injected = inject(&pod(others.clone()), &settings()).unwrap();
    assert_eq!(injected.count, 1);
    let kept = &injected.object["metadata"]["annotations"];
    others.as_object().unwrap().iter().for_each(|(key, value)| assert_eq!(&kept[key], value, "{key}"));
    let told: Vec<&str> = injected.warnings.iter().map(|warning| warning.hint.as_str()).collect();
    assert_eq!(told, ["if it was meant for this sidecar, write config.portcullis/mode"]);
    assert!(inject(&pod(json!({"portcullis/mode": "explicit"})), &settings()).is_err());
}

#[test]
fn ports_of_other_sidecars_are_not_the_applications() {
    let vault = json!({"name": "vault", "image": "v:1", "restartPolicy": "Always", "ports": [{"name": "vault", "containerPort": 8200}]});
    let mut object = pod(json!({}));
    object["spec"]["initContainers"] = json!([vault]);
    let stable = |object: &Value| {
        let text = inject(object, &settings()).map_err(|faults| faults[0].message.clone())?.object.to_string();
        Ok::<_, String>(text.split(r#""--stable",""#).nth(1).unwrap().split('"').next().unwrap().to_owned())
    };
    assert_eq!(stable(&object).unwrap(), "v1=127.0.0.1:8080");
    put(&mut object, &["metadata", "annotations", "config.portcullis/target-port"], json!("vault"));
    assert_eq!(stable(&object).unwrap(), "v1=127.0.0.1:8200", "whoever names it means it");
    object["metadata"]["annotations"] = json!({});
    object["spec"]["containers"][0]["ports"] = json!([]);
    assert!(stable(&object).unwrap_err().contains("where the application listens"));
}

#[test]
fn the_proxy_listens_on_the_pods_address_only_for_those_who_come_from_outside() {
    let sidecar = |annotations: Value| {
        let injected = inject(&pod(annotations), &settings()).map_err(|faults| faults[0].message.clone())?;
        let container = injected.object.pointer("/spec/initContainers/0").unwrap().clone();
        let words: Vec<&str> = container["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let listens = words.windows(2).filter(|pair| pair[0] == "--listen").map(|pair| pair[1].to_owned());
        Ok::<_, String>((listens.collect::<Vec<_>>().join(" "), container.get("ports").is_some()))
    };
    let (map, on) = ("config.portcullis/config-map", "config.portcullis/listen-on");
    let of = |listens: &str, ports: bool| Ok((listens.to_owned(), ports));
    assert_eq!(sidecar(json!({})), of("0.0.0.0:4143", true), "a Service leads to it");
    assert_eq!(sidecar(json!({map: "a"})), of("127.0.0.1:4143", false), "the application calls it");
    assert_eq!(sidecar(json!({map: "a", "config.portcullis/ip-families": "dual"})), of("127.0.0.1:4143 [::1]:4143", false));
    assert_eq!(sidecar(json!({map: "a", on: "pod"})), of("0.0.0.0:4143", true));
    assert_eq!(sidecar(json!({on: "loopback"})), of("127.0.0.1:4143", false));
    // The probe is a connection that comes from the node.
    assert_eq!(sidecar(json!({map: "a", "config.portcullis/admin": "config"})), of("0.0.0.0:4143", true));
    assert!(sidecar(json!({map: "a", "config.portcullis/admin": "config", on: "loopback"})).unwrap_err().contains("probes"));
    let intercept = json!({map: "a", "config.portcullis/mode": "intercept", "config.portcullis/intercept-ports": "80", on: "pod"});
    assert!(sidecar(intercept).unwrap_err().contains("loopback"));
}

#[test]
fn pods_for_windows_are_known_by_each_way_to_say_it() {
    let term =
        |operator: &str, value: &str| json!({"matchExpressions": [{"key": "kubernetes.io/os", "operator": operator, "values": [value]}]});
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let affinity = |terms: Value| json!({"affinity": {"nodeAffinity": {required: {"nodeSelectorTerms": terms}}}});
    let windows = json!({"windowsOptions": {"runAsUserName": "ContainerUser"}});
    let containers = |context: &Value| json!([{"name": "app", "image": "a", "ports": [{"containerPort": 80}], "securityContext": context}]);
    for (spec, path, is_windows) in [
        (json!({"os": {"name": "windows"}}), "spec.os", true),
        (json!({"nodeSelector": {"kubernetes.io/os": "windows"}}), "spec.nodeSelector", true),
        (json!({"nodeSelector": {"beta.kubernetes.io/os": "windows"}}), "spec.nodeSelector", true),
        (affinity(json!([term("In", "windows")])), "spec.affinity", true),
        (affinity(json!([term("NotIn", "linux")])), "spec.affinity", true),
        (affinity(json!([term("In", "linux")])), "", false),
        (affinity(json!([term("NotIn", "windows")])), "", false),
        (json!({"securityContext": windows}), "spec.securityContext.windowsOptions", true),
        (json!({"containers": containers(&windows)}), "spec.containers[0].securityContext.windowsOptions", true),
        (json!({"containers": containers(&json!({"windowsOptions": {}}))}), "", false),
        (json!({"nodeSelector": {"kubernetes.io/os": "linux"}}), "", false),
    ] {
        let mut object = pod(json!({}));
        spec.as_object().unwrap().iter().for_each(|(key, value)| object["spec"][key] = value.clone());
        let injected = inject(&object, &settings()).unwrap();
        assert_eq!(injected.count, usize::from(!is_windows), "{spec}");
        if is_windows {
            assert!(injected.warnings[0].path.starts_with(path) && injected.warnings[0].message.contains("Windows"), "{injected:?}");
        }
    }
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
