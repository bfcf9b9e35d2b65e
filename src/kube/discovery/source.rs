//! What has been heard of one Service: its slices and, where labels are asked for, the pods that have them.
//!
//! A list takes the place of what was known only when it is complete.

use std::collections::BTreeSet;
use std::mem;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::PartialObjectMeta;
use kube::runtime::watcher::Event;

use crate::kube::discovery::read;
use crate::kube::slices::Known;

/// A pod without what it is made of.
pub(super) type PodName = PartialObjectMeta<Pod>;

/// What was heard of objects of a kind: what holds, and the list that is coming.
#[derive(Default)]
pub(super) struct Heard<T> {
    pub(super) holds: Option<T>,
    coming: T,
}

impl Heard<Known> {
    /// Takes an event.
    pub(super) fn slices(&mut self, event: Event<EndpointSlice>) {
        let with = |known: &mut Known, object| {
            let (name, slice) = read::slice(object);
            known.apply(name, slice);
        };
        match event {
            Event::Init => self.coming = Known::default(),
            Event::InitApply(object) => with(&mut self.coming, object),
            Event::InitDone => self.holds = Some(mem::take(&mut self.coming)),
            Event::Apply(object) => with(self.holds.get_or_insert_default(), object),
            Event::Delete(object) => self.holds.get_or_insert_default().delete(&object.metadata.name.unwrap_or_default()),
        }
    }
}

impl Heard<BTreeSet<String>> {
    /// Takes an event. A pod that loses its labels is deleted for who watches by them.
    pub(super) fn pods(&mut self, event: Event<PodName>) {
        let uid = |pod: PodName| pod.metadata.uid;
        match event {
            Event::Init => self.coming = BTreeSet::new(),
            Event::InitApply(pod) => self.coming.extend(uid(pod)),
            Event::InitDone => self.holds = Some(mem::take(&mut self.coming)),
            Event::Apply(pod) => self.holds.get_or_insert_default().extend(uid(pod)),
            Event::Delete(pod) => {
                if let (Some(holds), Some(uid)) = (&mut self.holds, uid(pod)) {
                    holds.remove(&uid);
                }
            }
        }
    }
}
