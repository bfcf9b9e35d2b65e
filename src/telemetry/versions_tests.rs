//! Claims about many versions, and about the families of others.
#![cfg(test)]

use super::*;
use crate::config::{Compatible, Metrics};

#[test]
fn other_never_goes_backwards_and_nothing_is_told_twice() {
    let figures = figures(vec![service(Some(Phase::Progressing), 1_000)]);
    let exposition = Exposition::new(figures.clone()).unwrap();
    let add = |number: usize, requests: usize| {
        let key = (format!("service-{number:04}"), "0.7.0".to_owned(), Role::Canary);
        figures.board.totals().add(&key, 0, 1, &seen(Role::Canary, &vec![7; requests]));
    };
    let count = |text: &str, service: &str, version: &str| {
        value(text, &format!("portcullis_requests_total{{service=\"{service}\",version=\"{version}\",role=\"canary\",class=\"2xx\"}}"))
    };
    // Two of the places belong to the current versions.
    (0..MOST + 8).for_each(|number| add(number, 1));
    let first = exposition.text().unwrap();
    assert_eq!(count(&first, "other", "other"), Some(10.0));
    assert_eq!(count(&first, "service-0000", "0.7.0"), Some(1.0));
    (0..MOST + 8).for_each(|number| add(number, 2));
    let second = exposition.text().unwrap();
    assert_eq!(count(&second, "other", "other"), Some(30.0));
    // Whoever was forgotten leaves what it counted, and its place goes to none of those that are part of it.
    figures.board.totals().windows.retain(|key, _| key.0 != "service-0207" && key.0 != "service-0000");
    add(MOST + 8, 5);
    let third = exposition.text().unwrap();
    assert_eq!(count(&third, "other", "other"), Some(30.0));
    assert_eq!(count(&third, "service-0208", "0.7.0"), Some(5.0), "a new one takes the place that is free");
    assert_eq!(value(&third, r#"portcullis_label_values_over_limit_total{kind="version"}"#), Some(10.0));
}

#[test]
fn a_hundred_thousand_names_stay_within_the_limit_and_in_time() {
    let figures = figures(vec![service(Some(Phase::Progressing), 1_000)]);
    let exposition = Exposition::new(figures.clone()).unwrap();
    let begun = std::time::Instant::now();
    let mut chance = 88_172_645_463_325_252_u64;
    let mut draw = || {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        chance
    };
    let mut seen = Observation::new(Role::Canary);
    seen.count(Outcome::Answered(200));
    for round in 0..100 {
        let mut totals = figures.board.totals();
        for _ in 0..1_000 {
            // Half a megabyte of histogram each is what the store of totals bounds; here only the names matter.
            totals.rollbacks.insert(format!("GET /{:x} host-{:x}", draw(), draw()), 1);
        }
        totals.add(&(format!("host-{:x}", draw()), format!("/path-{:x}", draw()), Role::Canary), 0, 1, &seen);
        totals.add(&("carts".to_owned(), format!("v{:x}", draw()), Role::Canary), 0, 1, &seen);
        drop(totals);
        if round % 10 == 9 {
            let text = exposition.text().unwrap();
            assert!(series(&text) <= MOST_SERIES + 1, "{}", series(&text));
            assert!(!text.contains("GET /"), "a name of which no service is told became a label");
        }
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[test]
fn flagger_and_argo_find_their_families_where_they_are_wanted() {
    let metrics = Metrics { compat: vec![Compatible::Istio, Compatible::Linkerd], namespace: "shop".to_owned() };
    let figures = Figures { compat: (&metrics).into(), ..figures(vec![service(Some(Phase::Progressing), 1_000)]) };
    let mut seen = seen(Role::Canary, &[4_000, 60_000, 1_000_000]);
    seen.count(Outcome::Answered(503));
    seen.count(Outcome::Failed(Failure::ConnectionRefused));
    seen.count(Outcome::Failed(Failure::ClientGone));
    figures.board.totals().add(&key("0.8.2", Role::Canary), 0, 2, &seen);
    let told = text(&figures);
    let of = r#"destination_workload="carts",destination_workload_namespace="shop",destination_service="carts-canary.shop.svc.cluster.local",destination_service_name="carts-canary",destination_service_namespace="shop",destination_canonical_service="carts",destination_canonical_revision="0.8.2",destination_version="0.8.2""#;
    for reporter in ["source", "destination"] {
        for (code, count) in [("200", 3.0), ("500", 1.0), ("503", 1.0), ("400", 0.0)] {
            let series = format!("istio_requests_total{{reporter=\"{reporter}\",{of},response_code=\"{code}\"}}");
            assert_eq!(value(&told, &series), Some(count), "{series} in\n{told}");
        }
    }
    let times = format!("istio_request_duration_milliseconds_count{{reporter=\"destination\",{of}}}");
    assert_eq!(value(&told, &times), Some(3.0));
    assert_eq!(value(&told, &times.replace("_count", "_sum")), Some(1_064.0));
    let bucket =
        |bound: &str| value(&told, &format!("istio_request_duration_milliseconds_bucket{{reporter=\"destination\",{of},le=\"{bound}\"}}"));
    assert_eq!((bucket("0.5"), bucket("10000"), bucket("+Inf")), (Some(0.0), Some(3.0), Some(3.0)));
    let of = r#"direction="inbound",namespace="shop",deployment="carts",version="0.8.2""#;
    for (labels, count) in [(r#"classification="success",status_code="200""#, 3.0), (r#"classification="failure",status_code="503""#, 1.0)]
    {
        assert_eq!(value(&told, &format!("response_total{{{of},{labels}}}")), Some(count), "{labels}");
    }
    assert_eq!(value(&told, &format!("response_latency_ms_count{{{of}}}")), Some(3.0));
    assert!(told.contains(r#"deployment="carts-primary""#), "{told}");
    assert!(!text(&Figures { compat: Compat::default(), ..figures }).contains("istio_"), "only where they are wanted");
}
