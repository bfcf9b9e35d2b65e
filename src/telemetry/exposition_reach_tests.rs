//! What is exposed of endpoints, and of the way back to the version that owns the traffic.
#![cfg(test)]

use super::*;
use crate::control::way_back::WayBackStatus;

#[test]
fn what_is_done_about_endpoints_is_told() {
    let text = text(&figures(vec![ServiceStatus { endpoints: vec![reach(Role::Stable)], ..service(None, 0) }]));
    let of = r#"service="carts",version="0.8.1",role="stable""#;
    for (series, expected) in [
        (r#"portcullis_stable_unavailable{service="carts"}"#.to_owned(), 1.0),
        (format!("portcullis_version_unreachable{{{of}}}"), 1.0),
        (format!("portcullis_endpoints{{{of},state=\"out\"}}"), 1.0),
        (format!("portcullis_endpoints{{{of},state=\"unready\"}}"), 0.0),
        (format!("portcullis_retries_total{{{of},reason=\"connect\"}}"), 3.0),
        (format!("portcullis_retries_total{{{of},reason=\"unaffordable\"}}"), 5.0),
        (format!("portcullis_rescues_total{{{of}}}"), 6.0),
        (format!("portcullis_vetoed_requests_total{{{of}}}"), 7.0),
        (format!("portcullis_limited_requests_total{{{of}}}"), 8.0),
        (format!("portcullis_way_back_shed_requests_total{{{of}}}"), 11.0),
        (format!("portcullis_ejections_total{{{of}}}"), 9.0),
    ] {
        assert_eq!(value(&text, &series), Some(expected), "{series}");
    }
}

#[test]
fn the_way_back_is_told() {
    let told = |way_back| text(&figures(vec![ServiceStatus { way_back, ..service(None, 0) }]));
    let bounded = told(Some(way_back()));
    for (room, expected) in [("short", 1.0), ("enough", 0.0), ("unproven", 0.0), ("unknown", 0.0)] {
        let series = format!("portcullis_way_back_room{{service=\"carts\",room=\"{room}\"}}");
        assert_eq!(value(&bounded, &series), Some(expected), "{series}");
    }
    let limit = r#"portcullis_way_back_in_flight_limit{service="carts"}"#;
    assert_eq!(value(&bounded, limit), Some(6.0));
    let free = told(Some(WayBackStatus { most_in_flight: None, ..way_back() }));
    assert_eq!((value(&free, limit), value(&told(None), limit)), (None, None), "what is not bounded has no limit");
}
