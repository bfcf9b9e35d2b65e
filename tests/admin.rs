//! The admin listener over real sockets, with a real controller and store; scraped by a real Prometheus.
#![cfg(test)]

#[path = "support/desk.rs"]
#[allow(dead_code, reason = "shared with the tests of a saturated data plane")]
mod desk;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use desk::{Desk, PATIENCE, eventually};
use portcullis::admin::server::{CONNECTIONS, HEADER};
use serde_json::{Value, json};

const CANARY: &str = r#"{"service": "carts", "canary": {"name": "0.8.2", "endpoints": ["127.0.0.1:9"]}, "actor": "ann"}"#;

fn phase(desk: &Desk) -> Value {
    desk.get("/v1/rollouts/carts").json()["rollout"]["phase"].clone()
}

fn start(desk: &Desk, body: &str) {
    let started = desk.post("/v1/rollouts", body);
    assert_eq!(started.status, 202, "{}", started.body);
    eventually("the rollout", || (phase(desk) == "progressing").then_some(()));
}

#[test]
fn an_operator_starts_promotes_and_aborts_a_rollout() {
    let desk = Desk::start();
    assert_eq!(desk.get("/readyz").status, 200);
    assert_eq!(desk.get("/v1/rollouts").json()["rollouts"][0]["rollout"], Value::Null);

    start(&desk, CANARY);
    let rollout = desk.get("/v1/rollouts/carts").json()["rollout"].clone();
    assert_eq!((&rollout["canary"]["name"], &rollout["weight"], &rollout["step"]), (&json!("0.8.2"), &json!(1_000), &json!(0)));
    let metrics = desk.get("/metrics").body;
    for line in [
        r#"portcullis_rollout_phase{service="carts",phase="progressing"} 1"#,
        r#"portcullis_split_weight_ratio{service="carts",version="0.8.2",role="canary"} 0.1"#,
        r#"portcullis_split_weight_ratio{service="carts",version="0.8.1",role="stable"} 0.9"#,
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} is missing in\n{metrics}");
    }
    let again = desk.post("/v1/rollouts", CANARY);
    assert!(again.status == 409 && again.json()["detail"].as_str().unwrap().contains("abort it first"), "{}", again.body);

    let promoted = desk.post("/v1/rollouts/carts/promote", r#"{"actor": "bob", "reason": "it looks good"}"#);
    assert!(promoted.status == 202 && promoted.json()["message"].as_str().unwrap().contains("evidence"), "{}", promoted.body);
    assert_eq!(phase(&desk), "progressing", "a promotion still needs its evidence");

    let aborted = desk.post("/v1/rollouts/carts/abort", "");
    assert_eq!((aborted.status, &aborted.json()["changed"]), (200, &json!(true)), "{}", aborted.body);
    eventually("the abort", || (phase(&desk) == "aborted").then_some(()));
    assert_eq!(desk.routes.current().routes[0].epoch.weight().basis_points(), 0);

    let twice = desk.post("/v1/rollouts/carts/abort", r#"{"actor": "ann", "reason": "to be sure"}"#);
    assert_eq!((twice.status, &twice.json()["changed"]), (200, &json!(false)), "{}", twice.body);
    let late = desk.post("/v1/rollouts/carts/promote", "");
    assert!(late.status == 409 && late.json()["detail"].as_str().unwrap().contains("nothing to promote"), "{}", late.body);
    assert_eq!(desk.post("/v1/rollouts/orders/abort", "").status, 404);

    let notices = desk.get("/v1/notices").json()["notices"].to_string();
    assert!(notices.contains("ann starts a rollout of 0.8.2") && notices.contains("operator"), "{notices}");
}

#[test]
fn a_canary_may_listen_at_a_name_or_a_socket_as_in_a_configuration() {
    let desk = Desk::start();
    let body = |endpoint: &str| CANARY.replace("127.0.0.1:9", endpoint);
    let refused = desk.post("/v1/rollouts", &body("nowhere.invalid:80\", \"127.0.0.1:9"));
    let error = refused.json()["errors"][0].clone();
    assert_eq!((refused.status, &error["pointer"]), (422, &json!("/canary/endpoints/0")), "{}", refused.body);
    assert!(error["detail"].as_str().unwrap().contains("\"nowhere.invalid\" cannot be resolved"), "{error}");
    assert_eq!(desk.get("/v1/rollouts/carts").json()["rollout"], Value::Null, "nothing has begun");

    start(&desk, &body("LOCALHOST:9\", \"unix:/run/v2.sock"));
    assert_eq!(desk.get("/v1/rollouts/carts").json()["rollout"]["canary"]["endpoints"], json!(["localhost:9", "unix:/run/v2.sock"]));
    let table = desk.routes.current();
    let canary = &table.routes[0].epoch.canary.as_ref().expect("a canary").version;
    let places: Vec<String> =
        desk.routes.endpoints().of(canary).list().load().places.iter().map(|place| place.target().to_string()).collect();
    assert!(matches!(&*places[0], "127.0.0.1:9" | "[::1]:9") && places[1] == "unix:/run/v2.sock", "{places:?}");
}

#[test]
fn a_version_that_was_rolled_back_is_tried_again_only_when_asked_for() {
    let desk = Desk::start();
    start(&desk, CANARY);
    desk.trip();
    eventually("the rollback", || (phase(&desk) == "rolled_back").then_some(()));
    assert_eq!(desk.get("/v1/rollouts/carts").json()["rejected"], json!(["0.8.2"]));
    let verdict = desk.get("/v1/rollouts/carts/verdict").json();
    assert_eq!((&verdict["verdict"], &verdict["pass"]), (&json!("fail"), &json!(false)), "{verdict}");
    assert!(verdict["reason"].as_str().unwrap().contains("rolled back after 4 of 4 requests"), "{verdict}");
    assert!(desk.get("/metrics").body.contains("\nportcullis_rollbacks_total{service=\"carts\"} 1\n"));

    let refused = desk.post("/v1/rollouts", CANARY);
    assert!(refused.status == 409 && refused.json()["detail"].as_str().unwrap().contains("\"retry\": true"), "{}", refused.body);
    start(&desk, &CANARY.replace("\"actor\"", "\"retry\": true, \"actor\""));
    assert_eq!(desk.get("/v1/rollouts/carts").json()["rejected"], json!([]));
}

/// Runs a command of the program against the desk, without a terminal.
fn told(desk: &Desk, arguments: &[&str]) -> (Option<i32>, String) {
    let admin = format!("http://{}", desk.address());
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    let ended = command.args(arguments).args(["--admin", &admin]).env("USER", "eve").stdin(Stdio::null()).output().unwrap();
    (ended.status.code(), String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap())
}

#[test]
fn a_rollout_is_held_moved_and_tried_again_from_the_command_line() {
    let desk = Desk::start();
    let (code, said) = told(&desk, &["pause", "carts"]);
    assert!(code == Some(2) && said.contains("nothing to hold"), "{said}");
    let (code, said) = told(&desk, &["retry", "carts", "--yes"]);
    assert!(code == Some(2) && said.contains("no rollout that could be tried again"), "{said}");
    start(&desk, CANARY);
    let weight = || desk.routes.current().routes[0].epoch.weight().basis_points();

    let (code, said) = told(&desk, &["pause", "carts", "--reason", "lunch"]);
    assert!(code == Some(0) && said.contains("its gates stay armed"), "{said}");
    let rollout = desk.get("/v1/rollouts/carts").json()["rollout"].clone();
    assert_eq!((&rollout["phase"], &rollout["reason"], weight()), (&json!("paused"), &json!("held by eve: lunch"), 1_000));
    assert!(told(&desk, &["pause", "carts"]).1.contains("held already"));

    let (code, said) = told(&desk, &["set-weight", "30%", "carts"]);
    assert!(code == Some(2) && said.contains("--yes") && weight() == 1_000, "{said}");
    let (code, said) = told(&desk, &["set-weight", "20%", "carts", "--yes"]);
    assert!(code == Some(2) && said.contains("no share of the plan; it has 10%, 30%"), "{said}");
    assert_eq!((told(&desk, &["set-weight", "30%", "carts", "--yes"]).0, weight()), (Some(0), 3_000));
    assert_eq!((told(&desk, &["set-weight", "0%", "carts"]).0, weight()), (Some(0), 0), "taking away is not asked about");
    assert_eq!((told(&desk, &["resume", "carts", "--yes"]).0, weight()), (Some(0), 1_000));

    assert_eq!((told(&desk, &["abort", "carts"]).0, weight()), (Some(0), 0));
    let (code, said) = told(&desk, &["retry", "carts", "--yes"]);
    assert!(code == Some(0) && said.contains("the rollout of 0.8.2 begins"), "{said}");
    eventually("the rollout", || (phase(&desk) == "progressing").then_some(()));
}

#[test]
fn silent_and_dripping_connections_give_way_to_an_abort() {
    let desk = Desk::start();
    for owed in
        ["", "GET /livez HTTP/1.1\r\nHost: loc", "POST /v1/rollouts/carts/abort HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"]
    {
        start(&desk, CANARY);
        let mut idle = Vec::new();
        // More than are admitted at a time; they send nothing, half a head or half a body.
        for _ in 0..2 * CONNECTIONS {
            let mut socket = TcpStream::connect(desk.address()).unwrap();
            socket.write_all(owed.as_bytes()).unwrap();
            idle.push(socket);
        }
        let begun = Instant::now();
        let aborted = desk.post("/v1/rollouts/carts/abort", "");
        let took = begun.elapsed();
        assert_eq!((aborted.status, &aborted.json()["changed"]), (200, &json!(true)), "{}", aborted.body);
        println!("an abort past {} connections that sent {owed:?} took {took:?}", idle.len());
        assert!(took < Duration::from_secs(2), "{took:?} past connections that sent {owed:?}");
        let first = &mut idle[0];
        first.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = String::new();
        // Closed, or reset because what it sent was never read.
        let _ = first.read_to_string(&mut rest);
        assert_eq!(rest, "", "the oldest was sent away without an answer");
    }
}

#[test]
fn a_silent_connection_is_closed_after_its_time() {
    let desk = Desk::start();
    let begun = Instant::now();
    let mut silent = TcpStream::connect(desk.address()).unwrap();
    silent.write_all(b"GET /livez HTTP/1.1\r\nHost: loc").unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut rest = String::new();
    assert!(silent.read_to_string(&mut rest).is_ok() && !rest.contains("200"), "{rest}");
    assert!(begun.elapsed() >= HEADER, "{:?}", begun.elapsed());
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let desk = Desk::start();
    let head = |size: usize| format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: {}\r\n\r\n", "x".repeat(size));
    assert_eq!(desk.send(&head(16_000)).status, 200);
    assert_eq!(desk.send(&head(40_000)).status, 431);
}

#[test]
fn it_stops_at_once_also_with_connections_open() {
    let desk = Desk::start();
    let address = desk.address();
    let mut open = TcpStream::connect(address).unwrap();
    open.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut first = [0; 12];
    open.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let begun = Instant::now();
    desk.stop();
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    assert!(TcpStream::connect(address).is_err());
    open.set_read_timeout(Some(PATIENCE)).unwrap();
    open.read_to_end(&mut Vec::new()).unwrap();
}

/// Says whether a program can be run; without it the test is skipped, or fails where nothing may be skipped.
fn is_there(program: &str) -> bool {
    let there = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    let all = std::env::var_os("PORTCULLIS_TEST_ALL").is_some_and(|value| value == "1");
    assert!(there || !all, "{program} is missing; tests/all installs it (Debian package prometheus)");
    if !there {
        println!("SKIP: {program} is not installed (Debian package prometheus)");
    }
    there
}

/// A listener with every kind of metric filled.
fn with_traffic() -> Desk {
    let desk = Desk::start();
    start(&desk, CANARY);
    desk.observe();
    for part in ["class=\"5xx\"} 2\n", "portcullis_gate_requests{"] {
        eventually(part, || desk.get("/metrics").body.contains(part).then_some(()));
    }
    desk.trip();
    eventually("the rollback", || (phase(&desk) == "rolled_back").then_some(()));
    desk
}

#[test]
fn promtool_finds_nothing_to_complain_about() {
    if !is_there("promtool") {
        return;
    }
    let metrics = with_traffic().get("/metrics").body;
    for part in ["portcullis_gate_requests{", "portcullis_response_time_seconds_bucket{", "process_resident_memory_bytes "] {
        assert!(metrics.contains(part), "{part} is missing in\n{metrics}");
    }
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let checked = promtool.wait_with_output().unwrap();
    let said = [checked.stdout, checked.stderr].concat();
    assert!(checked.status.success() && said.is_empty(), "{}\n{metrics}", String::from_utf8_lossy(&said));
}

/// A running Prometheus; killed when dropped.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Prometheus {
    fn start(folder: &Path, target: &str, listen: &str) -> Self {
        let config = folder.join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n  - job_name: portcullis\n    static_configs:\n      - targets: ['{target}']\n"
        );
        std::fs::write(&config, text).unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={listen}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self(child)
    }
}

