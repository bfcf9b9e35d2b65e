//! Which objects of Kubernetes hold pods, and where in them.

use serde_json::Value;

/// What an object is, for somebody who looks for pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It holds objects under `items`.
    List,
    /// It holds the template of a pod, or is a pod, below these keys.
    Pods(&'static [&'static str]),
    /// Pods are in it, but stand elsewhere.
    Namespace,
    /// It has nothing to do with pods.
    Other,
}

/// Tells what an object is. Items of a list may leave their kind out; it is `inherited` then.
#[must_use]
pub fn of(object: &Value, inherited: Option<(&str, &str)>) -> Kind {
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    let (version, kind) = match (text("apiVersion"), text("kind"), inherited) {
        (Some(version), Some(kind), _) => (version, kind),
        (None, None, Some((version, kind))) => (version, kind),
        _ => return Kind::Other,
    };
    let group = version.rsplit_once('/').map_or("", |(group, _)| group);
    if kind.ends_with("List") && object.get("items").is_some_and(Value::is_array) {
        return Kind::List;
    }
    match (group, kind) {
        ("", "Pod") => Kind::Pods(&[]),
        ("", "Namespace") => Kind::Namespace,
        ("", "PodTemplate") => Kind::Pods(&["template"]),
        ("", "ReplicationController")
        | ("apps" | "extensions", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch", "Job") => Kind::Pods(&["spec", "template"]),
        ("batch", "CronJob") => Kind::Pods(&["spec", "jobTemplate", "spec", "template"]),
        _ => Kind::Other,
    }
}

/// Returns the version and kind of the items of a list, where its kind tells it.
#[must_use]
pub fn of_items(list: &Value) -> Option<(&str, &str)> {
    let kind = list.get("kind")?.as_str()?.strip_suffix("List").filter(|kind| !kind.is_empty())?;
    Some((list.get("apiVersion")?.as_str()?, kind))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_kinds_of_kubernetes_itself_hold_pods() {
        let of = |version: &str, kind: &str| of(&json!({"apiVersion": version, "kind": kind, "items": []}), None);
        assert_eq!(of("v1", "Pod"), Kind::Pods(&[]));
        assert_eq!(of("apps/v1", "Deployment"), Kind::Pods(&["spec", "template"]));
        assert_eq!(of("batch/v1beta1", "CronJob"), Kind::Pods(&["spec", "jobTemplate", "spec", "template"]));
        assert_eq!(of("v1", "List"), Kind::List);
        assert_eq!(of("apps/v1", "DeploymentList"), Kind::List);
        for (version, kind) in [("batch.volcano.sh/v1", "Job"), ("example.com/v1", "Pod"), ("v1", "Deployment"), ("v1", "Service")] {
            assert_eq!(of(version, kind), Kind::Other, "{version} {kind}");
        }
        assert_eq!(super::of(&json!({"kind": "Pod"}), None), Kind::Other);
        assert_eq!(super::of(&json!({}), Some(("v1", "Pod"))), Kind::Pods(&[]));
        assert_eq!(of_items(&json!({"apiVersion": "v1", "kind": "PodList"})), Some(("v1", "Pod")));
        assert_eq!(of_items(&json!({"apiVersion": "v1", "kind": "List"})), None);
    }
}
