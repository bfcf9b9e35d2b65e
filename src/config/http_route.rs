//! Reads and compiles which HTTPRoute of a cluster follows the shares of a service.

use crate::config::surroundings::Surroundings;
use crate::domain::slices;
use crate::formats::yaml::fields::Fields;
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::tree::Node;

/// An HTTPRoute (Gateway API) of which one rule has both versions as its backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRoute {
    /// Its name.
    pub name: String,
    /// Where it is; `None` for the proxy's own namespace.
    pub namespace: Option<String>,
    /// The Service of the stable version, as a backend of the rule.
    pub stable: String,
    /// The Service of the canary.
    pub canary: String,
    /// Whether the rules are taken from whoever else manages them.
    pub take_over: bool,
}

#[derive(Debug)]
pub(super) struct HttpRouteSpec {
    place: Place,
    name: Option<At<String>>,
    namespace: Option<At<String>>,
    stable: Option<At<String>>,
    canary: Option<At<String>>,
    take_over: Option<At<bool>>,
}

impl HttpRouteSpec {
    pub(super) fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self {
            place: fields.place().clone(),
            name: fields.text("name"),
            namespace: fields.text("namespace"),
            stable: fields.text("stable"),
            canary: fields.text("canary"),
            take_over: fields.boolean("take_over"),
        };
        fields.require("name", "name the HTTPRoute, such as carts");
        fields.require("stable", "name the Service of the stable version, such as carts-primary");
        fields.require("canary", "name the Service of the canary, such as carts-canary");
        fields.close();
        Some(spec)
    }

    pub(super) fn compile(&self, around: &Surroundings<'_>, report: &Report<'_>) -> Option<HttpRoute> {
        if !around.watches_clusters {
            let hint = "build it with 'cargo build --release --features kubernetes', or leave 'http_route' out";
            report.error(&self.place, "this program was built without the feature kubernetes and speaks to no cluster", hint);
        }
        let of = |text: &Option<At<String>>, is_good: fn(&str) -> bool, what: &str| {
            let text = text.as_ref()?;
            if !is_good(&text.value) {
                let hint = "write it as the cluster shows it: letters in lower case, digits and '-'";
                report.error(&text.place, format!("{:?} is no name of {what}", text.value), hint);
                return None;
            }
            Some(text.value.clone())
        };
        let name = of(&self.name, slices::is_domain, "an HTTPRoute");
        let (stable, canary) = (of(&self.stable, slices::is_label, "a Service"), of(&self.canary, slices::is_label, "a Service"));
        let namespace = self.namespace.as_ref().map(|_| of(&self.namespace, slices::is_label, "a namespace"));
        if let (Some(stable), Some(canary), Some(written)) = (&stable, &canary, &self.canary)
            && stable == canary
        {
            report.error(&written.place, format!("both versions are the Service {stable}"), "give each version a Service of its own");
        }
        Some(HttpRoute {
            name: name?,
            namespace: namespace.map_or(Some(None), |namespace| namespace.map(Some))?,
            stable: stable?,
            canary: canary?,
            take_over: self.take_over.as_ref().is_some_and(|flag| flag.value),
        })
    }
}
