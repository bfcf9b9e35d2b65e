//! A service as written: its keys, their kinds and places, before any value is understood.

use crate::config::choice_spec::ChoiceSpec;
use crate::config::http_route::HttpRouteSpec;
use crate::config::routes::RouteSpec;
use crate::config::transport::TransportSpec;
use crate::config::upkeep::UpkeepSpec;
use crate::config::way_back::WayBackSpec;
use crate::config::webhooks::WebhooksSpec;
use crate::formats::plan::PlanSpec;
use crate::formats::yaml::fields::{self, Fields};
use crate::formats::yaml::place::{At, Place, Report};
use crate::formats::yaml::tree::{Node, Value};

/// One service.
#[derive(Debug)]
pub(super) struct ServiceSpec {
    pub(super) place: Place,
    pub(super) name: Option<At<String>>,
    pub(super) hosts: Option<At<Vec<At<String>>>>,
    pub(super) routes: Option<At<Vec<RouteSpec>>>,
    pub(super) choice: ChoiceSpec,
    /// Versions beside stable and canary.
    pub(super) others: Vec<VersionSpec>,
    pub(super) stable: Option<VersionSpec>,
    pub(super) canary: Option<VersionSpec>,
    /// Whether gates were written at all, even if they could not be read.
    pub(super) has_gates: bool,
    pub(super) gates: At<Vec<GateSpec>>,
    pub(super) files: GateFilesSpec,
    pub(super) policy: PolicySpec,
    pub(super) expected_traffic: Option<At<String>>,
    pub(super) plan: PlanSpec,
    pub(super) rescue: Option<At<bool>>,
    pub(super) failover: Option<At<String>>,
    pub(super) min_body: Option<At<String>>,
    pub(super) webhooks: WebhooksSpec,
    pub(super) way_back: Option<WayBackSpec>,
    pub(super) http_route: Option<HttpRouteSpec>,
}

/// A gate, written as a text or as a mapping.
#[derive(Debug)]
pub(super) struct GateSpec {
    pub(super) gate: At<String>,
    pub(super) margin: Option<At<String>>,
}

/// The gate files of a service.
#[derive(Debug, Default)]
pub(super) struct GateFilesSpec {
    pub(super) perfspec: Option<At<String>>,
    pub(super) derive_tripwire: Option<At<bool>>,
    pub(super) slo: Option<SloSpec>,
    pub(super) analysis: Option<At<String>>,
    pub(super) flagger: Option<At<String>>,
    pub(super) argo: Option<At<String>>,
}

/// An `slo.yaml` with its queries.
#[derive(Debug)]
pub(super) struct SloSpec {
    pub(super) file: Option<At<String>>,
    pub(super) sli: Option<At<String>>,
    pub(super) compat: Option<At<String>>,
}

/// How a service's canary is judged.
#[derive(Debug, Default)]
pub(super) struct PolicySpec {
    pub(super) alpha: Option<At<String>>,
    pub(super) alpha_brake: Option<At<String>>,
    pub(super) beta: Option<At<String>>,
    pub(super) burst_tolerance: Option<At<String>>,
    pub(super) warm_up: Option<At<String>>,
    pub(super) outcome_deadline: Option<At<String>>,
    pub(super) max_bake: Option<At<String>>,
    pub(super) inconclusive: Option<At<String>>,
    pub(super) watch: Option<At<String>>,
    pub(super) min_clients: Option<At<String>>,
}

/// A version.
#[derive(Debug)]
pub(super) struct VersionSpec {
    pub(super) place: Place,
    pub(super) version: Option<At<String>>,
    pub(super) endpoints: Option<At<Vec<At<String>>>>,
    pub(super) upkeep: UpkeepSpec,
    pub(super) transport: TransportSpec,
}

impl ServiceSpec {
    /// A service of which nothing is written.
    pub(super) fn unwritten(place: Place) -> Self {
        Self {
            name: None,
            hosts: None,
            routes: None,
            choice: ChoiceSpec::default(),
            others: Vec::new(),
            stable: None,
            canary: None,
            has_gates: false,
            gates: At::new(Vec::new(), place.clone()),
            files: GateFilesSpec::default(),
            policy: PolicySpec::default(),
            expected_traffic: None,
            plan: PlanSpec::Unwritten,
            rescue: None,
            failover: None,
            min_body: None,
            webhooks: WebhooksSpec::default(),
            way_back: None,
            http_route: None,
            place,
        }
    }

