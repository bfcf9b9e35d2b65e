//! Tests of the webhook: its answers to requests and how long connections last in virtual time, its connections over loopback, and its own
//! certificate before a fake API server.
#![cfg(test)]

mod lasting;
mod own;
mod requests;
mod sockets;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::kube::inject::settings::Settings;
use crate::kube::review::Invalid;
use crate::kube::webhook::authority::Service;
use crate::kube::webhook::figures::Figures;
use crate::kube::webhook::routes::Hook;

/// Returns a webhook that is ready for as long as the sender says so.
fn hook() -> (Arc<Hook>, watch::Sender<bool>) {
    hook_until(1_900_000_000)
}

fn hook_until(expires: u64) -> (Arc<Hook>, watch::Sender<bool>) {
    let (ready, seen) = watch::channel(true);
    let figures = Figures::new(Arc::new(expires.into())).unwrap();
    let settings = Settings::with_image("portcullis:test".parse().unwrap());
    (Arc::new(Hook::new(settings, Invalid::Allow, figures, seen)), ready)
}

/// A review with a pod of so many bytes more than it needs.
fn review(more: usize) -> Vec<u8> {
    let pod = json!({
        "metadata": {"name": "a", "annotations": {"a": "x".repeat(more)}},
        "spec": {"containers": [{"name": "app", "image": "a", "ports": [{"containerPort": 8080}]}]},
    });
    let resource = json!({"group": "", "version": "v1", "resource": "pods"});
    let request = json!({"uid": "u", "resource": resource, "operation": "CREATE", "namespace": "shop", "object": pod});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).to_string().into_bytes()
}

fn service() -> Service {
    "injector.portcullis".parse().unwrap()
}

/// A moment of 2026.
fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

fn is_injected(answer: &[u8]) -> bool {
    let answer: Value = serde_json::from_slice(answer).unwrap();
    answer["response"]["allowed"] == true && answer["response"]["patchType"] == "JSONPatch"
}
