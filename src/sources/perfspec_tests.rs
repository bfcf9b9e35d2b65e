//! The rows V1 to V7 of keptn's rules on values, from the source's answer to the verdict, in both modes.
#![cfg(test)]

use serde_json::json;

use crate::domain::gate::occasion::{Dialect, Occasion, Unresolved};
use crate::domain::gate::perfspec::spec::{Answer, Answers};
use crate::domain::gate::perfspec::{Report, keptn, strict};
use crate::domain::gate::verdict::Verdict::{self, Fail, Inconclusive, Pass};
use crate::formats::perfspec as file;
use crate::sources::dynatrace_tests::{SERIES, dynatrace, window};
use crate::sources::fake::{Act, Fake};
use crate::sources::perfspec::{NO_ENTITY, Refusal, Sources, answers, answers_keptn};
use crate::sources::prometheus::Prometheus;

const PROMETHEUS: &str = include_str!("../../tests/data/compat/perfspec_prometheus.json");
const DYNATRACE: &str = include_str!("../../tests/data/compat/perfspec_dynatrace.json");

fn carts() -> Occasion {
    let name = |text: &str| Some(text.to_owned());
    Occasion { project: name("sockshop"), stage: name("staging"), service: name("carts"), seconds: 200, ..Occasion::default() }
}

async fn asked(text: &str, sources: &Sources) -> Answers {
    answers(&file::load("f", text).unwrap().spec, Dialect::Perfspec, sources, window(), &carts()).await.unwrap()
}

async fn strictly(text: &str, sources: &Sources) -> Report {
    strict::evaluate(&file::load("f", text).unwrap().spec, &asked(text, sources).await)
}

async fn as_keptn(text: &str, sources: &Sources) -> Report {
    let spec = file::load_keptn(&carts().as_keptn_04(text));
    let answers = answers_keptn(&spec, Dialect::Perfspec, sources, window(), &carts()).await;
    keptn::evaluate(&spec, &|id| keptn::fetch_from(&answers, id))
}

fn prometheus(fake: &Fake) -> Sources {
    Sources { prometheus: Some(Prometheus::new(fake.endpoint())), dynatrace: None }
}

fn vector(values: &[&str]) -> String {
    let result: Vec<_> = values.iter().enumerate().map(|(at, value)| json!({"metric": {"instance": at}, "value": [1, value]})).collect();
    json!({"status": "success", "data": {"resultType": "vector", "result": result}}).to_string()
}

#[tokio::test]
async fn the_seeds_prometheus_file_is_asked_with_its_placeholders_replaced() {
    for mode in ["strict", "keptn"] {
        let fake = Fake::saying(&vector(&["0.2"])).await;
        let report =
            if mode == "strict" { strictly(PROMETHEUS, &prometheus(&fake)).await } else { as_keptn(PROMETHEUS, &prometheus(&fake)).await };
        assert_eq!((report.verdict, fake.heard().len()), (Pass, 1), "{mode}");
        let line = &fake.heard()[0].line;
        assert!(line.contains("requests_latency_seconds_sum%7Bjob%3D%27carts-sockshop-staging%27%7D%5B4m%5D"), "{mode}: {line}");
        assert!(line.ends_with("&time=1769861000.000"), "{mode}: {line}");
    }
}

