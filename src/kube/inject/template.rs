//! Decides about one pod: whether it gets a sidecar, what is in the way, and what its owner should know.

use aws_lc_rs::digest;
use serde_json::{Map, Value, json};

use crate::domain::version::Name;
use crate::kube::inject::annotations::{self, INJECT, STATUS};
use crate::kube::inject::fault::{Fault, child};
use crate::kube::inject::pod::{Pod, Sort};
use crate::kube::inject::settings::{Mode, Settings};
use crate::kube::inject::sidecar::{self, CONFIG_VOLUME, INIT, NAME, STATE_VOLUME};
use crate::kube::inject::wishes::{Admin, Wishes};

/// The annotation by which `kubectl logs` and `kubectl exec` choose a container.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// The annotation of pods that a kubelet runs from a file; the API server takes no change of them.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// Containers of meshes that redirect the traffic of a pod themselves.
const MESHES: [&str; 2] = ["istio-proxy", "linkerd-proxy"];
/// Seconds that the proxy takes at most from SIGTERM to its end, and a little more.
const DRAIN: u64 = 35;
/// Seconds that a pod has for its end where it says nothing.
const USUAL_GRACE: u64 = 30;

/// What became of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// The pod with the sidecar; `None`: it is left as it is.
    pub template: Option<Value>,
    /// What its owner should know.
    pub warnings: Vec<Fault>,
}

/// Puts the sidecar into a pod, or into the template of one. `path` is where it stands in its object.
///
/// # Errors
///
/// Returns everything that is wrong with it.
pub fn inject(template: &Value, path: &str, settings: &Settings) -> Result<Decided, Vec<Fault>> {
    let pod = Pod::read(template, path)?;
    let asked = annotations::asked(pod.labels, &child(path, "metadata"))?;
    if asked == Some(false) || (settings.opt_in && asked.is_none()) {
        return Ok(Decided { template: None, warnings: Vec::new() });
    }
    if let Some(warning) = left_alone(pod, path) {
        return Ok(Decided { template: None, warnings: vec![warning] });
    }
    let wishes = annotations::read(pod.annotations, &child(path, "metadata"), settings)?;
    if pod.ends() && !wishes.native {
        let hint = "from Kubernetes 1.29 on it is a sidecar that ends with the Job (--kube-version)";
        let warning =
            Fault::new(child(path, "spec.restartPolicy"), "left alone: with an ordinary container the Job would never complete", hint);
        return Ok(Decided { template: None, warnings: vec![warning] });
    }
    let mut faults = obstacles(pod, path, &wishes, settings);
    let target = match target(pod, path, &wishes) {
        Ok(target) => target,
        Err(fault) => {
            faults.push(fault);
            None
        }
    };
    if !faults.is_empty() {
        return Err(faults);
    }
    let warnings = remarks(pod, path, &wishes, target.as_ref(), settings);
    Ok(Decided { template: Some(with_sidecar(template, pod, &wishes, target.as_ref(), settings)), warnings })
}

/// Says why a pod cannot have a sidecar, or has one.
fn left_alone(pod: Pod<'_>, path: &str) -> Option<Fault> {
    let spec = |key: &str| child(&child(path, "spec"), key);
    if let Some(there) = pod.container(NAME) {
        let (message, hint) = if pod.has_status() {
            ("left alone: it has the sidecar already", "for other settings inject the manifest as it was before")
        } else {
            ("left alone: a container is called portcullis already", "rename it, or take it out to have the sidecar put in")
        };
        return Some(Fault::new(spec(&there.place), message, hint));
    }
    if pod.is("hostNetwork") {
        let hint = "its ports and rules would be the node's; run the proxy in front of it instead";
        return Some(Fault::new(spec("hostNetwork"), "left alone: the pod has the node's network", hint));
    }
    if let Some(place) = pod.windows() {
        let hint = format!("the proxy runs on Linux; the label {INJECT}: \"false\" says so for good");
        return Some(Fault::new(spec(&place), "left alone: the pod is for Windows", hint));
    }
    if pod.annotations.contains_key(MIRROR) {
        let hint = "put the sidecar into the file that the kubelet reads";
        return Some(Fault::new(child(path, "metadata.annotations"), "left alone: the pod stands in a file of its node", hint));
    }
    None
}

