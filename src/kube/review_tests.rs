//! Tests of the answers to reviews: the shapes that API servers send, and any damage to them.
#![cfg(test)]

use proptest::prelude::*;

use super::*;
use crate::kube::inject::patch::Operation;

const UID: &str = "705ab4f5-6393-11e8-b7cc-42010a800002";

fn settings() -> Settings {
    Settings::with_image("portcullis:test".parse().unwrap())
}

/// As an API server asks about a pod of a ReplicaSet: with its defaults, without a name, and with the namespace in the request alone.
fn asked() -> Value {
    json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": UID,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "shop", "operation": "CREATE", "dryRun": false,
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller", "groups": ["system:serviceaccounts"]},
            "object": {
                "kind": "Pod", "apiVersion": "v1",
                "metadata": {"generateName": "carts-7d9c5b8f6d-", "creationTimestamp": null, "labels": {"app": "carts", "pod-template-hash": "7d9c5b8f6d"}},
                "spec": {
                    "containers": [{"name": "carts", "image": "carts:1", "ports": [{"containerPort": 8080, "protocol": "TCP"}], "resources": {}}],
                    "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "securityContext": {},
                },
                "status": {},
            },
            "oldObject": null,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}

fn of(asked: &Value) -> Answer {
    review(asked.to_string().as_bytes(), &settings(), Invalid::Allow).unwrap()
}

fn response(answer: &Answer) -> Value {
    let review: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(review["kind"], "AdmissionReview");
    review["response"].clone()
}

fn with(pointer: &str, value: Value) -> Answer {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let mut asked = asked();
    asked.pointer_mut(parent).unwrap()[key] = value;
    of(&asked)
}

fn operations(response: &Value) -> Value {
    serde_json::from_slice(&STANDARD.decode(response["patch"].as_str().unwrap()).unwrap()).unwrap()
}

#[test]
fn a_pod_gets_the_sidecar_by_a_patch_and_its_uid_back() {
    let answer = of(&asked());
    let response = response(&answer);
    assert_eq!((&response["uid"], &response["allowed"], &response["patchType"]), (&json!(UID), &json!(true), &json!("JSONPatch")));
    assert_eq!(response.get("warnings"), None, "{response}");
    assert_eq!(response["auditAnnotations"]["outcome"], "injected");
    assert_eq!((answer.outcome, answer.pod.as_str()), (Outcome::Injected, "shop/carts-7d9c5b8f6d-"));
    let operations = operations(&response);
    let paths: Vec<&str> = operations.as_array().unwrap().iter().filter_map(|operation| operation["path"].as_str()).collect();
    assert_eq!(paths, ["/metadata/annotations", "/spec/initContainers", "/spec/volumes", "/spec/terminationGracePeriodSeconds"]);
    let args = operations.pointer("/1/value/0/args").unwrap().to_string();
    assert!(args.contains("7d9c5b8f6d=127.0.0.1:8080"), "the version is that of the template: {args}");
}

#[test]
fn the_webhook_puts_in_what_the_command_does() {
    // The same pod as a manifest that leaves to the API server what it fills in.
    let asked = asked();
    let mut manifest = asked["request"]["object"].clone();
    manifest["spec"].as_object_mut().unwrap().shift_remove("terminationGracePeriodSeconds");
    let by_command = object::inject(&manifest, &settings()).unwrap().object;
    let operations: Vec<Value> = operations(&response(&of(&asked))).as_array().unwrap().clone();
    let of = |path: &str| operations.iter().find(|operation| operation["path"] == path).unwrap()["value"].clone();
    assert_eq!(of("/spec/initContainers"), by_command["spec"]["initContainers"]);
    assert_eq!(of("/spec/volumes"), by_command["spec"]["volumes"]);
    assert_eq!(of("/metadata/annotations"), by_command["metadata"]["annotations"]);
    assert_eq!(of("/spec/terminationGracePeriodSeconds"), by_command["spec"]["terminationGracePeriodSeconds"]);
}

