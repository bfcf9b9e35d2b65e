//! The same fault on the real proxy: carts 0.8.1 and 0.8.2 behind it on loopback, 100 requests per second, 10 % for 0.8.2, which
//! answers each of them one second late.

use std::net::SocketAddr;
use std::time::Duration;

use portcullis::load::{Background, Pace, Plan, Rate, seed};
use serde_json::{Value, json};

use crate::process::{Running, eventually, request};

/// What was measured.
pub struct Real {
    /// From the beginning of the first bad request to the flag that takes the share back.
    pub seconds: f64,
    /// Requests that arrived at the bad version, by its own count.
    pub harmed: u64,
}

/// Users enough that none waits for a connection while others wait a second for their answers.
const USERS: usize = 100;

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// Reads how many POSTs of items arrived at a carts process, from its own metrics.
fn posts(at: SocketAddr) -> u64 {
    let answer = request(at, "GET /metrics", "");
    let values = body(&answer).lines().filter(|line| line.starts_with("requests_total")).filter_map(|line| line.rsplit(' ').next());
    values.filter_map(|value| value.parse::<f64>().ok()).sum::<f64>() as u64
}

/// Starts everything, runs the fault once and ends everything.
pub fn measure() -> Result<Real, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let (v1, v2) = (Running::start(&["carts", "--tag", "0.8.1"]), Running::start(&["carts", "--tag", "0.8.2"]));
    let (stable, canary) = (v1.address("listening on "), v2.address("listening on "));
    let config = folder.path().join("portcullis.yaml");
    let text = format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nstate: state\nservices:\n  - name: carts\n    stable: {{version: 0.8.1, endpoints: [\"{stable}\"]}}\n    gates: [\"p95 < 1s\"]\n    plan: {{steps: [{{weight: 10%, hold: 1h}}, {{weight: 100%, hold: 1h}}]}}\n"
    );
    std::fs::write(&config, text)?;
    let proxy = Running::start(&["run", config.to_str().ok_or("the folder's path is not UTF-8")?]);
    let (listen, admin) = (proxy.address("listening on "), proxy.address("admin on "));
    let plan = Plan { pace: Pace::Constant { rate: Rate::per_second(100.0)?, requests: None }, ..seed::performance(USERS, 1, "harm") };
    let load = Background::start(listen, vec![(plan, None)])?;
    eventually("a second of load", || load.counters().iter().any(|plan| plan.snapshot().answered() >= 100).then_some(()));
    let asked = json!({"service": "carts", "canary": {"name": "0.8.2", "endpoints": [canary]}, "actor": "bench"});
    let answer = request(admin, "POST /v1/rollouts", &asked.to_string());
    if !answer.starts_with("HTTP/1.1 202") {
        return Err(format!("the rollout was not started: {answer}").into());
    }
    let trip = eventually("the trip", || {
        let answer = request(admin, "GET /v1/rollouts/carts", "");
        let status: Value = serde_json::from_str(body(&answer)).ok()?;
        let trip = status.get("rollout")?.get("trip")?;
        let at = |key: &str| trip.get(key).and_then(Value::as_u64);
        Some((at("first_breach_started_ns")?, at("tripped_ns")?))
    });
    // What was sent before the trip has arrived within the second it is then answered in; probes come later and are few.
    let harmed = posts(canary);
    let _ = load.stop(Duration::from_secs(3));
    for child in [proxy, v1, v2] {
        let _ = child.terminate();
    }
    let seconds = Duration::from_nanos(trip.1.saturating_sub(trip.0)).as_secs_f64();
    Ok(Real { seconds, harmed })
}
