//! Writes what needs no webhook: a MutatingAdmissionPolicy and its binding (`admissionregistration.k8s.io/v1`, from Kubernetes 1.36 on),
//! with which the API server itself puts one fixed sidecar into pods. Pure.
//!
//! What is put in is taken from what `inject` does to the smallest pod, so that both put in the same. Where `inject` would leave a pod
//! alone, refuse it, or heed its annotations, the policy has a condition that passes it over; it cannot warn. The expressions are
//! in CEL, with the types that the API server names after the places of fields (`Object.spec.initContainers{…}`).

use serde_json::{Map, Value, json};

use crate::kube::inject::annotations::{INJECT, OURS};
use crate::kube::inject::fault::Fault;
use crate::kube::inject::object;
use crate::kube::inject::patch::{Operation, patch};
use crate::kube::inject::settings::{Mode, Release, Settings};
use crate::kube::inject::sidecar::{INIT, NAME};

/// The name of the policy and of its binding.
const POLICY: &str = "portcullis-sidecar";
/// The first release with such policies.
const RELEASE: &str = "1.36";
/// Mappings whose keys are data, not fields: CEL writes those as maps.
const MAPS: [&str; 4] = ["requests", "limits", "annotations", "labels"];

/// Writes the policy and its binding.
///
/// # Errors
///
/// Says what a policy cannot do of what the settings want.
pub fn policy(settings: &Settings) -> Result<[Value; 2], Fault> {
    if settings.mode == Mode::Intercept {
        let hint = "use the webhook, or the mode explicit";
        return Err(Fault::new("", "a policy puts in no init container that redirects: its ports are the pod's to say", hint));
    }
    if settings.config_map.is_none() {
        let message = "a policy cannot find out what port an application listens on";
        return Err(Fault::new("", message, "name the ConfigMap with the configuration in each namespace (--config-map)"));
    }
    let release = RELEASE.parse::<Release>().unwrap_or(settings.release).max(settings.release);
    let settings = Settings { release, opt_in: false, ..settings.clone() };
    let conditions: Vec<Value> =
        conditions(&put_in(&settings)?).into_iter().map(|(name, expression)| json!({"name": name, "expression": expression})).collect();
    let expression = expression(&put_in(&settings)?);
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": POLICY},
        "spec": {
            "failurePolicy": "Ignore",
            "reinvocationPolicy": "IfNeeded",
            "matchConstraints": {
                "matchPolicy": "Equivalent",
                "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "scope": "Namespaced"}],
            },
            "matchConditions": conditions,
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
        },
    });
    let asks = json!({"matchLabels": {INJECT: "true"}, "matchExpressions": [
        {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "kube-node-lease"]},
    ]});
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": POLICY},
        "spec": {"policyName": POLICY, "matchResources": {"namespaceSelector": asks}},
    });
    Ok([policy, binding])
}

/// What `inject` puts into the smallest pod.
struct PutIn {
    container: Value,
    volumes: Vec<Value>,
    annotations: Map<String, Value>,
    grace: Option<Value>,
    /// The ports the sidecar listens on.
    ports: Vec<u64>,
}

fn put_in(settings: &Settings) -> Result<PutIn, Fault> {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": [{"name": "app"}]}});
    let injected = object::inject(&pod, settings).map_err(|mut faults| faults.remove(0))?;
    let mut put_in = PutIn { container: Value::Null, volumes: Vec::new(), annotations: Map::new(), grace: None, ports: Vec::new() };
    for operation in patch(&pod, &injected.object) {
        match (operation, &mut put_in) {
            (Operation::Add { path, value: Value::Array(mut list) }, there) if path == "/spec/initContainers" && list.len() == 1 => {
                there.container = list.remove(0);
            }
            (Operation::Add { path, value: Value::Array(list) }, there) if path == "/spec/volumes" => there.volumes = list,
            (Operation::Add { path, value: Value::Object(notes) }, there) if path == "/metadata/annotations" => there.annotations = notes,
            (Operation::Add { path, value }, there) if path == "/spec/terminationGracePeriodSeconds" => there.grace = Some(value),
            (Operation::Add { path, .. } | Operation::Remove { path } | Operation::Replace { path, .. }, _) => {
                return Err(Fault::new(path, "a policy has no words for this", "report this"));
            }
        }
    }
    let words: Vec<&str> = put_in.container.get("args").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let listens = words.windows(2).filter_map(|pair| if let ["--listen", address] = pair { Some(*address) } else { None });
    put_in.ports = listens.filter_map(|address| address.rsplit(':').next()?.parse().ok()).collect();
    Ok(put_in)
}