#[test]
fn a_time_for_the_end_that_somebody_chose_stays_and_is_warned_of() {
    let answer = with("/request/object/spec/terminationGracePeriodSeconds", json!(10));
    assert!(answer.words[0].contains("the pod has 10 s for its end"), "{answer:?}");
    assert!(!operations(&response(&answer)).to_string().contains("terminationGracePeriodSeconds"));
    let answer = with("/request/object/spec/terminationGracePeriodSeconds", json!(120));
    assert!(answer.words.is_empty() && !operations(&response(&answer)).to_string().contains("terminationGracePeriodSeconds"), "{answer:?}");
}

#[test]
fn a_dry_run_is_answered_alike() {
    assert_eq!(with("/request/dryRun", json!(true)), of(&asked()));
}

#[test]
fn each_version_is_answered_in_itself() {
    let answer = with("/apiVersion", json!("admission.k8s.io/v1beta1"));
    let review: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(review["apiVersion"], "admission.k8s.io/v1beta1");
    assert_eq!(review["response"], response(&of(&asked())));
    let answer = with("/apiVersion", json!("admission.k8s.io/v2"));
    let review: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&review["apiVersion"], &review["response"]["uid"]), (&json!("admission.k8s.io/v2"), &json!(UID)));
    assert_eq!((&review["response"]["allowed"], review["response"].get("patch")), (&json!(true), None));
    assert!(answer.outcome == Outcome::Unread && answer.words[0].contains("admission.k8s.io/v2"), "{answer:?}");
}

#[test]
fn what_has_the_sidecar_gets_neither_patch_nor_word() {
    let mut asked = asked();
    asked["request"]["object"] = object::inject(&asked["request"]["object"], &settings()).unwrap().object;
    let answer = of(&asked);
    assert_eq!((answer.outcome, answer.words.len(), response(&answer).get("patch")), (Outcome::LeftAlone, 0, None));
    // A container of that name that somebody else put in is worth a word.
    asked["request"]["object"]["metadata"]["annotations"] = json!({});
    assert!(of(&asked).words[0].contains("called portcullis already"));
}

#[test]
fn other_operations_and_resources_pass_without_a_word() {
    let nothing = json!({"uid": UID, "allowed": true});
    for operation in [json!("UPDATE"), json!("DELETE"), json!("CONNECT"), json!(""), json!(null), json!(7)] {
        assert_eq!(response(&with("/request/operation", operation.clone())), nothing, "{operation}");
    }
    let mut deleted = asked();
    (deleted["request"]["operation"], deleted["request"]["object"]) = (json!("DELETE"), json!(null));
    assert_eq!(response(&of(&deleted)), nothing);
    for (pointer, value) in
        [("resource/resource", "services"), ("resource/group", "example.com"), ("subResource", "binding"), ("resource", "pods")]
    {
        assert_eq!(response(&with(&format!("/request/{pointer}"), json!(value))), nothing, "{pointer}");
    }
    assert_eq!(with("/request/subResource", json!("")).outcome, Outcome::Injected);
}

#[test]
fn a_creation_without_a_pod_is_allowed_with_a_warning() {
    for object in [json!(null), json!([]), json!("pod"), json!(1e300)] {
        let answer = with("/request/object", object);
        assert_eq!((answer.outcome, &response(&answer)["allowed"]), (Outcome::Unread, &json!(true)));
        assert_eq!(response(&answer)["warnings"], json!(["no sidecar was put in: the review has no pod"]));
    }
    for object in [json!({}), json!({"spec": 5}), json!({"metadata": [], "spec": {"containers": [{}]}})] {
        let answer = with("/request/object", object);
        assert!(answer.outcome == Outcome::Invalid && response(&answer)["allowed"] == true && !answer.words.is_empty(), "{answer:?}");
    }
}

