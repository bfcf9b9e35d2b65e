//! Puts a canary's share into the weights of an HTTPRoute (Gateway API, `gateway.networking.k8s.io/v1`). Pure.
//!
//! Weights there are proportions: a backend gets its weight of the sum of its rule, and 0 is nothing. Here they are basis points, so that
//! the sum of both versions is 10 000.

use serde_json::{Value, json};

use crate::config::http_route::HttpRoute;
use crate::domain::endpoint::Endpoint;
use crate::domain::slices::Slices;
use crate::domain::version::Name;
use crate::domain::weight::Weight;

/// Where a service stands, as far as its route follows it.
#[derive(Clone, Copy, Debug)]
pub struct Stand<'a> {
    /// The version that is stable by the configuration.
    pub configured: &'a Name,
    /// The version that is on trial by the configuration, where there is one, and its endpoints.
    pub canary: Option<(&'a Name, &'a [Endpoint])>,
    /// Whether that one was rolled back and stays so.
    pub is_rejected: bool,
    /// The version that owns the traffic, and its endpoints.
    pub owner: (&'a Name, &'a [Endpoint]),
    /// Of a rollout that is not over.
    pub rollout: Option<Trial<'a>>,
}

/// A rollout that is not over.
#[derive(Clone, Copy, Debug)]
pub struct Trial<'a> {
    /// Its stable version.
    pub stable: &'a Name,
    /// Its canary, and the endpoints of that.
    pub canary: (&'a Name, &'a [Endpoint]),
    /// The share of its canary.
    pub weight: Weight,
}

/// Returns the share that the canary's backend is to have; `None` where nobody can say which version is behind which backend.
///
/// A command may begin a rollout of another version than that of the configuration. It is behind the canary's backend only where its
/// endpoints are told of that very Service. What was rejected gets nothing, whatever else is on trial.
#[must_use]
pub fn share(stand: Stand<'_>, route: &HttpRoute) -> Option<Weight> {
    let is_behind = |version: (&Name, &[Endpoint])| {
        stand.canary == Some(version)
            || version.1.iter().any(|endpoint| matches!(endpoint, Endpoint::Slices(slices) if leads(route, slices)))
    };
    let known = match stand.rollout {
        Some(trial) => (trial.stable == stand.configured && is_behind(trial.canary)).then_some(trial.weight),
        None if stand.owner.0 == stand.configured => Some(Weight::ZERO),
        // What was promoted has everything until the configuration calls it stable.
        None => is_behind(stand.owner).then_some(Weight::FULL),
    };
    known.or_else(|| stand.is_rejected.then_some(Weight::ZERO))
}

/// Returns the share to leave behind when a route is followed no more: none, because nobody would take it away any more; `None`, so what
/// is there, where the canary owns the traffic.
#[must_use]
pub fn farewell(configured: &Name, owner: &Name) -> Option<Weight> {
    (owner == configured).then_some(Weight::ZERO)
}

/// Says whether endpoints are those of the canary's Service. A namespace that is not written on one side may be that of the other.
fn leads(route: &HttpRoute, slices: &Slices) -> bool {
    let is_there = route.namespace.as_ref().zip(slices.namespace.as_ref()).is_none_or(|(one, other)| one == other);
    slices.service == route.canary && is_there
}

/// Why a route cannot follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// No rule, or more than one, has both backends.
    #[error("{0} of its rules have both {1} and {2} as backends, and exactly one must")]
    Rules(usize, String, String),
    /// The rule has another backend that gets something.
    #[error("the rule with both versions has {0} as a backend too, so shares of the two would not be shares of the whole; take it out")]
    Third(String),
    /// The rule has a version twice.
    #[error("the rule with both versions has {0} as a backend twice, so no weight of one is its share; leave one of them")]
    Twice(String),
}

