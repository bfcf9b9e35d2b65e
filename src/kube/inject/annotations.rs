//! What a pod says of its own sidecar: a closed list of annotations, each with a value that is checked.
//!
//! Whoever may make a pod may write these, so none of them names an image, a user, a program or an argument.

use serde_json::{Map, Value};

use crate::kube::inject::fault::{Fault, child, nearest, shown};
use crate::kube::inject::quantity;
use crate::kube::inject::settings::{Mode, Settings};
use crate::kube::inject::wishes::{Admin, Listen, Resources, Target, Wishes};

/// The label that asks for the sidecar or forbids it.
pub const INJECT: &str = "portcullis/inject";
/// The annotation that says what was put in.
pub const STATUS: &str = "portcullis/status";
/// The beginning of the annotations that set the sidecar up.
pub const PREFIX: &str = "config.portcullis/";

/// The annotations that set the sidecar up, without their prefix `config.portcullis/`.
pub const KNOWN: [&str; 18] = [
    "admin",
    "config-map",
    "cpu-limit",
    "cpu-request",
    "intercept-ports",
    "ip-families",
    "listen-on",
    "listen-port",
    "log-level",
    "memory-limit",
    "memory-request",
    "mode",
    "native-sidecar",
    "pre-stop-sleep",
    "service",
    "skip-networks",
    "target-port",
    "version",
];
/// Labels and annotations that others of us write under `portcullis/`.
pub const OURS: [&str; 8] = ["artifact", "deployment", "home", "inject", "project", "service", "stage", "status"];

/// The most ports that are intercepted: as many as one rule of iptables takes.
const MOST_PORTS: usize = 15;
/// Ports of whose traffic nothing can be split: TLS, name service, the cluster's API, or servers that speak first.
const FOREIGN: [u16; 15] = [22, 25, 53, 443, 587, 3306, 4222, 4444, 5432, 6379, 6443, 8443, 9300, 10250, 11211];
/// The least memory a proxy starts in, and the most one may ask for.
const MEMORY: [&str; 2] = ["32Mi", "64Gi"];
/// The same of cores.
const CPU: [&str; 2] = ["1m", "64"];

/// Reads the label that asks for the sidecar or forbids it; `None` where it says nothing.
///
/// # Errors
///
/// Returns labels of ours that are unknown, or whose value is.
pub fn asked(labels: &Map<String, Value>, path: &str) -> Result<Option<bool>, Vec<Fault>> {
    let mut faults = Vec::new();
    for key in labels.keys().filter_map(|key| key.strip_prefix("portcullis/")).filter(|key| !OURS.contains(key)) {
        let hint =
            nearest(key, &OURS).map_or_else(|| format!("the label is {INJECT}"), |meant| format!("did you mean portcullis/{meant}?"));
        faults.push(Fault::new(child(path, "labels"), format!("unknown label portcullis/{}", shown(key).trim_matches('"')), hint));
    }
    let asked = match labels.get(INJECT) {
        None => None,
        Some(Value::String(word)) if word == "true" => Some(true),
        Some(Value::String(word)) if word == "false" => Some(false),
        Some(other) => {
            let found = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
            let hint = "write \"true\" to ask for the sidecar or \"false\" to forbid it, in quotes";
            faults.push(Fault::new(child(path, "labels"), format!("the label {INJECT} is {}", shown(&found)), hint));
            None
        }
    };
    if faults.is_empty() { Ok(asked) } else { Err(faults) }
}

/// Reads the annotations of a pod; what they do not say is what the settings say.
///
/// # Errors
///
/// Returns every annotation of ours that is unknown, cannot be read, or contradicts another.
pub fn read(annotations: &Map<String, Value>, path: &str, settings: &Settings) -> Result<Wishes, Vec<Fault>> {
    let mut reader = Reader { annotations, path: child(path, "annotations"), faults: Vec::new() };
    reader.unknown();
    let wishes = reader.wishes(settings);
    reader.agree(&wishes, settings);
    if reader.faults.is_empty() { Ok(wishes) } else { Err(reader.faults) }
}

