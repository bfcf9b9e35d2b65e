//! Puts a canary's share into the weights of an HTTPRoute (Gateway API, `gateway.networking.k8s.io/v1`). Pure.
//!
//! Weights there are proportions: a backend gets its weight of the sum of its rule, and 0 is nothing. Here they are basis points, so that
//! the sum of both versions is 10 000.

use serde_json::{Value, json};

use crate::config::http_route::HttpRoute;
use crate::domain::version::Name;
use crate::domain::weight::Weight;

/// Where a service stands, as far as its route follows it.
#[derive(Clone, Copy, Debug)]
pub struct Stand<'a> {
    /// The version that is stable by the configuration.
    pub configured: &'a Name,
    /// The version that owns the traffic.
    pub owner: &'a Name,
    /// The stable version of a rollout that is not over, and the share of its canary.
    pub rollout: Option<(&'a Name, Weight)>,
}

/// Returns the share that the canary's backend is to have; `None` where the versions are others than those of the configuration, so
/// that nobody can say which backend is which.
#[must_use]
pub fn share(stand: Stand<'_>) -> Option<Weight> {
    match stand.rollout {
        Some((stable, weight)) => (stable == stand.configured).then_some(weight),
        // What was promoted has everything until the configuration calls it stable.
        None if stand.owner == stand.configured => Some(Weight::ZERO),
        None => Some(Weight::FULL),
    }
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
    let has = |rule: &Value, service: &str| backends(rule).any(|backend| is(backend, service));
    let both = |rule: &&mut Value| has(rule, &route.stable) && has(rule, &route.canary);
    let mut fitting: Vec<&mut Value> = rules.iter_mut().filter(both).collect();
    let count = fitting.len();
    let (Some(rule), 1) = (fitting.pop(), count) else {
        return Err(Wrong::Rules(count, route.stable.clone(), route.canary.clone()));
    };
    let other = |backend: &&Value| !is(backend, &route.stable) && !is(backend, &route.canary) && weight(backend) != 0;
    if let Some(third) = backends(rule).find(other) {
        return Err(Wrong::Third(third["name"].as_str().unwrap_or_default().to_owned()));
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

/// Says whether a backend is this Service.
fn is(backend: &Value, service: &str) -> bool {
    let said = |key: &str, usual: &str| backend.get(key).and_then(Value::as_str).is_none_or(|said| said == usual);
    said("kind", "Service") && said("group", "") && backend.get("name").and_then(Value::as_str) == Some(service)
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
    fn the_share_follows_the_rollout_and_its_end() {
        let [v1, v2, v3]: [Name; 3] = ["v1", "v2", "v3"].map(|name| name.parse().unwrap());
        let stand = |owner, rollout| share(Stand { configured: &v1, owner, rollout });
        assert_eq!(stand(&v1, None), Some(Weight::ZERO));
        assert_eq!(stand(&v1, Some((&v1, points(2_500)))), Some(points(2_500)));
        assert_eq!(stand(&v2, None), Some(Weight::FULL), "what was promoted has everything");
        assert_eq!(stand(&v2, Some((&v2, points(100)))), None, "nobody can say which backend {v3} is");
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