/// Returns what is to be applied so that the canary gets its share; `None` where it has it.
///
/// The rules of a route are one field for the server, so all of them are in it, as they were read; with the version they were read
/// in, so that nobody's change in between is undone.
///
/// # Errors
///
/// Says why the route cannot follow.
pub fn body(found: &Value, route: &HttpRoute, share: Weight) -> Result<Option<Value>, Wrong> {
    let mut rules = found.pointer("/spec/rules").and_then(Value::as_array).cloned().unwrap_or_default();
    let own = found.pointer("/metadata/namespace").and_then(Value::as_str).map(str::to_owned);
    let is = |backend: &Value, service: &str| is_service(backend, service, own.as_deref());
    let times = |rule: &Value, service: &str| backends(rule).filter(|backend| is(backend, service)).count();
    let both = |rule: &&mut Value| times(rule, &route.stable) > 0 && times(rule, &route.canary) > 0;
    let mut fitting: Vec<&mut Value> = rules.iter_mut().filter(both).collect();
    let count = fitting.len();
    let (Some(rule), 1) = (fitting.pop(), count) else {
        return Err(Wrong::Rules(count, route.stable.clone(), route.canary.clone()));
    };
    if let Some(twice) = [&route.stable, &route.canary].into_iter().find(|service| times(rule, service) > 1) {
        return Err(Wrong::Twice(twice.clone()));
    }
    let other = |backend: &&Value| !is(backend, &route.stable) && !is(backend, &route.canary) && weight(backend) != 0;
    if let Some(third) = backends(rule).find(other) {
        let said = |key: &str| third.get(key).and_then(Value::as_str);
        let name = said("name").unwrap_or_default();
        return Err(Wrong::Third(said("namespace").map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))));
    }
    let mut is_new = false;
    for backend in rule.get_mut("backendRefs").and_then(Value::as_array_mut).into_iter().flatten() {
        let wanted = match (is(backend, &route.stable), is(backend, &route.canary)) {
            (true, _) => share.complement(),
            (_, true) => share,
            _ => continue,
        };
        let wanted = i64::from(wanted.basis_points());
        is_new |= weight(backend) != wanted;
        backend["weight"] = wanted.into();
    }
    let text = |pointer: &str| found.pointer(pointer).cloned().unwrap_or_default();
    let metadata =
        json!({"name": route.name, "namespace": text("/metadata/namespace"), "resourceVersion": text("/metadata/resourceVersion")});
    let body = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": metadata, "spec": {"rules": rules}});
    Ok(is_new.then_some(body))
}

fn backends(rule: &Value) -> impl Iterator<Item = &Value> {
    rule.get("backendRefs").and_then(Value::as_array).into_iter().flatten()
}

/// Says whether a backend is this Service, in the route's own namespace.
fn is_service(backend: &Value, service: &str, own: Option<&str>) -> bool {
    let text = |key: &str| backend.get(key).and_then(Value::as_str);
    let said = |key: &str, usual: &str| text(key).is_none_or(|said| said == usual);
    let is_here = text("namespace").is_none_or(|said| Some(said) == own);
    said("kind", "Service") && said("group", "") && is_here && text("name") == Some(service)
}

