//! Tells the API server whom to trust: the certificates of the webhook's own authorities, in `caBundle` of one named
//! MutatingWebhookConfiguration.
//!
//! Each process has an authority of its own, so each adds its own and leaves those of the others; what has expired long ago is taken out. The
//! object is changed as it was read or not at all (`resourceVersion`), so that no process undoes what another has done meanwhile.

use std::fmt::Display;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::core::Status;
use kube::{Client, Error};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::formats::validity;

/// The most authorities of a bundle: many more than there are processes, and far from what an object may hold.
const MOST: usize = 64;
/// How near the front one that is in use may come before it goes to the end: so many may be added before it would be dropped.
const EDGE: usize = 16;
/// Seconds for which one stays that has expired, because the clock it expired by may be wrong.
const LINGER: u64 = 28 * 86_400;
/// How often it is tried while others change the object too, and the first pause between.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(50);
/// How long the API server may take for each answer.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Returns the bundle with an authority (PEM) in it, without those that have expired long ago and those of the same name but for the newest
/// other one; `None` where it is so already. Who comes last stands last, and where there are too many the first go; one in use that has come
/// near the front stands last again. A bundle that cannot be read counts as empty, because an API server trusts nobody by it. `now` is in
/// seconds since 1970.
#[must_use]
pub fn with(bundle: &str, own: &str, now: u64) -> Option<String> {
    let text = STANDARD.decode(bundle.trim()).unwrap_or_default();
    let own = CertificateDer::from_pem_slice(own.as_bytes()).ok()?;
    let there: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok).collect();
    let is_gone = |one: &CertificateDer<'_>| validity::not_after(one).is_some_and(|end| end.saturating_add(LINGER) <= now);
    let name = name(&own);
    let is_namesake = |one: &CertificateDer<'_>| *one != own && name.is_some() && self::name(one) == name;
    // The process that was before it in the same pod, or the certificate it is about to follow up.
    let namesake = there.iter().rposition(is_namesake);
    let stays = |(at, one): &(usize, &CertificateDer<'_>)| !is_gone(one) && (!is_namesake(one) || Some(*at) == namesake);
    let mut kept: Vec<&CertificateDer<'_>> = there.iter().enumerate().filter(stays).map(|(_, one)| one).collect();
    if kept.iter().position(|one| **one == own).is_none_or(|at| kept.len() - at > MOST - EDGE) {
        kept.retain(|one| **one != own);
        kept.push(&own);
    }
    kept.drain(..kept.len().saturating_sub(MOST));
    if kept.iter().copied().eq(&there) {
        return None;
    }
    let pem = |certificate: &&CertificateDer<'_>| {
        let text = STANDARD.encode(certificate.as_ref());
        let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    Some(STANDARD.encode(kept.iter().map(pem).collect::<String>()))
}

/// Returns the name of a certificate (DER).
fn name(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    webpki::anchor_from_trusted_cert(certificate).ok().map(|anchor| anchor.subject.to_vec())
}

/// Returns the patch (strategic merge) by which every webhook of a configuration trusts an authority; `None` where they do already.
///
/// # Errors
///
/// Says what the configuration lacks.
pub fn patch(configuration: &Value, own: &str, now: u64) -> Result<Option<Value>, String> {
    let hooks = configuration.get("webhooks").and_then(Value::as_array).filter(|hooks| !hooks.is_empty());
    let hooks = hooks.ok_or_else(|| "it has no webhooks; install it with its chart".to_owned())?;
    let changed = hooks.iter().filter_map(|hook| {
        let bundle = hook.pointer("/clientConfig/caBundle").and_then(Value::as_str).unwrap_or_default();
        let bundle = with(bundle, own, now)?;
        Some(json!({"name": hook.get("name")?, "clientConfig": {"caBundle": bundle}}))
    });
    let changed: Vec<Value> = changed.collect();
    let version = configuration.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
    Ok((!changed.is_empty()).then(|| json!({"metadata": {"resourceVersion": version}, "webhooks": changed})))
}

/// The one configuration, on an API server.
#[derive(Clone)]
pub struct Bundle {
    api: Api<DynamicObject>,
    name: String,
}

impl Bundle {
    /// Names the configuration.
    #[must_use]
    pub fn new(client: Client, name: &str) -> Self {
        let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration");
        let resource = ApiResource::from_gvk_with_plural(&kind, "mutatingwebhookconfigurations");
        Self { api: Api::all_with(client, &resource), name: name.to_owned() }
    }

    /// Lets API servers trust an authority (PEM) from now on; says whether anything had to be changed.
    ///
    /// # Errors
    ///
    /// Says why they do not, or that it is unknown whether they do.
    pub async fn trust(&self, own: &str, now: u64) -> Result<bool, String> {
        let told = |state: &str, why: &dyn Display| format!("the caBundle of MutatingWebhookConfiguration {} {state}: {why}", self.name);
        let unchanged = |why: &dyn Display| told("is as it was", why);
        let mut pause = PAUSE;
        for _ in 0..TRIES {
            let there = answer(self.api.get(&self.name)).await.map_err(|failed| unchanged(&self.way_out(&failed)))?;
            let there = serde_json::to_value(there).map_err(|error| unchanged(&error))?;
            let Some(patch) = patch(&there, own, now).map_err(|why| unchanged(&why))? else { return Ok(false) };
            match answer(self.api.patch(&self.name, &PatchParams::default(), &Patch::Strategic(patch))).await {
                Ok(_) => return Ok(true),
                // Another process was faster.
                Err(Failed::Answered(status)) if status.code == 409 => sleep(pause).await,
                Err(failed @ Failed::Answered(_)) => return Err(unchanged(&self.way_out(&failed))),
                Err(failed) => return Err(told("may have been changed or not", &failed)),
            }
            pause *= 2;
        }
        Err(unchanged(&format!("others changed it {TRIES} times meanwhile")))
    }

    /// Says what failed, and how to mend what only people can.
    fn way_out(&self, failed: &Failed) -> String {
        let hint = match failed {
            Failed::Answered(status) if status.code == 403 => {
                "; give the pod's service account the verbs get and patch of this one object, as the chart does for certificate.source: self"
            }
            Failed::Answered(status) if status.code == 404 => "; install it with its chart, or name the one there is (--configuration)",
            _ => "",
        };
        format!("{failed}{hint}")
    }
}

/// Why an API server did not do what was asked.
#[derive(Debug, thiserror::Error)]
enum Failed {
    /// It says so.
    #[error("{}: {} ({})", .0.reason, .0.message, .0.code)]
    Answered(Box<Status>),
    /// Nothing was heard of it.
    #[error("the API server did not answer within {} s", PATIENCE.as_secs())]
    Silent,
    /// The answer, or the way to it, broke.
    #[error("{0}")]
    Broken(Error),
}

async fn answer<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Failed> {
    match timeout(PATIENCE, call).await {
        Ok(Err(Error::Api(status))) => Err(Failed::Answered(status)),
        Ok(answered) => answered.map_err(Failed::Broken),
        Err(_) => Err(Failed::Silent),
    }
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle").field("name", &self.name).finish_non_exhaustive()
    }
}
