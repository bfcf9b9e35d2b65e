//! Versions that a cluster tells of, and how the cluster is found.

use std::time::Duration;

use super::*;
use crate::config::kubernetes::Kubernetes;
use crate::config::load_text as load_named;
use crate::domain::slices::Family;

fn with(kubernetes: &str) -> String {
    format!("kubernetes: {kubernetes}\n{SMALL}")
}

fn of(endpoint: &str) -> String {
    SMALL.replace("127.0.0.1:8081", endpoint)
}

#[test]
fn what_is_written_counts_and_what_is_not_has_its_default() {
    let kubernetes = |text: &str| loaded(text).settings.kubernetes;
    assert_eq!(kubernetes(SMALL), Kubernetes::default());
    let read = kubernetes(&with("{kubeconfig: /k, context: staging, prefer: ipv6, wait: 0s}"));
    let wanted =
        Kubernetes { kubeconfig: Some("/k".into()), context: Some("staging".to_owned()), prefer: Family::V6, wait: Duration::ZERO };
    assert_eq!(read, wanted);
    let version = loaded(&of("kubernetes:shop/carts:http?version=v2")).settings.services.remove(0).stable;
    assert_eq!(version.endpoints[0].to_string(), "kubernetes:shop/carts:http?version=v2");
}

#[test]
fn what_cannot_be_says_where_and_how_to_mend_it() {
    for (text, path, message, hint) in [
        (with("{prefer: ipv5}"), "kubernetes.prefer", "\"ipv5\" is no family", "ipv4 or ipv6"),
        (with("{wait: 10m}"), "kubernetes.wait", "10m", ""),
        (with("{namespace: shop}"), "kubernetes.namespace", "namespace", "kubeconfig, context, prefer, wait"),
        (of("kubernetes:Shop/carts"), "services[0].stable.endpoints[0]", "is not an endpoint", "kubernetes:shop/carts-primary:http"),
        (of("kubernetes:shop/carts\", \"kubernetes:shop/carts"), "services[0].stable.endpoints[1]", "occurs twice", "keep one"),
    ] {
        let told = refused(&text);
        let found = told.iter().find(|p| p.path == path).unwrap_or_else(|| panic!("{text}: {}", shown(&told)));
        assert!(found.message.contains(message) && found.hint.as_deref().unwrap_or_default().contains(hint), "{text}: {}", shown(&told));
    }
}

fn route(text: &str) -> String {
    format!("{SMALL}    http_route: {text}\n")
}

#[test]
fn a_route_names_its_services() {
    let read = |text: &str| loaded(&route(text)).settings.services.remove(0).http_route.unwrap();
    let small = read("{name: carts.v1, stable: carts-primary, canary: carts-canary}");
    assert_eq!((small.name.as_str(), &small.namespace, small.take_over), ("carts.v1", &None, false));
    let all = read("{name: carts, namespace: shop, stable: carts-primary, canary: carts-canary, take_over: true}");
    assert_eq!((all.namespace.as_deref(), all.stable.as_str(), all.take_over), (Some("shop"), "carts-primary", true));
    assert_eq!(loaded(SMALL).settings.services[0].http_route, None);
    for (text, path, message) in [
        ("{name: Carts, stable: a, canary: b}", "services[0].http_route.name", "no name of an HTTPRoute"),
        ("{name: carts, stable: a.b, canary: b}", "services[0].http_route.stable", "no name of a Service"),
        ("{name: carts, stable: a, canary: a}", "services[0].http_route.canary", "both versions are the Service a"),
        ("{name: carts, stable: a, canary: b, namespace: a/b}", "services[0].http_route.namespace", "no name of a namespace"),
        ("{name: carts, stable: a}", "services[0].http_route", "canary"),
    ] {
        let told = refused(&route(text));
        assert!(told.iter().any(|p| p.path.starts_with(path) && p.message.contains(message)), "{text}: {}", shown(&told));
    }
}

#[test]
fn a_pod_over_tls_needs_the_name_its_certificate_is_for() {
    let tls = |name: &str| of("kubernetes:shop/carts:https").replace("}\n", &format!(", tls: {{{name}}}}}\n"));
    let told = refused(&tls(""));
    assert!(told.iter().any(|problem| problem.message.contains("do not say what name")), "{}", shown(&told));
    assert!(loaded(&tls("name: carts.internal")).settings.services[0].stable.transport.tls.is_some());
}

#[test]
fn a_program_without_the_feature_says_how_to_get_it() {
    let around = Surroundings { watches_clusters: false, ..around() };
    let load = |text: &str| load_named("portcullis.yaml", text, Path::new(""), &around);
    assert!(load(SMALL).is_ok());
    for (text, path) in [
        (with("{}"), "kubernetes"),
        (of("kubernetes:shop/carts:http"), "services[0].stable.endpoints[0]"),
        (route("{name: carts, stable: a, canary: b}"), "services[0].http_route"),
    ] {
        let told = load(&text).unwrap_err();
        assert!(told.len() == 1 && told[0].path == path, "{}", shown(&told));
        assert!(told[0].hint.as_deref().unwrap().contains("--features kubernetes"), "{}", shown(&told));
    }
    assert!(load(&of("127.0.0.1:8081")).is_ok());
}
