//! SLIs asked over a socket: the published cases of the provider, and the rows V1 to V6 and V13 in both modes.
#![cfg(test)]

use serde_json::{Value, json};

use crate::domain::gate::occasion::{Occasion, Unresolved};
use crate::domain::gate::slo::release::Lighthouse;
use crate::domain::gate::slo::strict::Reading;
use crate::formats::slo::{Slis, read_sli};
use crate::sources::dynatrace_tests::{dynatrace, window};
use crate::sources::fake::{Act, Fake};
use crate::sources::prometheus::Prometheus;
use crate::sources::sli::{SliRefusal, SliSource, Wanted, answer_keptn, readings};

const CASES: &str = include_str!("../../tests/data/compat/prometheus-sli-cases.json");
const QUERIES: &str = include_str!("../../tests/data/compat/sli-prometheus.yaml");
const METRICS: &str = include_str!("../../tests/data/compat/sli-dynatrace.yaml");
const P95: &str = "response_time_p95";

fn carts() -> Occasion {
    let name = |text: &str| Some(text.to_owned());
    Occasion {
        project: name("sockshop"),
        stage: name("dev"),
        service: name("carts"),
        deployment: name("canary"),
        seconds: 200,
        ..Occasion::default()
    }
}

/// Asks for one SLI of `queries` strictly.
async fn strictly(fake: &Fake, queries: Option<&Slis>) -> Result<Reading, Vec<SliRefusal>> {
    let prometheus = Prometheus::new(fake.endpoint());
    let wanted = Wanted { slis: &[P95, P95], queries, filters: &[] };
    let mut found = readings(wanted, SliSource::Prometheus(&prometheus), window(), &carts()).await?;
    assert_eq!(found.by_sli.len(), 1);
    Ok(found.by_sli.remove(P95).unwrap())
}

fn vector(values: &[&str]) -> Act {
    let result: Vec<Value> = values.iter().map(|value| json!({"metric": {}, "value": [1, value]})).collect();
    Act::Answer(200, json!({"status": "success", "data": {"resultType": "vector", "result": result}}).to_string())
}

#[tokio::test]
async fn the_published_values_are_read_as_the_older_provider_did() {
    let cases: Value = serde_json::from_str(CASES).unwrap();
    for case in cases["values"].as_array().unwrap() {
        let status = u16::try_from(case["http_status"].as_u64().unwrap()).unwrap();
        let fake = Fake::start([Act::Answer(status, case["body"].to_string())]).await;
        let prometheus = Prometheus::new(fake.endpoint());
        let wanted = Wanted { slis: &[P95], queries: None, filters: &[] };
        let answer = answer_keptn(wanted, SliSource::Prometheus(&prometheus), window(), &carts(), Lighthouse::V0_6_0).await;
        let value = &answer.values[0];
        assert_eq!(Some(value.value), case["expect"]["value"].as_f64(), "{}", case["name"]);
        assert_eq!(!value.success, case["expect"]["error"] == json!(true), "{}: {}", case["name"], value.message);
        let strict = strictly(&fake, None).await.unwrap();
        let wanted = case["strict"]["verdict"] == json!("inconclusive") || status != 200;
        assert_eq!(matches!(strict, Reading::Unusable(_)), wanted, "{}: {strict:?}", case["name"]);
    }
}

#[tokio::test]
async fn written_and_built_in_queries_are_sent_resolved() {
    let fake = Fake::start([vector(&["7"])]).await;
    let slis = read_sli("sli.yaml", QUERIES).unwrap();
    assert_eq!(strictly(&fake, Some(&slis)).await, Ok(Reading::Value(7.0)));
    assert_eq!(strictly(&fake, None).await, Ok(Reading::Value(7.0)));
    let lines: Vec<String> = fake.heard().into_iter().map(|heard| heard.line).collect();
    assert!(lines[0].contains("job%3D%22carts-sockshop-dev%22%7D%5B200s%5D"), "{}", lines[0]);
    assert!(lines[1].contains("job%3D%27carts-sockshop-dev-canary%27%7D%5B200s%5D"), "{}", lines[1]);
}

