//! Reads and compiles who is told of each change of a rollout. A URL that is a secret stands in a file and is read at start.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::config::values;
use crate::domain::version::Name;
use crate::formats::yaml::fields::Fields;
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::tree::Node;

/// Who is told of each change of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notifications {
    /// Where people can look, the dashboard's URL as they reach it; `None` for that of the admin listener.
    pub link: Option<String>,
    /// Who is told; at least one, each with a name of its own.
    pub receivers: Vec<Receiver>,
}

/// Who is told, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// What it is called in the log.
    pub name: Name,
    /// What it is told.
    pub kind: NotificationKind,
    /// Where it is.
    pub url: Url,
    /// The file of a token that lets us in.
    pub token_file: Option<PathBuf>,
    /// The file with the authorities that may vouch for it; `None` for those the system trusts.
    pub ca: Option<PathBuf>,
}

/// Where a receiver is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Url {
    /// At this URL, with http or https.
    Written(String),
    /// At the URL in this file, which is a secret.
    InFile(PathBuf),
}

/// What a receiver is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationKind {
    /// CloudEvents 1.0 in structured mode.
    CloudEvents,
    /// Messages of an incoming webhook of Slack.
    Slack,
    /// Alerts of Alertmanager's API v2.
    Alertmanager,
}

#[derive(Debug)]
pub(super) struct NotificationsSpec {
    link: Option<At<String>>,
    place: Place,
    receivers: Vec<ReceiverSpec>,
}

#[derive(Debug)]
struct ReceiverSpec {
    place: Place,
    name: Option<At<String>>,
    kind: Option<At<String>>,
    url: Option<At<String>>,
    url_file: Option<At<String>>,
    token_file: Option<At<String>>,
    ca: Option<At<String>>,
}

impl NotificationsSpec {
    pub(super) fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let place = fields.place().clone();
        let link = fields.text("link");
        let items = fields.list("receivers").map_or_else(Vec::new, |list| list.value);
        let receivers = items.into_iter().filter_map(|(node, path)| ReceiverSpec::read(node, path, report)).collect();
        fields.require("receivers", "write who is told, such as [{name: ops, kind: slack, url_file: slack.url}]");
        fields.close();
        Some(Self { link, place, receivers })
    }

    pub(super) fn compile(&self, base: &Path, report: &Report<'_>) -> Option<Notifications> {
        let link = self.link.as_ref().map(|text| url(text, report));
        let mut names = BTreeSet::new();
        let receivers: Vec<Option<Receiver>> = self.receivers.iter().map(|spec| spec.compile(base, &mut names, report)).collect();
        if receivers.is_empty() {
            report.error(&self.place, "nobody is told", "write at least one receiver, or leave 'notifications' out");
        }
        let link = link.map_or(Some(None), |link| link.map(|link| Some(link.trim_end_matches('/').to_owned())));
        Some(Notifications { link: link?, receivers: receivers.into_iter().collect::<Option<_>>()? })
    }
}

impl ReceiverSpec {
    fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self {
            place: fields.place().clone(),
            name: fields.text("name"),
            kind: fields.text("kind"),
            url: fields.text("url"),
            url_file: fields.text("url_file"),
            token_file: fields.text("token_file"),
            ca: fields.text("ca"),
        };
        fields.require("name", "give it a name for the log, such as ops");
        fields.require("kind", "write cloudevents, slack or alertmanager");
        fields.close();
        Some(spec)
    }

    fn compile(&self, base: &Path, names: &mut BTreeSet<Name>, report: &Report<'_>) -> Option<Receiver> {
        let name: Option<Name> = self.name.as_ref().and_then(|text| values::parsed(text, "write for example ops", report));
        if let (Some(name), Some(text)) = (&name, &self.name)
            && !names.insert(name.clone())
        {
            report.error(&text.place, format!("there are two receivers {name}"), "give each a name of its own");
        }
        let kind = self.kind.as_ref().and_then(|text| kind(text, report));
        let url = match (&self.url, &self.url_file) {
            (Some(text), None) => url(text, report).map(Url::Written),
            (None, Some(text)) => Some(Url::InFile(values::located(text, base))),
            (Some(_), Some(text)) => {
                report.error(&text.place, "a receiver is at one URL, and this has two", "leave out either 'url' or 'url_file'");
                None
            }
            (None, None) => {
                let hint = "write 'url', or 'url_file' where the URL is a secret, as that of a Slack webhook is";
                report.error(&self.place, "it is not said where the receiver is", hint);
                None
            }
        };
        if let (Some(NotificationKind::Slack), Some(text)) = (kind, &self.url) {
            report.note(
                &text.place,
                "whoever can read this file can write to the channel",
                "put the URL into a file and name it as 'url_file'",
            );
        }
        let located = |text: &Option<At<String>>| text.as_ref().map(|text| values::located(text, base));
        Some(Receiver { name: name?, kind: kind?, url: url?, token_file: located(&self.token_file), ca: located(&self.ca) })
    }
}

fn kind(text: &At<String>, report: &Report<'_>) -> Option<NotificationKind> {
    match text.value.as_str() {
        "cloudevents" => Some(NotificationKind::CloudEvents),
        "slack" => Some(NotificationKind::Slack),
        "alertmanager" => Some(NotificationKind::Alertmanager),
        other => {
            report.error(&text.place, format!("{other:?} is no kind of receiver"), "write cloudevents, slack or alertmanager");
            None
        }
    }
}

/// Reads a URL with http or https and a host, and nobody's password.
fn url(text: &At<String>, report: &Report<'_>) -> Option<String> {
    let uri = text.value.parse::<http::Uri>().ok();
    let is_good = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    });
    if is_good {
        return Some(text.value.clone());
    }
    let hint = "write http:// or https:// and a host, such as http://127.0.0.1:9093/api/v2/alerts; a token goes into a 'token_file'";
    report.error(&text.place, "this is no URL that messages can be sent to", hint);
    None
}
