//! Shipyards of both forms: published ones load, bad ones get every problem with its place and how to mend it.
#![cfg(test)]

use std::time::Duration;

use super::{Loaded, check, read, read_keptn, read_with};
use crate::domain::delivery::{Approval, Concurrency, Entrance, Gate, Mode, OnWarning, Strategy, TestStrategy};
use crate::domain::rollout::{Ramp, Schedule, Start};

const SEED: &str = include_str!("../../../tests/data/compat/shipyard.yaml");

/// The form in which keptn 0.4 stores the same file.
const STORED: &str = "project: sockshop
registry: null
stages:
    - {deployment_strategy: direct, name: dev, test_strategy: functional}
    - {deployment_strategy: blue_green_service, name: staging, test_strategy: performance}
    - {deployment_strategy: blue_green_service, name: production}
";

/// The same three stages in the form of keptn 0.8 and later.
const SEQUENCES: &str = "apiVersion: spec.keptn.sh/0.2.2
kind: Shipyard
metadata:
  name: shipyard-sockshop
spec:
  stages:
  - name: dev
    sequences:
    - name: delivery
      tasks:
      - name: deployment
        properties: {deploymentstrategy: direct}
      - name: test
        properties: {teststrategy: functional}
      - name: evaluation
      - name: release
  - name: staging
    sequences:
    - name: delivery
      triggeredOn:
      - event: dev.delivery.finished
      tasks:
      - name: deployment
        properties: {deploymentstrategy: blue_green_service}
      - name: test
        properties: {teststrategy: performance}
      - name: evaluation
        properties: {timeframe: 5m}
      - name: release
    - name: rollback
      triggeredOn:
      - event: staging.delivery.finished
        selector: {match: {result: fail}}
      tasks:
      - name: rollback
  - name: production
    sequences:
    - name: delivery
      triggeredOn:
      - event: staging.delivery.finished
        selector: {match: {result: pass}}
      - event: staging.delivery.finished
        selector: {match: {result: warning}}
      tasks:
      - name: approval
        properties: {pass: automatic, warning: manual}
      - name: deployment
        properties: {deploymentstrategy: blue_green_service}
      - name: release
";