/// Returns what has a name or a port that the sidecar needs, or would go round it.
fn obstacles(pod: Pod<'_>, path: &str, wishes: &Wishes, settings: &Settings) -> Vec<Fault> {
    let spec = child(path, "spec");
    let mut faults = Vec::new();
    for container in pod.containers() {
        let place = child(&spec, &container.place);
        if container.name == INIT {
            faults.push(Fault::new(&place, format!("a container is called {INIT} already"), "rename it"));
        }
        if matches!(container.sort, Sort::App | Sort::Sidecar) && container.ports().any(|port| port.number == wishes.listen_port) {
            let message = format!("{} listens on port {} already", container.name, wishes.listen_port);
            faults.push(Fault::new(place, message, "give the proxy another one: config.portcullis/listen-port"));
        }
    }
    for volume in [STATE_VOLUME, CONFIG_VOLUME].into_iter().filter(|volume| pod.has_volume(volume)) {
        faults.push(Fault::new(child(&spec, "volumes"), format!("a volume is called {volume} already"), "rename it"));
    }
    if wishes.mode == Mode::Intercept {
        for container in pod.running_as(settings.uid) {
            let message =
                format!("{} runs as user {}, which is the proxy's: what it sends would not be intercepted", container.name, settings.uid);
            faults.push(Fault::new(child(&spec, &container.place), message, "give it another user, or the proxy (--proxy-uid)"));
        }
    }
    faults
}

/// Finds out what the proxy stands in front of, where no ConfigMap says it.
fn target(pod: Pod<'_>, path: &str, wishes: &Wishes) -> Result<Option<sidecar::Target>, Fault> {
    if wishes.config_map.is_some() || wishes.mode == Mode::Intercept {
        return Ok(None);
    }
    let port = pod.target(wishes.target.as_ref(), path)?;
    if port.number == wishes.listen_port {
        let message = format!("the application and the proxy cannot both have port {}", port.number);
        return Err(Fault::new(child(path, "metadata.annotations"), message, "change config.portcullis/listen-port or target-port"));
    }
    let name = |wished: &Option<Name>, labels: &[&str], usual: &str| {
        let label = || pod.label(labels).and_then(|label| label.parse::<Name>().ok()).map(String::from);
        wished.clone().map(String::from).or_else(label).unwrap_or_else(|| usual.to_owned())
    };
    Ok(Some(sidecar::Target {
        service: name(&wishes.service, &["app.kubernetes.io/name", "app", "k8s-app"], "default"),
        version: name(&wishes.version, &["version", "app.kubernetes.io/version", "pod-template-hash"], "v1"),
        port: port.number,
    }))
}

/// Returns what the owner of a pod that gets a sidecar should know.
fn remarks(pod: Pod<'_>, path: &str, wishes: &Wishes, target: Option<&sidecar::Target>, settings: &Settings) -> Vec<Fault> {
    let spec = |key: &str| child(&child(path, "spec"), key);
    let mut warnings = annotations::alike(pod.annotations, &child(path, "metadata"));
    let mut warn = |place: String, message: String, hint: &str| warnings.push(Fault::new(place, message, hint));
    for container in pod.containers() {
        for port in container.ports().filter(|port| port.on_host && target.is_some_and(|target| target.port == port.number)) {
            warn(
                spec(&container.place),
                format!("the host port of {} leads past the proxy", port.number),
                "take it out, or reach the pod by a Service",
            );
        }
        if wishes.mode == Mode::Intercept && MESHES.contains(&container.name) {
            let message = format!("{} redirects the pod's traffic too", container.name);
            warn(spec(&container.place), message, "exclude our ports there, or use the mode explicit");
        }
        if wishes.mode == Mode::Intercept && !wishes.native && container.sort == Sort::Init {
            let message = format!("what {} sends is not intercepted", container.name);
            warn(spec(&container.place), message, "from Kubernetes 1.29 on the proxy runs before it (--kube-version)");
        }
    }
    if wishes.mode == Mode::Explicit {
        for container in pod.running_as(settings.uid) {
            let message = format!("{} runs as user {}, which is the proxy's", container.name, settings.uid);
            warn(spec(&container.place), message, "give it another user, or the proxy (--proxy-uid), so that neither can signal the other");
        }
    }
    if pod.is("shareProcessNamespace") {
        let message = "the containers see each other's processes, and root among them the proxy's files".to_owned();
        warn(spec("shareProcessNamespace"), message, "run no container as root, or share no processes");
    }
    let needed = grace(wishes);
    if let Some(grace) = pod.spec.get("terminationGracePeriodSeconds").and_then(Value::as_u64).filter(|grace| *grace < needed) {
        let message = format!("the pod has {grace} s for its end, and the proxy may need {needed} s to finish its requests");
        warn(spec("terminationGracePeriodSeconds"), message, "raise it, or leave it out to have it set");
    }
    if !wishes.native && wishes.admin == Admin::Config {
        let message = "the application is started without waiting for the proxy".to_owned();
        warn(
            child(path, "metadata.annotations"),
            message,
            "leave config.portcullis/admin out, so that it can be asked whether it is ready",
        );
    }
    warnings
}