/// The weight of a backend, which is 1 where none is written.
fn weight(backend: &Value) -> i64 {
    backend.get("weight").and_then(Value::as_i64).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn route() -> HttpRoute {
        let [name, stable, canary] = ["carts", "carts-primary", "carts-canary"].map(str::to_owned);
        HttpRoute { name, namespace: None, stable, canary, take_over: false }
    }

    fn points(value: u16) -> Weight {
        Weight::from_basis_points(value).unwrap()
    }

    /// As a cluster shows it: with a rule for health before the one that splits.
    fn found(stable: i64, canary: i64) -> Value {
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "carts", "namespace": "shop", "resourceVersion": "77", "generation": 3},
            "spec": {"parentRefs": [{"name": "gateway"}], "hostnames": ["carts.example.com"], "rules": [
                {"matches": [{"path": {"type": "Exact", "value": "/health"}}], "backendRefs": [{"name": "carts-primary", "port": 80}]},
                {"timeouts": {"request": "10s"}, "backendRefs": [
                    {"group": "", "kind": "Service", "name": "carts-primary", "port": 80, "weight": stable},
                    {"group": "", "kind": "Service", "name": "carts-canary", "port": 80, "weight": canary}]}]},
            "status": {"parents": []}})
    }

    #[test]
    fn the_share_goes_into_one_rule_and_nothing_else_is_touched() {
        let body = body(&found(100, 0), &route(), points(1_250)).unwrap().unwrap();
        let mut wanted = found(8_750, 1_250);
        for key in ["parentRefs", "hostnames"] {
            wanted["spec"].as_object_mut().unwrap().remove(key);
        }
        assert_eq!(body["spec"], wanted["spec"]);
        assert_eq!(body["metadata"], json!({"name": "carts", "namespace": "shop", "resourceVersion": "77"}));
    }

    #[test]
    fn what_is_so_is_not_applied() {
        assert_eq!(body(&found(10_000, 0), &route(), Weight::ZERO), Ok(None));
        let mut silent = found(1, 1);
        silent["spec"]["rules"][1]["backendRefs"][0].as_object_mut().unwrap().remove("weight");
        assert!(body(&silent, &route(), Weight::FULL).unwrap().is_some());
    }

    #[test]
    fn a_route_that_cannot_follow_says_why() {
        let mut none = found(1, 1);
        none["spec"]["rules"][1]["backendRefs"][1]["name"] = "carts-next".into();
        assert!(
            body(&none, &route(), Weight::ZERO)
                .unwrap_err()
                .to_string()
                .starts_with("0 of its rules have both carts-primary and carts-canary")
        );
        let mut twice = found(1, 1);
        twice["spec"]["rules"][0] = twice["spec"]["rules"][1].clone();
        assert_eq!(
            body(&twice, &route(), Weight::ZERO).unwrap_err(),
            Wrong::Rules(2, "carts-primary".to_owned(), "carts-canary".to_owned())
        );
        let mut third = found(1, 1);
        third["spec"]["rules"][1]["backendRefs"].as_array_mut().unwrap().push(json!({"name": "carts-old", "weight": 5}));
        assert_eq!(body(&third, &route(), Weight::ZERO).unwrap_err(), Wrong::Third("carts-old".to_owned()));
        third["spec"]["rules"][1]["backendRefs"][2]["weight"] = 0.into();
        assert!(body(&third, &route(), Weight::ZERO).unwrap().is_some(), "one that gets nothing disturbs nobody");
        let mut other_kind = found(1, 1);
        other_kind["spec"]["rules"][1]["backendRefs"][1]["kind"] = "ServiceImport".into();
        for broken in [other_kind, json!({}), json!({"spec": {"rules": 7}}), json!({"spec": {"rules": [7, {"backendRefs": "x"}]}})] {
            assert!(matches!(body(&broken, &route(), Weight::ZERO), Err(Wrong::Rules(0, ..))), "{broken}");
        }
    }

    #[test]
    fn a_backend_that_occurs_twice_or_is_elsewhere_is_told() {
        let with = |more: Value| {
            let mut found = found(1, 1);
            found["spec"]["rules"][1]["backendRefs"].as_array_mut().unwrap().push(more);
            body(&found, &route(), points(2_500))
        };
        for service in ["carts-primary", "carts-canary"] {
            let twice = with(json!({"name": service, "port": 81}));
            assert_eq!(twice, Err(Wrong::Twice(service.to_owned())), "its port says nothing of which version it is");
        }
        assert_eq!(
            with(json!({"name": "carts-canary", "namespace": "elsewhere", "port": 80})),
            Err(Wrong::Third("elsewhere/carts-canary".to_owned()))
        );
        assert!(with(json!({"name": "carts-canary", "namespace": "elsewhere", "weight": 0})).is_ok(), "one that gets nothing");
        let named = |namespace: &str| {
            let mut found = found(1, 1);
            found["spec"]["rules"][1]["backendRefs"][1]["namespace"] = namespace.into();
            body(&found, &route(), points(2_500))
        };
        assert!(named("shop").unwrap().is_some(), "the route's own namespace, written out");
        assert!(matches!(named("elsewhere"), Err(Wrong::Rules(0, ..))));
    }

    /// Where versions are by the configuration, and where one is that a command began.
    struct Versions {
        names: [Name; 3],
        at: [Vec<Endpoint>; 3],
    }

    impl Versions {
        fn new(third: &str) -> Self {
            let at = ["10.0.0.1:80", "10.0.0.2:80", third].map(|text| vec![text.parse().unwrap()]);
            Self { names: ["v1", "v2", "v3"].map(|name| name.parse().unwrap()), at }
        }

        fn of(&self, number: usize) -> (&Name, &[Endpoint]) {
            (&self.names[number - 1], &self.at[number - 1])
        }

        /// Returns the share where v1 is stable and v2 on trial by the configuration.
        fn share(&self, owner: usize, rollout: Option<(usize, usize, u16)>, is_rejected: bool) -> Option<Weight> {
            let trial = |(stable, canary, weight): (usize, usize, u16)| Trial {
                stable: self.of(stable).0,
                canary: self.of(canary),
                weight: points(weight),
            };
            let (configured, canary, owner) = (self.of(1).0, Some(self.of(2)), self.of(owner));
            share(Stand { configured, canary, is_rejected, owner, rollout: rollout.map(trial) }, &route())
        }
    }

    #[test]
    fn the_share_follows_the_rollout_and_its_end() {
        let versions = Versions::new("10.0.0.3:80");
        assert_eq!(versions.share(1, None, false), Some(Weight::ZERO));
        assert_eq!(versions.share(1, Some((1, 2, 2_500)), false), Some(points(2_500)));
        assert_eq!(versions.share(2, None, false), Some(Weight::FULL), "what was promoted has everything");
        assert_eq!(versions.share(2, Some((2, 3, 100)), false), None, "nobody can say which backend v3 is");
    }

    #[test]
    fn a_version_that_is_not_behind_the_backend_gives_it_nothing() {
        for elsewhere in ["kubernetes:shop/carts-v3:http", "10.0.0.3:80"] {
            let versions = Versions::new(elsewhere);
            assert_eq!(versions.share(1, Some((1, 3, 5_000)), true), Some(Weight::ZERO), "v2 was rolled back");
            assert_eq!(versions.share(3, None, true), Some(Weight::ZERO));
            assert_eq!(versions.share(1, Some((1, 3, 5_000)), false), None, "v2 is no trial, and nobody rejected it");
            assert_eq!(versions.share(3, None, false), None);
        }
    }

    #[test]
    fn a_version_of_the_very_service_is_behind_its_backend() {
        for there in ["kubernetes:shop/carts-canary:http", "kubernetes:carts-canary"] {
            let versions = Versions::new(there);
            assert_eq!(versions.share(1, Some((1, 3, 5_000)), true), Some(points(5_000)));
            assert_eq!(versions.share(3, None, true), Some(Weight::FULL));
        }
        let mut moved = Versions::new("10.0.0.3:80");
        moved.names[2] = moved.names[1].clone();
        assert_eq!(moved.share(1, Some((1, 3, 5_000)), false), None, "v2 by name, at other endpoints");
        let elsewhere = HttpRoute { namespace: Some("shop".to_owned()), ..route() };
        for (written, is) in
            [("kubernetes:shop/carts-canary", true), ("kubernetes:test/carts-canary", false), ("kubernetes:carts-canary", true)]
        {
            let Endpoint::Slices(slices) = written.parse().unwrap() else { panic!("{written}") };
            assert_eq!(leads(&elsewhere, &slices), is, "{written}");
        }
    }

    #[test]
    fn who_stops_to_follow_leaves_nothing_to_a_trial() {
        let [v1, v2]: [Name; 2] = ["v1", "v2"].map(|name| name.parse().unwrap());
        assert_eq!((farewell(&v1, &v1), farewell(&v1, &v2)), (Some(Weight::ZERO), None));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn both_weights_are_what_is_wanted_of_ten_thousand(points in 0..=10_000_u16, stable in 0..2_000_000_i64, canary in 0..2_000_000_i64) {
            let share = Weight::from_basis_points(points).unwrap();
            let after = body(&found(stable, canary), &route(), share).unwrap();
            let (first, second) = match &after {
                Some(body) => {
                    let refs = &body["spec"]["rules"][1]["backendRefs"];
                    (refs[0]["weight"].as_i64().unwrap(), refs[1]["weight"].as_i64().unwrap())
                }
                None => (stable, canary),
            };
            prop_assert_eq!((first + second, second), (10_000, i64::from(points)));
        }
    }
}
