//! Tells the API server whom to trust: the certificates of the webhook's own authorities, in `caBundle` of one named
//! MutatingWebhookConfiguration.
//!
//! Each process has an authority of its own, so each adds its own and leaves those of the others; what has expired is taken out. The
//! object is changed as it was read or not at all (`resourceVersion`), so that no process undoes what another has done meanwhile.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Client, Error};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::formats::validity;

/// The most authorities of a bundle: many more than there are processes, and far from what an object may hold.
const MOST: usize = 32;
/// How often it is tried while others change the object too, and the first pause between.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(50);

/// Returns the bundle with an authority (PEM) in it and without those that have expired; `None` where it is so already. A bundle that
/// cannot be read counts as empty, because an API server trusts nobody by it. `now` is in seconds since 1970.
#[must_use]
pub fn with(bundle: &str, own: &str, now: u64) -> Option<String> {
    let text = STANDARD.decode(bundle.trim()).unwrap_or_default();
    let own = CertificateDer::from_pem_slice(own.as_bytes()).ok()?;
    let there: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok).collect();
    let expiry = |certificate: &CertificateDer<'_>| validity::not_after(certificate).unwrap_or(u64::MAX);
    let mut kept: Vec<&CertificateDer<'_>> = there.iter().filter(|certificate| expiry(certificate) > now).collect();
    if there.len() == kept.len() && kept.contains(&&own) && kept.len() <= MOST {
        return None;
    }
    kept.retain(|certificate| **certificate != own);
    // Where there are too many, those go that last the shortest.
    kept.sort_by_key(|certificate| std::cmp::Reverse(expiry(certificate)));
    kept.truncate(MOST - 1);
    kept.push(&own);
    let pem = |certificate: &&CertificateDer<'_>| {
        let text = STANDARD.encode(certificate.as_ref());
        let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    Some(STANDARD.encode(kept.iter().map(pem).collect::<String>()))
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
    /// Says why they do not.
    pub async fn trust(&self, own: &str, now: u64) -> Result<bool, String> {
        let told = |why: &dyn std::fmt::Display| format!("the caBundle of MutatingWebhookConfiguration {} is as it was: {why}", self.name);
        let mut pause = PAUSE;
        for _ in 0..TRIES {
            let there = self.api.get(&self.name).await.map_err(|error| told(&error))?;
            let there = serde_json::to_value(there).map_err(|error| told(&error))?;
            let Some(patch) = patch(&there, own, now).map_err(|why| told(&why))? else { return Ok(false) };
            match self.api.patch(&self.name, &PatchParams::default(), &Patch::Strategic(patch)).await {
                Ok(_) => return Ok(true),
                // Another process was faster.
                Err(Error::Api(status)) if status.code == 409 => sleep(pause).await,
                Err(error) => return Err(told(&error)),
            }
            pause *= 2;
        }
        Err(told(&format!("others changed it {TRIES} times meanwhile")))
    }
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle").field("name", &self.name).finish_non_exhaustive()
    }
}
