//! Gives every command of the README: as it stands there, or as what stands for it where that would take an hour or another machine.

use std::fs;
use std::path::Path;

use super::{Reader, page};
use page::commands;

/// What stands for an address or a place of the README on the machine of a test.
const PLACES: [(&str, &str); 5] = [
    ("10.0.0.11:8080", "127.0.0.1:8081"),
    ("10.0.0.12:8080", "127.0.0.1:8082"),
    ("10.0.0.21:8080", "127.0.0.1:8083"),
    ("/var/lib/portcullis", "state"),
    ("/etc/bash_completion.d/portcullis", "completions.bash"),
];

/// How a command is given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// Once.
    Once,
    /// Again until it does what is expected.
    Until,
    /// In another terminal, where it goes on.
    Background,
}

/// A command, and what is expected of it.
struct Line {
    /// As the README writes it, without what explains it; empty for what only the test needs.
    text: &'static str,
    /// What is given instead; empty: the command itself.
    instead: &'static str,
    how: How,
    /// What it ends with.
    code: i32,
    /// What it prints, in a pattern where `…` stands for any text.
    shows: &'static str,
}

/// A command of the README that is given as it stands.
const fn line(text: &'static str, shows: &'static str) -> Line {
    Line { text, instead: "", how: How::Once, code: 0, shows }
}

impl Line {
    /// Something else is given for it, because of what the name of the constant or the comment beside it says.
    const fn instead(mut self, commands: &'static str) -> Self {
        self.instead = commands;
        self
    }

    const fn until(mut self) -> Self {
        self.how = How::Until;
        self
    }

    const fn background(mut self) -> Self {
        self.how = How::Background;
        self
    }

    const fn code(mut self, code: i32) -> Self {
        self.code = code;
        self
    }
}

/// What a reader has already.
const fn have(commands: &'static str) -> Line {
    line("", "").instead(commands)
}

/// Programs of hours: the demo is run by tests/demo.rs and tests/all, which runs this too.
const ELSEWHERE: &[Line] = &[
    line("cargo run --release -- demo", "… --hang … --full … --keep … --report …")
        .instead("test -f \"$ROOT/tests/demo.rs\"; portcullis demo --help | tr '\\n' ' '"),
    line("tests/all", "yes")
        .instead("bash -n \"$ROOT/tests/all\"; grep -q 'nextest run' \"$ROOT/tests/all\"; test -x \"$ROOT/tests/all\"; echo yes"),
];

/// The configuration that the README calls `portcullis.yaml`.
const CONFIGURATION: &str = "cat > portcullis.yaml <<'END'
listen: 127.0.0.1:8181
admin: 127.0.0.1:9191
state: other
access_log: ./access.log
services:
  - name: carts
    hosts: [carts.test]
    stable: {version: 0.8.1, endpoints: ['127.0.0.1:8081']}
    canary: {version: 0.8.2, endpoints: ['127.0.0.1:8083']}
    gates: ['p95 < 1s']
    force: {header: x-version, keys: [{id: key-1, file: key-1.secret}]}
  - name: default
    stable: {version: 0.8.1, endpoints: ['127.0.0.1:8081']}
    canary: {version: 0.8.3, endpoints: ['127.0.0.1:8082']}
    gates: ['p95 < 5s']
    plan: {steps: [{weight: 50%, hold: 0s, approval: {deadline: 30m}}, {weight: 100%, hold: 0s}]}
END
head -c 32 /dev/urandom | base64 -w 0 > key-1.secret
chmod 600 key-1.secret
cp \"$ROOT\"/tests/data/compat/perfspec_prometheus.json perfspec.json
cp \"$ROOT\"/tests/data/compat/slo-quality-gates.yaml slo.yaml
sed -i '/+10%/d' slo.yaml
echo '{\"response_time_p95\": 0.4}' > values.json";

