//! The Kubernetes manifest of a service: the Deployment that each of its versions is made of, with another image.
//!
//! Read as the API server takes it (`apps/v1`, kind `Deployment`); only what a proxy in front of it must know is looked at: which
//! container the image belongs to, and where that listens. The API server judges the rest.

use serde_json::Value as Json;

use crate::formats::problem::Problem;
use crate::formats::yaml::meaning;
use crate::formats::yaml::tree::{self, Limits, Node, Value};

/// A Deployment whose image is still to be put in.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    object: Json,
    /// The index of the container that carries the service's name.
    container: usize,
    port: u16,
}

impl Manifest {
    /// Returns where the service's container listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns the object with an image in the service's container.
    #[must_use]
    pub fn with_image(&self, image: &str) -> Json {
        let mut object = self.object.clone();
        let path = format!("/spec/template/spec/containers/{}/image", self.container);
        if let Some(place) = object.pointer_mut(&path) {
            *place = image.into();
        }
        object
    }

    /// Returns the JSON pointer of the service's container (RFC 6901).
    #[must_use]
    pub fn container(&self) -> String {
        format!("/spec/template/spec/containers/{}", self.container)
    }
}

/// Reads the manifest of a service.
///
/// # Errors
///
/// Returns everything that is wrong with it, with place and hint.
pub fn read(file: &str, text: &str, service: &str) -> Result<Manifest, Vec<Problem>> {
    let root = tree::parse_manifest(file, text, Limits::MANIFEST).map_err(|problem| vec![*problem])?;
    let mut reader = Reader { file, text, problems: Vec::new() };
    let object = meaning::json(file, text, &root).map_err(|problems| reader.problems.extend(problems)).ok();
    let found = reader.service(&root, service);
    match (found, object) {
        (Some((container, port)), Some(object)) if reader.problems.is_empty() => {
            let mut manifest = Manifest { object, container, port };
            // Where no image stands yet there is a place for it now.
            let pointer = manifest.container();
            if let Some(Json::Object(fields)) = manifest.object.pointer_mut(&pointer) {
                fields.insert("image".to_owned(), Json::Null);
            }
            Ok(manifest)
        }
        _ => Err(reader.problems),
    }
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn wrong(&mut self, node: &Node, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        let problem = Problem::error(self.file, path, message).with_hint(hint);
        self.problems.push(problem.at(self.text, node.line, node.column));
    }

    /// Finds the container of the service and its port.
    fn service(&mut self, root: &Node, service: &str) -> Option<(usize, u16)> {
        for (key, wanted) in [("apiVersion", "apps/v1"), ("kind", "Deployment")] {
            let found = field(root, key).and_then(text);
            if found != Some(wanted) {
                let found = found.map_or_else(|| format!("{key} is missing"), |found| format!("{key} is {found:?}"));
                self.wrong(root, key, found, format!("write '{key}: {wanted}'"));
            }
        }
        if let Some(replicas) = field(root, "spec").and_then(|spec| field(spec, "replicas"))
            && whole(replicas) == Some(0)
        {
            self.wrong(replicas, "spec.replicas", "a version of 0 pods can serve nobody", "write 1 or more, or leave it out");
        }
        let path = "spec.template.spec.containers";
        let containers = path.split('.').try_fold(root, field);
        let Some(Node { value: Value::List(containers), .. }) = containers else {
            self.wrong(root, path, format!("{path} is missing"), "write the containers of a pod, each with its name");
            return None;
        };
        let names: Vec<&str> = containers.iter().filter_map(|container| field(container, "name").and_then(text)).collect();
        let named = |container: &Node| field(container, "name").and_then(text) == Some(service);
        let Some((index, container)) = containers.iter().enumerate().find(|(_, container)| named(container)) else {
            let hint = format!("the image is put into the container with 'name: {service}'");
            let found = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            self.wrong(containers.first().unwrap_or(root), path, format!("no container is called {service}; there is {found}"), hint);
            return None;
        };
        let path = format!("{path}[{index}].ports");
        let ports = match field(container, "ports").map(|ports| &ports.value) {
            Some(Value::List(ports)) => ports.as_slice(),
            _ => &[],
        };
        let http = |port: &&Node| field(port, "name").and_then(text) == Some("http");
        let Some(port) = ports.iter().find(http).or(ports.first()) else {
            let hint = "write 'ports: [{containerPort: 8080}]'; of several the one with 'name: http' counts";
            self.wrong(container, &path, format!("the container {service} does not say where it listens"), hint);
            return None;
        };
        let number = field(port, "containerPort").and_then(whole).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        if number.is_none() {
            self.wrong(port, &path, "containerPort is no port", "write a number from 1 to 65535");
        }
        Some((index, number?))
    }
}

