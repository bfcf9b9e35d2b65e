//! What the API server shows of a deployment on its way: whether it is available, what it waits for, and what cannot become good.

use serde_json::Value;

/// Why a container waits that will not start by itself: there is no such image, or it may not be pulled. The kubelet goes on
/// trying, at ever longer intervals; it has tried at least once when it says that it backs off.
const HOPELESS: [&str; 4] = ["ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ErrImageInspect"];

/// How a deployment stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// All of its pods can serve.
    Available,
    /// It is on its way, and this is what was seen last.
    Waiting(String),
    /// It does not come up, and this is why.
    Failed(String),
}

/// Says how a deployment stands by its object and its pods.
pub(super) fn standing(deployment: &Value, pods: &[Value]) -> Standing {
    let number = |path: &str| deployment.pointer(path).and_then(Value::as_u64);
    let wanted = number("/spec/replicas").unwrap_or(1);
    let (of_status, of_object) = (number("/status/observedGeneration"), number("/metadata/generation"));
    if of_status.is_none() || of_status < of_object {
        return Standing::Waiting("the cluster has not looked at it yet".to_owned());
    }
    let (updated, available) =
        (number("/status/updatedReplicas").unwrap_or_default(), number("/status/availableReplicas").unwrap_or_default());
    let all = number("/status/replicas").unwrap_or_default();
    if updated >= wanted && available >= wanted && all == updated {
        return Standing::Available;
    }
    let troubles: Vec<(String, bool)> = pods.iter().flat_map(troubles).collect();
    let worst = troubles.iter().find(|(_, hopeless)| *hopeless).or(troubles.first());
    if let Some((trouble, true)) = worst {
        return Standing::Failed(trouble.clone());
    }
    let seen = worst.map(|(trouble, _)| trouble.clone());
    if let Some(why) = condition(deployment, "Progressing", "False") {
        return Standing::Failed(seen.map_or_else(|| why.clone(), |seen| format!("{why}; {seen}")));
    }
    let counts = format!("{available} of {wanted} pods are available");
    let held_up = seen.or_else(|| condition(deployment, "ReplicaFailure", "True"));
    Standing::Waiting(held_up.map_or_else(|| counts.clone(), |why| format!("{counts}; {why}")))
}

/// Returns what a condition says where it has this status.
fn condition(deployment: &Value, kind: &str, status: &str) -> Option<String> {
    let conditions = deployment.pointer("/status/conditions")?.as_array()?;
    let is = |condition: &&Value| text(condition, "type") == kind && text(condition, "status") == status;
    conditions.iter().find(is).map(|condition| sentence(text(condition, "reason"), text(condition, "message")))
}

/// Returns what holds up the containers of a pod, and whether there is no hope for it.
fn troubles(pod: &Value) -> Vec<(String, bool)> {
    let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("a pod");
    let statuses = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let containers = statuses.iter().filter_map(|path| pod.pointer(path)?.as_array()).flatten();
    let mut found: Vec<(String, bool)> = containers.filter_map(|container| trouble(name, container)).collect();
    // A pod that no node takes has no containers yet.
    if let Some(conditions) = pod.pointer("/status/conditions").and_then(Value::as_array) {
        let unplaced = |one: &&Value| text(one, "type") == "PodScheduled" && text(one, "status") == "False";
        let told = conditions.iter().filter(unplaced).map(|one| sentence(text(one, "reason"), text(one, "message")));
        found.extend(told.map(|told| (format!("{name}: {told}"), false)));
    }
    found
}

fn trouble(pod: &str, container: &Value) -> Option<(String, bool)> {
    let waiting = container.pointer("/state/waiting")?;
    let reason = text(waiting, "reason");
    if ["", "ContainerCreating", "PodInitializing"].contains(&reason) {
        return None;
    }
    let mut told = format!("{pod}, container {}: {}", text(container, "name"), sentence(reason, text(waiting, "message")));
    if let Some(ended) = container.pointer("/lastState/terminated") {
        let code = ended.get("exitCode").and_then(Value::as_i64).map_or_else(String::new, |code| format!(" with {code}"));
        told = format!("{told} (it ended{code}: {})", sentence(text(ended, "reason"), text(ended, "message")));
    }
    Some((told, HOPELESS.contains(&reason)))
}

fn sentence(reason: &str, message: &str) -> String {
    match message.trim().replace('\n', " | ") {
        message if message.is_empty() => reason.to_owned(),
        message => format!("{reason}: {message}"),
    }
}

fn text<'v>(object: &'v Value, key: &str) -> &'v str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(status: Value) -> Value {
        json!({"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status})
    }

    fn waiting(reason: &str, message: &str) -> Value {
        let state = json!({"waiting": {"reason": reason, "message": message}});
        json!({"metadata": {"name": "carts-7-x"}, "status": {"containerStatuses": [{"name": "carts", "state": state}]}})
    }

    #[test]
    fn it_is_available_when_the_cluster_has_seen_this_generation_and_every_pod_is() {
        let whole = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2});
        assert_eq!(standing(&with(whole.clone()), &[]), Standing::Available);
        for (key, value) in [("observedGeneration", 1), ("updatedReplicas", 1), ("availableReplicas", 1), ("replicas", 3)] {
            let mut status = whole.clone();
            status[key] = value.into();
            assert!(matches!(standing(&with(status), &[]), Standing::Waiting(_)), "{key}");
        }
        assert!(matches!(standing(&with(json!({})), &[]), Standing::Waiting(_)));
    }

    #[test]
    fn what_will_not_come_up_is_told_at_once_and_what_may_is_waited_for() {
        let status = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2});
        let message = "Back-off pulling image \"carts:0.8.9\": not found";
        let Standing::Failed(why) = standing(&with(status.clone()), &[waiting("ImagePullBackOff", message)]) else { panic!() };
        assert_eq!(why, format!("carts-7-x, container carts: ImagePullBackOff: {message}"));
        for reason in ["ErrImagePull", "CrashLoopBackOff"] {
            let Standing::Waiting(seen) = standing(&with(status.clone()), &[waiting(reason, "soon")]) else { panic!("{reason}") };
            assert!(seen.contains(&format!("0 of 2 pods are available; carts-7-x, container carts: {reason}: soon")), "{seen}");
        }
        assert!(matches!(standing(&with(status.clone()), &[waiting("ContainerCreating", "")]), Standing::Waiting(_)));
        let mut late = status;
        late["conditions"] = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"}]);
        let Standing::Failed(why) = standing(&with(late), &[waiting("CrashLoopBackOff", "x")]) else { panic!() };
        assert!(why.starts_with("ProgressDeadlineExceeded: late; carts-7-x"), "{why}");
    }

    #[test]
    fn a_pod_that_ended_or_finds_no_node_says_so() {
        let status = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2});
        let mut crashed = waiting("CrashLoopBackOff", "back-off 10s");
        crashed["status"]["containerStatuses"][0]["lastState"] = json!({"terminated": {"exitCode": 3, "reason": "Error"}});
        let Standing::Waiting(seen) = standing(&with(status.clone()), &[crashed]) else { panic!() };
        assert!(seen.ends_with("(it ended with 3: Error)"), "{seen}");
        let unplaced = json!({"metadata": {"name": "p"}, "status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]}});
        let Standing::Waiting(seen) = standing(&with(status), &[unplaced]) else { panic!() };
        assert!(seen.ends_with("p: Unschedulable: 0/3 nodes"), "{seen}");
    }
}
