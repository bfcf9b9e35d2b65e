//! The configuration as written: its keys, their kinds and places, before any value is understood.
//!
//! What is missing or of the wrong kind is reported here, so a later step takes `None` for "already reported or
//! not wanted" and adds nothing.

use std::path::{Path, PathBuf};

use crate::config::admin_spec::AdminSpec;
use crate::config::delivery::DeliverySpec;
use crate::config::kubernetes::KubernetesSpec;
use crate::config::limits::LimitsSpec;
use crate::config::listen::ListenSpec;
use crate::config::metrics::{AnswersSpec, MetricsSpec};
use crate::config::notifications::NotificationsSpec;
use crate::config::service_spec::ServiceSpec;
use crate::config::traces::TracesSpec;
use crate::config::values;
use crate::formats::yaml::fields::Fields;
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::tree::{Node, Value};

/// A whole configuration.
#[derive(Debug, Default)]
pub(super) struct Spec {
    pub(super) listen: Option<At<Vec<ListenSpec>>>,
    pub(super) admin: Option<AdminSpec>,
    pub(super) state: Option<At<String>>,
    pub(super) workers: Option<At<String>>,
    pub(super) access_log: Option<At<String>>,
    pub(super) trusted_proxies: Vec<At<String>>,
    pub(super) strict_http: Option<At<bool>>,
    pub(super) timeouts: TimeoutsSpec,
    pub(super) limits: LimitsSpec,
    pub(super) notifications: Option<NotificationsSpec>,
    pub(super) access_log_format: Option<At<String>>,
    pub(super) answers: AnswersSpec,
    pub(super) metrics: MetricsSpec,
    pub(super) traces: Option<TracesSpec>,
    pub(super) kubernetes: Option<KubernetesSpec>,
    pub(super) delivery: Option<DeliverySpec>,
    pub(super) webhook_hosts: Option<At<Vec<At<String>>>>,
    pub(super) services: Vec<ServiceSpec>,
}

/// The time-outs.
#[derive(Debug, Default)]
pub(super) struct TimeoutsSpec {
    pub(super) connect: Option<At<String>>,
    pub(super) response: Option<At<String>>,
    pub(super) body_idle: Option<At<String>>,
    pub(super) header: Option<At<String>>,
    pub(super) detect: Option<At<String>>,
    pub(super) keep_alive: Option<At<String>>,
    pub(super) write_stall: Option<At<String>>,
    pub(super) connection_age: Option<At<String>>,
    pub(super) drain: Option<At<String>>,
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
            listen: ListenSpec::read_all(&mut fields, report),
            admin: fields.get("admin").and_then(|(node, path)| AdminSpec::read(node, path, report)),
            state: fields.text("state"),
            workers: fields.text("workers"),
            access_log: fields.text("access_log"),
            trusted_proxies: fields.texts("trusted_proxies").map_or_else(Vec::new, |list| list.value),
            strict_http: fields.boolean("strict_http"),
            timeouts: fields.get("timeouts").map_or_else(TimeoutsSpec::default, |(node, path)| TimeoutsSpec::read(node, path, report)),
            limits: fields.get("limits").map_or_else(LimitsSpec::default, |(node, path)| LimitsSpec::read(node, path, report)),
            notifications: fields.get("notifications").and_then(|(node, path)| NotificationsSpec::read(node, path, report)),
            access_log_format: fields.text("access_log_format"),
            answers: fields.get("answers").map_or_else(AnswersSpec::default, |(node, path)| AnswersSpec::read(node, path, report)),
            metrics: fields.get("metrics").map_or_else(MetricsSpec::default, |(node, path)| MetricsSpec::read(node, path, report)),
            traces: fields.get("traces").and_then(|(node, path)| TracesSpec::read(node, path, report)),
            kubernetes: fields.get("kubernetes").and_then(|(node, path)| KubernetesSpec::read(node, path, report)),
            delivery: fields.get("delivery").and_then(|(node, path)| DeliverySpec::read(node, path, report)),
            webhook_hosts: fields.texts("webhook_hosts"),
            services: Self::read_services(&mut fields, report),
        };
        fields.require("listen", "write an address with a port, such as 127.0.0.1:8080");
        if !fields.has("delivery") {
            fields.require("services", "write at least one service with name and stable");
        }
        fields.close();
        spec
    }

    /// Returns the gate files and the files with keys that are named; `base` is the folder of the file.
    pub(super) fn files(&self, base: &Path) -> Vec<PathBuf> {
        let named = self.services.iter().flat_map(|service| service.files.named().chain(service.choice.key_files()));
        named.map(|text| values::located(text, base)).collect()
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
            detect: fields.text("detect"),
            keep_alive: fields.text("keep_alive"),
            write_stall: fields.text("write_stall"),
            connection_age: fields.text("connection_age"),
            drain: fields.text("drain"),
        };
        fields.close();
        spec
    }
}
