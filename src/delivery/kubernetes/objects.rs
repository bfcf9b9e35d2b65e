//! The objects of a deployment as they are applied: pure, from the service's manifest.

use serde_json::{Map, Value, json};

use crate::delivery::spot::Place;
use crate::domain::delivery::Artifact;
use crate::formats::manifest::Manifest;

/// The beginning of our labels and annotations.
const DOMAIN: &str = "portcullis";

/// The door to what owns a stage, or to what is on trial in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Primary,
    Canary,
}

impl Door {
    pub(super) fn name(self, place: &Place) -> String {
        let role = match self {
            Self::Primary => "primary",
            Self::Canary => "canary",
        };
        format!("{}-{role}", place.service)
    }
}

/// Returns the name of a deployment's own objects.
pub(super) fn name(place: &Place) -> String {
    format!("{}-{}", place.service, place.id)
}

/// Returns the labels by which the pods of a deployment are selected.
pub(super) fn labels(place: &Place) -> Map<String, Value> {
    let Place { project, stage, service, id } = place;
    let id = id.to_string();
    let ours = [("project", project), ("stage", stage), ("service", service), ("deployment", &id)];
    ours.into_iter().map(|(name, value)| (format!("{DOMAIN}/{name}"), value.as_str().into())).collect()
}

/// Returns the same as a selector of the API.
pub(super) fn selector(place: &Place) -> String {
    let pairs: Vec<String> = labels(place).iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())).collect();
    pairs.join(",")
}

/// Returns the number of the deployment that an object belongs or leads to.
pub(super) fn deployment_of(object: &Value) -> Option<u64> {
    object.get("metadata")?.get("labels")?.get(format!("{DOMAIN}/deployment"))?.as_str()?.parse().ok()
}

/// Makes the Deployment of a deployment. `home` tells whose it is, so that another process that counts from one does not take it
/// for its own.
pub(super) fn deployment(manifest: &Manifest, place: &Place, artifact: &Artifact, home: &str) -> Value {
    let mut written = manifest.with_image(&artifact.to_string());
    if let Some(Value::Object(container)) = written.pointer_mut(&manifest.container()) {
        environment(container, place, artifact);
    }
    let of = |object: &Value, path: &str| object.pointer(path).and_then(Value::as_object).cloned().unwrap_or_default();
    let (own_labels, own_notes) = (of(&written, "/metadata/labels"), of(&written, "/metadata/annotations"));
    let pod_labels = of(&written, "/spec/template/metadata/labels");
    let mut spec = written.get_mut("spec").map(Value::take).unwrap_or_default();
    if let Value::Object(spec) = &mut spec {
        spec.insert("selector".to_owned(), json!({"matchLabels": labels(place)}));
        if let Some(Value::Object(template)) = spec.get_mut("template") {
            let metadata = template.entry("metadata").or_insert_with(|| json!({}));
            if let Value::Object(metadata) = metadata {
                metadata.insert("labels".to_owned(), merged(pod_labels, marks(place)).into());
            }
        }
    }
    let notes = merged(own_notes, annotations(artifact, home));
    let metadata = json!({"name": name(place), "labels": merged(own_labels, marks(place)), "annotations": notes});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
}

/// Makes a Service that leads to the pods of a deployment under a name.
pub(super) fn service(name: &str, manifest: &Manifest, place: &Place, artifact: &Artifact, home: &str) -> Value {
    let port = manifest.port();
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "labels": marks(place), "annotations": annotations(artifact, home)},
        "spec": {
            "type": "ClusterIP", "selector": labels(place),
            "ports": [{"name": "http", "port": port, "targetPort": port, "protocol": "TCP"}],
        },
    })
}

/// Adds what the seed's images are told of themselves, where the manifest does not say it.
fn environment(container: &mut Map<String, Value>, place: &Place, artifact: &Artifact) {
    let (name, image) = (name(place), artifact.to_string());
    let ours = [
        ("CONTAINER_IMAGE", &image),
        ("DEPLOYMENT_NAME", &name),
        ("KEPTN_PROJECT", &place.project),
        ("KEPTN_STAGE", &place.stage),
        ("KEPTN_SERVICE", &place.service),
    ];
    let Value::Array(written) = container.entry("env").or_insert_with(|| json!([])) else { return };
    for (name, value) in ours {
        if !written.iter().any(|variable| variable.get("name").and_then(Value::as_str) == Some(name)) {
            written.push(json!({"name": name, "value": value}));
        }
    }
}

/// Returns the labels that people and tools look for, and ours.
fn marks(place: &Place) -> Map<String, Value> {
    let usual = [("name", &place.service), ("instance", &name(place)), ("part-of", &place.project), ("managed-by", &DOMAIN.to_owned())]
        .map(|(name, value)| (format!("app.kubernetes.io/{name}"), Value::from(value.as_str())));
    merged(usual.into_iter().collect(), labels(place))
}

fn annotations(artifact: &Artifact, home: &str) -> Map<String, Value> {
    let ours = [("artifact", artifact.to_string()), ("home", home.to_owned())];
    ours.into_iter().map(|(name, value)| (format!("{DOMAIN}/{name}"), value.into())).collect()
}

fn merged(mut below: Map<String, Value>, above: Map<String, Value>) -> Map<String, Value> {
    below.extend(above);
    below
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::manifest;

    const MANIFEST: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: other, namespace: elsewhere, labels: {tier: shop}}
spec:
  replicas: 2
  selector: {matchLabels: {app: carts}}
  template:
    metadata: {labels: {app: carts, portcullis/deployment: '99'}}
    spec: {containers: [{name: carts, env: [{name: KEPTN_STAGE, value: mine}], ports: [{containerPort: 8080}]}]}
";

    fn place() -> Place {
        Place { project: "sockshop".to_owned(), stage: "dev".to_owned(), service: "carts".to_owned(), id: 7 }
    }

    #[test]
    fn a_deployment_selects_its_own_pods_only_whatever_the_manifest_says() {
        let manifest = manifest::read("deployment.yaml", MANIFEST, "carts").unwrap();
        let artifact = Artifact::new("docker.io/keptnexamples/carts", Some("0.8.2")).unwrap();
        let object = deployment(&manifest, &place(), &artifact, "home");
        assert_eq!((&object["metadata"]["name"], &object["metadata"]["namespace"]), (&"carts-7".into(), &Value::Null));
        assert_eq!(object["metadata"]["labels"]["tier"], "shop");
        assert_eq!(object["metadata"]["annotations"]["portcullis/home"], "home");
        let selected = object["spec"]["selector"]["matchLabels"].as_object().unwrap();
        assert_eq!(*selected, labels(&place()));
        let pod = object["spec"]["template"]["metadata"]["labels"].as_object().unwrap();
        assert!(selected.iter().all(|(name, value)| pod.get(name) == Some(value)), "{pod:?}");
        assert_eq!(pod["app"], "carts");
        let container = &object["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], "docker.io/keptnexamples/carts:0.8.2");
        let value = |name: &str| container["env"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap()["value"].clone();
        assert_eq!((value("KEPTN_STAGE"), value("KEPTN_PROJECT")), ("mine".into(), "sockshop".into()));

        let own = service(&name(&place()), &manifest, &place(), &artifact, "home");
        assert_eq!(own["spec"]["selector"], object["spec"]["selector"]["matchLabels"]);
        assert_eq!((deployment_of(&own), Door::Canary.name(&place())), (Some(7), "carts-canary".to_owned()));
    }
}
