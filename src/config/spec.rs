//! The configuration as written: its keys, their kinds and places, before any value is understood.
//!
//! What is missing or of the wrong kind is reported here, so a later step takes `None` for "already reported or
//! not wanted" and adds nothing.

use crate::formats::yaml::fields::Fields;
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::tree::{Node, Value};

/// A whole configuration.
#[derive(Debug, Default)]
pub(super) struct Spec {
    pub(super) listen: Option<At<Vec<At<String>>>>,
    pub(super) admin: Option<At<String>>,
    pub(super) state: Option<At<String>>,
    pub(super) workers: Option<At<String>>,
    pub(super) access_log: Option<At<String>>,
    pub(super) trusted_proxies: Vec<At<String>>,
    pub(super) strict_http: Option<At<bool>>,
    pub(super) timeouts: TimeoutsSpec,
    pub(super) services: Vec<ServiceSpec>,
}

/// The time-outs.
#[derive(Debug, Default)]
pub(super) struct TimeoutsSpec {
    pub(super) connect: Option<At<String>>,
    pub(super) response: Option<At<String>>,
    pub(super) body_idle: Option<At<String>>,
    pub(super) header: Option<At<String>>,
    pub(super) keep_alive: Option<At<String>>,
    pub(super) write_stall: Option<At<String>>,
    pub(super) drain: Option<At<String>>,
}

/// One service.
#[derive(Debug)]
pub(super) struct ServiceSpec {
    pub(super) place: Place,
    pub(super) name: Option<At<String>>,
    pub(super) hosts: Option<At<Vec<At<String>>>>,
    pub(super) stable: Option<VersionSpec>,
    pub(super) canary: Option<VersionSpec>,
    /// Whether gates were written at all, even if they could not be read.
    pub(super) has_gates: bool,
    pub(super) gates: Vec<At<String>>,
    pub(super) perfspec: Option<At<String>>,
    pub(super) derive_tripwire: Option<At<bool>>,
    pub(super) alpha: Option<At<String>>,
    pub(super) beta: Option<At<String>>,
    pub(super) plan: PlanSpec,
}

/// A version.
#[derive(Debug)]
pub(super) struct VersionSpec {
    pub(super) place: Place,
    pub(super) version: Option<At<String>>,
    pub(super) endpoints: Option<At<Vec<At<String>>>>,
}

/// A plan, written as a ramp or as steps.
#[derive(Debug)]
pub(super) enum PlanSpec {
    /// Start, factor and hold; what is left out has its default.
    Ramp { start: Option<At<String>>, factor: Option<At<String>>, hold: Option<At<String>> },
    /// The steps one by one.
    Steps(At<Vec<StepSpec>>),
    /// Something was written that is no plan; it was reported.
    Broken,
}

/// A step of a plan.
#[derive(Debug)]
pub(super) struct StepSpec {
    pub(super) weight: Option<At<String>>,
    pub(super) hold: Option<At<String>>,
}

impl PlanSpec {
    /// The plan where none is written.
    pub(super) const DEFAULT: Self = Self::Ramp { start: None, factor: None, hold: None };
}

impl Spec {
    /// Reads the tree of a file.
    pub(super) fn read(root: &Node, report: &Report<'_>) -> Self {
        if root.value == Value::Nothing {
            let hint = "it needs at least 'listen' and 'services'; config/example.yaml shows every key";
            report.error(&Place { path: String::new(), spot: Some((1, 1)) }, "the file is empty", hint);
            return Self::default();
        }
        let Some(mut fields) = Fields::open(root, String::new(), report) else { return Self::default() };
        let spec = Self {
            listen: fields.one_or_more("listen"),
            admin: fields.text("admin"),
            state: fields.text("state"),
            workers: fields.text("workers"),
            access_log: fields.text("access_log"),
            trusted_proxies: fields.texts("trusted_proxies").map_or_else(Vec::new, |list| list.value),
            strict_http: fields.boolean("strict_http"),
            timeouts: fields.get("timeouts").map_or_else(TimeoutsSpec::default, |(node, path)| TimeoutsSpec::read(node, path, report)),
            services: Self::read_services(&mut fields, report),
        };
        fields.require("listen", "write an address with a port, such as 127.0.0.1:8080");
        fields.require("services", "write at least one service with name and stable");
        fields.close();
        spec
    }

