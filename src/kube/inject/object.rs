//! Finds the pods of an object of Kubernetes, of a list too, and puts the sidecar into each.

use serde_json::Value;

use crate::kube::inject::fault::{Fault, child};
use crate::kube::inject::kinds::{self, Kind};
use crate::kube::inject::places;
use crate::kube::inject::settings::Settings;
use crate::kube::inject::template;

/// An object after the sidecar was put into its pods.
#[derive(Clone, Debug, PartialEq)]
pub struct Injected {
    /// The object.
    pub object: Value,
    /// How many pods, or templates of pods, got the sidecar.
    pub count: usize,
    /// What the owners of the pods should know.
    pub warnings: Vec<Fault>,
}

/// Puts the sidecar into the pods of an object; one without pods comes back as it is.
///
/// # Errors
///
/// Returns everything that is wrong with any of the pods.
pub fn inject(object: &Value, settings: &Settings) -> Result<Injected, Vec<Fault>> {
    let mut injected = Injected { object: object.clone(), count: 0, warnings: Vec::new() };
    let mut faults = Vec::new();
    let Injected { object, count, warnings } = &mut injected;
    visit(object, "", None, settings, &mut |decided| match decided {
        Ok(decided) => {
            warnings.extend(decided.warnings);
            *count += usize::from(decided.template.is_some());
            decided.template
        }
        Err(found) => {
            faults.extend(found);
            None
        }
    });
    if faults.is_empty() { Ok(injected) } else { Err(faults) }
}

type Decided = Result<template::Decided, Vec<Fault>>;

fn visit(
    object: &mut Value,
    path: &str,
    inherited: Option<(&str, &str)>,
    settings: &Settings,
    take: &mut dyn FnMut(Decided) -> Option<Value>,
) {
    match kinds::of(object, inherited) {
        Kind::Other => {}
        Kind::Namespace => tell(places::gathered(object, path), take),
        Kind::List => {
            tell(places::gathered(object, path), take);
            let kind = kinds::of_items(object).map(|(version, kind)| (version.to_owned(), kind.to_owned()));
            let kind = kind.as_ref().map(|(version, kind)| (version.as_str(), kind.as_str()));
            let items = object.get_mut("items").and_then(Value::as_array_mut);
            for (index, item) in items.into_iter().flatten().enumerate() {
                visit(item, &format!("{}[{index}]", child(path, "items")), kind, settings, take);
            }
        }
        Kind::Pods(keys) => {
            let at = keys.iter().fold(path.to_owned(), |path, key| child(&path, key));
            tell(places::misplaced(object, path, keys), take);
            let Some(place) = keys.iter().try_fold(&mut *object, |value, key| value.get_mut(*key)).filter(|place| !place.is_null()) else {
                take(Err(vec![Fault::new(at, "there is no template of a pod", "write its metadata and spec")]));
                return;
            };
            if let Some(template) = take(template::inject(place, &at, settings)) {
                *place = template;
            }
        }
    }
}

fn tell(faults: Vec<Fault>, take: &mut dyn FnMut(Decided) -> Option<Value>) {
    if !faults.is_empty() {
        take(Err(faults));
    }
}