/// A Prometheus that answers everything with 0.4.
const PROMETHEUS: &str = "exec python3 -c '
import http.server
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        told = b\"{\\\"status\\\":\\\"success\\\",\\\"data\\\":{\\\"resultType\\\":\\\"vector\\\",\\\"result\\\":[{\\\"metric\\\":{},\\\"value\\\":[1,\\\"0.4\\\"]}]}}\"
        self.send_response(200)
        self.send_header(\"content-type\", \"application/json\")
        self.send_header(\"content-length\", str(len(told)))
        self.end_headers()
        self.wfile.write(told)
    do_POST = do_GET
host, port = \"127.0.0.1:9091\".split(\":\")
http.server.ThreadingHTTPServer((host, int(port)), Answers).serve_forever()
'";

/// Begins another rollout, of a version that was not tried before.
const AGAIN: &str = "curl -sSf http://127.0.0.1:9090/v1/rollouts -H 'content-type: application/json' \
                     -d '{\"service\":\"default\",\"canary\":{\"name\":\"v3\",\"endpoints\":[\"127.0.0.1:8083\"]}}'";

/// In front of a service.
const SERVICE: &[Line] = &[
    have("exec portcullis carts --tag 0.8.1 --listen 127.0.0.1:8081").background(),
    have("exec portcullis carts --tag 0.8.1 --listen 127.0.0.1:8082").background(),
    have("exec portcullis carts --tag 0.8.3 --listen 127.0.0.1:8083").background(),
    have(PROMETHEUS).background(),
    have("curl -sSf http://127.0.0.1:8081/health http://127.0.0.1:8082/health http://127.0.0.1:8083/health >/dev/null").until(),
    line(
        "portcullis run --listen 0.0.0.0:8080 --admin 127.0.0.1:9090 --state /var/lib/portcullis --stable v1=10.0.0.11:8080,10.0.0.12:8080 \
         --canary v2=10.0.0.21:8080 --weight 10% --hold 10m --gate 'p95 < 1s' --gate 'errors < 1%'",
        "",
    )
    .background(),
    have(CONFIGURATION),
    have("exec portcullis run portcullis.yaml").background(),
    have("curl -sSf http://127.0.0.1:9090/readyz http://127.0.0.1:9191/readyz >/dev/null").until(),
    line("portcullis check portcullis.yaml perfspec.json", "portcullis.yaml: ok\n…\nperfspec.json: ok, 3 notes"),
    line("portcullis evaluate slo.yaml --values values.json", "…\n  \"verdict\": \"pass\",\n…"),
    line(
        "portcullis evaluate perfspec.json --prometheus http://127.0.0.1:9091 --timeframe 5m --project sockshop --service carts --stage staging",
        "…\n    \"totalScore 100 reaches objectives.pass 90\"\n…",
    ),
    // It serves until somebody stops it.
    line("portcullis carts --tag 0.8.2", "listening on …").instead("timeout 1 portcullis carts --tag 0.8.2").code(124),
    line(
        "portcullis status",
        "default: owned by v1\n  rollout 1 of v2 against v1\n  stands progressing with 10% of the traffic, step 1 of 3, …\n…",
    ),
    line("portcullis load http://127.0.0.1:8080/ --rate 200/s", "…\n p99 …\n…")
        .instead("portcullis load http://127.0.0.1:8080/ --rate 200/s --duration 2s"),
    // It ends with the rollout, which is held for ten minutes.
    line("portcullis watch default", "… default 10% progressing, step 1 of 3; …\n…default is not over after 2 s")
        .instead("portcullis watch default --for 2s")
        .code(4),
    line("portcullis history default", "default: what was decided\n…\nhow both versions answered, over 10 s each, v2 against v1\n…"),
    line("portcullis why default", "default, rollout 1 of v2 against v1: progressing\n…"),
    line("portcullis report default > rollout.html", "yes")
        .instead("portcullis report default > rollout.html; grep -q 'Shares of the traffic' rollout.html; echo yes"),
    line("portcullis token --config portcullis.yaml --service carts --version 0.8.2", "v1~key-1~…~0.8.2~…"),
    // All of them take half an hour; tests/simulation.rs and tests/all run them.
    line("portcullis simulate tests/simulation/scenarios/*.toml", "…\n… scenarios, … runs: … expectations hold, 0 do not")
        .instead("portcullis simulate \"$ROOT\"/tests/simulation/scenarios/case_nobody_approves.toml --runs 1"),
    line("portcullis simulate --aa --gates 'p95 < 1s'", "…\naa · p95 < 1 s, at the limit\n…")
        .instead("portcullis simulate --aa --gates 'p95 < 1s' --runs 2"),
    have("portcullis load http://127.0.0.1:8181/ --rate 200/s --duration 2s --hlog v1.hlog >/dev/null; cp v1.hlog v2.hlog"),
    line("portcullis simulate --replay access.log --gates 'p95 < 1s'", "… requests of the canary, …\np95 < 1 s: would not have fired; …")
        .until(),
    line(
        "portcullis simulate --replay v2.hlog --stable v1.hlog --gates 'p95 <= stable * 1.1'",
        "… requests of the canary, … of stable, …\n…\np95 <= stable * 1.1: would not have fired; …",
    ),
    line("curl http://127.0.0.1:9090/metrics", "…\nportcullis_request_duration_seconds_bucket{service=\"default\",…\n…")
        .instead("curl -sS http://127.0.0.1:9090/metrics"),
    line("portcullis abort default", "the rollout of default is aborted; the canary gets nothing"),
    have(AGAIN),
    line("portcullis pause default --reason 'until Monday'", "the rollout of default is held; its gates stay armed"),
    // What gives the canary more is asked about, and nobody is there to answer.
    line("portcullis set-weight 30% default", "the canary of default is held with 30%; its gates stay armed")
        .instead("portcullis set-weight 30% default --yes"),
    line("portcullis approve default", "the rollout of default is approved …")
        .instead("portcullis approve default --yes --admin http://127.0.0.1:9191")
        .until(),
    line("portcullis retry default", "the rollout of v3 begins")
        .instead("portcullis abort default >/dev/null; portcullis retry default --yes"),
    line("portcullis schema > portcullis.schema.json", "yes")
        .instead("portcullis schema > portcullis.schema.json; test -s portcullis.schema.json; echo yes"),
    line("portcullis completions bash > /etc/bash_completion.d/portcullis", "yes")
        .instead("portcullis completions bash > completions.bash; bash -n completions.bash; echo yes"),
    line("portcullis audit", "the chain is whole: …\n…"),
];

/// Changes it while it runs; PID is known to whoever has started it.
const SUCCESSION: &[Line] = &[
    have("exec portcullis carts --tag 0.8.1 --listen 127.0.0.1:8081").background(),
    have("echo $$ > pid; exec portcullis run --listen 127.0.0.1:8080 --admin 127.0.0.1:9090 --state state --stable v1=127.0.0.1:8081")
        .background(),
    have("curl -sSf http://127.0.0.1:9090/readyz http://127.0.0.1:8080/health >/dev/null").until(),
    line("kill -USR2 PID", "").instead("kill -USR2 $(cat pid)"),
    // Whoever has ended has no command line any more, also while nobody has asked what it ended with.
    have("test -z \"$(tr -d '\\0' < /proc/$(cat pid)/cmdline || true)\" && curl -sSf http://127.0.0.1:9090/readyz http://127.0.0.1:8080/health >/dev/null").until(),
];

/// What a pipeline needs beside the shipyard of the README.
const PIPELINE: &str = "cat > pipeline.yaml <<'END'
listen: 127.0.0.1:8080
admin: 127.0.0.1:9090
state: state
delivery:
  process:
    command: [portcullis, carts, --tag, '{tag}', --listen, '127.0.0.1:{port}', --exit-with-stdin]
    ready: /health
    leash: true
  sources: [127.0.0.1:9091]
END
cat > held.yaml <<'END'
stages: [{name: production, deployment_strategy: direct, gate: none, approval_strategy: {pass: manual, warning: manual}}]
END
mkdir -p carts/perfspec carts/jmeter
cp \"$ROOT\"/tests/data/compat/jmeter/*.jmx carts/jmeter/
cp \"$ROOT\"/tests/data/compat/perfspec_prometheus.json carts/perfspec/perfspec.json
cp \"$ROOT\"/tests/data/compat/slo-quality-gates.yaml slo.yaml
sed -i '/+10%/d' slo.yaml";

/// Delivers through stages.
const DELIVERY: &[Line] = &[
    have(PROMETHEUS).background(),
    have(PIPELINE),
    have("exec portcullis run pipeline.yaml").background(),
    have("curl -sSf http://127.0.0.1:9090/readyz >/dev/null").until(),
    line("portcullis create project sockshop --shipyard shipyard.yaml", "project sockshop has the stages dev, staging, production\n…"),
    line("portcullis onboard service carts --project sockshop --resources carts/", "service carts of project sockshop\n…\nadded perfspec/perfspec.json\n…"),
    line("portcullis add-resource --project sockshop --stage staging --service carts --resource slo.yaml", "added slo.yaml"),
    // The slow version: it passes dev, and fails the gate of staging.
    line(
        "portcullis send event new-artifact --project sockshop --service carts --image docker.io/keptnexamples/carts --tag 0.8.2 --wait",
        "…\n… dev 0.8.2 passed …\n…\n… staging 0.8.2 failed …",
    )
    .instead(
        "portcullis send event new-artifact --project sockshop --service carts --image docker.io/keptnexamples/carts --tag 0.8.2 --wait | tee sent",
    )
    .code(3),
    line("portcullis get projects", "…\n dev live 0.8.2 last 0.8.2 passed\n…\n staging live none last 0.8.2 failed\n…"),
    line("portcullis get context ID", "…\n… staging 0.8.2 failed …").instead("portcullis get context \"$(sed -n 's/^ID of keptn context: //p' sent)\""),
    line("portcullis configure monitoring prometheus --project sockshop --url http://127.0.0.1:9091", "…"),
    line(
        "portcullis send event start-evaluation --project sockshop --service carts --stage staging --timeframe 5m --wait",
        "ID of keptn context: …\npass: totalScore 100 reaches objectives.pass 90; …",
    ),
    have("portcullis create project held --shipyard held.yaml; portcullis onboard service carts --project held --resources carts/"),
    have("portcullis send event new-artifact --project held --service carts --image docker.io/keptnexamples/carts --tag 0.8.1"),
    // The README's shipyard wants no approval; this one does.
    line("portcullis approve --project sockshop --service carts --stage production", "approve: carts in production…")
        .instead("portcullis approve --project held --service carts --stage production")
        .until(),
];

/// The README's commands, by its sections.
const STORIES: [&[Line]; 4] = [ELSEWHERE, SERVICE, DELIVERY, SUCCESSION];

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// Follows a story from its beginning to its end.
fn follow(story: &[Line]) -> Reader {
    let placed = |text: &str| PLACES.iter().fold(text.to_owned(), |text, (place, here)| text.replace(place, here));
    let commands: Vec<String> = story.iter().map(|line| placed(if line.instead.is_empty() { line.text } else { line.instead })).collect();
    let mut reader = Reader::new(&commands.join("\n"));
    let shipyard = readme().split("```yaml\n").find(|block| block.contains("\nstages:")).unwrap().split("```").next().unwrap().to_owned();
    fs::write(reader.folder.path().join("work/shipyard.yaml"), shipyard).unwrap();
    for (at, (line, command)) in story.iter().zip(&commands).enumerate() {
        if line.how == How::Background {
            reader.begin(at, command);
            continue;
        }
        let shows = (!line.shows.is_empty()).then_some(line.shows);
        reader.run(at, command, line.code, line.how == How::Until, shows);
    }
    reader
}

#[test]
fn what_is_run_elsewhere_is_there() {
    follow(ELSEWHERE);
}

#[test]
fn the_commands_in_front_of_a_service_do_what_the_readme_says() {
    follow(SERVICE);
}

#[test]
fn the_commands_of_a_delivery_do_what_the_readme_says() {
    follow(DELIVERY);
}

#[test]
fn a_successor_takes_over_as_the_readme_says() {
    follow(SUCCESSION);
}

/// The slow version of the recording at the top of the README.
const SLOW: &[Line] = &[
    have("exec portcullis carts --tag 0.8.1 --listen 127.0.0.1:8081").background(),
    have("exec portcullis carts --tag 0.8.2 --listen 127.0.0.1:8082").background(),
    have("curl -sSf http://127.0.0.1:8081/health http://127.0.0.1:8082/health >/dev/null").until(),
    have(
        "exec portcullis run --listen 127.0.0.1:8080 --admin 127.0.0.1:9090 --state state --service carts --stable 0.8.1=127.0.0.1:8081 \
         --canary 0.8.2=127.0.0.1:8082 --weight 10% --hold 10m --gate 'p95 < 500ms' --gate 'errors < 1%'",
    )
    .background(),
    have("curl -sSf http://127.0.0.1:9090/readyz >/dev/null").until(),
    have(
        "exec portcullis load http://127.0.0.1:8080/carts/1/items --users 6 --think 25ms --duration 80s --method POST \
         --header 'content-type: application/json' --body '{\"itemId\":\"a1\",\"unitPrice\":3.5,\"quantity\":1}'",
    )
    .background(),
    have("portcullis status | tee status | grep -q 'rolled back with'").until(),
];

/// Takes the figures out of a text, and makes one of any blanks: what is measured is never the same twice.
fn without_figures(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_whitespace() {
        let is_figure = |c: char| c.is_ascii_digit() || c == '.' || c == ',';
        let bare = word.trim_start_matches('(');
        let figure = bare.starts_with(|c: char| c.is_ascii_digit()).then(|| bare.trim_start_matches(is_figure));
        // A version is no figure.
        let measured = figure.filter(|rest| !bare.starts_with("0.8.") && !rest.starts_with(char::is_alphanumeric));
        out.push_str(&measured.map_or_else(|| word.to_owned(), |rest| format!("#{rest}")));
        out.push(' ');
    }
    out
}

#[test]
fn the_recording_is_what_the_program_prints_of_a_slow_version() {
    let page = readme();
    let shown = page.split("```console\n$ portcullis status\n").nth(1).expect("a recording").split("```").next().unwrap().to_owned();
    let reader = follow(SLOW);
    let printed = fs::read_to_string(reader.folder.path().join("work/status")).unwrap();
    assert_eq!(without_figures(&shown), without_figures(&printed), "the README shows\n{shown}\nthe program prints\n{printed}");
}

#[test]
fn only_figures_differ_between_recordings() {
    assert_eq!(without_figures("after 1,200 of 23\n  (0% to 3.5%) of 0.8.2"), "after # of # #% to #%) of 0.8.2 ");
    assert_ne!(without_figures("4 of 5 requests"), without_figures("4 of 5 answers"));
}

/// The picture shows the dashboard, and is small enough for a page.
#[test]
fn the_picture_is_there_and_small() {
    let page = readme();
    let place =
        page.split("![").nth(1).and_then(|rest| rest.split("](").nth(1)).and_then(|rest| rest.split(')').next()).expect("a picture");
    let picture = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(place)).unwrap();
    assert!(picture.starts_with(b"\x89PNG") && picture.len() <= 150 * 1024, "{place}: {} bytes", picture.len());
}

/// Whoever writes a command into the README says here how it is given.
#[test]
fn every_command_of_the_readme_is_given() {
    let written = commands(&readme());
    let given: Vec<&str> = STORIES.iter().flat_map(|story| story.iter()).map(|line| line.text).filter(|text| !text.is_empty()).collect();
    let unknown: Vec<&String> = written.iter().filter(|command| !given.contains(&command.as_str())).collect();
    assert!(unknown.is_empty(), "nobody gives these commands of the README; write in tests/documentation/readme.rs how: {unknown:#?}");
    let gone: Vec<&&str> = given.iter().filter(|text| !written.iter().any(|command| command == **text)).collect();
    assert!(gone.is_empty(), "the README has these commands no more: {gone:#?}");
    assert!(written.len() > 30, "the commands of the README are found: {written:?}");
}
