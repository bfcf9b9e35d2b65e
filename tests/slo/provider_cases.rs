//! Replays the cases of the Prometheus provider: queries, filters and values; and says what the proxy answers itself.

use portcullis::domain::gate::criterion::Share;
use portcullis::domain::gate::slo::live::{self, Failure, Figure, Measured, Unit};
use portcullis::domain::gate::slo::provider::{self, Context};
use portcullis::domain::gate::slo::value::Provider;
use portcullis::formats::slo;
use serde_json::Value;

use crate::support::{PROMETHEUS, SLI_DYNATRACE, SLI_PROMETHEUS, cases, number};

fn context(case: &Value) -> Context {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Context {
        project: "sockshop".into(),
        stage: "dev".into(),
        service: "carts".into(),
        filters: case["filters"].as_array().unwrap().iter().map(|f| (text(&f["key"]), text(&f["value"]))).collect(),
        seconds: 1,
        ..Context::default()
    }
}

#[test]
fn queries_are_built_and_written_ones_are_filled_in() {
    for case in cases(PROMETHEUS, "queries", 8) {
        let found = provider::query(case["sli"].as_str().unwrap(), case["query"].as_str(), &context(&case)).unwrap();
        assert_eq!(found.replace(' ', ""), case["expect"].as_str().unwrap().replace(' ', ""), "{}", case["name"]);
    }
    assert_eq!(provider::query("unheard_of", None, &Context::default()), None);
}

#[test]
fn filters_become_label_matchers() {
    for case in cases(PROMETHEUS, "filter_expressions", 5) {
        assert_eq!(provider::filter_expression(&context(&case)), case["expect"].as_str().unwrap(), "{}", case["name"]);
    }
}

#[test]
fn answers_become_values() {
    for case in cases(PROMETHEUS, "values", 3) {
        let Some(result) = case["body"]["data"]["result"].as_array() else {
            assert_eq!(case["expect"]["error"], true);
            continue;
        };
        let samples: Vec<f64> = result.iter().map(|sample| number(&sample["value"][1])).collect();
        let found = Provider::Older.value("a", &samples);
        assert!(found.success && found.value == number(&case["expect"]["value"]), "{}", case["name"]);
        assert_eq!(Provider::Newer.value("a", &samples).success, case["strict"].is_null(), "{}", case["name"]);
    }
    assert_eq!(Provider::Newer.value("a", &[1.0, 2.0]).message, "query did return multiple values");
    assert_eq!(Provider::Newer.value("a", &[f64::NAN]).message, "query did not return valid values");
}

#[test]
fn built_in_queries_and_their_names_are_answered_alike_by_the_proxy() {
    for case in cases(PROMETHEUS, "queries", 8).iter().filter(|case| case["query"].is_null()) {
        let sli = case["sli"].as_str().unwrap();
        let by_query = live::recognise(sli, case["expect"].as_str());
        if case["filters"].as_array().unwrap().is_empty() {
            assert_eq!(by_query, live::recognise(sli, None), "{sli}");
            assert!(by_query.is_ok(), "{sli}: {by_query:?}");
        } else {
            assert!(by_query.unwrap_err().reason.contains("handler"), "a filter on one handler is another question");
        }
    }
    for case in cases(PROMETHEUS, "queries", 8).iter().filter(|case| !case["query"].is_null()) {
        let error = live::recognise(case["sli"].as_str().unwrap(), case["query"].as_str()).unwrap_err();
        assert!(!error.reason.is_empty() && !error.hint.is_empty(), "{error}");
    }
}

#[test]
fn the_published_sli_files_load_and_say_what_is_measured() {
    let dynatrace = slo::read_sli("sli.yaml", SLI_DYNATRACE).unwrap();
    let of = |sli: &str| live::recognise(sli, dynatrace.query(sli));
    assert_eq!(of("throughput"), Ok(Measured { figure: Figure::Requests, unit: Unit::Requests }));
    assert_eq!(of("response_time_p95"), Ok(Measured { figure: Figure::ResponseTime(Share::FIVE_PERCENT), unit: Unit::Microseconds }));
    assert!(of("error_rate").unwrap_err().reason.contains("share"), "a count of failures is no rate");
    let prometheus = slo::read_sli("sli.yaml", SLI_PROMETHEUS).unwrap();
    assert_eq!(prometheus.names().collect::<Vec<_>>(), ["response_time_p50", "response_time_p90", "response_time_p95"]);
    for sli in prometheus.names() {
        assert!(live::recognise(sli, prometheus.query(sli)).unwrap_err().reason.contains("\"handler\""), "{sli}");
        let all = prometheus.query(sli).unwrap().replace("handler=\"ItemsController.addToCart\",", "");
        assert_eq!(live::recognise(sli, Some(&all)), live::recognise(sli, None), "{sli}");
    }
    assert_eq!(live::recognise("error_rate", None).unwrap().figure, Figure::ErrorRate(Failure::NotSuccess));
}