/// Finds annotations that others may well mean, but that look like ours.
#[must_use]
pub fn alike(annotations: &Map<String, Value>, path: &str) -> Vec<Fault> {
    let alike = |key: &&String| {
        let Some((prefix, name)) = key.split_once('/') else { return false };
        let ours = ["portcullis", "config.portcullis"].contains(&prefix);
        !ours && prefix.split('.').any(|part| part == "portcullis") && (KNOWN.contains(&name) || name == "inject")
    };
    let told = |key: &String| {
        let name = key.rsplit('/').next().unwrap_or_default();
        let meant = if name == "inject" { format!("the label {INJECT}") } else { format!("{PREFIX}{name}") };
        let message = format!("the annotation {} is not one of this sidecar's", shown(key).trim_matches('"'));
        Fault::new(child(&child(path, "annotations"), key), message, format!("if it was meant for this sidecar, write {meant}"))
    };
    annotations.keys().filter(alike).map(told).collect()
}

/// Says what an unknown annotation was probably meant to be.
fn meant(key: &str) -> String {
    let name = key.rsplit('/').next().unwrap_or_default();
    if ["image", "uid", "args", "command"].contains(&name) {
        return "that is not for pods to say; the command and the webhook have a flag for it".to_owned();
    }
    let known = || format!("known are {PREFIX}{{{}}}", KNOWN.join(","));
    nearest(name, &KNOWN).map_or_else(known, |meant| format!("did you mean {PREFIX}{meant}?"))
}

