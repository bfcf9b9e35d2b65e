//! Writes what is put into a pod: the proxy's container, its volumes, and the init container that redirects.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kube::inject::settings::{Families, Mode, Settings};
use crate::kube::inject::wishes::{Admin, Listen, Resources, Wishes};

/// The name of the proxy's container, and of the port it listens on.
pub const NAME: &str = "portcullis";
/// The name of the init container that redirects.
pub const INIT: &str = "portcullis-init";
/// The volume of the state and of the admin API's socket.
pub const STATE_VOLUME: &str = "portcullis-state";
/// The volume of the configuration.
pub const CONFIG_VOLUME: &str = "portcullis-config";

/// The folder of the state and of the admin API's socket.
const STATE_FOLDER: &str = "/var/lib/portcullis";
/// The folder of the configuration. A folder, for a single file of a ConfigMap is never renewed.
const CONFIG_FOLDER: &str = "/etc/portcullis";
/// The socket of the admin API. No other container mounts its volume.
const SOCKET: &str = "unix:/var/lib/portcullis/admin.sock";
/// How long the proxy may take until it listens.
const START: Duration = Duration::from_secs(60);

/// What the proxy stands in front of, where no ConfigMap says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name of the service.
    pub service: String,
    /// The name of the version.
    pub version: String,
    /// The application's port.
    pub port: u16,
}

/// Writes the proxy's container. `target` is there where the wishes have no ConfigMap.
#[must_use]
pub fn container(wishes: &Wishes, target: Option<&Target>, settings: &Settings) -> Value {
    let mut env = Vec::new();
    if wishes.admin == Admin::Socket {
        // Where `portcullis ready`, and whoever runs a command in the container, finds it.
        env.push(json!({"name": "PORTCULLIS_ADMIN", "value": SOCKET}));
    }
    if let Some(level) = &wishes.log_level {
        // Both take every request in vain for an error of theirs, whatever the level.
        env.push(json!({"name": "PORTCULLIS_LOG", "value": format!("{level},kube_client=off,kube_runtime=off")}));
    }
    let mut mounts = vec![json!({"name": STATE_VOLUME, "mountPath": STATE_FOLDER})];
    if wishes.config_map.is_some() {
        mounts.push(json!({"name": CONFIG_VOLUME, "mountPath": CONFIG_FOLDER, "readOnly": true}));
    }
    let mut container = json!({
        "name": NAME,
        "image": settings.image.as_str(),
        "imagePullPolicy": "IfNotPresent",
        "command": ["portcullis"],
        "args": arguments(wishes, target),
    });
    let Value::Object(fields) = &mut container else { return container };
    let mut put = |key: &str, value: Value| {
        fields.insert(key.to_owned(), value);
    };
    if wishes.native {
        put("restartPolicy", "Always".into());
    }
    if !env.is_empty() {
        put("env", env.into());
    }
    if wishes.listen_on == Listen::Pod {
        put("ports", json!([{"name": NAME, "containerPort": wishes.listen_port, "protocol": "TCP"}]));
    }
    let asks = match wishes.admin {
        Admin::Socket => json!({"exec": {"command": ["portcullis", "ready"]}}),
        Admin::Config => json!({"tcpSocket": {"port": wishes.listen_port}}),
    };
    put("startupProbe", probe(&asks, 1, START.as_secs()));
    put("readinessProbe", probe(&asks, 10, 3));
    let lifecycle = lifecycle(wishes, settings);
    if lifecycle.as_object().is_some_and(|hooks| !hooks.is_empty()) {
        put("lifecycle", lifecycle);
    }
    put("resources", resources(&wishes.resources));
    put(
        "securityContext",
        json!({
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
            "runAsGroup": settings.uid,
            "runAsNonRoot": true,
            "runAsUser": settings.uid,
            "seccompProfile": {"type": "RuntimeDefault"},
        }),
    );
    put("terminationMessagePolicy", "FallbackToLogsOnError".into());
    put("volumeMounts", mounts.into());
    container
}

fn arguments(wishes: &Wishes, target: Option<&Target>) -> Vec<String> {
    let mut words = vec!["run".to_owned()];
    if wishes.config_map.is_some() {
        words.push(format!("{CONFIG_FOLDER}/config.yaml"));
    }
    let comes_in = if wishes.mode == Mode::Intercept { "--intercepted" } else { "--listen" };
    for address in addresses(wishes) {
        words.extend([comes_in.to_owned(), address]);
    }
    if wishes.admin == Admin::Socket {
        words.extend(["--admin".to_owned(), SOCKET.to_owned()]);
    }
    words.extend(["--state".to_owned(), format!("{STATE_FOLDER}/state")]);
    if let Some(Target { service, version, port }) = target {
        let host = if wishes.families.v4() { "127.0.0.1" } else { "[::1]" };
        words.extend(["--service".to_owned(), service.clone(), "--stable".to_owned(), format!("{version}={host}:{port}")]);
    }
    words
}

