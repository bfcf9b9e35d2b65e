//! A certificate of the webhook's own, and the API server that is to trust it: a fake one that keeps one object, and whatever it is told
//! to get wrong.

use std::convert::Infallible;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use kube::Client;
use kube::client::Body;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tower::service_fn;

use super::*;
use crate::formats::validity;
use crate::kube::webhook::authority::Own;
use crate::kube::webhook::bundle::{self, Bundle};
use crate::kube::webhook::renewal::Renewal;

const PATH: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/injector";
const DAY: u64 = 86_400;

/// What the fake API server holds, and what it was asked.
#[derive(Debug)]
struct Held {
    object: Value,
    version: u64,
    /// How many of the next patches come too late, because another has changed the object.
    conflicts: u32,
    /// What the next questions are refused with.
    refusal: Option<u16>,
    patches: Vec<Value>,
}

type Fake = Arc<Mutex<Held>>;

fn fake(webhooks: &Value) -> (Fake, Bundle) {
    let object = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "injector"}, "webhooks": webhooks});
    let held = Arc::new(Mutex::new(Held { object, version: 7, conflicts: 0, refusal: None, patches: Vec::new() }));
    let of = Arc::clone(&held);
    let client = Client::new(
        service_fn(move |request: Request<Body>| {
            let held = Arc::clone(&of);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                Ok::<_, Infallible>(answered(&held, &head, &body))
            }
        }),
        "default",
    );
    (held, Bundle::new(client, "injector"))
}

fn answered(held: &Fake, head: &http::request::Parts, body: &[u8]) -> Response<Full<bytes::Bytes>> {
    let mut held = held.lock().unwrap();
    let failed = |code: u16, reason: &str| {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "reason": reason, "code": code});
        Response::builder().status(code).body(Full::new(status.to_string().into())).unwrap()
    };
    assert_eq!(head.uri.path(), PATH, "nothing else is allowed");
    if let Some(code) = held.refusal {
        return failed(code, "Refused");
    }
    if head.method == Method::PATCH {
        assert_eq!(head.headers["content-type"], "application/strategic-merge-patch+json");
        let patch: Value = serde_json::from_slice(body).unwrap();
        if held.conflicts > 0 {
            held.conflicts -= 1;
            held.version += 1;
        }
        if patch["metadata"]["resourceVersion"] != held.version.to_string().as_str() {
            return failed(409, "Conflict");
        }
        // By their names, as the API server merges them.
        for changed in patch["webhooks"].as_array().unwrap() {
            let there = held.object["webhooks"].as_array_mut().unwrap().iter_mut().find(|there| there["name"] == changed["name"]).unwrap();
            there["clientConfig"]["caBundle"] = changed["clientConfig"]["caBundle"].clone();
        }
        held.version += 1;
        held.patches.push(patch);
    } else {
        assert_eq!(head.method, Method::GET);
    }
    let mut object = held.object.clone();
    object["metadata"]["resourceVersion"] = held.version.to_string().into();
    Response::new(Full::new(object.to_string().into()))
}

fn hooks() -> Value {
    let hook = |name: &str| json!({"name": name, "clientConfig": {"service": {"name": "injector", "namespace": "portcullis"}}});
    json!([hook("namespaces.inject.portcullis"), hook("pods.inject.portcullis")])
}

fn trusted(held: &Fake, hook: usize) -> Vec<String> {
    let bundle = held.lock().unwrap().object["webhooks"][hook]["clientConfig"]["caBundle"].as_str().unwrap_or_default().to_owned();
    certificates(&bundle)
}

fn certificates(bundle: &str) -> Vec<String> {
    let text = STANDARD.decode(bundle).unwrap();
    CertificateDer::pem_slice_iter(&text).map(|one| STANDARD.encode(one.unwrap())).collect()
}

fn der(own: &Own) -> String {
    STANDARD.encode(CertificateDer::from_pem_slice(own.authority.as_bytes()).unwrap())
}

fn seconds() -> u64 {
    now().as_second().unsigned_abs()
}

fn later(days: u64) -> Timestamp {
    Timestamp::from_second(i64::try_from(seconds() + days * DAY).unwrap()).unwrap()
}

#[test]
fn a_certificate_is_made_for_two_weeks_and_followed_up_after_one() {
    let own = Own::make(&service(), now()).unwrap();
    let authority = CertificateDer::from_pem_slice(own.authority.as_bytes()).unwrap();
    assert_eq!(validity::not_after(&authority), Some(own.expires));
    assert!((13 * DAY..=14 * DAY).contains(&(own.expires - seconds())), "{}", own.expires - seconds());
    assert!(!own.is_old(seconds()) && !own.is_old(seconds() + 5 * DAY) && own.is_old(seconds() + 7 * DAY));
    assert_ne!(der(&own), der(&Own::make(&service(), now()).unwrap()), "each has an authority of its own");
    assert!(Own::make(&service(), Timestamp::MAX).is_err());
}

#[test]
fn a_service_is_named_with_its_namespace() {
    assert_eq!(service().hosts(), ["injector.portcullis.svc", "injector.portcullis", "injector"]);
    for text in ["", "a", "a.", ".b", "a.b.c", "A.b", "a.b-", "a b.c", "*.b", &format!("{}.b", "a".repeat(64))] {
        assert!(text.parse::<Service>().is_err(), "{text}");
    }
}

