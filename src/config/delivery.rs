//! How artifacts are delivered through stages, as written and compiled: `delivery`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::policy;
use crate::config::service_spec::PolicySpec;
use crate::config::values;
use crate::domain::gate::Policy;
use crate::formats::cloudevent::{Era, UnknownEra};
use crate::formats::yaml::fields::Fields;
use crate::formats::yaml::place::{At, Report};
use crate::formats::yaml::quantities;
use crate::formats::yaml::tree::Node;

/// What may stand between braces in the command of a deployment.
pub const PLACEHOLDERS: [&str; 7] = ["image", "tag", "port", "project", "stage", "service", "portcullis"];

/// What may stand between braces in the name of a namespace.
const NAMESPACE_PLACEHOLDERS: [&str; 3] = ["project", "stage", "service"];

/// How artifacts are delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The end of the stages' host names: `{service}.{project}-{stage}.{domain}`.
    pub domain: String,
    /// The folder of the projects' files; `None` for one in the state folder.
    pub projects: Option<PathBuf>,
    /// How an artifact is deployed.
    pub deployer: Deployer,
    /// The file of the secret with which others sign or accompany events; `None` takes them from this machine only.
    pub token_file: Option<PathBuf>,
    /// Where events are sent, as URLs with `http`.
    pub sinks: Vec<String>,
    /// The hosts, with or without a port, that may be asked for the values behind gates.
    pub sources: Vec<String>,
    /// How long they may say nothing of a rollout that waits for them before everything is given back.
    pub sources_within: Duration,
    /// The registries that are asked whether an image is there: hosts, or `host=URL`; none where images are taken on trust.
    pub registries: Vec<String>,
    /// What keptn event payloads are sent: those of 0.4, 0.6 or 1.x.
    pub events: Era,
    /// How rollouts in stages are judged.
    pub policy: Policy,
    /// Whether a test ends as soon as the gate has decided.
    pub early_stop: bool,
}

/// How an artifact is deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deployer {
    /// As a process of this machine.
    Process(ProcessDeployer),
    /// By somebody else, who reports where it listens with a `deployment-finished` event.
    External {
        /// How long the report may take.
        within: Duration,
    },
    /// As objects of a Kubernetes cluster.
    Kubernetes(KubernetesDeployer),
}

impl Deployer {
    /// Returns how long a deployment may take.
    #[must_use]
    pub const fn within(&self) -> Duration {
        match self {
            Self::Process(ProcessDeployer { within, .. })
            | Self::Kubernetes(KubernetesDeployer { within, .. })
            | Self::External { within } => *within,
        }
    }
}

/// How an artifact becomes a Deployment of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesDeployer {
    /// The namespace of a stage, with `project`, `stage` and `service` in braces.
    pub namespace: String,
    /// The file that says where the API server is; `None` looks for it as `kubectl` does, then for the pod's own account.
    pub kubeconfig: Option<PathBuf>,
    /// The context in that file; `None` for its current one.
    pub context: Option<String>,
    /// How long a Deployment may take to become available.
    pub within: Duration,
}

/// How an artifact becomes a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessDeployer {
    /// The program and its arguments, with [`PLACEHOLDERS`] in braces.
    pub command: Vec<String>,
    /// The path that answers with a status below 400 once the process is ready.
    pub ready: String,
    /// How long that may take.
    pub within: Duration,
    /// How long a process may take to end after SIGTERM.
    pub grace: Duration,
    /// Whether its standard input is a pipe that ends with this process, for programs that follow it; else it outlives a kill and
    /// is found again.
    pub leash: bool,
}

/// The keys of `delivery`.
#[derive(Debug)]
pub(super) struct DeliverySpec {
    domain: Option<At<String>>,
    projects: Option<At<String>>,
    process: Option<ProcessSpec>,
    external: Option<ExternalSpec>,
    kubernetes: Option<KubernetesSpec>,
    token_file: Option<At<String>>,
    sinks: Option<At<Vec<At<String>>>>,
    sources: Option<At<Vec<At<String>>>>,
    sources_within: Option<At<String>>,
    registries: Option<At<Vec<At<String>>>>,
    events: Option<At<String>>,
    policy: Option<PolicySpec>,
    early_stop: Option<At<bool>>,
}

#[derive(Debug)]
struct ProcessSpec {
    command: Option<At<Vec<At<String>>>>,
    ready: Option<At<String>>,
    within: Option<At<String>>,
    grace: Option<At<String>>,
    leash: Option<At<bool>>,
}

#[derive(Debug)]
struct ExternalSpec {
    within: Option<At<String>>,
}

#[derive(Debug)]
struct KubernetesSpec {
    namespace: Option<At<String>>,
    kubeconfig: Option<At<String>>,
    context: Option<At<String>>,
    within: Option<At<String>>,
}