fn field<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Value::Map(pairs) = &node.value else { return None };
    pairs.iter().find(|(name, _)| matches!(&name.value, Value::Text(text) if text == key)).map(|(_, value)| value)
}

fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn whole(node: &Node) -> Option<u64> {
    match &node.value {
        Value::Number(text) => meaning::number(text).as_u64(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARTS: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: anything}
spec:
  replicas: 2
  template:
    metadata: {labels: {tier: shop}}
    spec:
      containers:
      - {name: sidecar, image: 'sidecar:1'}
      - name: carts
        ports: [{name: admin, containerPort: 9000}, {name: http, containerPort: 8080}]
        resources: {limits: {cpu: 1.5, memory: 512Mi}}
";

    fn told(text: &str) -> String {
        read("deployment.yaml", text, "carts").unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_image_is_put_into_the_container_that_carries_the_services_name() {
        let manifest = read("deployment.yaml", CARTS, "carts").unwrap();
        assert_eq!(manifest.port(), 8080);
        let object = manifest.with_image("docker.io/keptnexamples/carts:0.8.2");
        let containers = &object["spec"]["template"]["spec"]["containers"];
        assert_eq!(
            (&containers[0]["image"], &containers[1]["image"]),
            (&"sidecar:1".into(), &"docker.io/keptnexamples/carts:0.8.2".into())
        );
        assert_eq!(containers[1]["resources"]["limits"], serde_json::json!({"cpu": 1.5, "memory": "512Mi"}));
        assert_eq!(object["spec"]["replicas"], 2);
    }

    #[test]
    fn the_manifest_means_what_the_api_server_takes_it_for() {
        let volumes = "      volumes:\n      - {name: a, secret: {secretName: a, defaultMode: 0644, optional: yes}}\n";
        let manifest = read("deployment.yaml", &format!("{CARTS}{volumes}"), "carts").unwrap();
        let secret = &manifest.with_image("a")["spec"]["template"]["spec"]["volumes"][0]["secret"];
        assert_eq!(secret, &serde_json::json!({"secretName": "a", "defaultMode": 420, "optional": true}));
    }

    #[test]
    fn what_cannot_become_a_version_is_refused_with_place_and_hint() {
        for (from, to, parts) in [
            ("kind: Deployment", "kind: StatefulSet", &["kind is \"StatefulSet\"", "write 'kind: Deployment'"][..]),
            ("apiVersion: apps/v1\n", "", &["apiVersion is missing"]),
            ("replicas: 2", "replicas: 0", &["0 pods", "deployment.yaml:5"]),
            ("name: carts", "name: cart", &["no container is called carts; there is sidecar, cart"]),
            ("        ports:", "        harbours:", &["does not say where it listens", "containerPort: 8080"]),
            ("{name: http, containerPort: 8080}", "{name: http, containerPort: 80800}", &["containerPort is no port"]),
            ("replicas: 2", "replicas: 2\n  replicas: 3", &["spec.replicas stands here twice"]),
            ("      containers:", "      boxes:", &["spec.template.spec.containers is missing"]),
        ] {
            let text = CARTS.replace(from, to);
            assert_ne!(text, CARTS, "{from}");
            let told = told(&text);
            parts.iter().for_each(|part| assert!(told.contains(part), "{part:?} is missing in {told}"));
        }
        assert!(told("a: [").contains("mend this first"));
    }
}