#[test]
fn prometheus_scrapes_what_is_shown() {
    if !is_there("prometheus") {
        return;
    }
    let desk = with_traffic();
    let folder = tempfile::tempdir().unwrap();
    // Prometheus does not tell which port it got, so one that was free a moment ago is used.
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut prometheus = Prometheus::start(folder.path(), &desk.address().to_string(), &listen.to_string());
    let mut query = |metric: &str| -> Vec<(Value, String)> {
        eventually(metric, || {
            let log = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            assert!(prometheus.0.try_wait().unwrap().is_none(), "prometheus ended:\n{}", log());
            // It answers 503 until it is ready.
            let answer = desk::get(listen, &format!("/api/v1/query?query={metric}")).filter(|answer| answer.status == 200)?;
            let results = answer.json()["data"]["result"].as_array()?.clone();
            let value = |result: &Value| Some((result["metric"].clone(), result["value"][1].as_str()?.to_owned()));
            results.iter().map(value).collect::<Option<Vec<_>>>().filter(|values| !values.is_empty())
        })
    };
    let build = query("portcullis_build_info");
    assert_eq!((build.len(), build[0].1.as_str(), &build[0].0["version"]), (1, "1", &json!(env!("CARGO_PKG_VERSION"))));
    let canary = |metric: &str| format!("{metric}{{role=%22canary%22,version=%220.8.2%22}}");
    assert_eq!(query(&canary("portcullis_response_time_seconds_count"))[0].1, "10");
    assert_eq!(query(&canary("portcullis_response_time_seconds_sum"))[0].1, "10.5");
    assert_eq!(query("portcullis_requests_total{class=%225xx%22,role=%22canary%22}")[0].1, "2");
    assert_eq!(query("portcullis_rollbacks_total")[0].1, "1");
    assert_eq!(query("sum(portcullis_split_weight_ratio)")[0].1, "1");
    assert_eq!(query("portcullis_rollout_phase==1")[0].0["phase"], "rolled_back");
    assert_eq!(query("up")[0].1, "1");
}
