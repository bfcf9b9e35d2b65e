//! Reads and compiles the webhooks of a service, in Flagger's words.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::gate::Inconclusive;
use crate::domain::webhook::{Occasion, Webhook};
use crate::formats::yaml::fields::{Fields, place_of, text_of};
use crate::formats::yaml::place::{At, Report};
use crate::formats::yaml::quantities;
use crate::formats::yaml::tree::{Node, Value};

/// How long an attempt may take where nothing is written, as with Flagger.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest an attempt may take.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(300);
/// The most retries.
const MOST_RETRIES: u16 = 10;

/// The webhooks of a service as written.
#[derive(Debug, Default)]
pub(super) struct WebhooksSpec {
    hooks: Vec<WebhookSpec>,
    failure: Option<At<String>>,
}

#[derive(Debug)]
struct WebhookSpec {
    name: Option<At<String>>,
    kind: Option<At<String>>,
    url: Option<At<String>>,
    timeout: Option<At<String>>,
    retries: Option<At<String>>,
    metadata: BTreeMap<String, String>,
}

impl WebhooksSpec {
    /// Reads the keys of a service.
    pub(super) fn read(fields: &mut Fields<'_>, report: &Report<'_>) -> Self {
        let items = fields.list("webhooks").map_or_else(Vec::new, |list| list.value);
        let hooks = items.into_iter().filter_map(|(node, path)| WebhookSpec::read(node, path, report)).collect();
        Self { hooks, failure: fields.text("webhook_failure") }
    }

    /// Compiles them, and what happens after a refusal.
    pub(super) fn compile(&self, report: &Report<'_>) -> Option<(Vec<Webhook>, Inconclusive)> {
        let hooks: Vec<_> = self.hooks.iter().map(|hook| hook.compile(report)).collect();
        let failure = self.failure.as_ref().map_or(Some(Inconclusive::Hold), |text| quantities::inconclusive(text, report));
        Some((hooks.into_iter().collect::<Option<_>>()?, failure?))
    }
}

impl WebhookSpec {
    fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self {
            name: fields.text("name"),
            kind: fields.text("type"),
            url: fields.text("url"),
            timeout: fields.text("timeout"),
            retries: fields.text("retries"),
            metadata: fields.get("metadata").map_or_else(BTreeMap::new, |(node, path)| metadata(node, &path, report)),
        };
        fields.require("name", "give it a name for messages, such as load-test");
        fields.require("type", "write confirm-rollout, confirm-traffic-increase, confirm-promotion or post-rollout");
        fields.require("url", "write where it is, such as http://127.0.0.1:8090/gate");
        fields.close();
        Some(spec)
    }

    fn compile(&self, report: &Report<'_>) -> Option<Webhook> {
        let occasion = self.kind.as_ref().and_then(|text| occasion(text, report));
        let url = self.url.as_ref().and_then(|text| url(text, report));
        let some = Duration::from_millis(1)..=LONGEST_TIMEOUT;
        let timeout = self.timeout.as_ref().map_or(Some(DEFAULT_TIMEOUT), |text| quantities::duration(text, some, report));
        let retries = self.retries.as_ref().map_or(Some(0), |text| quantities::whole(text, 0..=MOST_RETRIES, report));
        let name = self.name.as_ref().map(|text| text.value.clone());
        let metadata = self.metadata.clone();
        Some(Webhook { name: name?, occasion: occasion?, url: url?, timeout: timeout?, retries: retries?, metadata })
    }
}

/// Reports every webhook whose host is none of these, each with or without a port.
pub(super) fn check_hosts<'a>(hosts: &[At<String>], all: impl Iterator<Item = &'a WebhooksSpec>, report: &Report<'_>) {
    for text in hosts {
        let authority = text.value.parse::<http::uri::Authority>().ok();
        if authority.is_none_or(|authority| authority.host().is_empty() || authority.as_str().contains('@')) {
            let hint = "write a host, perhaps with its port, such as 127.0.0.1:8090 or gates.example.com";
            report.error(&text.place, format!("{:?} is no host", text.value), hint);
        }
    }
    let known = hosts.iter().map(|text| text.value.as_str()).collect::<Vec<_>>().join(", ");
    for text in all.flat_map(|spec| &spec.hooks).filter_map(|hook| hook.url.as_ref()) {
        let Ok(uri) = text.value.parse::<http::Uri>() else { continue };
        let Some(authority) = uri.authority() else { continue };
        let is_listed =
            |host: &At<String>| [authority.as_str(), authority.host()].iter().any(|name| name.eq_ignore_ascii_case(&host.value));
        if !hosts.iter().any(is_listed) {
            let known = if known.is_empty() { "none" } else { &known };
            let hint = format!("write {authority} below webhook_hosts too, or correct the URL");
            report.error(&text.place, format!("{authority} is none of the hosts that webhooks may name ({known})"), hint);
        }
    }
}

fn occasion(text: &At<String>, report: &Report<'_>) -> Option<Occasion> {
    match text.value.as_str() {
        "confirm-rollout" | "pre-rollout" => Some(Occasion::Start),
        "confirm-traffic-increase" => Some(Occasion::Raise),
        "confirm-promotion" => Some(Occasion::Promotion),
        "post-rollout" => Some(Occasion::End),
        other => {
            let hint = "write confirm-rollout, confirm-traffic-increase, confirm-promotion or post-rollout";
            report.error(&text.place, format!("{other:?} is no type of webhook"), hint);
            None
        }
    }
}

fn url(text: &At<String>, report: &Report<'_>) -> Option<String> {
    let uri = text.value.parse::<http::Uri>().ok();
    let is_good = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    });
    if is_good {
        return Some(text.value.clone());
    }
    report.error(&text.place, "this is no URL of a webhook", "write http:// or https:// and a host, such as http://127.0.0.1:8090/gate");
    None
}

/// Reads a mapping of texts.
fn metadata(node: &Node, path: &str, report: &Report<'_>) -> BTreeMap<String, String> {
    let Value::Map(entries) = &node.value else {
        report.error(&place_of(node, path.to_owned()), "metadata must be a mapping of texts", "write {key: value}");
        return BTreeMap::new();
    };
    let read = |(key, value): &(Node, Node)| {
        let key = text_of(key, path.to_owned(), report)?.value;
        let value = text_of(value, format!("{path}.{key}"), report)?.value;
        Some((key, value))
    };
    entries.iter().filter_map(read).collect()
}
