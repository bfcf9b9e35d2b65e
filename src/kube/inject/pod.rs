//! Reads a pod, or the template of one, as far as a sidecar must know it.

use serde_json::{Map, Value};

use crate::kube::inject::annotations::STATUS;
use crate::kube::inject::fault::{Fault, child, shown};
use crate::kube::inject::wishes::Target;

static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);

/// The labels of nodes that tell their operating system, today's and that of before.
const OS_LABELS: [&str; 2] = ["kubernetes.io/os", "beta.kubernetes.io/os"];

/// A pod whose shape is sound: there are containers with names, and lists and mappings where they belong.
#[derive(Clone, Copy, Debug)]
pub struct Pod<'o> {
    /// The labels.
    pub labels: &'o Map<String, Value>,
    /// The annotations.
    pub annotations: &'o Map<String, Value>,
    /// What is below `spec`.
    pub spec: &'o Map<String, Value>,
}

/// A container of a pod.
#[derive(Clone, Debug)]
pub struct Container<'o> {
    /// Its name.
    pub name: &'o str,
    /// Where it stands below `spec`, such as `containers[0]`.
    pub place: String,
    /// What it is.
    pub sort: Sort,
    fields: &'o Map<String, Value>,
}

/// What a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// The application's.
    App,
    /// One that ends before the application starts.
    Init,
    /// An init container that runs on beside the application.
    Sidecar,
    /// One for debugging.
    Ephemeral,
}

/// A port of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port<'o> {
    /// Its name.
    pub name: Option<&'o str>,
    /// Its number.
    pub number: u16,
    /// Whether the node has a port that leads here.
    pub on_host: bool,
}

impl<'o> Pod<'o> {
    /// Reads a pod.
    ///
    /// # Errors
    ///
    /// Returns what has another shape than a pod, or lacks what every pod has.
    pub fn read(template: &'o Value, path: &str) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let metadata = map(template, "metadata", path, &mut faults);
        let at = child(path, "metadata");
        let of = |key: &str, faults: &mut Vec<Fault>| metadata.and_then(|metadata| in_map(metadata, key, &at, faults));
        let (labels, annotations) = (of("labels", &mut faults), of("annotations", &mut faults));
        let at = child(path, "spec");
        let Some(spec) = map(template, "spec", path, &mut faults) else {
            if faults.is_empty() {
                faults.push(Fault::new(at, "the pod has no spec", "write its containers below spec"));
            }
            return Err(faults);
        };
        for key in ["containers", "initContainers", "ephemeralContainers", "volumes"] {
            let list = match spec.get(key) {
                None | Some(Value::Null) => &[],
                Some(Value::Array(items)) => items.as_slice(),
                Some(other) => {
                    faults.push(Fault::new(
                        child(&at, key),
                        format!("{key} is {}, not a list", kind(other)),
                        format!("write {key}: [ … ]"),
                    ));
                    continue;
                }
            };
            let unnamed = |item: &&Value| item.get("name").and_then(Value::as_str).is_none_or(str::is_empty);
            for (index, _) in list.iter().enumerate().filter(|(_, item)| unnamed(item)) {
                faults.push(Fault::new(format!("{}[{index}].name", child(&at, key)), "there is no name", "give each of them a name"));
            }
            if list.is_empty() && key == "containers" {
                faults.push(Fault::new(child(&at, key), "the pod has no containers", "write at least one, with its name and image"));
            }
        }
        let pod = Self { labels: labels.unwrap_or(&EMPTY), annotations: annotations.unwrap_or(&EMPTY), spec };
        if faults.is_empty() { Ok(pod) } else { Err(faults) }
    }