#[tokio::test]
async fn v1_to_v6_each_answer_of_prometheus_has_its_verdict_in_both_modes() {
    let ok = |body: String| Act::Answer(200, body);
    let rows: [(&str, Act, Verdict, Verdict); 10] = [
        ("slow", ok(vector(&["0.8"])), Fail, Fail),
        ("V1", ok(vector(&["NaN"])), Inconclusive, Pass),
        ("V1, infinite", ok(vector(&["+Inf"])), Inconclusive, Pass),
        ("V3 and V4", ok(vector(&[])), Inconclusive, Fail),
        ("V5", ok(vector(&["0.1", "0.9", "0.2"])), Fail, Fail),
        ("V5, all well", ok(vector(&["0.1", "0.2"])), Pass, Pass),
        ("V6, error", Act::Answer(500, String::new()), Inconclusive, Fail),
        ("V6, matrix", ok(r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#.into()), Inconclusive, Fail),
        ("V6, down", Act::Close, Inconclusive, Fail),
        ("V6, no JSON", ok("OK".into()), Inconclusive, Fail),
    ];
    for (row, act, in_strict, in_keptn) in rows {
        let fake = Fake::start([act]).await;
        let report = strictly(PROMETHEUS, &prometheus(&fake)).await;
        assert_eq!(report.verdict, in_strict, "{row}: {:?}", report.reasons);
        let original = as_keptn(PROMETHEUS, &prometheus(&fake)).await;
        assert_eq!(original.verdict, in_keptn, "{row}: {:?}", original.error);
        assert_eq!(original.result == "failed", row.starts_with("V6"), "{row}: {}", original.result);
    }
    let refusing = Fake::start([Act::Answer(422, String::new())]).await;
    assert_eq!(as_keptn(PROMETHEUS, &prometheus(&refusing)).await.error.as_deref(), Some("Error: Request failed with status code 422"));
}

#[tokio::test]
async fn v3_a_file_that_ignores_empty_answers_passes_and_the_report_says_no_data() {
    let ignoring = PROMETHEUS.replace("\"metricScore\":100", "\"metricScore\":100,\"ignoreEmpty\":true");
    let fake = Fake::saying(&vector(&[])).await;
    let report = strictly(&ignoring, &prometheus(&fake)).await;
    assert!(report.verdict == Pass && report.reasons.iter().any(|reason| reason.contains("no data")), "{:?}", report.reasons);
}

#[tokio::test]
async fn an_answer_that_may_lack_data_and_a_scalar_are_read_as_each_mode_does() {
    let partial = vector(&["0.1"]).replacen('{', r#"{"warnings":["a store is down"],"#, 1);
    let fake = Fake::saying(&partial).await;
    assert_eq!(strictly(PROMETHEUS, &prometheus(&fake)).await.verdict, Inconclusive);
    assert_eq!(as_keptn(PROMETHEUS, &prometheus(&fake)).await.verdict, Pass);
    let scalar = Fake::saying(r#"{"status":"success","data":{"resultType":"scalar","result":[1,"0.1"]}}"#).await;
    assert_eq!(strictly(PROMETHEUS, &prometheus(&scalar)).await.verdict, Pass);
    assert_eq!(as_keptn(PROMETHEUS, &prometheus(&scalar)).await.result, "failed");
}

#[tokio::test]
async fn the_seeds_dynatrace_file_is_asked_about_the_entity_of_the_service() {
    let entity = r#"{"result":{"dataPoints":{"SERVICE-9":[[1,5]]}}}"#;
    for (value, verdict) in [("799999", Pass), ("800000", Fail), ("null", Inconclusive)] {
        let values = format!(r#"{{"result":{{"dataPoints":{{"SERVICE-9":[[1,{value}]]}}}}}}"#);
        let acts = [entity.to_owned(), values.clone(), entity.to_owned(), values].map(|body| Act::Answer(200, body));
        let fake = Fake::start(acts).await;
        let sources = Sources { prometheus: None, dynatrace: Some(dynatrace(&fake)) };
        assert_eq!(strictly(DYNATRACE, &sources).await.verdict, verdict, "{value}");
        // V2: a null acts as 0 in the original, and passes.
        let in_keptn = if verdict == Inconclusive { Pass } else { verdict };
        assert_eq!(as_keptn(DYNATRACE, &sources).await.verdict, in_keptn, "{value}");
        for (at, aggregation) in [(1, "AVG"), (3, "AVG")] {
            let sent: serde_json::Value = serde_json::from_str(&fake.heard()[at].body).unwrap();
            assert_eq!((&sent["entities"], &sent["aggregationType"]), (&json!(["SERVICE-9"]), &json!(aggregation)));
        }
    }
}

#[tokio::test]
async fn v7_a_service_without_an_entity_is_inconclusive_and_failed_in_the_original() {
    let fake = Fake::saying(r#"{"result":{"dataPoints":{}}}"#).await;
    let sources = Sources { prometheus: None, dynatrace: Some(dynatrace(&fake)) };
    let report = strictly(DYNATRACE, &sources).await;
    assert!(
        report.verdict == Inconclusive && report.reasons.iter().any(|r| r.contains("no service with the tags service:carts")),
        "{report:?}"
    );
    let original = as_keptn(DYNATRACE, &sources).await;
    assert_eq!((original.result, original.error.as_deref()), ("failed", Some(NO_ENTITY)));
    let denied = Fake::start([Act::Answer(403, String::new())]).await;
    let sources = Sources { prometheus: None, dynatrace: Some(dynatrace(&denied)) };
    assert_eq!(strictly(DYNATRACE, &sources).await.verdict, Inconclusive);
    let error = as_keptn(DYNATRACE, &sources).await.error;
    assert_eq!(error.as_deref(), Some("Error while fetching Dynatrace data: Error: Request failed with status code 403"));
}

#[tokio::test]
async fn keptn_0_5_looked_for_the_service_under_test_unless_real_users_were_the_test() {
    let spec = file::load("f", DYNATRACE).unwrap().spec;
    for (strategy, tagged) in [("performance", true), ("real-user", false)] {
        let fake = Fake::saying(SERIES).await;
        let sources = Sources { prometheus: None, dynatrace: Some(dynatrace(&fake)) };
        let occasion = Occasion { test_strategy: Some(strategy.to_owned()), ..carts() };
        answers(&spec, Dialect::Pair, &sources, window(), &occasion).await.unwrap();
        answers_keptn(&file::load_keptn(DYNATRACE), Dialect::Pair, &sources, window(), &occasion).await;
        for at in [0, 2] {
            assert_eq!(fake.heard()[at].body.contains("test-subject:true"), tagged, "{strategy}");
        }
    }
}

#[tokio::test]
async fn entities_and_tags_that_the_file_names_are_asked_about_without_a_look_up() {
    let named = DYNATRACE.replace(
        "\"aggregation\": \"AVG\"",
        r#""aggregation": "p90", "entityIds": ["SERVICE-7"], "tags": [{"context": "AWS", "key": "service", "value": "carts"}, "environment:$ENVIRONMENT"]"#,
    );
    let fake = Fake::saying(SERIES).await;
    let sources = Sources { prometheus: None, dynatrace: Some(dynatrace(&fake)) };
    // One of the three entities has no value, another breaks the limit: that decides.
    assert_eq!(strictly(&named, &sources).await.verdict, Fail);
    let sent: serde_json::Value = serde_json::from_str(&fake.heard()[0].body).unwrap();
    assert_eq!(sent["entities"], json!(["SERVICE-7"]));
    assert_eq!(sent["tags"], json!(["[AWS]service:carts", "environment:sockshop-staging"]));
    assert_eq!((&sent["aggregationType"], &sent["percentile"]), (&json!("PERCENTILE"), &json!(90)));
}

#[tokio::test]
async fn g28_what_cannot_be_asked_is_told_at_once_before_anything_is_asked() {
    let both = PROMETHEUS.replace(
        "\"indicators\": [",
        r#""indicators": [{"id": "dt", "source": "Dynatrace", "query": {"timeseriesId": "x", "aggregation": "AVG"},
            "grading": {"type": "Threshold", "thresholds": {"upperSevere": 1}, "metricScore": 1}},"#,
    );
    let fake = Fake::saying(&vector(&["0.2"])).await;
    let spec = file::load("f", &both).unwrap().spec;
    let unnamed = Occasion { seconds: 60, ..Occasion::default() };
    let refusals = answers(&spec, Dialect::Perfspec, &prometheus(&fake), window(), &unnamed).await.unwrap_err();
    let missing = Unresolved::Missing("ENVIRONMENT".to_owned());
    assert_eq!(
        refusals,
        [
            Refusal::NoSource { indicator: "dt".to_owned(), source_name: "Dynatrace" },
            Refusal::Unresolved { indicator: "request_latency_seconds".to_owned(), why: missing }
        ]
    );
    assert_eq!((refusals[0].hint().as_str(), refusals[1].hint().as_str()), ("give --dynatrace with its URL", "give --project and --stage"));
    assert!(fake.heard().is_empty());
}

#[tokio::test]
async fn in_the_original_the_later_of_two_ids_is_asked_and_an_unknown_source_is_not() {
    let spec = json!({"indicators": [
        {"id": "a", "source": "Prometheus", "query": "first", "grading": {"type": "Threshold", "thresholds": {}, "metricScore": 1}},
        {"id": "a", "source": "Prometheus", "query": "second", "grading": {"type": "Threshold", "thresholds": {}, "metricScore": 1}},
        {"id": "b", "source": "prometheus", "query": "third", "grading": {}},
    ], "objectives": {"pass": 1}});
    let fake = Fake::saying(&vector(&["0.2"])).await;
    assert_eq!(as_keptn(&spec.to_string(), &prometheus(&fake)).await.result, "pass");
    let lines: Vec<String> = fake.heard().into_iter().map(|heard| heard.line).collect();
    assert!(lines.len() == 1 && lines[0].contains("query=second"), "{lines:?}");
    assert_eq!(
        answers_keptn(&file::load_keptn("no JSON"), Dialect::Perfspec, &Sources::default(), window(), &carts()).await,
        Answers::new()
    );
    let none = answers_keptn(&file::load_keptn(DYNATRACE), Dialect::Perfspec, &Sources::default(), window(), &carts()).await;
    assert!(matches!(none.get("ResponseTime_Backend"), Some(Answer::Unavailable(why)) if why.contains("no Dynatrace credentials")));
}