#[test]
fn what_is_no_review_is_told_what_it_lacks() {
    let no = |asked: &[u8]| review(asked, &settings(), Invalid::Allow).unwrap_err().to_string();
    for bytes in [&b""[..], b"{", b"\xff", b"nonsense", b"{} {}", b"{\"a\": 1e999}", "[".repeat(100_000).as_bytes()] {
        assert!(no(bytes).contains("cannot be read as JSON"), "{}", no(bytes));
    }
    for bytes in [&b"[]"[..], b"{}", b"null", b"5", br#"{"apiVersion":"v1","kind":"Pod"}"#] {
        assert!(no(bytes).contains("its apiVersion is"), "{}", no(bytes));
    }
    let lacking = |pointer: &str, value: Value| {
        let mut asked = asked();
        *asked.pointer_mut(pointer).unwrap() = value;
        no(asked.to_string().as_bytes())
    };
    assert!(lacking("/request", json!(null)).contains("no request"));
    for uid in [json!(""), json!(null), json!(5), json!("u".repeat(LONGEST_UID + 1))] {
        assert!(lacking("/request/uid", uid).contains("no uid"));
    }
    for version in ["admission.k8s.io/", "admission.k8s.io/1", "admission.k8s.io/v1\n", "admission.k8s.io/v1/v1", "example.com/v1"] {
        assert!(lacking("/apiVersion", json!(version)).contains("its apiVersion is"), "{version:?}");
    }
    assert!(lacking("/kind", json!("ConversionReview")).contains("ConversionReview"));
}

#[test]
fn a_pod_that_says_nonsense_runs_without_a_sidecar_or_is_refused() {
    let nonsense = json!({"config.portcullis/mod\u{202e}\n": "x".repeat(5000), "config.portcullis/listen-port": "x".repeat(5000)});
    let mut asked = asked();
    asked["request"]["object"]["metadata"]["annotations"] = nonsense;
    let allowed = of(&asked);
    assert_eq!((allowed.outcome, allowed.words.len(), response(&allowed).get("patch")), (Outcome::Invalid, 2, None));
    for word in &allowed.words {
        assert!(word.starts_with("portcullis: no sidecar: ") && word.chars().count() <= LONGEST_WARNING, "{word}");
        assert!(!word.contains(['\n', '\u{202e}']), "{word:?}");
    }
    let denied = review(asked.to_string().as_bytes(), &settings(), Invalid::Deny).unwrap();
    let response = response(&denied);
    assert_eq!((denied.outcome, &response["allowed"], &response["status"]["code"]), (Outcome::Denied, &json!(false), &json!(422)));
    assert!(response["status"]["message"].as_str().unwrap().contains("config.portcullis/listen-port"), "{response}");
    assert_eq!((response.get("warnings"), response.get("patch")), (None, None));
    // Only what a pod says is a reason to refuse it.
    assert_eq!(review(self::asked().to_string().as_bytes(), &settings(), Invalid::Deny).unwrap(), of(&self::asked()));
}

#[test]
fn warnings_are_few_and_the_rest_is_counted() {
    let wrong = |count| (0..count).map(|n| (format!("config.portcullis/x{n}"), "1".into())).collect::<Map<String, Value>>();
    let answer = with("/request/object/metadata/annotations", wrong(MOST_OURS).into());
    assert_eq!((answer.words.len(), answer.words.last().unwrap().as_str()), (MOST_WARNINGS, "portcullis: there are 93 more"));
    let beyond = with("/request/object/metadata/annotations", wrong(MOST_OURS + 1).into());
    assert!(beyond.outcome == Outcome::Invalid && beyond.words[0].contains("more than 100 labels and annotations"), "{beyond:?}");
    assert_eq!(beyond.words.len(), 1);
    let containers = |count: usize| Value::from(vec![json!({"name": "c", "ports": [{"containerPort": 80}]}); count]);
    assert_eq!(with("/request/object/spec/volumes", containers(MOST_CONTAINERS)).outcome, Outcome::Injected);
    let beyond = with("/request/object/spec/volumes", containers(MOST_CONTAINERS + 1));
    assert!(beyond.words.len() == 1 && beyond.words[0].contains("there are more than 1000 (spec.volumes)"), "{beyond:?}");
    let whole: usize = answer.words.iter().map(|word| word.chars().count()).sum();
    assert!(whole < 4096, "the API server cuts at 4096, and others warn too");
}

