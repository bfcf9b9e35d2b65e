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
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::service_fn;

use super::*;
use crate::formats::validity;
use crate::kube::webhook::authority::Own;
use crate::kube::webhook::bundle::{self, Bundle};
use crate::kube::webhook::expiry;
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
    /// Whether it never answers, and whether it does but for patches, which it takes.
    stalls: bool,
    loses: bool,
    patches: Vec<Value>,
}

type Fake = Arc<Mutex<Held>>;

fn fake(webhooks: &Value) -> (Fake, Bundle) {
    let object = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "injector"}, "webhooks": webhooks});
    let held =
        Arc::new(Mutex::new(Held { object, version: 7, conflicts: 0, refusal: None, stalls: false, loses: false, patches: Vec::new() }));
    let of = Arc::clone(&held);
    let client = Client::new(
        service_fn(move |request: Request<Body>| {
            let held = Arc::clone(&of);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let answer = answered(&held, &head, &body);
                let is_lost = held.lock().unwrap().stalls || head.method == Method::PATCH && held.lock().unwrap().loses;
                if is_lost { std::future::pending().await } else { Ok::<_, Infallible>(answer) }
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

fn make(holder: &str, now: Timestamp) -> Own {
    Own::make(&service(), holder, now).unwrap()
}

fn seconds() -> u64 {
    now().as_second().unsigned_abs()
}

fn later(days: u64) -> Timestamp {
    Timestamp::from_second(i64::try_from(seconds() + days * DAY).unwrap()).unwrap()
}

#[test]
fn a_certificate_is_made_for_two_weeks_and_followed_up_after_one() {
    let own = make("a", now());
    let authority = CertificateDer::from_pem_slice(own.authority.as_bytes()).unwrap();
    assert_eq!(validity::not_after(&authority), Some(own.expires));
    assert!((13 * DAY..=14 * DAY).contains(&(own.expires - seconds())), "{}", own.expires - seconds());
    assert!(!own.is_old(seconds()) && !own.is_old(seconds() + 5 * DAY) && own.is_old(seconds() + 7 * DAY));
    assert!(!own.is_old(own.begins) && own.is_old(own.begins - 1), "the clock was set back");
    assert_ne!(der(&own), der(&make("a", now())), "each has an authority of its own");
    assert!(Own::make(&service(), "a", Timestamp::MAX).is_err());
}

#[test]
fn a_service_is_named_with_its_namespace() {
    assert_eq!(service().hosts(), ["injector.portcullis.svc", "injector.portcullis", "injector"]);
    for text in ["", "a", "a.", ".b", "a.b.c", "A.b", "a.b-", "a b.c", "*.b", &format!("{}.b", "a".repeat(64))] {
        assert!(text.parse::<Service>().is_err(), "{text}");
    }
}

#[test]
fn a_bundle_keeps_the_others_and_loses_what_has_expired_long_ago() {
    let [first, second] = ["a", "b"].map(|holder| make(holder, now()));
    let one = bundle::with("", &first.authority, seconds()).unwrap();
    assert_eq!(certificates(&one), [der(&first)]);
    assert_eq!(bundle::with(&one, &first.authority, seconds()), None, "nothing is to be done");
    let two = bundle::with(&one, &second.authority, seconds()).unwrap();
    assert_eq!(certificates(&two), [der(&first), der(&second)]);
    assert_eq!(bundle::with(&two, &first.authority, seconds()), None);
    let third = make("c", later(20));
    let renewed = bundle::with(&two, &third.authority, seconds() + 20 * DAY).unwrap();
    assert_eq!(certificates(&renewed), [der(&first), der(&second), der(&third)], "the clock may be wrong");
    let third = make("c", later(43));
    let renewed = bundle::with(&two, &third.authority, seconds() + 43 * DAY).unwrap();
    assert_eq!(certificates(&renewed), [der(&third)]);
    for nonsense in ["¿", "bm9uc2Vuc2U=", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCm5vbnNlbnNl"] {
        assert_eq!(certificates(&bundle::with(nonsense, &first.authority, seconds()).unwrap()), [der(&first)], "{nonsense}");
    }
}

#[test]
fn of_one_pod_a_bundle_keeps_the_two_newest() {
    let mut bundle = bundle::with("", &make("other", now()).authority, seconds()).unwrap();
    let all: Vec<Own> = (0..5).map(|_| make("injector-5d4f9-abcde", now())).collect();
    for own in &all {
        bundle = bundle::with(&bundle, &own.authority, seconds()).unwrap();
    }
    assert_eq!(certificates(&bundle)[1..], [der(&all[3]), der(&all[4])]);
    assert_eq!(certificates(&bundle).len(), 3, "that of another pod stays");
    assert_eq!(bundle::with(&bundle, &all[3].authority, seconds()), None, "the old one is in use until the new one is");
    // Who has no name shares it with nobody, and long ones are told apart by their ends.
    let holders = ["", "", &format!("{}1", "a".repeat(80)), &format!("{}2", "a".repeat(80))];
    for holder in holders {
        bundle = bundle::with(&bundle, &make(holder, now()).authority, seconds()).unwrap();
        bundle = bundle::with(&bundle, &make(holder, later(1)).authority, seconds()).unwrap();
    }
    assert_eq!(certificates(&bundle).len(), 3 + 2 * holders.len());
}

#[test]
fn a_bundle_never_grows_beyond_what_an_object_holds_and_keeps_the_last_ones() {
    let mut bundle = String::new();
    let all: Vec<Own> = (0..80).map(|n| make(&format!("injector-{n}"), now())).collect();
    for own in &all {
        bundle = bundle::with(&bundle, &own.authority, seconds()).unwrap();
    }
    assert_eq!(certificates(&bundle), all[16..].iter().map(der).collect::<Vec<_>>());
}

#[test]
fn processes_that_live_do_not_put_each_other_out_however_many_have_been() {
    let living: Vec<Own> = (0..40).map(|n| make(&format!("living-{n}"), now())).collect();
    let mut bundle = String::new();
    let look = |bundle: &mut String, own: &Own| {
        if let Some(next) = bundle::with(bundle, &own.authority, seconds()) {
            *bundle = next;
        }
    };
    for round in 0..60 {
        living.iter().for_each(|own| look(&mut bundle, own));
        // Four others come between one look and the next, and go.
        (0..4).for_each(|n| look(&mut bundle, &make(&format!("gone-{round}-{n}"), now())));
        let there = certificates(&bundle);
        assert!(there.len() <= 64 && living.iter().all(|own| there.contains(&der(own))), "one was put out in round {round}");
    }
    living.iter().for_each(|own| look(&mut bundle, own));
    assert!(living.iter().all(|own| bundle::with(&bundle, &own.authority, seconds()).is_none()), "it does not come to rest");
}

#[tokio::test(start_paused = true)]
async fn every_webhook_of_the_configuration_trusts_and_conflicts_are_tried_again() {
    let (held, bundle) = fake(&hooks());
    let other = make("b", now());
    held.lock().unwrap().object["webhooks"][1]["clientConfig"]["caBundle"] = bundle::with("", &other.authority, seconds()).unwrap().into();
    held.lock().unwrap().conflicts = 3;
    let own = make("a", now());
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
    let own = make("a", now());
    assert!(bundle.trust(&own.authority, seconds()).await.unwrap_err().contains("it has no webhooks"));
    for (code, way_out) in [(403, "verbs get and patch"), (404, "--configuration"), (500, "Refused (500)")] {
        held.lock().unwrap().refusal = Some(code);
        let told = bundle.trust(&own.authority, seconds()).await.unwrap_err();
        assert!(told.contains("is as it was") && told.contains("Refused") && told.contains(way_out), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_is_not_waited_for_for_long() {
    let (held, bundle) = fake(&hooks());
    let own = make("a", now());
    held.lock().unwrap().loses = true;
    let begun = tokio::time::Instant::now();
    let told = bundle.trust(&own.authority, seconds()).await.unwrap_err();
    assert!(told.contains("may have been changed or not: the API server did not answer within 10 s"), "{told}");
    assert_eq!((trusted(&held, 0), begun.elapsed().as_secs()), (vec![der(&own)], 10), "it was changed indeed");
    held.lock().unwrap().stalls = true;
    let told = bundle.trust(&own.authority, seconds()).await.unwrap_err();
    assert!(told.contains("is as it was: the API server did not answer within 10 s"), "{told}");
}

/// A renewal at work, and what it works with.
struct Kept {
    held: Fake,
    slot: crate::proxy::certificates::TlsSlot,
    expiry: crate::proxy::certificates::Expiry,
    ready: watch::Receiver<bool>,
    clock: Arc<Mutex<Timestamp>>,
    _tasks: JoinSet<()>,
}

impl Kept {
    fn begin(change: impl FnOnce(&mut Held)) -> Self {
        let (held, bundle) = fake(&hooks());
        change(&mut held.lock().unwrap());
        let renewal = Renewal::new(service(), "a".to_owned(), bundle, now()).unwrap();
        let (slot, expiry) = (renewal.slot(), renewal.expiry());
        let (sender, ready) = watch::channel(false);
        let clock = Arc::new(Mutex::new(now()));
        let read = Arc::clone(&clock);
        let mut tasks = JoinSet::new();
        tasks.spawn(renewal.keep(Arc::new(sender), move || *read.lock().unwrap()));
        Self { held, slot, expiry, ready, clock, _tasks: tasks }
    }

    fn set(&self, change: impl FnOnce(&mut Held)) {
        change(&mut self.held.lock().unwrap());
    }

    async fn becomes(&mut self, ready: bool) -> Duration {
        let begun = tokio::time::Instant::now();
        timeout(Duration::from_secs(3600), self.ready.wait_for(|is| *is == ready)).await.expect("it never becomes so").unwrap();
        begun.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_renewed_once_api_servers_trust_the_next() {
    let mut kept = Kept::begin(|held| held.refusal = Some(500));
    let (begun, expires) = (kept.slot.load_full(), kept.expiry.load(Ordering::Relaxed));
    sleep(Duration::from_secs(60)).await;
    assert!(!*kept.ready.borrow(), "nobody trusts it");
    kept.set(|held| held.refusal = None);
    kept.becomes(true).await;
    let first = trusted(&kept.held, 0);
    assert_eq!(first.len(), 1);
    // Somebody applies the configuration anew.
    kept.set(|held| held.object["webhooks"] = hooks());
    sleep(Duration::from_secs(61)).await;
    assert_eq!(trusted(&kept.held, 1), first);
    assert!(Arc::ptr_eq(&begun, &kept.slot.load_full()), "it is still young");
    *kept.clock.lock().unwrap() = later(8);
    while trusted(&kept.held, 0).len() < 2 {
        sleep(Duration::from_secs(1)).await;
    }
    assert!(Arc::ptr_eq(&begun, &kept.slot.load_full()), "API servers have to hear of it first");
    assert!(trusted(&kept.held, 0).contains(&first[0]), "which the old one is still shown to");
    sleep(Duration::from_secs(20)).await;
    assert!(!Arc::ptr_eq(&begun, &kept.slot.load_full()), "the new one is in use");
    assert!(kept.expiry.load(Ordering::Relaxed) >= expires + 7 * DAY);
}

#[tokio::test(start_paused = true)]
async fn what_was_made_in_vain_is_kept_for_the_next_attempt() {
    let mut kept = Kept::begin(|_| {});
    kept.becomes(true).await;
    let first = trusted(&kept.held, 0);
    *kept.clock.lock().unwrap() = later(8);
    // Each answer to a patch is lost.
    kept.set(|held| held.loses = true);
    sleep(Duration::from_secs(600)).await;
    let there = trusted(&kept.held, 0);
    assert!(there.len() == 2 && there[0] == first[0], "{there:?}");
    kept.set(|held| (held.loses, held.object["webhooks"]) = (false, hooks()));
    sleep(Duration::from_secs(600)).await;
    assert_eq!(trusted(&kept.held, 0).last(), there.last(), "another one was made for every attempt");
    assert_eq!(
        kept.held
            .lock()
            .unwrap()
            .patches
            .iter()
            .flat_map(|patch| certificates(patch["webhooks"][0]["clientConfig"]["caBundle"].as_str().unwrap()))
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        2
    );
}

#[tokio::test(start_paused = true)]
async fn a_process_whose_certificate_is_not_seen_to_is_not_ready_for_ever() {
    let mut kept = Kept::begin(|_| {});
    kept.becomes(true).await;
    kept.set(|held| held.refusal = Some(403));
    let after = kept.becomes(false).await.as_secs();
    assert!((120..600).contains(&after), "{after} s");
    kept.set(|held| held.refusal = None);
    kept.becomes(true).await;
    // Expired, and no other one is to be had.
    *kept.clock.lock().unwrap() = later(15);
    kept.set(|held| held.stalls = true);
    let after = kept.becomes(false).await.as_secs();
    assert!(after < 90, "{after} s");
    kept.set(|held| held.stalls = false);
    kept.becomes(true).await;
    assert!(kept.expiry.load(Ordering::Relaxed) > seconds() + 20 * DAY);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_of_files_is_told_of_before_it_expires_and_every_day() {
    let at = |days: u64| seconds() + days * DAY;
    assert_eq!((expiry::told(at(15), at(0)), expiry::told(u64::MAX, at(0))), (None, None));
    let words = |expires, now| expiry::told(expires, now).unwrap();
    assert!(words(at(13), at(0)).contains("expires in 13 days") && words(at(1), at(1) - 7200).contains("expires in 2 hours"));
    assert!(words(at(1), at(1)).contains("expired 0 days ago") && words(0, at(0)).contains("expired"));
    let expires = Arc::new(std::sync::atomic::AtomicU64::new(at(16)));
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let begun = tokio::time::Instant::now();
    let clock = move || Timestamp::from_second(i64::try_from(seconds() + begun.elapsed().as_secs()).unwrap()).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(expiry::watch(Arc::clone(&expires), clock, move |words| told.send((begun.elapsed().as_secs() / DAY, words)).unwrap()));
    for day in [3, 4] {
        assert!(matches!(heard.recv().await, Some((on, words)) if on == day && words.contains("expires in")), "day {day}");
    }
    expires.store(at(5), Ordering::Relaxed);
    assert_eq!(heard.recv().await.map(|(on, _)| on), Some(4), "other files are told of at once");
    expires.store(at(90), Ordering::Relaxed);
    sleep(Duration::from_secs(30 * DAY)).await;
    assert!(heard.try_recv().is_err(), "it was renewed");
}
