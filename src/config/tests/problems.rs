//! Every way to break a configuration is named with its place and a hint, and all of them in one run.

use super::*;

/// What a broken file must say: path, line, part of the message, part of the hint.
type Wanted = (&'static str, usize, &'static str, &'static str);

fn only(text: &str, (path, line, message, hint): Wanted) {
    let problems = refused(text);
    assert_eq!(problems.len(), 1, "{text}\n{}", shown(&problems));
    let problem = &problems[0];
    assert_eq!((problem.path.as_str(), problem.line), (path, Some(line)), "{text}\n{problem}");
    assert!(problem.message.contains(message), "{message:?} is not in {problem}");
    assert!(problem.hint.as_deref().unwrap().contains(hint), "{hint:?} is not in {problem}");
    assert_eq!(problem.snippet.as_deref(), text.lines().nth(line - 1));
    assert!(problem.column.is_some() && problem.file.ends_with("portcullis.yaml"));
}

#[test]
fn the_process_cannot_be_misconfigured_silently() {
    let with = |line: &str| format!("{line}\n{SMALL}");
    for (text, wanted) in [
        (with("lisen: 1"), ("lisen", 1, "unknown key \"lisen\"", "did you mean \"listen\"?")),
        (with("access-log: off"), ("access-log", 1, "unknown key", "did you mean \"access_log\"?")),
        (with("zebra: 1"), ("zebra", 1, "unknown key", "the keys here are listen, admin")),
        (with("workers: 2\nworkers: 3"), ("workers", 2, "occurs twice", "keep one")),
        (with("<<: {workers: 2}"), ("<<", 1, "merge keys", "write the keys out")),
        (with("1: 2"), ("1", 1, "unknown key", "the keys here")),
        (with("[1]: 2"), ("", 1, "a key must be a text, not a list", "the keys here")),
        (with("admin:"), ("admin", 1, "admin has no value", "leave the key out")),
        (with("admin: 9090"), ("admin", 1, "not an address", "127.0.0.1:9090")),
        (with("admin: 127.0.0.1"), ("admin", 1, "not an address", "127.0.0.1:8080")),
        (with("admin: localhost:9090"), ("admin", 1, "not an address", "127.0.0.1:9090")),
        (with("admin: :9090"), ("admin", 1, "not an address", "0.0.0.0:9090")),
        (with("admin: 127.0.0.1:99999"), ("admin", 1, "not an address", "0 to 65535")),
        (with("admin: [127.0.0.1:1]"), ("admin", 1, "single value, not a list", "one text")),
        (with("admin: true"), ("admin", 1, "must be a text, not true", "\"true\"")),
        (with("admin: 127.0.0.1:8080"), ("admin", 1, "collides", "port of its own")),
        (with("admin: 0.0.0.0:8080"), ("admin", 1, "collides", "port of its own")),
        (with("workers: 0"), ("workers", 1, "not a number in range", "1 to 1024")),
        (with("workers: two"), ("workers", 1, "not a number in range", "1 to 1024")),
        (with("access_log: offf"), ("access_log", 1, "no place for the access log", "./offf")),
        (with("trusted_proxies: 10.0.0.0/8"), ("trusted_proxies", 1, "must be a list, not a text", "[ … ]")),
        (with("trusted_proxies: [10.0.0.1/8]"), ("trusted_proxies[0]", 1, "not a network", "10.0.0.0/8")),
        (with("trusted_proxies: [10.0.0.1]"), ("trusted_proxies[0]", 1, "not a network", "10.0.0.1/32")),
        (with("trusted_proxies: [10.0.0.0/33]"), ("trusted_proxies[0]", 1, "not a network", "10.0.0.0/8")),
        (with("strict_http: yes"), ("strict_http", 1, "must be true or false, not a text", "without quotes")),
        (with("strict_http: 1"), ("strict_http", 1, "must be true or false, not a number", "without quotes")),
        (with("state: ''"), ("state", 1, "empty", "/var/lib/portcullis")),
        (with("notifications: {receivers: []}"), ("notifications", 1, "nobody is told", "at least one receiver")),
        (
            with("notifications: {receivers: [{name: a, kind: mail, url: \"http://a\"}]}"),
            ("notifications.receivers[0].kind", 1, "no kind", "slack"),
        ),
        (with("notifications: {receivers: [{name: a, kind: slack}]}"), ("notifications.receivers[0]", 1, "not said where", "url_file")),
        (
            with("notifications: {receivers: [{name: a, kind: cloudevents, url: \"http://u:p@a\"}]}"),
            ("notifications.receivers[0].url", 1, "no URL", "token_file"),
        ),
        (with("timeouts: 10s"), ("timeouts", 1, "must be a mapping, not a text", "key: value")),
        (with("timeouts: {conect: 1s}"), ("timeouts.conect", 1, "unknown key", "did you mean \"connect\"?")),
        (with("timeouts: {connect: 1}"), ("timeouts.connect", 1, "not a duration", "1s are seconds")),
        (with("timeouts: {connect: 1x}"), ("timeouts.connect", 1, "not a duration", "300ms")),
        (with("timeouts: {connect: 0s}"), ("timeouts.connect", 1, "out of range", "at least 1 ms and at most 1 h")),
        (with("timeouts: {drain: -1s}"), ("timeouts.drain", 1, "out of range", "at least 0 s")),
        (with("timeouts: {response: 2h}"), ("timeouts.response", 1, "out of range", "at most 1 h")),
    ] {
        if text.starts_with("admin: 0.0.0.0") {
            let problems = refused(&text);
            assert!(problems[0].message.contains("collides"), "{}", shown(&problems));
        } else {
            only(&text, wanted);
        }
    }
}

#[test]
fn the_listeners_and_services_are_there_and_differ() {
    let service =
        |name: &str, rest: &str| format!("  - name: {name}\n    stable: {{version: v1, endpoints: [\"127.0.0.1:8081\"]}}\n{rest}");
    let with = |services: &str| format!("listen: 127.0.0.1:8080\nservices:\n{services}");
    for (text, wanted) in [
        ("services: []\nlisten: 127.0.0.1:1\n".to_owned(), ("services", 1, "no service", "at least one service")),
        ("listen: 127.0.0.1:1\n".to_owned(), ("services", 1, "services is missing", "at least one service")),
        (SMALL.replace("listen: 127.0.0.1:8080\n", ""), ("listen", 1, "listen is missing", "127.0.0.1:8080")),
        (SMALL.replace("listen: 127.0.0.1:8080", "listen: []"), ("listen", 1, "no address to listen on", "127.0.0.1:8080")),
        (SMALL.replace("127.0.0.1:8080", "[127.0.0.1:80, 127.0.0.1:80]"), ("listen[1]", 1, "listened on twice", "keep one")),
        (SMALL.replace("127.0.0.1:8080", "[127.0.0.1:80, 0.0.0.0:80]"), ("listen[1]", 1, "listened on twice", "keep one")),
        (SMALL.replace("127.0.0.1:8080", "0.0.0.0:9090"), ("listen", 1, "collides", "port of its own")),
        (SMALL.replace("127.0.0.1:8080", "127.0.0.1:8081"), ("services[0].stable.endpoints", 4, "this proxy itself", "listens")),
        (SMALL.replace("127.0.0.1:8080", "0.0.0.0:8081"), ("services[0].stable.endpoints", 4, "this proxy itself", "listens")),
        (with(&(service("a", "    hosts: [a]\n") + &service("a", ""))), ("services[1].name", 6, "\"a\" occurs twice", "name of its own")),
        (
            with(&(service("a", "    hosts: [x, y]\n") + &service("b", "    hosts: [Y]\n"))),
            ("services[1].hosts[0]", 8, "belongs to the service \"a\"", "one service"),
        ),
        (with(&service("a", "    hosts: [x, X]\n")), ("services[0].hosts[1]", 5, "belongs to the service \"a\"", "one service")),
        (with(&(service("a", "") + &service("b", ""))), ("services[1]", 5, "both \"a\" and \"b\" answer to every host", "hosts")),
        (with(&service("a b", "")), ("services[0].name", 3, "not a name", "carts")),
        (with(&service("a", "    hosts: ['*.*.org']\n")), ("services[0].hosts[0]", 5, "not a host name", "first label alone")),
        (with(&service("a", "    hosts: ['x*.org']\n")), ("services[0].hosts[0]", 5, "not a host name", "*.example.com")),
        (with(&service("a", "    hosts: ['x.org:80']\n")), ("services[0].hosts[0]", 5, "not a host name", "leave out the port: x.org")),
        (with("  - 5\n"), ("services[0]", 3, "must be a mapping, not a number", "key: value")),
        ("- 1\n".to_owned(), ("", 1, "the file must be a mapping, not a list", "key: value")),
        ("# nothing\n".to_owned(), ("", 1, "the file is empty", "config/example.yaml")),
    ] {
        only(&text, wanted);
    }
}

#[test]
fn versions_are_complete_and_can_be_told_apart() {
    let gated = format!("{WITH_CANARY}    gates: [p95 < 1s]\n");
    let endpoint = |text: &str| gated.replace("[\"127.0.0.1:8082\"]", text);
    for (text, wanted) in [
        (WITH_CANARY.to_owned(), ("services[0].canary", 5, "no gate", "p95 < 1s")),
        (format!("{WITH_CANARY}    gates: []\n"), ("services[0].canary", 5, "no gate", "perfspec")),
        (format!("{WITH_CANARY}    gates:\n"), ("services[0].gates", 6, "has no value", "leave the key out")),
        (gated.replace("v2", "v1"), ("services[0].canary.version", 5, "same version as stable", "name of its build")),
        (gated.replace("v2", "'v 2'"), ("services[0].canary.version", 5, "not a name", "0.8.1")),
        (gated.replace("version: v2, ", ""), ("services[0].canary.version", 5, "version is missing", "0.8.1")),
        (
            gated.replace("version: v2", "verison: v2, version: v2"),
            ("services[0].canary.verison", 5, "unknown key", "did you mean \"version\"?"),
        ),
        (
            SMALL.replace(", endpoints: [\"127.0.0.1:8081\"]", ""),
            ("services[0].stable.endpoints", 4, "endpoints is missing", "127.0.0.1:8081"),
        ),
        (endpoint("[]"), ("services[0].canary.endpoints", 5, "no endpoint", "127.0.0.1:8081")),
        (endpoint("['127.0.0.1:1', '127.0.0.1:1']"), ("services[0].canary.endpoints[1]", 5, "occurs twice", "keep one")),
        (endpoint("[127.0.0.1]"), ("services[0].canary.endpoints[0]", 5, "not an endpoint", "127.0.0.1:8080")),
        (endpoint("['::1']"), ("services[0].canary.endpoints[0]", 5, "not an endpoint", "[::1]:8080")),
        (endpoint("['127.0.0.1:0']"), ("services[0].canary.endpoints[0]", 5, "not an endpoint", "port 0")),
        (endpoint("['carts:http']"), ("services[0].canary.endpoints[0]", 5, "not an endpoint", "1 to 65535")),
        (endpoint("['a b:80']"), ("services[0].canary.endpoints[0]", 5, "not an endpoint", "host:port")),
        (endpoint("['http://carts:80/x']"), ("services[0].canary.endpoints[0]", 5, "not an endpoint", "carts:80")),
        (endpoint("['gone.internal:80']"), ("services[0].canary.endpoints[0]", 5, "cannot be resolved: no such name", "IP address")),
        (endpoint("['empty.internal:80']"), ("services[0].canary.endpoints[0]", 5, "the name has no address", "IP address")),
    ] {
        only(&text, wanted);
    }
}

#[test]
fn a_service_has_no_more_gates_than_tripwires() {
    // Of a later one's limit nothing follows for the earlier ones, so that no note hides the error.
    let limits = |count: usize| (1..=count).map(|n| format!("p{} < {n}00ms", 50 + n)).collect::<Vec<_>>().join(", ");
    let with = |count: usize, means: &str| format!("{WITH_CANARY}    gates: [{}{means}]\n", limits(count));
    assert_eq!(loaded(&with(16, ", mean < 1s, apdex(1s) > 0.9")).notes, []);
    only(&with(17, ""), ("services[0]", 3, "17 gates with a tripwire", "at most 16"));
}

#[test]
fn gates_bounds_and_plans_can_fire_and_end() {
    let with = |line: &str| format!("{WITH_CANARY}    {line}\n");
    let gated = |line: &str| format!("{WITH_CANARY}    gates: [p95 < 1s]\n    {line}\n");
    for (text, wanted) in [
        (with("gates: [p95 < 1]"), ("services[0].gates[0]", 6, "the unit is missing", "1s are seconds")),
        (with("gates: [latency < 1s]"), ("services[0].gates[0]", 6, "'latency' is not measured", "p95 < 1s")),
        (with("gates: [p95 < 1s, p95 < 1000ms]"), ("services[0].gates[1]", 6, "occurs twice", "keep one")),
        (with("gates: [[p95 < 1s]]"), ("services[0].gates[0]", 6, "single value, not a list", "one text")),
        (gated("alpha: 0"), ("services[0].alpha", 7, "above 0 and at most 0.5", "0.001")),
        (gated("alpha: .nan"), ("services[0].alpha", 7, "above 0 and at most 0.5", "0.001")),
        (gated("alpha: -1e-3"), ("services[0].alpha", 7, "above 0 and at most 0.5", "0.001")),
        (gated("beta: 0.51"), ("services[0].beta", 7, "above 0 and at most 0.5", "0.001")),
        (gated("beta: 5%"), ("services[0].beta", 7, "above 0 and at most 0.5", "0.001")),
        (gated("derive_tripwire: on"), ("services[0].derive_tripwire", 7, "must be true or false", "without quotes")),
        (gated("plan: 10%"), ("services[0].plan", 7, "must be a mapping", "key: value")),
        (gated("plan: {start: 10}"), ("services[0].plan.start", 7, "not a share", "write 10%")),
        (gated("plan: {start: 0%}"), ("services[0].plan.start", 7, "never gathers evidence", "above 0%")),
        (gated("plan: {factor: 1}"), ("services[0].plan.factor", 7, "not a number in range", "2 to 10000")),
        (gated("plan: {start: automatic}"), ("services[0].plan.start", 7, "no start of a ramp", "auto")),
        (gated("plan: {express: yes}"), ("services[0].plan.express", 7, "must be true or false", "without quotes")),
        (gated("plan: {express: true, hold: 5s}"), ("services[0].plan.hold", 7, "holds no step", "leave out")),
        (gated("plan: {harm: 0}"), ("services[0].plan.harm", 7, "no number of requests in range", "from 1")),
        (gated("plan: {harm: .nan}"), ("services[0].plan.harm", 7, "no number of requests in range", "from 1")),
        (gated("plan: {harm: 10, steps: []}"), ("services[0].plan", 7, "either a ramp or steps", "leave out")),
        (gated("plan: {hold: 25h}"), ("services[0].plan.hold", 7, "out of range", "at most 24 h")),
        (gated("webhooks: [{name: a, type: rollback, url: \"http://a\"}]"), ("services[0].webhooks[0].type", 7, "no type", "post-rollout")),
        (gated("webhooks: [{name: a, type: post-rollout, url: a}]"), ("services[0].webhooks[0].url", 7, "no URL", "http://")),
        (
            gated("webhooks: [{name: a, type: post-rollout, url: \"http://a\", metadata: x}]"),
            ("services[0].webhooks[0].metadata", 7, "mapping", "key: value"),
        ),
        (
            format!(
                "{}webhook_hosts: [127.0.0.1, 'gate:80']\n",
                gated("webhooks: [{name: a, type: post-rollout, url: \"http://gate:8090/\"}]")
            ),
            (
                "services[0].webhooks[0].url",
                7,
                "gate:8090 is none of the hosts that webhooks may name (127.0.0.1, gate:80)",
                "write gate:8090",
            ),
        ),
        (format!("{}webhook_hosts: ['u@h']\n", gated("webhook_failure: hold")), ("webhook_hosts[0]", 8, "no host", "127.0.0.1:8090")),
        (gated("webhook_failure: ignore"), ("services[0].webhook_failure", 7, "in doubt", "hold")),
        (gated("plan: {approval: {then: hold}}"), ("services[0].plan.approval.deadline", 7, "deadline is missing", "such as 30m")),
        (gated("plan: {approval: {deadline: 200h}}"), ("services[0].plan.approval.deadline", 7, "out of range", "at most 168 h")),
        (
            gated("plan: {approval: {deadline: 1m, then: promote}}"),
            ("services[0].plan.approval.then", 7, "in doubt", "nothing is promoted"),
        ),
        (gated("plan: {hold: 10s, steps: []}"), ("services[0].plan", 7, "either a ramp or steps", "leave out")),
        (gated("plan: {steps: []}"), ("services[0].plan.steps", 7, "at least one step", "weight: 100%")),
        (gated("plan: {steps: 100%}"), ("services[0].plan.steps", 7, "must be a list", "[ … ]")),
        (gated("plan: {steps: [{weight: 100%}]}"), ("services[0].plan.steps[0].hold", 7, "hold is missing", "10s")),
        (gated("plan: {steps: [{weight: 50%, hold: 1s}]}"), ("services[0].plan.steps[0].weight", 7, "not 100%", "end with a step of 100%")),
        (
            gated("plan: {steps: [{weight: 50%, hold: 1s}, {weight: 50%, hold: 1s}, {weight: 100%, hold: 1s}]}"),
            ("services[0].plan.steps[1].weight", 7, "not above the 50%", "more than the one before"),
        ),
        (
            gated("plan: {steps: [{weight: 0%, hold: 1s}, {weight: 100%, hold: 1s}]}"),
            ("services[0].plan.steps[0].weight", 7, "step 1 is 0%", "above 0%"),
        ),
    ] {
        only(&text, wanted);
    }
}

#[test]
fn a_perfspec_that_cannot_be_used_is_named_where_it_is_asked_for() {
    let missing = format!("{WITH_CANARY}    perfspec: missing.json\n");
    only(&missing, ("services[0].perfspec", 6, "missing.json is of no use: cannot read the file", "path is right"));

    let folder = tempfile::tempdir().unwrap();
    let with = |content: &str, rest: &str| {
        fs::write(folder.path().join("p.json"), content).unwrap();
        load_in(folder.path(), format!("{WITH_CANARY}    perfspec: p.json\n{rest}"), &Flags::default())
    };
    let problems = with("{\n \"indicatorss\": []}", "    alpha: 2\n").unwrap_err();
    assert_eq!((problems[0].path.as_str(), problems[0].line), ("services[0].alpha", Some(7)), "{}", shown(&problems));
    assert!(problems[1..].iter().all(|problem| problem.file.ends_with("p.json")) && problems.len() > 1, "{}", shown(&problems));

    let counted = seed_file("perfspec_dynatrace.json").replace("AVG", "COUNT").replace("avg", "count");
    let problems = with(&counted, "").unwrap_err();
    let errors: Vec<_> = problems.iter().filter(|problem| problem.is_error()).collect();
    assert_eq!(errors.len(), 1, "{}", shown(&problems));
    assert!(errors[0].path == "services[0].perfspec" && errors[0].message.contains("no indicator that can be judged"), "{}", errors[0]);
    assert!(with(&counted, "    gates: [p95 < 1s]\n").is_ok());
}

#[test]
fn every_problem_of_a_file_is_reported_in_one_run() {
    let text = "\
lisen: 127.0.0.1:8080
workers: 0
timeouts: {conect: 1s, header: 10}
services:
  - name: carts
    stable: {version: v1, endpoints: [127.0.0.1, \"gone.internal:80\"]}
    canary: {version: v1, endpoint: [\"127.0.0.1:8082\"]}
    gates: [p95 < 1, \"errors < 1\"]
    alpah: 0.1
    plan: {steps: [{weight: 30%, hold: 1}, {wieght: 20%, hold: 1s}]}
  - name: carts
    stable: {version: v1, endpoints: []}
    beta: 1
";
    let problems = refused(text);
    let found: Vec<(usize, &str)> = problems.iter().map(|problem| (problem.line.unwrap(), problem.path.as_str())).collect();
    let wanted = [
        (1, "lisen"),
        (2, "workers"),
        (3, "timeouts.conect"),
        (3, "timeouts.header"),
        (6, "services[0].stable.endpoints[0]"),
        (6, "services[0].stable.endpoints[1]"),
        (7, "services[0].canary.version"),
        (7, "services[0].canary.endpoint"),
        (8, "services[0].gates[0]"),
        (8, "services[0].gates[1]"),
        (9, "services[0].alpah"),
        (10, "services[0].plan.steps[0].hold"),
        (10, "services[0].plan.steps[1].wieght"),
        (11, "services[1]"),
        (11, "services[1].name"),
        (12, "services[1].stable.endpoints"),
        (13, "services[1].beta"),
    ];
    for place in wanted {
        assert!(found.contains(&place), "{place:?} is missing in\n{}", shown(&problems));
    }
    assert_eq!(found.len(), wanted.len(), "{}", shown(&problems));
    assert!(found.is_sorted_by_key(|(line, _)| *line), "they come in the order of the file");
    assert!(problems.iter().all(|problem| problem.hint.is_some()), "each says how to mend it");
}

#[test]
fn a_problem_reads_well() {
    let problems = refused(&format!("timeouts: {{conect: 1s}}\n{SMALL}"));
    let text = problems[0].to_string();
    let (first, rest) = text.split_once('\n').unwrap();
    assert_eq!(first, "error: unknown key \"conect\"");
    let rest = rest.split_once("portcullis.yaml").unwrap().1;
    assert_eq!(rest, ":1:12 (timeouts.conect)\n   |\n 1 | timeouts: {conect: 1s}\n   |            ^\n  hint: did you mean \"connect\"?");
}

#[test]
fn what_is_allowed_but_surprising_is_a_note() {
    let shared = format!("{WITH_CANARY}    gates: [p95 < 1s]\n").replace("8082", "8081");
    let notes = loaded(&shared).notes;
    assert!(notes[0].message.contains("share the endpoint 127.0.0.1:8081"), "{}", shown(&notes));
}
