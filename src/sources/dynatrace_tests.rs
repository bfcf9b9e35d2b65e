//! Dynatrace asked over a socket, with bodies of the shapes it documents: series, entities, relations and metrics.
#![cfg(test)]

use std::time::Duration;

use serde_json::{Value, json};

use crate::formats::evaluation_window::Window;
use crate::sources::credential::{Credential, Scheme};
use crate::sources::dynatrace::{Dynatrace, Patience, Relation, Series};
use crate::sources::endpoint::{Endpoint, NoEndpoint};
use crate::sources::fake::{Act, Fake};

/// What Dynatrace answers to a series of mode TOTAL.
pub const SERIES: &str = r#"{"result":{"dataPoints":{"SERVICE-A68654B786804C0C":[[1571815920000,5861]],"SERVICE-C0537525C9A3EC73":[[1571815920000,1014676.0082135524]],"SERVICE-27C5A02C6567FFC8":[[1571815920000,null]]},"unit":"MicroSecond (µs)","resolutionInMillisUTC":21600000,"aggregationType":"AVG","entities":{"SERVICE-C0537525C9A3EC73":"carts"},"timeseriesId":"com.dynatrace.builtin:service.responsetime"}}"#;

fn token() -> Credential {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "dt0c01.SECRET\n").unwrap();
    Credential::read(file.path(), Scheme::ApiToken).unwrap()
}

pub fn window() -> Window {
    Window::new("2026-01-31T12:00:00Z".parse().unwrap(), "2026-01-31T12:03:20Z".parse().unwrap()).unwrap()
}

/// Takes a fake server for Dynatrace, with patience for three looks.
pub fn dynatrace(fake: &Fake) -> Dynatrace {
    let patience = Patience { limit: Duration::from_millis(900), pause: Duration::from_millis(400) };
    Dynatrace::new(fake.endpoint(), token()).unwrap().with_patience(patience)
}

fn ok(body: &str) -> Act {
    Act::Answer(200, body.to_owned())
}

#[tokio::test]
async fn a_series_is_asked_for_with_the_window_in_milliseconds_and_gives_one_value_for_each_entity() {
    let fake = Fake::saying(SERIES).await;
    let series = Series {
        id: "com.dynatrace.builtin:service.responsetime".to_owned(),
        aggregation: "PERCENTILE".to_owned(),
        percentile: Some(95),
        entities: vec!["SERVICE-1".to_owned()],
        tags: vec![json!("service:carts")],
    };
    let values = dynatrace(&fake).series(&series, window()).await.unwrap();
    let named = |name: &str, value| (name.to_owned(), value);
    assert_eq!(
        values,
        [
            named("SERVICE-A68654B786804C0C", Some(5861.0)),
            named("SERVICE-C0537525C9A3EC73", Some(1_014_676.008_213_552_4)),
            named("SERVICE-27C5A02C6567FFC8", None)
        ]
    );
    let heard = fake.heard().remove(0);
    assert_eq!(heard.line, "POST /api/v1/timeseries/com.dynatrace.builtin%3Aservice.responsetime");
    // The token stands in a header: in the URL, where the original put it, every proxy would log it.
    assert!(heard.head.contains("authorization: Api-Token dt0c01.SECRET"), "{}", heard.head);
    let sent: Value = serde_json::from_str(&heard.body).unwrap();
    let wanted = json!({
        "timeseriesId": "com.dynatrace.builtin:service.responsetime", "aggregationType": "PERCENTILE", "percentile": 95,
        "queryMode": "TOTAL", "startTimestamp": 1_769_860_800_000_i64, "endTimestamp": 1_769_861_000_000_i64,
        "entities": ["SERVICE-1"], "tags": ["service:carts"],
    });
    assert_eq!(sent, wanted);
}