struct Reader<'a> {
    annotations: &'a Map<String, Value>,
    path: String,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    /// Reports annotations with a prefix of ours that are not in the list. That one is misplaced is told by whoever looks at all places.
    fn unknown(&mut self) {
        let mut faults = Vec::new();
        for (key, value) in self.annotations {
            let known = match key.split_once('/') {
                Some(("config.portcullis", name)) => KNOWN.contains(&name),
                Some(("portcullis", name)) if OURS.contains(&name) => continue,
                Some(("portcullis", _)) => false,
                _ => continue,
            };
            let path = child(&self.path, key);
            if !known {
                faults.push(Fault::new(path, format!("unknown annotation {}", shown(key).trim_matches('"')), meant(key)));
            } else if !value.is_string() {
                faults.push(Fault::new(path, format!("{key} is no text"), format!("write it in quotes: {key}: \"{value}\"")));
            }
        }
        self.faults.extend(faults);
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.annotations.get(&format!("{PREFIX}{name}")).and_then(Value::as_str)
    }

    /// Reads a value, or reports that it cannot be read.
    fn value<T>(&mut self, name: &str, wanted: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        if let Some(value) = read(text) {
            return Some(value);
        }
        let message = format!("{PREFIX}{name} is {}", shown(text));
        let path = child(&self.path, &format!("{PREFIX}{name}"));
        self.faults.push(Fault::new(path, message, format!("write {wanted}")));
        None
    }

    fn wishes(&mut self, settings: &Settings) -> Wishes {
        let mode = self.value("mode", "explicit or intercept", |text| text.parse().ok()).unwrap_or(settings.mode);
        let name = "1 to 63 letters, digits, '.', '-' or '_', beginning with a letter or digit";
        let target = self.value("target-port", "the number or the name of a port of the application", target);
        let config_map = self.value("config-map", "the name of a ConfigMap whose key config.yaml is a configuration", |text| {
            is_object_name(text).then(|| text.to_owned())
        });
        let usual_port = if mode == Mode::Explicit { 4143 } else { 4140 };
        // Pods that name a port of theirs have no need of the ConfigMap of all others.
        let usual_map = || settings.config_map.clone().filter(|_| target.is_none() || mode == Mode::Intercept);
        let config_map = config_map.or_else(usual_map);
        let admin = self.value("admin", "socket or config", |text| match text {
            "socket" => Some(Admin::Socket),
            "config" => Some(Admin::Config),
            _ => None,
        });
        let admin = admin.unwrap_or(Admin::Socket);
        let listen_on = self.value("listen-on", "pod or loopback", |text| match text {
            "pod" => Some(Listen::Pod),
            "loopback" => Some(Listen::Loopback),
            _ => None,
        });
        // A Service leads to what stands in front of the application's port, and the node's probes to what has no other place to ask.
        let called = mode == Mode::Intercept || (config_map.is_some() && admin == Admin::Socket);
        Wishes {
            mode,
            config_map,
            target,
            listen_port: self
                .value("listen-port", "a port from 1024 to 65535", |text| number(text).filter(|port| *port >= 1024))
                .unwrap_or(usual_port),
            listen_on: listen_on.unwrap_or(if called { Listen::Loopback } else { Listen::Pod }),
            service: self.value("service", name, |text| text.parse().ok()),
            version: self.value("version", name, |text| text.parse().ok()),
            intercept_ports: self
                .value("intercept-ports", "1 to 15 ports with commas between them, such as \"80,8080\"", ports)
                .unwrap_or_default(),
            skip_networks: self.value(
                "skip-networks",
                "1 to 32 networks with commas between them, such as \"10.0.0.0/8,2001:db8::/32\"",
                |text| text.parse().ok(),
            ),
            families: self.value("ip-families", "ipv4, ipv6 or dual", |text| text.parse().ok()).unwrap_or(settings.families),
            admin,
            native: self
                .value("native-sidecar", "\"true\" or \"false\"", |text| text.parse().ok())
                .unwrap_or(settings.release.has_native_sidecars()),
            pre_stop: self.value("pre-stop-sleep", "seconds from 0 to 300", seconds).unwrap_or(5),
            log_level: self.value("log-level", "error, warn, info or debug", |text| {
                ["error", "warn", "info", "debug"].contains(&text).then(|| text.to_owned())
            }),
            resources: self.resources(),
        }
    }

    fn resources(&mut self) -> Resources {
        let cpu = format!("cores from {} to {}, such as 100m or 1", CPU[0], CPU[1]);
        let memory = format!("bytes from {} to {}, such as 64Mi", MEMORY[0], MEMORY[1]);
        let mut read = |name: &str| {
            let (wanted, range) = if name.starts_with("cpu") { (&cpu, CPU) } else { (&memory, MEMORY) };
            self.value(name, wanted, |text| within(text, range))
        };
        let (cpu_request, cpu_limit) = (read("cpu-request"), read("cpu-limit"));
        let (memory_request, memory_limit) = (read("memory-request"), read("memory-limit"));
        // A request or a limit that is written alone takes the other one along, so that a request is never above its limit.
        let at_most = |usual: &str, limit: Option<&String>| limit.filter(|limit| above(usual, limit)).cloned().unwrap_or(usual.to_owned());
        let at_least = |usual: &str, request: Option<&String>| request.filter(|it| above(it, usual)).cloned().unwrap_or(usual.to_owned());
        let resources = Resources {
            cpu_request: cpu_request.unwrap_or_else(|| at_most("100m", cpu_limit.as_ref())),
            cpu_limit,
            memory_limit: memory_limit.clone().unwrap_or_else(|| at_least("256Mi", memory_request.as_ref())),
            memory_request: memory_request.unwrap_or_else(|| at_most("64Mi", memory_limit.as_ref())),
        };
        let pairs = [
            ("cpu", &resources.cpu_request, resources.cpu_limit.as_ref()),
            ("memory", &resources.memory_request, Some(&resources.memory_limit)),
        ];
        for (what, request, limit) in pairs {
            if let Some(limit) = limit.filter(|limit| above(request, limit)) {
                let message = format!("{PREFIX}{what}-request {request} is above {PREFIX}{what}-limit {limit}");
                self.faults.push(Fault::new(self.path.clone(), message, "raise the limit, or lower the request"));
            }
        }
        resources
    }

    /// Reports annotations that contradict each other.
    fn agree(&mut self, wishes: &Wishes, settings: &Settings) {
        let has = |name: &str| self.text(name).is_some();
        let mut faults = Vec::new();
        let mut fault = |name: &str, message: &str, hint: &str| {
            faults.push(Fault::new(child(&self.path, &format!("{PREFIX}{name}")), message, hint));
        };
        let configured = wishes.config_map.is_some();
        for name in
            ["service", "version", "target-port"].into_iter().filter(|name| has(name) && (configured || wishes.mode == Mode::Intercept))
        {
            let message = format!("{PREFIX}{name} has no effect beside a configuration, which names services and versions itself");
            fault(name, &message, "leave it out, or leave the ConfigMap out");
        }
        if wishes.mode == Mode::Explicit {
            for (name, what) in [("intercept-ports", "ports are intercepted"), ("skip-networks", "networks are skipped")] {
                if has(name) {
                    fault(name, &format!("{what} in the mode intercept only"), &format!("write {PREFIX}mode: intercept too"));
                }
            }
        }
        if wishes.mode == Mode::Intercept {
            if !configured {
                let hint = "name a ConfigMap whose services have the hosts that the application asks on these ports";
                fault("config-map", "the mode intercept needs a configuration", hint);
            }
            if !has("intercept-ports") {
                let hint = format!("write the ports whose outgoing traffic the proxy splits, such as {PREFIX}intercept-ports: \"80\"");
                fault("intercept-ports", "the mode intercept needs ports", &hint);
            }
            for port in wishes.intercept_ports.iter().filter(|port| FOREIGN.contains(port) || **port == wishes.listen_port) {
                let message = format!("port {port} cannot be intercepted");
                let hint = if *port == wishes.listen_port {
                    "the proxy listens there itself"
                } else {
                    "what is spoken there is usually TLS or no HTTP, of which nothing can be split"
                };
                fault("intercept-ports", &message, hint);
            }
        }
        if wishes.admin == Admin::Config && (!configured || wishes.mode == Mode::Intercept) {
            let hint = "leave it out: the admin API is a Unix socket then, and probes ask there";
            fault("admin", "the admin API can be left to the configuration in the mode explicit with a ConfigMap only", hint);
        }
        if wishes.mode == Mode::Intercept && wishes.listen_on == Listen::Pod {
            fault("listen-on", "what is redirected comes over the loopback, and nobody else may come", "leave it out");
        }
        if wishes.admin == Admin::Config && wishes.listen_on == Listen::Loopback {
            let message = "where the configuration says the admin API, probes are connections of the node, which cannot reach the loopback";
            fault("listen-on", message, &format!("write pod, or leave {PREFIX}admin out"));
        }
        if wishes.native && !settings.release.has_native_sidecars() {
            let message = format!("Kubernetes {} has no native sidecars", settings.release);
            fault("native-sidecar", &message, "they are on from 1.29 on; leave it out");
        }
        self.faults.extend(faults);
    }
}