    /// Reads one item of the list of services.
    pub(super) fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self {
            place: fields.place().clone(),
            name: fields.text("name"),
            hosts: fields.one_or_more("hosts"),
            routes: RouteSpec::read_all(&mut fields, report),
            choice: ChoiceSpec::read(&mut fields, report),
            others: VersionSpec::read_all("others", &mut fields, report),
            stable: fields.get("stable").and_then(|(node, path)| VersionSpec::read(node, path, report)),
            canary: fields.get("canary").and_then(|(node, path)| VersionSpec::read(node, path, report)),
            has_gates: fields.has_items("gates"),
            gates: GateSpec::read_all(&mut fields, report),
            files: GateFilesSpec::read(&mut fields, report),
            policy: PolicySpec::read(&mut fields),
            expected_traffic: fields.text("expected_traffic"),
            plan: fields.get("plan").map_or(PlanSpec::Unwritten, |(node, path)| PlanSpec::read(node, path, report)),
            rescue: fields.boolean("rescue"),
            failover: fields.text("failover"),
            min_body: fields.text("min_body"),
            webhooks: WebhooksSpec::read(&mut fields, report),
            way_back: fields.get("way_back").and_then(|(node, path)| WayBackSpec::read(node, path, report)),
            http_route: fields.get("http_route").and_then(|(node, path)| HttpRouteSpec::read(node, path, report)),
        };
        fields.require("name", "give the service a name, such as carts");
        fields.require("stable", "name the version that owns the traffic, with its endpoints");
        fields.close();
        Some(spec)
    }
}

impl GateSpec {
    /// A gate without anything beside it.
    pub(super) const fn plain(gate: At<String>) -> Self {
        Self { gate, margin: None }
    }

    fn read_all(fields: &mut Fields<'_>, report: &Report<'_>) -> At<Vec<Self>> {
        let nothing = At::new(Vec::new(), fields.place().clone());
        let Some((node, path)) = fields.get("gates") else { return nothing };
        let place = fields::place_of(node, path.clone());
        let gates = match &node.value {
            Value::List(items) => {
                items.iter().enumerate().filter_map(|(index, item)| Self::read(item, format!("{path}[{index}]"), report)).collect()
            }
            _ => Self::read(node, path, report).into_iter().collect(),
        };
        At::new(gates, place)
    }

    fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        if !matches!(node.value, Value::Map(_)) {
            return fields::text_of(node, path, report).map(Self::plain);
        }
        let mut fields = Fields::open(node, path, report)?;
        let (gate, margin) = (fields.text("gate"), fields.text("margin"));
        fields.require("gate", "write the gate, such as {gate: \"errors < 0.1%\", margin: 50%}");
        fields.close();
        Some(Self { gate: gate?, margin })
    }
}

impl GateFilesSpec {
    fn read(fields: &mut Fields<'_>, report: &Report<'_>) -> Self {
        Self {
            perfspec: fields.text("perfspec"),
            derive_tripwire: fields.boolean("derive_tripwire"),
            slo: fields.get("slo").and_then(|(node, path)| SloSpec::read(node, path, report)),
            analysis: fields.text("analysis"),
            flagger: fields.text("flagger"),
            argo: fields.text("argo"),
        }
    }

    /// Iterates over the names of all of them, queries last.
    pub(super) fn named(&self) -> impl Iterator<Item = &At<String>> {
        let slo = self.slo.as_ref().and_then(|slo| slo.file.as_ref());
        let sli = self.slo.as_ref().and_then(|slo| slo.sli.as_ref());
        let files = [self.perfspec.as_ref(), slo, self.analysis.as_ref(), self.flagger.as_ref(), self.argo.as_ref(), sli];
        files.into_iter().flatten()
    }

    /// Returns where the first of them is named.
    pub(super) fn first(&self) -> Option<&Place> {
        self.named().next().map(|text| &text.place)
    }
}

impl SloSpec {
    fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        if !matches!(node.value, Value::Map(_)) {
            return fields::text_of(node, path, report).map(|file| Self { file: Some(file), sli: None, compat: None });
        }
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self { file: fields.text("file"), sli: fields.text("sli"), compat: fields.text("compat") };
        fields.require("file", "name the file with the objectives, such as slo.yaml");
        fields.close();
        Some(spec)
    }
}

impl PolicySpec {
    /// Reads a mapping that has nothing but these keys.
    pub(super) fn read_all(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self::read(&mut fields);
        fields.close();
        Some(spec)
    }

    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            alpha: fields.text("alpha"),
            alpha_brake: fields.text("alpha_brake"),
            beta: fields.text("beta"),
            burst_tolerance: fields.text("burst_tolerance"),
            warm_up: fields.text("warm_up"),
            outcome_deadline: fields.text("outcome_deadline"),
            max_bake: fields.text("max_bake"),
            inconclusive: fields.text("inconclusive"),
            watch: fields.text("watch"),
            min_clients: fields.text("min_clients"),
        }
    }
}

impl VersionSpec {
    fn read_all(key: &'static str, fields: &mut Fields<'_>, report: &Report<'_>) -> Vec<Self> {
        let written = fields.list(key).map_or_else(Vec::new, |list| list.value);
        written.into_iter().filter_map(|(node, path)| Self::read(node, path, report)).collect()
    }

    fn read(node: &Node, path: String, report: &Report<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, path, report)?;
        let spec = Self {
            place: fields.place().clone(),
            version: fields.text("version"),
            endpoints: fields.one_or_more("endpoints"),
            upkeep: UpkeepSpec::read(&mut fields, report),
            transport: TransportSpec::read(&mut fields, report),
        };
        fields.require("version", "give the version its name, such as 0.8.1");
        fields.require("endpoints", "write where the version listens, such as [\"127.0.0.1:8081\"]");
        fields.close();
        Some(spec)
    }
}
