//! `portcullis watch`, `history` and `report` beside a real proxy whose rollouts end well and badly.
#![cfg(test)]

#[path = "support/process.rs"]
mod process;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use process::{Finished, Running, eventually, finish, request};
use serde_json::Value;

/// A proxy before two versions of carts.
struct World {
    folder: tempfile::TempDir,
    proxy: Running,
    listen: SocketAddr,
    admin: String,
    _versions: [Running; 2],
}

impl World {
    /// Starts it; `canary` is the tag of the version on trial, `rest` what the configuration says of the service.
    fn start(canary: &str, rest: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let versions = ["0.8.1", canary].map(|tag| Running::start(&["carts", "--tag", tag]));
        let [stable, trial] = [0, 1].map(|index: usize| versions[index].address("listening on "));
        let state = folder.path().join("state");
        let text = format!(
            "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nworkers: 1\nstate: {}\nservices:\n  - name: carts\n    \
             stable: {{version: v1, endpoints: ['{stable}']}}\n    canary: {{version: v2, endpoints: ['{trial}']}}\n{rest}",
            state.display()
        );
        let path = folder.path().join("portcullis.yaml");
        std::fs::write(&path, text).unwrap();
        let proxy = Running::start(&["run", path.to_str().unwrap()]);
        let listen = proxy.address("listening on ");
        let admin = format!("http://{}", proxy.address("admin on "));
        Self { folder, proxy, listen, admin, _versions: versions }
    }

    /// Sends requests until the rollout is over.
    fn drive(&self) {
        let admin: SocketAddr = self.admin.trim_start_matches("http://").parse().unwrap();
        let post = "{\"itemId\":\"03fef6ac-1896-4ce8-bd69-b798f85c6e0b\",\"unitPrice\":\"99.99\"}";
        eventually("the end of the rollout", || {
            assert!(request(self.listen, "POST /carts/1/items", post).starts_with("HTTP/1.1 201"));
            let told = request(admin, "GET /v1/rollouts/carts", "");
            ["promoted", "rolled_back"].iter().any(|phase| told.contains(&format!("\"phase\":\"{phase}\""))).then_some(())
        });
    }
}

const QUICK: &str = "    gates: [errors < 50%]\n    plan: {steps: [{weight: 50%, hold: 0s}, {weight: 100%, hold: 0s}]}\n    watch: 0s\n";
const STRICT: &str =
    "    gates: [p95 < 300ms]\n    burst_tolerance: 0s\n    plan: {steps: [{weight: 50%, hold: 1h}, {weight: 100%, hold: 1h}]}\n";

/// A breach brakes, and is confirmed by probes: pauses of up to a second are no breach.
const BRAKED: &str = "    gates: [p95 < 300ms]\n    plan: {steps: [{weight: 50%, hold: 1h}, {weight: 100%, hold: 1h}]}\n";

