//! Finds what a test sends: the workload of a strategy and its script, as keptn's jmeter-service looked them up.

use std::path::Path;

use crate::delivery::gate_file::told;
use crate::delivery::projects::Projects;
use crate::delivery::spot::Spot;
use crate::domain::delivery::TestReport;
use crate::domain::delivery::shipyard::Mode;
use crate::formats::jmeter_conf::{self, Workload, Workloads};

/// The name of the workload of a health check.
pub(super) const HEALTH_CHECK: &str = "healthcheck";

/// Finds a workload and its script, with the script's name and text; no script where there is no such file.
///
/// # Errors
///
/// Says which file cannot be read, or what is wrong with the workloads.
pub(super) fn find(projects: &Projects, spot: &Spot, strategy: &str) -> Result<(Workload, Option<(String, String)>), String> {
    let workloads = match projects.find(spot, "jmeter/jmeter.conf.yaml") {
        None => Workloads::default(),
        Some(path) => {
            let (name, text) = read(&path)?;
            jmeter_conf::read(&name, &text).map_err(told)?
        }
    };
    let workload = workloads.of(strategy).map_err(|error| error.to_string())?;
    let by_service = jmeter_conf::service_script(spot.service.as_str());
    let usual = Workload::by_default(strategy).is_some_and(|usual| usual.script == workload.script) && strategy != HEALTH_CHECK;
    let found = projects.find(spot, &workload.script).or_else(|| usual.then(|| projects.find(spot, &by_service)).flatten());
    let script = found.map(|path| read(&path)).transpose()?;
    Ok((workload, script))
}

/// Says what a test without a script comes to: the original skipped it and counted it as passed.
///
/// # Errors
///
/// Says strictly that it says nothing.
pub(super) fn absent(workload: &Workload, mode: Mode) -> Result<TestReport, String> {
    let reason = format!("there is no {}; add it with: portcullis add-resource", workload.script);
    match mode {
        Mode::Keptn => Ok(TestReport { passed: true, stopped_early: false, requests: 0, errors: 0, reason }),
        Mode::Strict => Err(reason),
    }
}

/// Says what a test that was run comes to: one that sent nothing says nothing (R5 of the compatibility rules).
///
/// # Errors
///
/// Says that nothing was sent.
pub(super) fn measured(report: TestReport) -> Result<TestReport, String> {
    if report.requests == 0 { Err(report.reason) } else { Ok(report) }
}

fn read(path: &Path) -> Result<(String, String), String> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    Ok((name, text))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// What the case's test comes to; the status of the original's file server is what happens to the file here.
    fn run(case: &Value, mode: Mode) -> Result<TestReport, String> {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("sockshop/services/carts");
        std::fs::create_dir_all(home.join("jmeter")).unwrap();
        let script = case["script"].as_str().unwrap();
        let workload = format!("workloads:\n  - {{teststrategy: performance, script: {script}}}\n");
        std::fs::write(home.join("jmeter/jmeter.conf.yaml"), workload).unwrap();
        match case["script_status"].as_u64().unwrap() {
            404 => {}
            // It is there and cannot be read.
            500 => std::fs::write(home.join(script), [0xff, 0xfe]).unwrap(),
            _ => std::fs::write(home.join(script), "<jmeterTestPlan/>").unwrap(),
        }
        let spot = Spot { project: "sockshop".parse().unwrap(), service: "carts".parse().unwrap(), stage: "dev".parse().unwrap() };
        let projects = Projects::new(folder.path().to_owned(), &folder.path().join("state")).unwrap();
        let (workload, found) = find(&projects, &spot, "performance")?;
        match found {
            None => absent(&workload, mode),
            // Its output could not be parsed: nobody knows of a single request.
            Some(_) => measured(TestReport { passed: false, stopped_early: false, requests: 0, errors: 0, reason: "nothing".to_owned() }),
        }
    }

    #[test]
    fn the_cases_of_keptns_executions_hold_and_strictly_no_test_passes_unseen() {
        let all: Value = serde_json::from_str(include_str!("../../tests/data/compat/jmeter-cases.json")).unwrap();
        let cases = all["execute"].as_array().unwrap();
        assert_eq!(cases.len(), 3);
        for case in cases {
            let keptn = run(case, Mode::Keptn);
            assert_eq!(keptn.is_err(), case["expect"]["error"].as_bool().unwrap(), "{case}: {keptn:?}");
            assert_eq!(keptn.is_ok_and(|report| report.passed), case["expect"]["success"].as_bool().unwrap(), "{case}");
            assert!(run(case, Mode::Strict).is_err(), "{case}");
        }
    }
}