fn grace(wishes: &Wishes) -> u64 {
    u64::from(wishes.pre_stop) + DRAIN
}

/// Returns the pod with the sidecar.
fn with_sidecar(template: &Value, pod: Pod<'_>, wishes: &Wishes, target: Option<&sidecar::Target>, settings: &Settings) -> Value {
    let proxy = sidecar::container(wishes, target, settings);
    let init = (wishes.mode == Mode::Intercept).then(|| sidecar::init(wishes, settings));
    let volumes = sidecar::volumes(wishes);
    let status = status(&json!([proxy, init, volumes]), wishes.mode);
    let mut template = template.clone();
    if let Some(fields) = template.as_object_mut() {
        if let Some(spec) = map_at(fields, "spec") {
            put_in(spec, wishes, proxy, init, volumes);
        }
        if let Some(notes) = map_at(fields, "metadata").and_then(|metadata| map_at(metadata, "annotations")) {
            notes.insert(STATUS.to_owned(), status.into());
            let first = pod.containers().find(|container| container.sort == Sort::App);
            if let (false, Some(first)) = (notes.contains_key(DEFAULT_CONTAINER), first) {
                notes.insert(DEFAULT_CONTAINER.to_owned(), first.name.into());
            }
        }
    }
    template
}

fn put_in(spec: &mut Map<String, Value>, wishes: &Wishes, proxy: Value, init: Option<Value>, volumes: Vec<Value>) {
    if wishes.native {
        // The later init containers are covered too: their traffic goes through rules and proxy that are there.
        if let Some(list) = list_at(spec, "initContainers") {
            list.splice(0..0, init.into_iter().chain([proxy]));
        }
    } else {
        // No proxy runs while init containers do, so what redirects to it comes last.
        if let (Some(init), Some(list)) = (init.clone(), init.and_then(|_| list_at(spec, "initContainers"))) {
            list.push(init);
        }
        if let Some(list) = list_at(spec, "containers") {
            list.insert(0, proxy);
        }
    }
    if let Some(list) = list_at(spec, "volumes") {
        list.extend(volumes);
    }
    let unsaid = spec.get("terminationGracePeriodSeconds").is_none_or(Value::is_null);
    if unsaid && grace(wishes) > USUAL_GRACE {
        spec.insert("terminationGracePeriodSeconds".to_owned(), grace(wishes).into());
    }
}

/// Returns a mapping, made where it is missing: metadata in front, as people write it.
fn map_at<'m>(fields: &'m mut Map<String, Value>, key: &str) -> Option<&'m mut Map<String, Value>> {
    if fields.get(key).is_none_or(Value::is_null) {
        let position = if key == "metadata" { fields.keys().position(|key| key == "spec") } else { None };
        fields.shift_remove(key);
        fields.shift_insert(position.unwrap_or(fields.len()).min(fields.len()), key.to_owned(), json!({}));
    }
    fields.get_mut(key)?.as_object_mut()
}

fn list_at<'m>(fields: &'m mut Map<String, Value>, key: &str) -> Option<&'m mut Vec<Value>> {
    if fields.get(key).is_none_or(Value::is_null) {
        let position = if key == "initContainers" { fields.keys().position(|key| key == "containers") } else { None };
        fields.shift_remove(key);
        fields.shift_insert(position.unwrap_or(fields.len()).min(fields.len()), key.to_owned(), json!([]));
    }
    fields.get_mut(key)?.as_array_mut()
}

/// Writes what was put in: by which release, in which mode, and a digest of it all by which people see whether two pods have the same.
fn status(put_in: &Value, mode: Mode) -> String {
    let digest = digest::digest(&digest::SHA256, put_in.to_string().as_bytes());
    let hash: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let mode = if mode == Mode::Explicit { "explicit" } else { "intercept" };
    json!({"version": env!("CARGO_PKG_VERSION"), "mode": mode, "hash": hash}).to_string()
}