#[test]
fn a_bundle_keeps_the_others_and_loses_what_has_expired() {
    let [first, second] = [0, 1].map(|_| Own::make(&service(), now()).unwrap());
    let one = bundle::with("", &first.authority, seconds()).unwrap();
    assert_eq!(certificates(&one), [der(&first)]);
    assert_eq!(bundle::with(&one, &first.authority, seconds()), None, "nothing is to be done");
    let two = bundle::with(&one, &second.authority, seconds()).unwrap();
    assert_eq!(certificates(&two), [der(&first), der(&second)]);
    assert_eq!(bundle::with(&two, &first.authority, seconds()), None);
    let third = Own::make(&service(), later(20)).unwrap();
    let renewed = bundle::with(&two, &third.authority, seconds() + 20 * DAY).unwrap();
    assert_eq!(certificates(&renewed), [der(&third)]);
    for nonsense in ["¿", "bm9uc2Vuc2U=", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCm5vbnNlbnNl"] {
        assert_eq!(certificates(&bundle::with(nonsense, &first.authority, seconds()).unwrap()), [der(&first)], "{nonsense}");
    }
}

#[test]
fn a_bundle_never_grows_beyond_what_an_object_holds() {
    let mut bundle = String::new();
    let all: Vec<Own> = (0..40).map(|_| Own::make(&service(), now()).unwrap()).collect();
    for own in &all {
        bundle = bundle::with(&bundle, &own.authority, seconds()).unwrap();
    }
    let kept = certificates(&bundle);
    assert!(kept.len() == 32 && kept.contains(&der(&all[39])), "{}", kept.len());
}

#[tokio::test(start_paused = true)]
async fn every_webhook_of_the_configuration_trusts_and_conflicts_are_tried_again() {
    let (held, bundle) = fake(&hooks());
    let other = Own::make(&service(), now()).unwrap();
    held.lock().unwrap().object["webhooks"][1]["clientConfig"]["caBundle"] = bundle::with("", &other.authority, seconds()).unwrap().into();
    held.lock().unwrap().conflicts = 3;
    let own = Own::make(&service(), now()).unwrap();
    assert_eq!(bundle.trust(&own.authority, seconds()).await, Ok(true));
    assert_eq!((trusted(&held, 0), trusted(&held, 1)), (vec![der(&own)], vec![der(&other), der(&own)]));
    assert_eq!(bundle.trust(&own.authority, seconds()).await, Ok(false));
    assert_eq!(held.lock().unwrap().patches.len(), 1, "what is so already is not patched");
    held.lock().unwrap().conflicts = 100;
    let told = bundle.trust(&other.authority, seconds()).await.unwrap_err();
    assert!(told.contains("MutatingWebhookConfiguration injector") && told.contains("others changed it 6 times"), "{told}");
}

#[tokio::test]
async fn what_the_api_server_refuses_is_told() {
    let (held, bundle) = fake(&json!([]));
    let own = Own::make(&service(), now()).unwrap();
    assert!(bundle.trust(&own.authority, seconds()).await.unwrap_err().contains("it has no webhooks"));
    for code in [403, 404, 500] {
        held.lock().unwrap().refusal = Some(code);
        let told = bundle.trust(&own.authority, seconds()).await.unwrap_err();
        assert!(told.contains("is as it was") && told.contains("Refused"), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_renewed_once_api_servers_trust_the_next() {
    let (held, bundle) = fake(&hooks());
    held.lock().unwrap().refusal = Some(500);
    let own = Own::make(&service(), now()).unwrap();
    let (first, expires) = (der(&own), own.expires);
    let renewal = Renewal::new(service(), bundle, own);
    let (slot, expiry) = (renewal.slot(), renewal.expiry());
    let begun = slot.load_full();
    let (ready, mut seen) = watch::channel(false);
    let clock = Arc::new(Mutex::new(now()));
    let read = Arc::clone(&clock);
    let task = tokio::spawn(renewal.keep(Arc::new(ready), move || *read.lock().unwrap()));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!*seen.borrow(), "nobody trusts it");
    held.lock().unwrap().refusal = None;
    seen.wait_for(|ready| *ready).await.unwrap();
    assert_eq!(trusted(&held, 0), std::slice::from_ref(&first));
    // Somebody applies the configuration anew.
    held.lock().unwrap().object["webhooks"] = hooks();
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(trusted(&held, 1), std::slice::from_ref(&first));
    assert!(Arc::ptr_eq(&begun, &slot.load_full()), "it is still young");
    *clock.lock().unwrap() = later(8);
    while trusted(&held, 0).len() < 2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(Arc::ptr_eq(&begun, &slot.load_full()), "API servers have to hear of it first");
    assert!(trusted(&held, 0).contains(&first), "which the old one is still shown to");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(!Arc::ptr_eq(&begun, &slot.load_full()), "the new one is in use");
    assert!(expiry.load(Ordering::Relaxed) >= expires + 7 * DAY);
    task.abort();
}