fn above(one: &str, other: &str) -> bool {
    quantity::thousandths(one) > quantity::thousandths(other)
}

fn within(text: &str, [least, most]: [&str; 2]) -> Option<String> {
    let good = quantity::thousandths(text).is_some() && !above(least, text) && !above(text, most);
    good.then(|| text.to_owned())
}

/// Reads a whole number in decimal digits, without a sign or zeros in front.
fn number(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| plain)
}

fn seconds(text: &str) -> Option<u16> {
    let bare = text.strip_suffix('s').unwrap_or(text);
    if bare == "0" { Some(0) } else { number(bare).filter(|seconds| *seconds <= 300) }
}

fn ports(text: &str) -> Option<Vec<u16>> {
    if text.len() > 200 {
        return None;
    }
    let mut ports: Vec<u16> = text.split(',').map(|port| number(port.trim())).collect::<Option<_>>()?;
    ports.sort_unstable();
    ports.dedup();
    (1..=MOST_PORTS).contains(&ports.len()).then_some(ports)
}

/// Reads the number or the name of a port (RFC 6335, as Kubernetes takes it).
fn target(text: &str) -> Option<Target> {
    if let Some(port) = number(text) {
        return Some(Target::Number(port));
    }
    let known = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let good = (1..=15).contains(&text.len()) && known && text.bytes().any(|b| b.is_ascii_lowercase());
    good.then(|| Target::Name(text.to_owned()))
}

/// Says whether a text may name an object of Kubernetes (RFC 1123, subdomain).
#[must_use]
pub fn is_object_name(text: &str) -> bool {
    let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let label = |label: &str| !label.is_empty() && label.bytes().all(known) && !label.starts_with('-') && !label.ends_with('-');
    text.len() <= 253 && text.split('.').all(label)
}
