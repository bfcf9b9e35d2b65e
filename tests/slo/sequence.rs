//! Replays the integration sequence of lighthouse: six evaluations, each of which sees what the earlier ones stored.

use portcullis::domain::gate::slo::baseline::{self, Earlier, EarlierRow};
use portcullis::domain::gate::slo::keptn;
use portcullis::domain::gate::slo::release::Lighthouse;
use portcullis::domain::gate::slo::report::Report;
use portcullis::formats::slo;
use serde_json::{Value, json};

use crate::support::{LIGHTHOUSE, answer, assert_same, json_of, number, slo_of};

const V1: Lighthouse = Lighthouse::V1;

#[test]
fn each_step_compares_with_what_is_stored_and_valid() {
    let all: Value = serde_json::from_str(LIGHTHOUSE).unwrap();
    let sequence = &all["integration_sequence"];
    let steps = sequence["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 6);
    let slo = slo_of(&sequence["slo"]);
    // Newest first; each with the number of its step.
    let mut stored: Vec<(u64, Earlier)> = Vec::new();
    for step in steps {
        let number_of_step = step["step"].as_u64().unwrap();
        if step["before"] == "step 3 is invalidated" {
            stored.iter_mut().find(|(number, _)| *number == 3).unwrap().1.invalidated = true;
        }
        let all: Vec<Earlier> = stored.iter().map(|(_, earlier)| earlier.clone()).collect();
        let report = evaluate(step, &slo, sequence, &all);
        check(step, &report);
        let selected = baseline::select(&all, &slo.comparison, V1);
        let compared: Vec<u64> =
            selected.iter().map(|one| stored.iter().zip(&all).find(|(_, other)| std::ptr::eq(*other, *one)).unwrap().0.0).collect();
        let expect = &step["expect"];
        assert!(expect["compared_count"].is_null() || expect["compared_count"] == json!(compared.len()), "step {number_of_step}");
        assert!(expect["compared_steps"].is_null() || expect["compared_steps"] == json!(compared), "step {number_of_step}");
        for step in expect["not_compared_steps"].as_array().into_iter().flatten() {
            assert!(!compared.contains(&step.as_u64().unwrap()));
        }
        stored.insert(0, (number_of_step, remember(&report)));
    }
}

fn evaluate(step: &Value, slo: &portcullis::domain::gate::slo::written::Slo, sequence: &Value, earlier: &[Earlier]) -> Report {
    if step.get("slo_yaml").is_some_and(Value::is_null) {
        return Report::no_slo_file(V1, "p");
    }
    if let Some(text) = step["slo_yaml"].as_str() {
        slo::read_keptn(text).unwrap_err();
        return Report::errored(V1, "Could not parse SLO file for service s in stage t in project p");
    }
    let answer = answer(&sequence["indicatorValues"], step["provider_result"].as_str().unwrap());
    keptn::evaluate(slo, &answer, earlier, V1)
}

fn check(step: &Value, report: &Report) {
    let (found, expect, name) = (json_of(report), &step["expect"], step["name"].as_str().unwrap());
    assert_eq!((&found["status"], &found["result"]), (&expect["status"], &expect["result"]), "{name}");
    assert_eq!(found["evaluation"]["result"], expect["evaluation_result"], "{name}");
    assert_eq!(number(&found["evaluation"]["score"]), number(&expect["score"]), "{name}");
    assert_same(&found["evaluation"]["indicatorResults"], &expect["indicatorResults"], name);
    assert!(expect["sloFileContent"].is_null() || found["evaluation"]["sloFileContent"] == expect["sloFileContent"]);
}

fn remember(report: &Report) -> Earlier {
    let rows = report.rows.iter().flatten();
    let rows = rows.map(|row| EarlierRow { value: Some(row.value.clone()), status: row.status.to_owned() }).collect();
    Earlier { result: report.result.to_owned(), invalidated: false, rows }
}