fn load(text: &str) -> Loaded {
    read("shipyard.yaml", text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// Returns line, message and hint of each error.
fn errors(text: &str) -> Vec<String> {
    let problems = read("shipyard.yaml", text).unwrap_err();
    let errors = problems.into_iter().filter(|problem| problem.is_error());
    errors.map(|it| format!("{} {}: {} ({})", it.line.unwrap_or(0), it.path, it.message, it.hint.unwrap_or_default())).collect()
}

#[track_caller]
fn refuses(text: &str, wanted: &[&str]) {
    let found = errors(text);
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(wanted.split(" … ").all(|part| found.contains(part)), "{wanted:?} is not in {found:?}");
    }
}

#[test]
fn the_published_file_loads_in_both_modes_and_as_it_was_stored() {
    let loaded = load(SEED);
    assert_eq!(loaded.notes, []);
    let shipyard = loaded.shipyard;
    let stages: Vec<_> = shipyard.stages().iter().map(|stage| (stage.name.as_str(), &stage.strategy, stage.test.as_ref())).collect();
    assert_eq!(
        stages,
        [
            ("dev", &Strategy::Direct, Some(&TestStrategy::Functional)),
            ("staging", &Strategy::BlueGreen, Some(&TestStrategy::Performance)),
            ("production", &Strategy::BlueGreen, None)
        ]
    );
    assert!(shipyard.stages().iter().all(|stage| stage.rollback && stage.gate == Gate::File && stage.approval.is_none()));
    let stored = load(STORED);
    assert_eq!(stored.shipyard, shipyard);
    let notes: Vec<_> = stored.notes.iter().map(|note| note.message.as_str()).collect();
    assert_eq!(notes, ["\"project\" has no effect", "\"registry\" has no effect"]);
    for text in [SEED, STORED] {
        let keptn = read_keptn("shipyard.yaml", text).unwrap();
        assert_eq!((keptn.shipyard.stages(), keptn.shipyard.mode()), (shipyard.stages(), Mode::Keptn));
    }
}

#[test]
fn the_keys_of_later_releases_and_ours_are_understood() {
    let loaded = load(
        "concurrency: queue
stages:
- name: dev
  rollback: false
  remediation_strategy: automated
- name: staging
  deployment_strategy: canary
  plan: {start: 5%, factor: 2, hold: 30s}
  test_strategy: performance_light
  on_warning: hold
- name: production
  deployment_strategy: blue_green_service
  approval_strategy: {pass: manual}
  gate: none
",
    );
    let shipyard = &loaded.shipyard;
    let [dev, staging, production] = shipyard.stages() else { panic!() };
    assert_eq!(shipyard.concurrency(), Concurrency::Queue);
    assert!(!dev.rollback && dev.remediation && dev.test.is_none());
    let ramp = Ramp { start: Start::At("5%".parse().unwrap()), factor: 2, hold: Duration::from_secs(30), harm: None, approval: None };
    assert_eq!(staging.strategy, Strategy::Canary(Schedule::Ramp(ramp)));
    assert_eq!(staging.test.as_ref().unwrap().as_str(), "performance_light");
    assert_eq!(staging.on_warning, OnWarning::Hold);
    assert_eq!(production.approval, Some(Approval { pass: Entrance::Manual, warning: Entrance::Automatic }));
    assert_eq!(production.gate, Gate::None);
    assert_eq!(loaded.notes.len(), 2, "{:#?}", loaded.notes);
}

#[test]
fn a_warning_can_be_held_only_where_a_stage_follows() {
    let notes = |dev: &str, production: &str| {
        let text = format!(
            "stages:\n- {{name: dev, deployment_strategy: canary{dev}}}\n- {{name: production, deployment_strategy: canary{production}}}\n"
        );
        load(&text).notes.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(notes(", on_warning: hold", ", on_warning: pass"), [""; 0]);
    let noted = notes("", ", on_warning: hold");
    assert!(noted.len() == 1 && noted[0].contains("on_warning has no effect in production"), "{noted:?}");
    assert!(noted[0].contains("no stage follows"), "{noted:?}");
}

#[test]
fn sequences_stand_for_the_same_stages() {
    let loaded = load(SEQUENCES);
    let [dev, staging, production] = loaded.shipyard.stages() else { panic!() };
    assert_eq!((&dev.strategy, dev.test.as_ref(), dev.gate), (&Strategy::Direct, Some(&TestStrategy::Functional), Gate::File));
    assert_eq!((&staging.strategy, staging.test.as_ref()), (&Strategy::BlueGreen, Some(&TestStrategy::Performance)));
    assert_eq!((&production.strategy, production.test.as_ref(), production.gate), (&Strategy::BlueGreen, None, Gate::None));
    // Without a selector only a pass goes on; a selector for warnings lets them on, to be approved.
    assert_eq!((dev.on_warning, staging.on_warning), (OnWarning::Hold, OnWarning::Pass));
    assert_eq!(production.approval, Some(Approval { pass: Entrance::Automatic, warning: Entrance::Manual }));
    assert!(read_keptn("shipyard.yaml", SEQUENCES).is_ok());
}

#[test]
fn a_selector_for_failed_never_matches_and_fail_is_offered() {
    let text = SEQUENCES.replace("{result: fail}", "{result: failed}");
    refuses(&text, &["33 … \"failed\" … write \"fail\""]);
    assert!(read_keptn("shipyard.yaml", &text).is_ok());
}

#[test]
fn what_can_never_happen_or_breaks_the_rules_of_names_is_refused() {
    refuses(
        "stages:\n- {name: dev, deployment_strategy: blue_gren_service}\n",
        &["2 … blue_gren_service … did you mean \"blue_green_service\"?"],
    );
    refuses("stages:\n- {name: dev, deployment_strategy: Direct}\n", &["unknown deployment strategy … did you mean \"direct\"?"]);
    refuses("stages:\n- {name: Dev}\n- {name: stag_ing}\n", &["2 … not the name of a stage", "3 … not the name of a stage"]);
    let wrong_stage = SEQUENCES.replace("event: dev.delivery.finished", "event: devel.delivery.finished");
    refuses(&wrong_stage, &["19 … does not follow dev", "21 … no stage \"devel\" … did you mean \"dev\"?"]);
    let wrong_sequence = SEQUENCES.replacen("event: staging.delivery.finished", "event: staging.deliver.finished", 1);
    refuses(&wrong_sequence, &["no sequence \"deliver\" … did you mean \"delivery\"?"]);
    refuses(
        &SEQUENCES.replace("name: evaluation\n      - name: release\n  - name: staging", "name: evaluatio\n  - name: staging"),
        &["\"evaluatio\" is not supported … did you mean \"evaluation\"?"],
    );
}

#[test]
fn an_unknown_test_strategy_is_refused_where_the_workloads_are_known_or_it_is_a_slip() {
    refuses("stages:\n- {name: dev, test_strategy: performence}\n", &["performence … did you mean \"performance\"?"]);
    let soak = "stages:\n- {name: dev, test_strategy: soak}\n";
    assert_eq!(load(soak).notes.len(), 1);
    assert!(read_with("f", soak, &["soak"]).unwrap().notes.is_empty());
    let problems = read_with("f", soak, &["spike"]).unwrap_err();
    assert!(problems[0].message.contains("unknown test strategy \"soak\""), "{problems:?}");
}

#[test]
fn every_problem_is_shown_at_once_with_path_place_and_the_nearest_key() {
    refuses(
        "stages:
- name: dev
  deploymnt_strategy: direct
- deployment_strategy: canary
  gate: non
- name: production
  test_strategy: functional
  plan: {start: 0%, factr: 3}
  approval_strategy: {pass: manually}
  rollback: maybe
",
        &[
            "3 stages[0].deploymnt_strategy: unknown key … did you mean \"deployment_strategy\"?",
            "4 stages[1].name: name is missing",
            "5 stages[1].gate: unknown gate \"non\" … none",
            "8 stages[2].plan: a plan has no effect",
            "8 stages[2].plan.start: a ramp that starts at 0%",
            "8 stages[2].plan.factr: unknown key … did you mean \"factor\"?",
            "9 stages[2].approval_strategy.pass: unknown pass \"manually\" … did you mean \"manual\"?",
            "10 stages[2].rollback: rollback must be true or false",
        ],
    );
}

#[test]
fn what_makes_no_shipyard_is_refused_with_its_place() {
    refuses("stages: []\n", &["at least one stage"]);
    refuses("{}\n", &["stages is missing"]);
    refuses("- a\n", &["must be a mapping"]);
    refuses("stages:\n- {name: dev}\n- {name: dev}\n", &["3 … stage 2 is named dev like stage 1"]);
    refuses("stages:\n- {name: dev, deployment_strategy: canary, gate: none}\n", &["2 … nothing could ever let its share grow"]);
    refuses("stages:\n- {name: dev, plan: {hold: 1s}}\n", &["a plan has no effect without a canary"]);
    refuses("stages:\n- {name: dev, deployment_strategy: direct, plan: {hold: 1s}}\n", &["a plan has no effect with direct"]);
    refuses("stages:\n- {name: dev, deployment_strategy: user_managed}\n", &["user_managed deployments are not supported"]);
    refuses("apiVersion: spec.keptn.sh/0.3.0\nkind: Remediation\nspec: {stages: []}\n", &["at least one", "apiVersion", "not a shipyard"]);
}

#[test]
fn as_in_keptn_unknown_keys_are_ignored_and_only_what_stopped_it_is_refused() {
    let loose = "registry: x\nstages:\n- {name: dev, deployment_strategy: Blue_Green_Service, test_strategy: , gate: nonsense}\n";
    let loaded = read_keptn("f", loose).unwrap();
    let dev = &loaded.shipyard.stages()[0];
    assert_eq!((&dev.strategy, dev.test.as_ref(), dev.gate), (&Strategy::BlueGreen, None, Gate::File));
    for stopped in ["stages: []", "stages:\n- {name: a, deployment_strategy: canary}", "stages:\n- {deployment_strategy: direct}", "a: ["] {
        assert!(read_keptn("f", stopped).is_err(), "{stopped}");
    }
}

#[test]
fn a_check_shows_notes_and_errors_alike() {
    assert!(check("f", SEED).is_empty());
    let noted = check("f", "stages:\n- {name: dev, gate: none}\n");
    assert!(noted.len() == 1 && !noted[0].is_error(), "{noted:?}");
}

#[test]
fn no_damage_to_a_file_stops_the_program() {
    for text in [SEED, STORED, SEQUENCES] {
        for at in (0..text.len()).step_by(7).filter(|at| text.is_char_boundary(*at)) {
            for damage in ["", "\0", "- ", ": ", "[", "é", "~"] {
                let broken = format!("{}{damage}{}", &text[..at], &text[(at + 1).min(text.len())..]);
                let _either = (read("f", &broken), read_keptn("f", &broken), read("f", &text[..at]));
            }
        }
    }
}