    /// Returns all containers.
    pub fn containers(self) -> impl Iterator<Item = Container<'o>> {
        let keys = [("initContainers", Sort::Init), ("containers", Sort::App), ("ephemeralContainers", Sort::Ephemeral)];
        keys.into_iter().flat_map(move |(key, sort)| {
            let list = self.spec.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            list.iter().enumerate().filter_map(move |(index, item)| {
                let fields = item.as_object()?;
                let name = fields.get("name")?.as_str()?;
                let always = fields.get("restartPolicy").and_then(Value::as_str) == Some("Always");
                let sort = if sort == Sort::Init && always { Sort::Sidecar } else { sort };
                Some(Container { name, place: format!("{key}[{index}]"), sort, fields })
            })
        })
    }

    /// Returns a container by its name.
    #[must_use]
    pub fn container(self, name: &str) -> Option<Container<'o>> {
        self.containers().find(|container| container.name == name)
    }

    /// Says whether a flag of the pod is set.
    #[must_use]
    pub fn is(self, key: &str) -> bool {
        self.spec.get(key) == Some(&Value::Bool(true))
    }

    /// Says whether there is a volume of that name.
    #[must_use]
    pub fn has_volume(self, name: &str) -> bool {
        let named = |volume: &Value| volume.get("name").and_then(Value::as_str) == Some(name);
        self.spec.get("volumes").and_then(Value::as_array).is_some_and(|volumes| volumes.iter().any(named))
    }

    /// Says where the pod tells that it is for nodes with Windows, below `spec`.
    #[must_use]
    pub fn windows(self) -> Option<String> {
        let of = |outer: &str, inner: &str| self.spec.get(outer).and_then(|value| value.get(inner));
        if let Some(name) = of("os", "name").and_then(Value::as_str) {
            return (name == "windows").then(|| "os.name".to_owned());
        }
        if OS_LABELS.iter().any(|label| of("nodeSelector", label).and_then(Value::as_str) == Some("windows")) {
            return Some("nodeSelector".to_owned());
        }
        let required = of("affinity", "nodeAffinity").and_then(|affinity| affinity.get("requiredDuringSchedulingIgnoredDuringExecution"));
        let terms = required.and_then(|required| required.get("nodeSelectorTerms")).and_then(Value::as_array);
        let rules = terms.into_iter().flatten().filter_map(|term| term.get("matchExpressions")?.as_array()).flatten();
        // Each term is a way for the pod to a node; the proxy must run wherever it goes.
        if rules.into_iter().any(leads_to_windows) {
            return Some("affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution".to_owned());
        }
        let options = |value: Option<&Value>| {
            let options = value.and_then(|context| context.get("windowsOptions")).and_then(Value::as_object);
            options.is_some_and(|options| !options.is_empty())
        };
        let context = "securityContext.windowsOptions";
        if options(self.spec.get("securityContext")) {
            return Some(context.to_owned());
        }
        let found = self.containers().find(|container| options(container.fields.get("securityContext")));
        found.map(|container| format!("{}.{context}", container.place))
    }

    /// Says whether its containers end, as those of a Job do.
    #[must_use]
    pub fn ends(self) -> bool {
        matches!(self.spec.get("restartPolicy").and_then(Value::as_str), Some("Never" | "OnFailure"))
    }

    /// Returns the first of some labels that has a text.
    #[must_use]
    pub fn label(self, keys: &[&str]) -> Option<&'o str> {
        keys.iter().find_map(|key| self.labels.get(*key).and_then(Value::as_str).filter(|value| !value.is_empty()))
    }

    /// Says whether it says of itself that a sidecar was put in.
    #[must_use]
    pub fn has_status(self) -> bool {
        self.annotations.contains_key(STATUS)
    }

    /// Returns the containers that run as a user, so far as the pod tells it.
    pub fn running_as(self, uid: u32) -> impl Iterator<Item = Container<'o>> {
        let of = |value: &Value| value.get("runAsUser").and_then(Value::as_u64);
        let usual = self.spec.get("securityContext").and_then(of);
        let user = move |container: &Container<'o>| container.fields.get("securityContext").and_then(of).or(usual);
        self.containers().filter(move |container| user(container) == Some(u64::from(uid)))
    }

    /// Finds the port of the application that the proxy stands in front of; where none is named, the one there is, or that called http.
    ///
    /// # Errors
    ///
    /// Says that there is none, or several.
    pub fn target(self, wanted: Option<&Target>, path: &str) -> Result<Port<'o>, Fault> {
        let of = |sort: Sort| self.containers().filter(move |container| container.sort == sort).flat_map(|container| container.ports());
        let ports: Vec<Port<'o>> = of(Sort::App).collect();
        // Other sidecars have ports of their own: the application's is one of theirs only where the pod says so.
        let all = || ports.iter().copied().chain(of(Sort::Sidecar));
        let listed = || {
            let ports =
                ports.iter().map(|port| port.name.map_or_else(|| port.number.to_string(), |name| format!("{} ({name})", port.number)));
            ports.take(20).collect::<Vec<_>>().join(", ")
        };
        let path = child(path, "spec.containers");
        match wanted {
            // A number need not be among the ports, which tell people and bind nobody.
            Some(Target::Number(number)) => {
                let found = all().find(|port| port.number == *number);
                Ok(found.unwrap_or(Port { name: None, number: *number, on_host: false }))
            }
            Some(Target::Name(name)) => all().find(|port| port.name == Some(name)).ok_or_else(|| {
                let hint = if ports.is_empty() { "no container tells its ports".to_owned() } else { format!("there is {}", listed()) };
                Fault::new(path, format!("no container has a port called {}", shown(name)), hint)
            }),
            None => match ports.as_slice() {
                [one] => Ok(*one),
                [] => {
                    let hint = "write the annotation config.portcullis/target-port, or config.portcullis/config-map for a configuration";
                    Err(Fault::new(path, "no container tells where the application listens", hint))
                }
                several => several.iter().find(|port| port.name == Some("http")).copied().ok_or_else(|| {
                    let hint = format!("write one of {} as config.portcullis/target-port, or call one http", listed());
                    Fault::new(path, "several ports could be the application's", hint)
                }),
            },
        }
    }
}