impl DeliverySpec {
    pub(super) fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self {
            domain: fields.text("domain"),
            projects: fields.text("projects"),
            process: fields.get("process").and_then(|(node, path)| ProcessSpec::read(node, path, report)),
            external: fields.get("external").and_then(|(node, path)| ExternalSpec::read(node, path, report)),
            kubernetes: fields.get("kubernetes").and_then(|(node, path)| KubernetesSpec::read(node, path, report)),
            token_file: fields.text("token_file"),
            sinks: fields.texts("sinks"),
            sources: fields.texts("sources"),
            registries: fields.texts("registries"),
            events: fields.text("events"),
            policy: fields.get("policy").and_then(|(node, path)| PolicySpec::read_all(node, path, report)),
            early_stop: fields.boolean("early_stop"),
            sources_within: fields.text("sources_within"),
        };
        let ways = [spec.process.is_some(), spec.external.is_some(), spec.kubernetes.is_some()];
        if ways.iter().filter(|way| **way).count() != 1 && !report.has_errors() {
            let hint = "write 'process' with a command, 'kubernetes' for a cluster, or 'external' where something else deploys";
            report.error(fields.place(), "a delivery has one way to deploy, 'process', 'kubernetes' or 'external'", hint);
        }
        fields.close();
        Some(spec)
    }

    pub(super) fn compile(&self, base: &Path, report: &Report<'_>) -> Option<Delivery> {
        let deployer = match (&self.process, &self.external, &self.kubernetes) {
            (Some(process), ..) => Deployer::Process(process.compile(report)?),
            (None, Some(external), _) => Deployer::External { within: within(external.within.as_ref(), Duration::from_secs(600), report)? },
            (None, None, Some(kubernetes)) => Deployer::Kubernetes(kubernetes.compile(base, report)?),
            (None, None, None) => return None,
        };
        let domain = match &self.domain {
            None => "localhost".to_owned(),
            Some(text) => domain(text, report)?,
        };
        let sinks = self.sinks.as_ref().map_or(&[][..], |list| &list.value);
        if let (Some(list), Some(_)) = (&self.registries, &self.process) {
            let hint = "leave it out: the image of a process is a name in its command";
            report.error(&list.place, "a process has no registry that could be asked for its image", hint);
        }
        let registries = self.registries.as_ref().map_or(&[][..], |list| &list.value);
        let sources = self.sources.as_ref().map_or(&[][..], |list| &list.value);
        Some(Delivery {
            domain,
            projects: self.projects.as_ref().map(|text| values::located(text, base)),
            deployer,
            token_file: self.token_file.as_ref().map(|text| values::located(text, base)),
            sinks: sinks.iter().filter_map(|text| sink(text, report)).collect(),
            sources: sources.iter().filter_map(|text| source(text, report)).collect(),
            sources_within: within(self.sources_within.as_ref(), Duration::from_secs(600), report)?,
            registries: registries.iter().filter_map(|text| registry(text, report)).collect(),
            policy: self.policy.as_ref().map_or(Some(Policy::default()), |spec| policy::compile(spec, report))?,
            early_stop: self.early_stop.as_ref().is_none_or(|flag| flag.value),
            events: self.events.as_ref().map_or(Some(Era::V0_4), |text| era(text, report))?,
        })
    }
}

impl ProcessSpec {
    fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self {
            command: fields.texts("command"),
            ready: fields.text("ready"),
            within: fields.text("within"),
            grace: fields.text("grace"),
            leash: fields.boolean("leash"),
        };
        fields.require("command", "write the program and its arguments, such as [./start, --image, '{image}:{tag}', --port, '{port}']");
        fields.close();
        Some(spec)
    }

    fn compile(&self, report: &Report<'_>) -> Option<ProcessDeployer> {
        let command = self.command.as_ref()?;
        if command.value.is_empty() {
            report.error(&command.place, "the command is empty", "write the program and its arguments");
            return None;
        }
        command.value.iter().for_each(|word| placeholders(word, report));
        if !command.value.iter().any(|word| word.value.contains("{port}")) {
            report.error(&command.place, "the command does not say where to listen", "pass '{port}', a free port of 127.0.0.1");
        }
        let ready = self.ready.as_ref().map_or("/", |text| &text.value);
        if let Some(text) = self.ready.as_ref().filter(|text| !text.value.starts_with('/')) {
            report.error(&text.place, format!("{:?} is no path to ask for", text.value), "write a path such as /health");
        }
        Some(ProcessDeployer {
            command: command.value.iter().map(|word| word.value.clone()).collect(),
            ready: ready.to_owned(),
            within: within(self.within.as_ref(), Duration::from_secs(60), report)?,
            grace: within(self.grace.as_ref(), Duration::from_secs(10), report)?,
            leash: self.leash.as_ref().is_some_and(|flag| flag.value),
        })
    }
}

