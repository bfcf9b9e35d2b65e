//! Reads and compiles how a cluster is asked where the endpoints of versions are.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::surroundings::Surroundings;
use crate::config::values;
use crate::domain::slices::Family;
use crate::formats::yaml::fields::Fields;
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::quantities;
use crate::formats::yaml::tree::Node;

/// How long the first endpoints are waited for where nothing is written.
const WAIT: Duration = Duration::from_secs(10);
/// The longest they may be.
const LONGEST: Duration = Duration::from_secs(300);

/// How a cluster is asked where endpoints are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubernetes {
    /// The file that says where the API server is; `None` looks for it as `kubectl` does, then for the pod's own account.
    pub kubeconfig: Option<PathBuf>,
    /// The context in that file; `None` for its current one.
    pub context: Option<String>,
    /// Which address is taken of a pod that has one of both families.
    pub prefer: Family,
    /// How long a start or a new configuration waits for endpoints that were never heard of.
    pub wait: Duration,
}

impl Default for Kubernetes {
    fn default() -> Self {
        Self { kubeconfig: None, context: None, prefer: Family::V4, wait: WAIT }
    }
}

#[derive(Debug)]
pub(super) struct KubernetesSpec {
    place: Place,
    kubeconfig: Option<At<String>>,
    context: Option<At<String>>,
    prefer: Option<At<String>>,
    wait: Option<At<String>>,
}

impl KubernetesSpec {
    pub(super) fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self {
            place: fields.place().clone(),
            kubeconfig: fields.text("kubeconfig"),
            context: fields.text("context"),
            prefer: fields.text("prefer"),
            wait: fields.text("wait"),
        };
        fields.close();
        Some(spec)
    }

    pub(super) fn compile(&self, base: &Path, around: &Surroundings<'_>, report: &Report<'_>) -> Option<Kubernetes> {
        if !around.watches_clusters {
            let hint = "build it with 'cargo build --release --features kubernetes', or leave 'kubernetes' out";
            report.error(&self.place, "this program was built without the feature kubernetes and watches no cluster", hint);
        }
        let prefer = self.prefer.as_ref().map_or(Some(Family::default()), |text| family(text, report));
        let wait = self.wait.as_ref().map_or(Some(WAIT), |text| quantities::duration(text, Duration::ZERO..=LONGEST, report));
        Some(Kubernetes {
            kubeconfig: self.kubeconfig.as_ref().map(|text| values::located(text, base)),
            context: self.context.as_ref().map(|text| text.value.clone()),
            prefer: prefer?,
            wait: wait?,
        })
    }
}

fn family(text: &At<String>, report: &Report<'_>) -> Option<Family> {
    match text.value.as_str() {
        "ipv4" => Some(Family::V4),
        "ipv6" => Some(Family::V6),
        other => {
            report.error(&text.place, format!("{other:?} is no family of addresses"), "write ipv4 or ipv6");
            None
        }
    }
}