#[tokio::test]
async fn v1_to_v6_each_answer_is_a_number_or_says_why_not() {
    for (act, reading, newer) in [
        (vector(&["0.5"]), Ok(0.5), Ok(0.5)),
        (vector(&[]), Err("no values"), Err("query did not return any values")),
        (vector(&["1", "2"]), Err("2 values where one is wanted"), Err("query did return multiple values")),
        (vector(&["fast"]), Err("the value \"fast\" is not a number"), Err("query did not return valid values")),
        (Act::Answer(400, String::new()), Err("status 400"), Err("status 400")),
        (Act::Close, Err("cannot be asked"), Err("cannot be asked")),
    ] {
        let fake = Fake::start([act.clone()]).await;
        match (strictly(&fake, None).await.unwrap(), reading) {
            (Reading::Value(value), Ok(wanted)) => assert_eq!(value, wanted),
            (Reading::Unusable(why), Err(wanted)) => assert!(why.contains(wanted), "{why}"),
            (found, wanted) => panic!("{act:?}: {found:?}, not {wanted:?}"),
        }
        let prometheus = Prometheus::new(fake.endpoint());
        let wanted = Wanted { slis: &[P95], queries: None, filters: &[] };
        let answer = answer_keptn(wanted, SliSource::Prometheus(&prometheus), window(), &carts(), Lighthouse::V1).await;
        let value = &answer.values[0];
        match newer {
            Ok(wanted) => assert_eq!((value.value, value.success, answer.result.as_str()), (wanted, true, "")),
            Err(wanted) => assert!(!value.success && value.message.contains(wanted) && answer.result == "fail", "{answer:?}"),
        }
    }
    let nan = Fake::start([vector(&["NaN"])]).await;
    assert!(matches!(strictly(&nan, None).await, Ok(Reading::Value(value)) if value.is_nan()), "the grader knows what NaN is worth");
}

#[tokio::test]
async fn v13_the_newer_provider_warns_when_some_slis_failed() {
    let fake = Fake::start([vector(&["1"]), vector(&[])]).await;
    let prometheus = Prometheus::new(fake.endpoint());
    let wanted = Wanted { slis: &[P95, "throughput", "unheard_of"], queries: None, filters: &[] };
    let answer = answer_keptn(wanted, SliSource::Prometheus(&prometheus), window(), &carts(), Lighthouse::V1).await;
    assert_eq!(answer.values.iter().map(|value| value.success).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!((answer.result.as_str(), answer.values[2].message.as_str()), ("warning", "unsupported SLI"));
}

#[tokio::test]
async fn the_demos_dynatrace_queries_are_asked_of_the_metrics_api() {
    let body = r#"{"result":[{"metricId":"x","data":[{"dimensions":[],"timestamps":[1],"values":[312500]}]}]}"#;
    let fake = Fake::saying(body).await;
    let (slis, environment) = (read_sli("sli.yaml", METRICS).unwrap(), dynatrace(&fake));
    let wanted = Wanted { slis: &[P95, "throughput"], queries: Some(&slis), filters: &[] };
    let found = readings(wanted, SliSource::Dynatrace(&environment), window(), &carts()).await.unwrap();
    assert_eq!(found.by_sli[P95], Reading::Value(312.5), "microseconds become milliseconds");
    assert_eq!(found.by_sli["throughput"], Reading::Value(312_500.0));
    assert!(fake.heard()[0].line.contains("tag%28keptn_deployment%3Acanary%29%2Ctype%28SERVICE%29"), "{}", fake.heard()[0].line);
    let keptn = answer_keptn(wanted, SliSource::Dynatrace(&environment), window(), &carts(), Lighthouse::V1).await;
    assert_eq!((keptn.values[0].value, keptn.result.as_str()), (312.5, ""));
}

#[tokio::test]
async fn g28_and_g29_what_cannot_be_asked_is_told_at_once_before_anything_is_asked() {
    let fake = Fake::start([vector(&["1"])]).await;
    let prometheus = Prometheus::new(fake.endpoint());
    let slis = read_sli("sli.yaml", "indicators:\n  a: up{job='$SERVICEX'}\n  b: up{job='$DEPLOYMENT'}\n").unwrap();
    let wanted = Wanted { slis: &["a", "b", "c"], queries: Some(&slis), filters: &[] };
    let bare = Occasion { deployment: None, ..carts() };
    let refusals = readings(wanted, SliSource::Prometheus(&prometheus), window(), &bare).await.unwrap_err();
    let unresolved = |sli: &str, why| SliRefusal::Unresolved { sli: sli.to_owned(), why };
    assert_eq!(
        refusals,
        [
            unresolved("a", Unresolved::Unknown("SERVICEX".to_owned())),
            unresolved("b", Unresolved::Missing("DEPLOYMENT".to_owned())),
            SliRefusal::NoQuery("c".to_owned())
        ]
    );
    assert!(refusals[2].hint().contains("--sli") && fake.heard().is_empty());
}