/// Returns the conditions under which a pod gets the sidecar, each with its name.
fn conditions(put_in: &PutIn) -> Vec<(&'static str, String)> {
    let inits = |what: &str| format!("(!has(object.spec.initContainers) || !object.spec.initContainers.exists(one, {what}))");
    let apps = |what: &str| format!("!object.spec.containers.exists(one, {what})");
    let named = format!("one.name in ['{NAME}', '{INIT}']");
    let ports: Vec<String> = put_in.ports.iter().map(u64::to_string).collect();
    let listens = format!("has(one.ports) && one.ports.exists(port, port.containerPort in [{}])", ports.join(", "));
    let names: Vec<String> = put_in.volumes.iter().filter_map(|volume| Some(format!("'{}'", volume.get("name")?.as_str()?))).collect();
    let without = |part: &str, what: &str| format!("!has(object.metadata.{part}) || {what}");
    let ours = OURS.map(|name| format!("'portcullis/{name}'")).join(", ");
    let unknown = format!("key.startsWith('config.portcullis/') || (key.startsWith('portcullis/') && !(key in [{ours}]))");
    let [by_word, by_affinity, by_options] = for_linux();
    // Init containers that end are gone before anything of the sidecar's could clash.
    let sidecar = format!("has(one.restartPolicy) && one.restartPolicy == 'Always' && {listens}");
    vec![
        (
            "is-not-forbidden",
            without("labels", &format!("!('{INJECT}' in object.metadata.labels) || object.metadata.labels['{INJECT}'] == 'true'")),
        ),
        ("has-no-sidecar", format!("{} && {}", apps(&named), inits(&named))),
        ("has-its-own-network", "!has(object.spec.hostNetwork) || !object.spec.hostNetwork".to_owned()),
        ("is-for-linux", by_word),
        ("admits-no-windows", by_affinity),
        ("has-no-windows-options", by_options),
        ("is-no-mirror", without("annotations", "!('kubernetes.io/config.mirror' in object.metadata.annotations)")),
        ("has-no-wishes", without("annotations", &format!("!object.metadata.annotations.exists(key, key == '{INJECT}' || {unknown})"))),
        ("has-no-mistakes", without("labels", &format!("!object.metadata.labels.exists(key, {unknown})"))),
        (
            "has-no-volume-of-ours",
            format!("!has(object.spec.volumes) || !object.spec.volumes.exists(one, one.name in [{}])", names.join(", ")),
        ),
        ("has-the-port-free", format!("{} && {}", apps(&listens), inits(&sidecar))),
    ]
}

/// Returns conditions that hold for pods that do not tell that they are for Windows: by their system or the labels of their node, by an
/// affinity, by options that only Windows has. Where the system is named, that alone counts.
fn for_linux() -> [String; 3] {
    let labels = "'kubernetes.io/os', 'beta.kubernetes.io/os'";
    let selector = format!(
        "!has(object.spec.nodeSelector) || ![{labels}].exists(key, key in object.spec.nodeSelector && object.spec.nodeSelector[key] == 'windows')"
    );
    let affinity = "object.spec.affinity.nodeAffinity";
    let required = format!("{affinity}.requiredDuringSchedulingIgnoredDuringExecution");
    let rule = format!(
        "rule.key in [{labels}] && has(rule.values) && (rule.operator == 'In' && 'windows' in rule.values || rule.operator == 'NotIn' && \
         'linux' in rule.values)"
    );
    let options = "has(one.securityContext) && has(one.securityContext.windowsOptions)";
    [
        format!("has(object.spec.os) ? object.spec.os.name != 'windows' : ({selector})"),
        format!(
            "has(object.spec.os) || !has(object.spec.affinity) || !has({affinity}) || !has({required}) || \
             !{required}.nodeSelectorTerms.exists(term, has(term.matchExpressions) && term.matchExpressions.exists(rule, {rule}))"
        ),
        format!(
            "has(object.spec.os) || !(has(object.spec.securityContext) && has(object.spec.securityContext.windowsOptions) || \
             object.spec.containers.exists(one, {options}) || has(object.spec.initContainers) && object.spec.initContainers.exists(one, {options}))"
        ),
    ]
}

