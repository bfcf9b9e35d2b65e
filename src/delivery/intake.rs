//! Events of others: who may send them, and what they mean here.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::delivery::message::Envelope;
use crate::delivery::replays::Replays;
use crate::delivery::spot::Spot;
use crate::domain::delivery::{Artifact, StageName};
use crate::domain::version::Name;
use crate::formats::cloudevent::{self, DeploymentFinished, Incoming, Limits, SIGNATURE, Subject};
use crate::formats::evaluation_window::Window;
use crate::formats::jmeter_conf::TestUrl;

/// How long the name of a host may take to be found.
const RESOLVED_WITHIN: Duration = Duration::from_secs(5);

/// What an event means here.
pub(super) enum Meant {
    Deliver { project: Name, service: Name, stage: Option<StageName>, artifact: Artifact, context: String, retry: bool },
    Deployed(Box<Report>),
    Evaluate { spot: Spot, window: Window, context: String },
    Decided { spot: Spot, approved: bool, context: String },
    Nothing { kind: String, context: String },
}

/// What somebody else says of a deployment. What it does not say of context, image and tag fits everything.
pub(super) struct Report {
    pub(super) spot: Spot,
    pub(super) context: Option<String>,
    pub(super) image: Option<String>,
    pub(super) tag: Option<String>,
    /// The host and port where it listens, or why it is not there.
    pub(super) told: Result<(String, u16), String>,
}

impl Report {
    /// Says whether this is about an artifact that came with a context. A digest in the place of the tag is one, and an image may
    /// carry its tag.
    pub(super) fn is_about(&self, context: &str, artifact: &Artifact) -> bool {
        let whole = artifact.to_string();
        let image = self.image.as_ref().is_none_or(|image| *image == whole || image.trim_end_matches('/') == artifact.image());
        let tag = self.tag.as_ref().is_none_or(|tag| artifact.tag() == Some(tag) || artifact.digest() == Some(tag));
        image && tag && self.context.as_ref().is_none_or(|of_report| of_report == context)
    }

    /// Says in a few words what it is about.
    pub(super) fn words(&self) -> String {
        let part = |what: &str, text: &Option<String>| text.as_ref().map_or_else(|| format!("no {what}"), |text| format!("{what} {text}"));
        [part("image", &self.image), part("tag", &self.tag), part("context", &self.context)].join(", ")
    }
}

/// Says whether whoever sent the event knows the token: as a bearer token, as keptn's `x-token`, or by signing the body.
///
/// # Errors
///
/// Says what is missing.
pub(super) fn authorise(envelope: &Envelope, token: Option<&[u8]>) -> Result<(), String> {
    let Some(token) = token else {
        return Err("events from other machines need 'delivery.token_file' in the configuration".to_owned());
    };
    let field = |name: &str| envelope.headers.get(name).map(http::HeaderValue::as_bytes);
    let bearer = field("authorization").and_then(|value| value.strip_prefix(b"Bearer "));
    let known = [bearer, field("x-token")].into_iter().flatten().any(|given| verify_slices_are_equal(given, token).is_ok());
    let signed = field(SIGNATURE)
        .and_then(|value| std::str::from_utf8(value).ok())
        .is_some_and(|value| cloudevent::verify(token, &envelope.body, value));
    if known || signed {
        return Ok(());
    }
    Err("the event is neither signed with the token nor accompanied by it: send Authorization: Bearer, x-token, or X-Keptn-Signature"
        .to_owned())
}

/// Reads an event; returns what it means, and what stands for it.
///
/// # Errors
///
/// Says everything that is wrong with it.
pub(super) fn read(envelope: &Envelope, keptn: impl Fn(&Name) -> bool) -> Result<(Meant, String), String> {
    let event = cloudevent::read(&envelope.headers, &envelope.body, Limits::DEFAULT).map_err(|refusal| refusal.to_string())?;
    let mark = Replays::mark(&event.source, &event.id);
    let text = std::str::from_utf8(&envelope.body).ok();
    let incoming = cloudevent::interpret("event", text, &event);
    let incoming = incoming.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let context = event.context.clone().unwrap_or_else(new_id);
    if context.len() > 128 || !context.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("shkeptncontext is longer than 128 characters or not plain text; leave it out, or send a UUID".to_owned());
    }
    let meant = match incoming {
        Incoming::NewArtifact(new) => {
            let (project, service) = (name(&new.project, "project")?, name(&new.service, "service")?);
            let make = if keptn(&project) { Artifact::keptn } else { Artifact::new };
            let artifact = make(&new.image, new.tag.as_deref()).map_err(|error| error.to_string())?;
            Meant::Deliver { project, service, stage: stage(new.stage.as_deref())?, artifact, context, retry: false }
        }
        Incoming::DeploymentFinished(done) => {
            let told = if done.succeeded { Ok(listens(&done)?) } else { Err("whoever deploys says that it failed".to_owned()) };
            let (spot, context) = (spot(&done.subject)?, event.context.clone());
            Meant::Deployed(Box::new(Report { spot, context, image: done.image, tag: done.tag, told }))
        }
        Incoming::StartEvaluation(start) => {
            let missing = "the event does not say of which time: write start and end, or from 0.8 on evaluation.timeframe such as 5m";
            let window = start.window(jiff::Timestamp::now()).ok_or(missing)?;
            Meant::Evaluate { spot: spot(&start.subject)?, window, context }
        }
        Incoming::ApprovalFinished(done) => Meant::Decided { spot: spot(&done.subject)?, approved: done.approved, context },
        _ => Meant::Nothing { kind: event.kind.clone(), context },
    };
    Ok((meant, mark))
}

/// Returns the host and port where a deployment listens, as its report says.
fn listens(done: &DeploymentFinished) -> Result<(String, u16), String> {
    let url = done.local_urls.first().or(done.public_urls.first()).ok_or("deploymentURILocal is missing: say where it listens")?;
    let url: TestUrl = url.parse().map_err(|error| format!("{error}"))?;
    Ok((url.host.trim_start_matches('[').trim_end_matches(']').to_owned(), url.port))
}

/// Finds the address of a host, on a thread where that may take its time.
///
/// # Errors
///
/// Says that there is none, or that nobody knows in time.
pub(super) async fn resolve(host: String, port: u16) -> Result<SocketAddr, String> {
    let name = format!("{host}:{port}");
    let look = tokio::task::spawn_blocking(move || (host.as_str(), port).to_socket_addrs().ok().and_then(|mut all| all.next()));
    match tokio::time::timeout(RESOLVED_WITHIN, look).await {
        Ok(found) => found.ok().flatten().ok_or_else(|| format!("{name} has no address")),
        Err(_) => Err(format!("the address of {name} was not found within {RESOLVED_WITHIN:?}")),
    }
}

fn spot(subject: &Subject) -> Result<Spot, String> {
    let stage = stage(Some(&subject.stage))?.ok_or("the event names no stage")?;
    Ok(Spot { project: name(&subject.project, "project")?, service: name(&subject.service, "service")?, stage })
}

fn name(text: &str, what: &str) -> Result<Name, String> {
    text.parse().map_err(|error| format!("data.{what}: {error}"))
}

fn stage(text: Option<&str>) -> Result<Option<StageName>, String> {
    text.filter(|text| !text.is_empty()).map(|text| text.parse().map_err(|error| format!("data.stage: {error}"))).transpose()
}

/// Makes a context or an event's id up: a random UUID (RFC 9562 section 5.4).
pub(super) fn new_id() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}