impl ExternalSpec {
    fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self { within: fields.text("within") };
        fields.close();
        Some(spec)
    }
}

impl KubernetesSpec {
    fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self {
            namespace: fields.text("namespace"),
            kubeconfig: fields.text("kubeconfig"),
            context: fields.text("context"),
            within: fields.text("within"),
        };
        fields.close();
        Some(spec)
    }

    fn compile(&self, base: &Path, report: &Report<'_>) -> Option<KubernetesDeployer> {
        Some(KubernetesDeployer {
            namespace: self.namespace.as_ref().map_or(Some("{project}-{stage}".to_owned()), |text| namespace(text, report))?,
            kubeconfig: self.kubeconfig.as_ref().map(|text| values::located(text, base)),
            context: self.context.as_ref().map(|text| text.value.clone()),
            within: within(self.within.as_ref(), Duration::from_secs(300), report)?,
        })
    }
}

/// Checks the name of a namespace, which stays one when names of stages are put in (RFC 1123, 63 characters).
fn namespace(text: &At<String>, report: &Report<'_>) -> Option<String> {
    let filled = NAMESPACE_PLACEHOLDERS.iter().fold(text.value.clone(), |filled, name| filled.replace(&format!("{{{name}}}"), "x"));
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=63).contains(&filled.len()) && filled.bytes().all(good) && !filled.starts_with('-') && !filled.ends_with('-') {
        return Some(text.value.clone());
    }
    let hint = "write small letters, digits, '-', {project}, {stage} and {service}, such as '{project}-{stage}'";
    report.error(&text.place, format!("{:?} is no namespace", text.value), hint);
    None
}

fn within(text: Option<&At<String>>, default: Duration, report: &Report<'_>) -> Option<Duration> {
    text.map_or(Some(default), |text| quantities::duration(text, Duration::from_millis(1)..=values::LONGEST, report))
}

/// Reports every name in braces that stands for nothing.
fn placeholders(word: &At<String>, report: &Report<'_>) {
    for piece in word.value.split('{').skip(1) {
        let name = piece.split('}').next().unwrap_or_default();
        if !piece.contains('}') || !PLACEHOLDERS.contains(&name) {
            let hint = format!("use {}", PLACEHOLDERS.map(|known| format!("{{{known}}}")).join(", "));
            report.error(&word.place, format!("{{{name}}} stands for nothing"), hint);
        }
    }
}

fn domain(text: &At<String>, report: &Report<'_>) -> Option<String> {
    let label = |label: &str| {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(good) && !label.starts_with('-') && !label.ends_with('-')
    };
    if text.value.len() <= 120 && text.value.split('.').all(label) {
        return Some(text.value.clone());
    }
    let hint = "write small letters, digits, '-' and '.', such as localhost or apps.example.org";
    report.error(&text.place, format!("{:?} is no domain", text.value), hint);
    None
}

fn sink(text: &At<String>, report: &Report<'_>) -> Option<String> {
    let url: Option<http::Uri> = text.value.parse().ok();
    if url.is_some_and(|url| url.scheme_str() == Some("http") && url.authority().is_some()) {
        return Some(text.value.clone());
    }
    report.error(
        &text.place,
        format!("{:?} is no place to send events to", text.value),
        "write a URL such as http://127.0.0.1:8088/events",
    );
    None
}

fn source(text: &At<String>, report: &Report<'_>) -> Option<String> {
    let authority = text.value.parse::<http::uri::Authority>().ok();
    if authority.is_some_and(|authority| !authority.host().is_empty() && !authority.as_str().contains('@')) {
        return Some(text.value.clone());
    }
    let hint = "write a host, perhaps with its port, such as prometheus.monitoring:9090 or abc12345.live.dynatrace.com";
    report.error(&text.place, format!("{:?} is no host", text.value), hint);
    None
}

fn registry(text: &At<String>, report: &Report<'_>) -> Option<String> {
    let (host, url) = text.value.split_once('=').map_or((text.value.as_str(), None), |(host, url)| (host, Some(url)));
    let is_host = host.parse::<http::uri::Authority>().is_ok_and(|host| !host.as_str().contains('@'));
    let is_url = url.is_none_or(|url| url.parse::<http::Uri>().is_ok_and(|url| url.authority().is_some()));
    if is_host && is_url {
        return Some(text.value.clone());
    }
    let hint = "write a host such as docker.io, or a host with its URL such as registry.example.org=http://10.0.0.1:5000";
    report.error(&text.place, format!("{:?} is no registry", text.value), hint);
    None
}

fn era(text: &At<String>, report: &Report<'_>) -> Option<Era> {
    let era = text.value.parse();
    if let Err(error) = &era {
        let error: &UnknownEra = error;
        report.error(&text.place, format!("{:?}: {error}", text.value), "write '0.4', '0.6' or '1.x'");
    }
    era.ok()
}