/// Writes the expression that gives the patch: lists of operations, put together.
fn expression(put_in: &PutIn) -> String {
    let add = |path: &str, value: &str| format!("JSONPatch{{op: \"add\", path: {}, value: {value}}}", quoted(path));
    let note = |key: &str| format!("/metadata/annotations/{}", key.replace('~', "~0").replace('/', "~1"));
    let value = |key: &str, value: &Value| {
        // The first container's name is the pod's own.
        if value == "app" && key.ends_with("/default-container") { "object.spec.containers[0].name".to_owned() } else { cel(value, "") }
    };
    let notes: Vec<(&String, String)> = put_in.annotations.iter().map(|(key, it)| (key, value(key, it))).collect();
    let all = notes.iter().map(|(key, value)| format!("{}: {value}", quoted(key))).collect::<Vec<_>>().join(", ");
    let each = notes.iter().map(|(key, value)| {
        let add = add(&note(key), value);
        // What somebody said of kubectl stays; what we say of ourselves is written anew.
        if key.ends_with("/default-container") {
            format!("({} in object.metadata.annotations ? [] : [{add}])", quoted(key))
        } else {
            format!("[{add}]")
        }
    });
    let mut parts = vec![format!(
        "(has(object.metadata.annotations)\n  ? {}\n  : [{}])",
        each.collect::<Vec<_>>().join(" + "),
        add("/metadata/annotations", &format!("{{{all}}}"))
    )];
    let container = cel(&put_in.container, "Object.spec.initContainers");
    parts.push(format!(
        "(has(object.spec.initContainers) && size(object.spec.initContainers) > 0\n  ? [{}]\n  : [{}])",
        add("/spec/initContainers/0", &container),
        add("/spec/initContainers", &format!("[{container}]"))
    ));
    let volumes: Vec<String> = put_in.volumes.iter().map(|volume| cel(volume, "Object.spec.volumes")).collect();
    let each: Vec<String> = volumes.iter().map(|volume| add("/spec/volumes/-", volume)).collect();
    parts.push(format!(
        "(has(object.spec.volumes) && size(object.spec.volumes) > 0\n  ? [{}]\n  : [{}])",
        each.join(", "),
        add("/spec/volumes", &format!("[{}]", volumes.join(", ")))
    ));
    if let Some(grace) = &put_in.grace {
        // The API server has written 30 where nobody says it.
        let said = "has(object.spec.terminationGracePeriodSeconds) && object.spec.terminationGracePeriodSeconds != 30";
        parts.push(format!("({said}\n  ? []\n  : [{}])", add("/spec/terminationGracePeriodSeconds", &grace.to_string())));
    }
    parts.join("\n+ ")
}

/// Writes a value in CEL; mappings as objects of the type that the API server knows at their place, but for those whose keys are data.
fn cel(value: &Value, place: &str) -> String {
    match value {
        Value::Object(fields) => {
            let is_map = place.is_empty() || MAPS.contains(&place.rsplit('.').next().unwrap_or_default());
            let field = |(key, value): (&String, &Value)| {
                if is_map {
                    format!("{}: {}", quoted(key), cel(value, ""))
                } else {
                    format!("{key}: {}", cel(value, &format!("{place}.{key}")))
                }
            };
            let fields: Vec<String> = fields.iter().map(field).collect();
            format!("{}{{{}}}", if is_map { "" } else { place }, fields.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(|item| cel(item, place)).collect::<Vec<_>>().join(", ")),
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

/// Writes a text in CEL, which has the escapes of JSON.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { config_map: Some("portcullis".to_owned()), ..Settings::with_image("portcullis:test".parse().unwrap()) }
    }

    #[test]
    fn what_is_put_in_is_what_inject_puts_in() {
        let put_in = put_in(&settings()).unwrap();
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "web"}]}});
        let injected = object::inject(&pod, &settings()).unwrap().object;
        assert_eq!(injected.pointer("/spec/initContainers/0"), Some(&put_in.container));
        assert_eq!(injected.pointer("/spec/volumes"), Some(&put_in.volumes.into()));
        assert_eq!(injected.pointer("/metadata/annotations/portcullis~1status"), put_in.annotations.get("portcullis/status"));
        assert_eq!(injected.pointer("/spec/terminationGracePeriodSeconds"), put_in.grace.as_ref());
    }

    #[test]
    fn fields_are_objects_of_their_place_and_data_are_maps() {
        let value =
            json!({"name": "a\"b\n", "resources": {"requests": {"cpu": "1"}}, "env": [{"name": "A"}], "flag": true, "n": 5, "e": {}});
        assert_eq!(
            cel(&value, "Object.spec.c"),
            "Object.spec.c{name: \"a\\\"b\\n\", resources: Object.spec.c.resources{requests: {\"cpu\": \"1\"}}, \
             env: [Object.spec.c.env{name: \"A\"}], flag: true, n: 5, e: Object.spec.c.e{}}"
        );
    }

    #[test]
    fn no_field_has_a_name_that_cel_keeps_for_itself() {
        let [policy, _] = policy(&settings()).unwrap();
        let text = policy.pointer("/spec/mutations/0/jsonPatch/expression").unwrap().as_str().unwrap();
        let fields: Vec<&str> = text.split(": ").filter_map(|before| before.rsplit(['{', ' ']).next()).collect();
        assert!(fields.contains(&"securityContext"), "{fields:?}");
        for kept in [
            "true",
            "false",
            "null",
            "in",
            "as",
            "break",
            "const",
            "continue",
            "else",
            "for",
            "function",
            "if",
            "import",
            "let",
            "loop",
            "package",
            "namespace",
            "return",
            "var",
            "void",
            "while",
        ] {
            assert!(!fields.contains(&kept), "{kept}");
        }
    }

    #[test]
    fn what_a_policy_cannot_do_is_refused_with_a_way_out() {
        let told = |settings: Settings| policy(&settings).unwrap_err();
        assert!(told(Settings { config_map: None, ..settings() }).hint.contains("--config-map"));
        assert!(told(Settings { mode: Mode::Intercept, ..settings() }).hint.contains("webhook"));
    }
}
