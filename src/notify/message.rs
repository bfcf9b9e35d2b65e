//! What each kind of receiver is told of a change: a CloudEvent, a message for Slack, alerts for Prometheus's Alertmanager.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::config::NotificationKind;
use crate::domain::rollout::{Entry, Phase};
use crate::store::Letter;

/// How long an alert stays that nobody resolves: what was rolled back is old news after a day.
const STALE: SignedDuration = SignedDuration::from_hours(24);

/// A change of a rollout, as its journal has it.
pub(super) struct Change<'a> {
    pub(super) entry: &'a Entry,
    /// Since when there was trouble with this service before the change; `None` where there was none.
    pub(super) trouble: Option<&'a str>,
    /// Where people can look.
    pub(super) link: &'a str,
}

/// Says whether somebody should be woken while a rollout stands there: its canary was found wanting.
pub(super) const fn is_trouble(phase: Phase) -> bool {
    matches!(phase, Phase::Braked | Phase::RolledBack)
}

impl Change<'_> {
    /// Writes what a receiver of this kind is told; `None` where it is not told of such a change.
    pub(super) fn letter(&self, kind: NotificationKind) -> Option<Letter> {
        let (media, body) = match kind {
            NotificationKind::CloudEvents => ("application/cloudevents+json", self.cloud_event()),
            NotificationKind::Slack => ("application/json", self.slack()),
            NotificationKind::Alertmanager => ("application/json", self.alerts()?),
        };
        Some(Letter { id: self.id(), kind: media.to_owned(), body: body.to_string(), hold: None })
    }

    /// The same change has the same id, whoever writes it and however often; that of another state folder has another time.
    fn id(&self) -> String {
        let Entry { service, rollout, generation, phase, .. } = self.entry;
        format!("{service}-{rollout}-{generation}-{}-{}", phase.as_str(), self.entry.at.as_deref().unwrap_or_default())
    }

    fn headline(&self) -> String {
        let Entry { service, canary, phase, from, to, .. } = self.entry;
        let canary = canary.as_ref().map_or("the canary", |name| name.as_str());
        format!("{service}: {canary} is {}, {from} → {to}", phase.as_str().replace('_', " "))
    }

    /// CloudEvents 1.0, structured mode.
    fn cloud_event(&self) -> Value {
        let entry = self.entry;
        let mut event = json!({
            "specversion": "1.0",
            "id": self.id(),
            "source": format!("/portcullis/services/{}", entry.service),
            "type": format!("portcullis.rollout.{}", entry.phase.as_str()),
            "subject": entry.service,
            "datacontenttype": "application/json",
            "data": {
                "service": entry.service, "rollout": entry.rollout, "generation": entry.generation,
                "stable": entry.stable, "canary": entry.canary, "phase": entry.phase, "owner": entry.owner,
                "from": entry.from.to_string(), "to": entry.to.to_string(),
                "actor": entry.actor, "reason": entry.reason, "evidence": entry.evidence, "link": self.link,
            },
        });
        if let (Some(at), Some(fields)) = (&entry.at, event.as_object_mut()) {
            fields.insert("time".to_owned(), Value::String(at.clone()));
        }
        event
    }

    /// An incoming webhook of Slack, which Mattermost and Rocket.Chat take too.
    fn slack(&self) -> Value {
        let mark = match self.entry.phase {
            Phase::Braked | Phase::RolledBack => ":rotating_light: ",
            Phase::AwaitingApproval | Phase::Paused | Phase::Receding | Phase::Aborted => ":warning: ",
            Phase::Promoted => ":white_check_mark: ",
            Phase::Progressing | Phase::Watching => "",
        };
        let by = format!("by {}", self.entry.actor);
        let text = format!("{mark}*{}*\n{} ({})", escaped(&self.headline()), escaped(&self.entry.reason), escaped(&by));
        json!({"text": format!("{text}\n<{}|dashboard>", escaped(self.link))})
    }

    /// The alerts of Alertmanager's API v2: one fires while the canary is braked or rolled back and ends with what comes after.
    fn alerts(&self) -> Option<Value> {
        let entry = self.entry;
        let at = entry.at.as_deref()?;
        let (since, until) = match (is_trouble(entry.phase), self.trouble) {
            (true, since) => (since.unwrap_or(at), (at.parse::<Timestamp>().ok()? + STALE).to_string()),
            (false, Some(since)) => (since, at.to_owned()),
            (false, None) => return None,
        };
        Some(json!([{
            "labels": {"alertname": "PortcullisCanaryFailing", "service": entry.service, "severity": "critical"},
            "annotations": {"summary": self.headline(), "description": entry.reason},
            "startsAt": since, "endsAt": until, "generatorURL": self.link,
        }]))
    }
}

/// Takes Slack's three control characters out of a text.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