#[test]
fn a_review_of_very_many_values_is_answered_without_taking_it_apart() {
    let answer = with("/request/object/spec/containers/0/args", vec!["\\\",\""; MOST_VALUES + 1].into());
    assert_eq!((answer.outcome, &response(&answer)["uid"], &response(&answer)["allowed"]), (Outcome::Unread, &json!(UID), &json!(true)));
    assert!(answer.words[0].contains("more than 50000 values") && answer.pod == "shop/", "{answer:?}");
    // Commas and quotes of a text are no values.
    assert_eq!(with("/request/object/spec/containers/0/args", json!([",\\\",".repeat(MOST_VALUES)])).outcome, Outcome::Injected);
    let nothing = format!("[{}1]", "1,".repeat(MOST_VALUES + 1));
    assert!(review(nothing.as_bytes(), &settings(), Invalid::Allow).is_err());
}

#[test]
fn lists_and_mappings_count_as_values_where_no_comma_parts_them() {
    let nested = |count: usize| {
        Value::from(vec![(0..100).fold(json!(1), |inner, n| if n % 2 == 0 { json!([inner]) } else { json!({"a": inner}) }); count])
    };
    let answer = with("/request/object/spec/a", nested(MOST_VALUES / 100));
    assert!(answer.outcome == Outcome::Unread && answer.words[0].contains("more than 50000 values"), "{answer:?}");
    assert_eq!(with("/request/object/spec/a", nested(MOST_VALUES / 100 - 10)).outcome, Outcome::Injected);
    assert_eq!(with("/request/object/spec/a", json!("[{".repeat(MOST_VALUES))).outcome, Outcome::Injected, "a text holds no values");
}

#[test]
fn a_name_cannot_forge_the_log() {
    let answer = with("/request/object/metadata/generateName", json!(format!("a\n\u{1b}[31m{}", "b".repeat(10_000))));
    assert!(answer.pod.starts_with("shop/a\\n\\u{1b}[31mbbb") && answer.pod.len() < 400, "{}", answer.pod);
}

fn pod_of(annotation: String, value: String, label: String, grace: u64) -> Value {
    let mut asked = asked();
    let object = &mut asked["request"]["object"];
    object["metadata"]["annotations"] = json!({format!("config.portcullis/{annotation}"): value});
    object["metadata"]["labels"]["portcullis/inject"] = json!(label);
    object["spec"]["terminationGracePeriodSeconds"] = json!(grace);
    asked
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in any::<Vec<u8>>()) {
        let _ = review(&bytes, &settings(), Invalid::Deny);
    }

    #[test]
    fn any_damage_to_a_review_is_answered(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = asked().to_string().into_bytes();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        if let Ok(answer) = review(&bytes, &settings(), Invalid::Allow) {
            prop_assert_eq!(&response(&answer)["allowed"], &json!(true), "it fails open");
        }
    }

    /// Asked again about what it made of the pod, it wants nothing more: reinvocation ends.
    #[test]
    fn twice_is_once(annotation in "(mode|listen-port|pre-stop-sleep|native-sidecar|x)", value in "(explicit|true|8081|7|¿)", label in "(true|false|no)", grace in 0_u64..60) {
        let asked = pod_of(annotation, value, label, grace);
        let once = of(&asked);
        let response_of = response(&once);
        prop_assert_eq!(once.outcome == Outcome::Injected, response_of.get("patch").is_some());
        if once.outcome == Outcome::Injected {
            let operations: Vec<Operation> = operations(&response_of).as_array().unwrap().iter().map(|operation| {
                let path = operation["path"].as_str().unwrap().to_owned();
                let value = operation["value"].clone();
                if operation["op"] == "add" { Operation::Add { path, value } } else { Operation::Replace { path, value } }
            }).collect();
            let mut again = asked.clone();
            again["request"]["object"] = crate::kube::inject::tests::applied(asked["request"]["object"].clone(), &operations);
            prop_assert_eq!(of(&again).outcome, Outcome::LeftAlone);
        }
    }
}