fn said(ended: &Finished, code: i32, parts: &[&str]) {
    let text = format!("{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.code, Some(code), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

/// Watches in another thread while the rollout is driven to its end.
fn watched(world: &World, more: &[&str]) -> Finished {
    let args = [&["watch", "carts", "--admin", &world.admin][..], more].concat();
    std::thread::scope(|threads| {
        let watching = threads.spawn(|| finish(&args));
        world.drive();
        watching.join().unwrap()
    })
}

/// Runs a command on a terminal of its own, made by util-linux's `script`, and returns its exit code and what stood there.
fn on_terminal(args: &str, answer: &str, variable: (&str, &str)) -> (Option<i32>, String) {
    let line = format!("{} {args}", env!("CARGO_BIN_EXE_portcullis"));
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped()).env_remove("NO_COLOR");
    let mut child = script.env("TERM", "xterm").env(variable.0, variable.1).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(answer.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_terminal_is_drawn_on_in_colours_unless_somebody_wants_none_and_an_abort_asks_there() {
    let world = World::start("0.8.1", QUICK);
    let watch = format!("watch carts --for 2s --admin {}", world.admin);
    let colours = |text: &str| ["\u{1b}[32m", "\u{1b}[90m"].iter().any(|code| text.contains(code));
    let (code, drawn) = on_terminal(&watch, "", ("NO_COLOR", ""));
    assert!(code == Some(4) && colours(&drawn) && drawn.contains("last 10 s") && drawn.contains('─'), "{drawn}");
    let (code, plain) = on_terminal(&watch, "", ("NO_COLOR", "1"));
    assert!(code == Some(4) && !colours(&plain) && plain.contains("last 10 s"), "{plain}");

    let abort = format!("abort carts --admin {}", world.admin);
    let (code, asked) = on_terminal(&abort, "n\n", ("NO_COLOR", "1"));
    assert!(code == Some(2) && asked.contains("end the rollout of carts") && asked.contains("nothing was done"), "{asked}");
    said(&finish(&["status", "carts", "--admin", &world.admin]), 0, &["progressing with 50%"]);
    // Where nobody can be asked, an abort goes on and a promotion does not.
    said(&finish(&["promote", "carts", "--admin", &world.admin]), 2, &["say --yes, since nobody can be asked"]);
    said(&finish(&["abort", "carts", "--admin", &world.admin]), 0, &[]);
    said(&finish(&["watch", "carts", "--admin", &world.admin]), 3, &["carts: v2 aborted"]);
}

#[test]
fn a_promotion_is_watched_to_its_end() {
    let world = World::start("0.8.1", QUICK);
    said(&finish(&["watch", "carts", "--admin", &world.admin, "--for", "10ms"]), 4, &["carts is not over after 10 ms"]);
    let watched = watched(&world, &[]);
    said(&watched, 0, &["carts 50% progressing, step 1 of 2", "progressing 50% → 100% by plan", "carts: v2 promoted: "]);
    assert!(!watched.stdout.contains('\u{1b}'), "a pipe is no terminal: {}", watched.stdout);
    // What is over already is told at once.
    said(&finish(&["watch", "carts", "--admin", &world.admin]), 0, &["carts: v2 promoted: "]);
    let json = finish(&["watch", "carts", "--admin", &world.admin, "-o", "json"]);
    let line: Value = serde_json::from_str(json.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((json.code, &line["service"]["rollout"]["phase"]), (Some(0), &"promoted".into()), "{line}");
}

#[test]
fn a_rollback_is_watched_to_its_end() {
    let world = World::start("0.8.2", STRICT);
    said(&watched(&world, &[]), 3, &["carts 50% progressing", "rolled back 50% → 0% by gate", "carts: v2 rolled back: "]);
    said(&finish(&["watch", "orders", "--admin", &world.admin]), 2, &["there is no service orders; there are carts"]);
    let nobody = process_free();
    said(&finish(&["watch", "carts", "--admin", &nobody]), 2, &["got no answer", "is the proxy running"]);

    let parts = ["rolled back", "50% → 0%", "gate", "how both versions answered, over 10 s each, v2 against v1"];
    said(&finish(&["history", "carts", "--admin", &world.admin]), 0, &parts);
    let json: Value =
        serde_json::from_str(&finish(&["history", "carts", "--last", "1", "--admin", &world.admin, "--json"]).stdout).unwrap();
    assert_eq!((&json["decisions"][0]["entry"]["phase"], &json["complete"]), (&"rolled_back".into(), &false.into()), "{json}");
    assert!(json["history"]["points"].as_array().unwrap().iter().any(|point| !point["canary"].is_null()), "{json}");
    said(&finish(&["history", "orders", "--admin", &world.admin]), 2, &["there is no service orders"]);

    let verdict = json["decisions"][0]["entry"]["reason"].as_str().unwrap();
    let report = finish(&["report", "carts/v2", "--admin", &world.admin]);
    let drawn = ["<!doctype html>", "Shares of the traffic", "p99 of the last ten seconds", "evidence towards", "verified: ln E"];
    said(&report, 0, &drawn);
    assert!(report.stdout.contains(&verdict.replace('<', "&lt;").replace('>', "&gt;")), "{verdict} is missing in {}", report.stdout);
    assert!(report.stdout.contains("<polyline class=\"stable\"") && !report.stdout.contains("<script"), "{}", report.stdout);
    said(&finish(&["report", "carts/9", "--admin", &world.admin]), 2, &["there is no rollout 9 of carts"]);

    let state = world.folder.path().join("state").to_str().unwrap().to_owned();
    assert_eq!(world.proxy.terminate(), Some(0));
    said(&finish(&["report", "carts", "--state", &state]), 0, &["rolled back</h1>", "keeps no figures of that time", "verified: ln E"]);
    // What the rollback rested on is drawn from the journal alone.
    said(&finish(&["report", "carts", "--state", &state]), 0, &["Evidence of p95 &lt; 300 ms, 100% decides", "<circle class=\"confirm\""]);
}

/// Returns the numbers of an attribute's points: where they are, and how high, from 0 at the top.
fn points_of(line: &str) -> Vec<(f64, f64)> {
    let pair = |point: &str| point.split_once(',').map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap())).unwrap();
    line.split(' ').map(pair).collect()
}

#[test]
fn a_report_of_a_rollback_draws_how_the_evidence_grew_until_it_decided() {
    let world = World::start("0.8.2", BRAKED);
    world.drive();
    let report = finish(&["report", "carts", "--admin", &world.admin]);
    said(&report, 0, &["rolled back</h1>"]);
    let figure = report.stdout.split("<figure ").find(|part| part.contains("Evidence of p95 &lt; 300 ms, 100% decides")).expect("the plot");
    let lines = |class: &str| -> Vec<(f64, f64)> {
        let head = format!("<polyline class=\"{class}\" points=\"");
        figure.split(&head).skip(1).flat_map(|line| points_of(line.split('"').next().unwrap())).collect()
    };
    let confirm = lines("confirm");
    assert!(confirm.len() >= 2 && confirm.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 >= pair[1].1), "it grows: {confirm:?}");
    assert!(confirm[0].1 > confirm[confirm.len() - 1].1, "it has grown: {confirm:?}");
    // The decisions: a brake, then a rollback whose evidence is all there, at the top.
    let spot = |class: &str| figure.split(&format!("<circle class=\"{class}\"")).nth(1).and_then(|spot| spot.split("cy=\"").nth(1));
    for class in ["brake", "confirm"] {
        assert!(spot(class).is_some_and(|rest| rest.starts_with("10.0\"")), "{class} in {figure}");
    }
    let table = report.stdout.split("The evidence of p95").nth(1).unwrap().split("</details>").next().unwrap();
    for row in ["<td>measured</td>", "<td>braked</td><td>-</td><td>1 in ", "<td>rolled back</td><td>-</td><td>-</td><td>1 in "] {
        assert!(table.contains(row), "{row} is missing in {table}");
    }
    // Both versions' percentiles have a line each, and the shares go up and back.
    for name in ["p50", "p95", "p99"] {
        let figure = report.stdout.split("<figure ").find(|part| part.contains(&format!("{name} of the last"))).unwrap();
        assert!(["stable", "canary"].iter().all(|class| figure.contains(&format!(" class=\"{class}\" "))), "{figure}");
    }
    let shares = report.stdout.split("<figure ").find(|part| part.contains("Shares of the traffic")).unwrap();
    let canary = points_of(shares.split("<polyline class=\"canary\" points=\"").nth(1).unwrap().split('"').next().unwrap());
    let heights: Vec<f64> = canary.iter().map(|(_, y)| *y).collect();
    assert!(heights.first() == Some(&176.0) && heights.contains(&93.0) && heights.last() == Some(&176.0), "0%, 50%, 0%: {heights:?}");
}

#[test]
fn a_schema_completions_and_a_manual_are_printed() {
    let schema: Value = serde_json::from_str(&finish(&["schema"]).stdout).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = finish(&["completions", shell]);
        said(&script, 0, &["portcullis", "set-weight", "completions"]);
        if shell == "bash" {
            let path = folder.path().join("portcullis.bash");
            std::fs::write(&path, &script.stdout).unwrap();
            let read = Command::new("bash").arg("-n").arg(&path).output().unwrap();
            assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
        }
    }
    said(&finish(&["completions", "tcsh"]), 2, &["invalid value", "bash"]);
    said(&finish(&["man"]), 0, &[".TH portcullis 1", "inconclusive"]);
    said(&finish(&["man", "--folder", folder.path().to_str().unwrap()]), 0, &[]);
    assert!(folder.path().join("portcullis-watch.1").exists());
    said(&finish(&["man", "--folder", "/nowhere/at/all"]), 1, &["cannot write the manual pages to /nowhere/at/all", "hint"]);
    said(&finish(&["--help"]), 0, &["Exit codes:", "78  a file is wrong"]);
    said(&finish(&["watch", "--help"]), 0, &["3 when it was rolled back or aborted"]);
}

/// An address on which nothing listens.
fn process_free() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