/// Says whether a rule of a node affinity wants, or admits by name, Windows.
fn leads_to_windows(rule: &Value) -> bool {
    let text = |key: &str| rule.get(key).and_then(Value::as_str).unwrap_or_default();
    let has = |name: &str| rule.get("values").and_then(Value::as_array).is_some_and(|values| values.iter().any(|value| value == name));
    OS_LABELS.contains(&text("key")) && (text("operator") == "In" && has("windows") || text("operator") == "NotIn" && has("linux"))
}

impl<'o> Container<'o> {
    /// Returns its TCP ports.
    pub fn ports(&self) -> impl Iterator<Item = Port<'o>> + use<'o> {
        let list = self.fields.get("ports").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(|port| {
            let tcp = port.get("protocol").and_then(Value::as_str).is_none_or(|protocol| protocol == "TCP");
            let number = port.get("containerPort")?.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0)?;
            let on_host = port.get("hostPort").and_then(Value::as_u64).is_some_and(|port| port > 0);
            tcp.then_some(Port { name: port.get("name").and_then(Value::as_str), number, on_host })
        })
    }
}

/// Returns a mapping below a value; what is missing or null is none.
fn map<'o>(value: &'o Value, key: &str, path: &str, faults: &mut Vec<Fault>) -> Option<&'o Map<String, Value>> {
    match value {
        Value::Object(fields) => in_map(fields, key, path, faults),
        other => {
            faults.push(Fault::new(path, format!("this is {}, not a pod", kind(other)), "write a mapping with metadata and spec"));
            None
        }
    }
}

fn in_map<'o>(fields: &'o Map<String, Value>, key: &str, path: &str, faults: &mut Vec<Fault>) -> Option<&'o Map<String, Value>> {
    match fields.get(key) {
        None | Some(Value::Null) => None,
        Some(Value::Object(map)) => Some(map),
        Some(other) => {
            faults.push(Fault::new(child(path, key), format!("{key} is {}, not a mapping", kind(other)), format!("write {key}: {{ … }}")));
            None
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}