    fn read_services(fields: &mut Fields<'_>, report: &Report<'_>) -> Vec<ServiceSpec> {
        let Some(At { value: items, place }) = fields.list("services") else { return Vec::new() };
        if items.is_empty() {
            report.error(&place, "there is no service", "write at least one service with name and stable");
        }
        items.into_iter().filter_map(|(node, path)| ServiceSpec::read(node, path, report)).collect()
    }
}

impl TimeoutsSpec {
    fn read(node: &Node, path: String, report: &Report<'_>) -> Self {
        let Some(mut fields) = Fields::open(node, path, report) else { return Self::default() };
        let spec = Self {
            connect: fields.text("connect"),
            response: fields.text("response"),
            body_idle: fields.text("body_idle"),
            header: fields.text("header"),
            keep_alive: fields.text("keep_alive"),
            write_stall: fields.text("write_stall"),
            drain: fields.text("drain"),
        };
        fields.close();
        spec
    }
}

impl ServiceSpec {
    fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self {
            place: fields.place().clone(),
            name: fields.text("name"),
            hosts: fields.one_or_more("hosts"),
            stable: fields.get("stable").and_then(|(node, path)| VersionSpec::read(node, path, report)),
            canary: fields.get("canary").and_then(|(node, path)| VersionSpec::read(node, path, report)),
            gates: fields.one_or_more("gates").map_or_else(Vec::new, |list| list.value),
            has_gates: fields.has_items("gates"),
            perfspec: fields.text("perfspec"),
            derive_tripwire: fields.boolean("derive_tripwire"),
            alpha: fields.text("alpha"),
            beta: fields.text("beta"),
            plan: fields.get("plan").map_or(PlanSpec::DEFAULT, |(node, path)| PlanSpec::read(node, path, report)),
        };
        fields.require("name", "give the service a name, such as carts");
        fields.require("stable", "name the version that owns the traffic, with its endpoints");
        fields.close();
        Some(spec)
    }
}

impl VersionSpec {
    fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self { place: fields.place().clone(), version: fields.text("version"), endpoints: fields.one_or_more("endpoints") };
        fields.require("version", "give the version its name, such as 0.8.1");
        fields.require("endpoints", "write where the version listens, such as [\"127.0.0.1:8081\"]");
        fields.close();
        Some(spec)
    }
}

impl PlanSpec {
    fn read(node: &Node, path: String, report: &Report<'_>) -> Self {
        let Some(mut fields) = Fields::open(node, path, report) else { return Self::Broken };
        let ramp = (fields.text("start"), fields.text("factor"), fields.text("hold"));
        let steps = fields.list("steps");
        let both = fields.has("steps") && ["start", "factor", "hold"].into_iter().any(|key| fields.has(key));
        if both {
            let hint = "leave out either 'steps' or 'start', 'factor' and 'hold'";
            report.error(fields.place(), "a plan is either a ramp or steps, and this is both", hint);
        }
        let plan = match steps {
            _ if both => Self::Broken,
            Some(At { value, place }) => {
                let steps = value.into_iter().map(|(node, path)| StepSpec::read(node, path, report)).collect();
                Self::Steps(At::new(steps, place))
            }
            None if fields.has("steps") => Self::Broken,
            None => Self::Ramp { start: ramp.0, factor: ramp.1, hold: ramp.2 },
        };
        fields.close();
        plan
    }
}

impl StepSpec {
    fn read(node: &Node, path: String, report: &Report<'_>) -> Self {
        let Some(mut fields) = Fields::open(node, path, report) else { return Self { weight: None, hold: None } };
        let step = Self { weight: fields.text("weight"), hold: fields.text("hold") };
        fields.require("weight", "write the share of the canary in this step, such as 10%");
        fields.require("hold", "write how long the step lasts at least, such as 10s");
        fields.close();
        step
    }
}