/// Where a port is to be reached by the pod's own containers alone, nobody else may come.
fn addresses(wishes: &Wishes) -> Vec<String> {
    let Wishes { families, listen_port: port, listen_on, .. } = wishes;
    let (v4, v6) = if *listen_on == Listen::Loopback { ("127.0.0.1", "[::1]") } else { ("0.0.0.0", "[::]") };
    let hosts = match families {
        Families::Ipv4 => vec![v4],
        Families::Ipv6 => vec![v6],
        // A listener on all addresses of IPv6 takes those of IPv4 too.
        Families::Dual if *listen_on == Listen::Pod => vec![v6],
        Families::Dual => vec![v4, v6],
    };
    hosts.into_iter().map(|host| format!("{host}:{port}")).collect()
}

fn probe(asks: &Value, period: u64, failures: u64) -> Value {
    let mut probe = asks.clone();
    if let Value::Object(fields) = &mut probe {
        fields.insert("periodSeconds".to_owned(), period.into());
        fields.insert("timeoutSeconds".to_owned(), 5.into());
        fields.insert("failureThreshold".to_owned(), failures.into());
    }
    probe
}

fn lifecycle(wishes: &Wishes, settings: &Settings) -> Value {
    let mut hooks = json!({});
    let Value::Object(fields) = &mut hooks else { return hooks };
    if !wishes.native && wishes.admin == Admin::Socket {
        // The containers behind this one are started once the hook is done.
        let wait = format!("{}s", START.as_secs());
        fields.insert("postStart".to_owned(), json!({"exec": {"command": ["portcullis", "ready", "--wait", wait]}}));
    }
    if wishes.pre_stop > 0 {
        let hook = if settings.release.has_sleep() {
            json!({"sleep": {"seconds": wishes.pre_stop}})
        } else {
            json!({"exec": {"command": ["portcullis", "ready", "--linger", format!("{}s", wishes.pre_stop)]}})
        };
        fields.insert("preStop".to_owned(), hook);
    }
    hooks
}

fn resources(resources: &Resources) -> Value {
    let Resources { cpu_request, cpu_limit, memory_request, memory_limit } = resources;
    let mut limits = json!({"memory": memory_limit});
    if let (Some(cpu), Value::Object(fields)) = (cpu_limit, &mut limits) {
        fields.insert("cpu".to_owned(), cpu.as_str().into());
    }
    json!({"requests": {"cpu": cpu_request, "memory": memory_request}, "limits": limits})
}

/// Writes the init container that redirects what the application sends to the listed ports.
#[must_use]
pub fn init(wishes: &Wishes, settings: &Settings) -> Value {
    let ports: Vec<String> = wishes.intercept_ports.iter().map(u16::to_string).collect();
    let image = settings.init_image.as_ref().unwrap_or(&settings.image);
    let (to, uid) = (wishes.listen_port.to_string(), settings.uid.to_string());
    let words = ["intercept", "--ports", &ports.join(","), "--to", &to, "--except-uid", &uid, "--ip-families", wishes.families.word()];
    let mut words: Vec<String> = words.map(str::to_owned).to_vec();
    if let Some(networks) = &wishes.skip_networks {
        words.extend(["--skip-networks".to_owned(), networks.to_string()]);
    }
    json!({
        "name": INIT,
        "image": image.as_str(),
        "imagePullPolicy": "IfNotPresent",
        "command": ["portcullis"],
        "args": words,
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        // Rules need both capabilities, and a user other than root would need them on the file of the program.
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]},
            "privileged": false,
            "readOnlyRootFilesystem": true,
            "runAsGroup": 0,
            "runAsNonRoot": false,
            "runAsUser": 0,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        // For the lock of iptables.
        "volumeMounts": [{"name": STATE_VOLUME, "mountPath": "/run", "subPath": "init"}],
    })
}

/// Writes the volumes.
#[must_use]
pub fn volumes(wishes: &Wishes) -> Vec<Value> {
    let mut volumes = vec![json!({"name": STATE_VOLUME, "emptyDir": {}})];
    if let Some(name) = &wishes.config_map {
        volumes.push(json!({"name": CONFIG_VOLUME, "configMap": {"name": name}}));
    }
    volumes
}