#[tokio::test]
async fn v6_what_is_no_series_is_no_answer_and_says_why() {
    for (act, why) in [
        (Act::Answer(400, r#"{"error":{"code":400,"message":"The given timeseries id is not configured"}}"#.into()), "is not configured"),
        (Act::Answer(401, String::new()), "does not take the credentials"),
        (Act::Answer(301, String::new()), "never followed"),
        (ok("{}"), "no result.dataPoints"),
        (ok(r#"{"result":{"dataPoints":{"SERVICE-1":[]}}}"#), "SERVICE-1 has no data point"),
        (ok(r#"{"result":{"dataPoints":{"SERVICE-1":[[1,"2"]]}}}"#), "SERVICE-1 has no data point"),
        (ok("<html>"), "it is no JSON"),
    ] {
        let fake = Fake::start([act]).await;
        let told = dynatrace(&fake).series(&Series::default(), window()).await.unwrap_err().to_string();
        assert!(told.contains(why) && !told.contains("SECRET"), "{told}");
    }
}

#[tokio::test]
async fn the_entity_of_a_service_is_the_busiest_one_with_its_tags_and_is_waited_for() {
    let nothing = r#"{"result":{"dataPoints":{}}}"#;
    let busy = r#"{"result":{"dataPoints":{"SERVICE-1":[[1,5]],"SERVICE-2":[[1,9]],"SERVICE-3":[[1,9]],"SERVICE-4":[[1,null]]}}}"#;
    // 400 means that Dynatrace has no data yet.
    let fake = Fake::start([Act::Answer(400, String::new()), ok(nothing), ok(busy)]).await;
    let found = dynatrace(&fake).service(&["service:carts".to_owned(), "environment:sockshop-staging".to_owned()], window()).await;
    assert_eq!(found, Ok(Some("SERVICE-3".to_owned())), "of equals the last one, as in the original");
    let heard = fake.heard();
    assert_eq!(heard.len(), 3);
    assert_eq!(heard[0].line, "POST /api/v1/timeseries/com.dynatrace.builtin%3Aservice.server_side_requests");
    let sent: Value = serde_json::from_str(&heard[0].body).unwrap();
    assert_eq!((&sent["tags"], &sent["aggregationType"]), (&json!(["service:carts", "environment:sockshop-staging"]), &json!("COUNT")));
}

#[tokio::test]
async fn v7_a_service_that_stays_unknown_is_given_up_within_the_limit() {
    let fake = Fake::saying(r#"{"result":{"dataPoints":{}}}"#).await;
    let impatient = dynatrace(&fake).with_patience(Patience { limit: Duration::from_millis(50), pause: Duration::from_millis(20) });
    let begun = std::time::Instant::now();
    assert_eq!(impatient.service(&[], window()).await, Ok(None));
    assert!(fake.heard().len() <= 3 && begun.elapsed() < Duration::from_secs(2), "{} looks", fake.heard().len());
    let denied = Fake::start([Act::Answer(403, String::new())]).await;
    assert!(dynatrace(&denied).service(&[], window()).await.is_err());
    assert_eq!(denied.heard().len(), 1, "what waiting does not mend is not waited for");
    assert_eq!(Patience::default().limit, Duration::from_secs(200));
}

#[tokio::test]
async fn related_entities_are_counted_and_none_is_0() {
    let answer = r#"[{"entityId":"SERVICE-1","displayName":"carts","toRelationships":{"calls":["SERVICE-2","SERVICE-3"]}},{"entityId":"SERVICE-4"}]"#;
    let fake = Fake::saying(answer).await;
    let (entities, tags) = (["SERVICE-1".to_owned()], ["service:carts".to_owned()]);
    let asked = Relation { entity_type: "Service", relation: "toRelationships:calls", entities: &entities, tags: &tags };
    let found = dynatrace(&fake).related(&asked, window()).await.unwrap();
    assert_eq!(found, [("SERVICE-1".to_owned(), Some(2.0)), ("SERVICE-4".to_owned(), Some(0.0))]);
    let times = "startTimestamp=1769860800000&endTimestamp=1769861000000";
    assert_eq!(fake.heard()[0].line, format!("GET /api/v1/entity/services?{times}&entity=SERVICE-1&tag=service%3Acarts"));
    let process = Relation { entity_type: "Process", relation: "x", entities: &[], tags: &[] };
    dynatrace(&fake).related(&process, window()).await.unwrap();
    assert_eq!(fake.heard()[1].line, format!("GET /api/v1/entity/infrastructure/processes?{times}"));
}

/// A metric's answer with these values.
fn metric(values: &str) -> String {
    format!(
        r#"{{"totalCount":1,"nextPageKey":null,"result":[{{"metricId":"builtin:service.response.time:percentile(50):merge(0)","data":[{{"dimensions":[],"timestamps":[1579097520000],"values":[{values}]}}]}}]}}"#
    )
}

#[tokio::test]
async fn queries_of_both_kinds_become_one_of_the_metrics_api_and_response_times_are_milliseconds() {
    let fake = Fake::saying(&metric("65005.48481639812")).await;
    let asked = dynatrace(&fake);
    let old = "builtin:service.response.time:merge(0):percentile(95)?scope=tag(keptn_project:sockshop),tag(keptn_service:carts)";
    let new = "metricSelector=builtin:service.errors.total.count:merge(0):avg&entitySelector=type(SERVICE),tag(%22a%22)";
    assert_eq!(asked.metric(old, window()).await, Ok(65.005_484_816_398_12));
    assert_eq!(asked.metric(new, window()).await, Ok(65_005.484_816_398_12));
    assert_eq!(asked.metric(&format!("MV2;MicroSecond;{new}"), window()).await, Ok(65.005_484_816_398_12));
    let heard = fake.heard();
    let times = "resolution=Inf&from=1769860800000&to=1769861000000";
    let selector = "entitySelector=tag%28keptn_project%3Asockshop%29%2Ctag%28keptn_service%3Acarts%29%2Ctype%28SERVICE%29";
    assert_eq!(
        heard[0].line,
        format!(
            "GET /api/v2/metrics/query?metricSelector=builtin%3Aservice.response.time%3Amerge%280%29%3Apercentile%2895%29&{selector}&{times}"
        )
    );
    assert!(heard[1].line.contains("&entitySelector=type%28SERVICE%29%2Ctag%28%22a%22%29&"), "{}", heard[1].line);
}

#[tokio::test]
async fn v2_to_v5_a_metric_without_a_single_value_has_none() {
    let two = r#"{"result":[{"metricId":"x","data":[{"values":[1]},{"values":[2]}]}]}"#;
    for (body, why) in [
        (metric(""), "no values"),
        (metric("null"), "the value is null"),
        (two.to_owned(), "2 values where one is wanted"),
        (r#"{"result":[]}"#.to_owned(), "no values"),
        ("{}".to_owned(), "it has no result"),
    ] {
        let fake = Fake::saying(&body).await;
        let told = dynatrace(&fake).metric("metricSelector=x", window()).await.unwrap_err().to_string();
        assert!(told.contains(why), "{body}: {told}");
    }
    let fake = Fake::saying("{}").await;
    for (query, why) in [
        ("builtin:service.response.time", "neither selector?scope"),
        ("metricSelector=", "no metric selector"),
        ("x?metricSelector=y", "two selectors"),
        ("metricSelector=x&from=now-1d", "window"),
        ("USQL;COLUMN_CHART;SELECT", "only metrics"),
        ("SLO;524ca177", "only metrics"),
        ("MV2;Furlong;metricSelector=x", "the unit of MV2"),
        ("MV2;x", "MV2 needs"),
    ] {
        let told = dynatrace(&fake).metric(query, window()).await.unwrap_err().to_string();
        assert!(told.contains(why), "{query}: {told}");
    }
    assert!(fake.heard().is_empty(), "what is not understood is not asked");
}

#[test]
fn the_token_goes_to_no_other_machine_in_clear_text() {
    let plain = |url: &str| Dynatrace::new(Endpoint::new(url, None).unwrap(), token());
    let refused = plain("http://dynatrace.example").unwrap_err();
    assert!(matches!(refused, NoEndpoint::ClearText(_)) && refused.to_string().contains("hint: write https://"));
    assert!(plain("http://localhost:1").is_ok() && plain("http://[::1]:1").is_ok());
}
