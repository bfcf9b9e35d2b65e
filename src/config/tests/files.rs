//! Whole files and what becomes of them.

use std::time::Duration;

use super::*;
use crate::config::AccessLog;
use crate::domain::gate::{Gate, Inconclusive, Origin, Policy};
use crate::domain::rank::Rank;
use crate::domain::rollout::outlook::Pace;
use crate::domain::rollout::{Plan, Ramp, Schedule, Start};
use crate::domain::route::{HostPattern, Rule};
use crate::domain::timeouts::Timeouts;

fn gate(text: &str) -> Gate {
    Gate::written(text.parse().unwrap())
}

#[test]
fn the_example_holds_every_key_and_its_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/example.yaml");
    let Loaded { settings, notes, files } =
        load(Some(&path), &Flags::default(), &around()).unwrap_or_else(|problems| panic!("{}", shown(&problems)));
    assert_eq!((notes, files), (Vec::new(), vec![path]));
    assert_eq!(
        settings.listen,
        [crate::config::Listen {
            address: "127.0.0.1:8080".parse().unwrap(),
            mode: 0o660,
            tls: None,
            proxies: Vec::new(),
            proxied_socket: false,
            service: None,
            one_host: false,
            intercepted: false
        }]
    );
    assert_eq!(settings.admin.listen[0].address, "127.0.0.1:9090".parse().unwrap());
    assert_eq!((settings.admin.listen.len(), settings.admin.open), (1, Rank::Admin));
    assert_eq!(settings.state, Path::new("/var/lib/portcullis"));
    assert_eq!(settings.workers, 2);
    assert_eq!(settings.access_log, AccessLog::Off);
    assert_eq!(settings.trusted_proxies, ["10.0.0.0/8".parse().unwrap()]);
    assert!(!settings.strict_http);
    assert_eq!(settings.timeouts, Timeouts::default());
    assert_eq!(settings.limits, crate::config::Limits::default());
    assert_eq!((settings.access_log_format, settings.answers), Default::default());
    assert_eq!(settings.metrics, crate::config::Metrics::default());
    let [service] = &settings.services[..] else { panic!() };
    assert_eq!(service.name.as_str(), "carts");
    assert_eq!(service.rules, [Rule::for_host("carts.example.com".parse().unwrap())]);
    assert_eq!(service.choice, None);
    assert_eq!((service.stable.name.as_str(), &service.stable.endpoints[..]), ("0.8.1", &["127.0.0.1:8081".parse().unwrap()][..]));
    let canary = service.canary.as_ref().unwrap();
    assert_eq!((canary.name.as_str(), &canary.endpoints[..]), ("0.8.2", &["127.0.0.1:8082".parse().unwrap()][..]));
    assert_eq!(service.gates, [gate("p95 < 1s"), gate("errors < 1%")]);
    assert_eq!(service.policy, Policy::default());
    assert_eq!(service.expected_traffic, Some(100.0));
    assert_eq!(
        service.schedule.plan(&Pace::of(&service.gates, &service.policy, 0.0)).unwrap(),
        Plan::ramp("10%".parse().unwrap(), 3, Duration::from_secs(10)).unwrap()
    );

    // Left out, every optional key of the example means the same, except those that name this very service.
    let small = loaded(SMALL).settings;
    assert_eq!((small.access_log, small.strict_http), (settings.access_log, settings.strict_http));
    assert_eq!(small.timeouts, settings.timeouts);
    let bare = &small.services[0];
    assert_eq!((bare.policy, &bare.schedule), (service.policy, &service.schedule));
}

#[test]
fn the_example_knows_every_key() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/example.yaml")).unwrap();
    let broken = format!("zzz: 1\n{text}")
        .replace("timeouts:\n", "timeouts:\n  zzz: 1\n")
        .replace("metrics:\n", "metrics:\n  zzz: 1\n")
        .replace("answers: {", "answers: {zzz: 1, ")
        .replace("- name: carts\n", "- name: carts\n    zzz: 1\n");
    let broken = broken.replace("plan: {start", "plan: {zzz: 1, approval: {zzz: 1}, start").replace("stable: {", "stable: {zzz: 1, ");
    let broken = broken.replace("gates: [", "gates: [{zzz: 1, gate: p95 < 2s}, ").replace("# slo: {", "slo: {zzz: 1, ");
    let broken = broken.replace("# routes:\n    #   - {", "routes:\n      - {zzz: 1, ").replace("# force: {", "force: {zzz: 1, ");
    let broken = broken.replacen("# sticky: {", "sticky: {zzz: 1, ", 1).replace("# mirror: {", "mirror: {zzz: 1, ");
    // The section on the delivery is commented out; its levels are reached as they stand.
    let section = text.split("# delivery:\n").nth(1).unwrap().lines().map_while(|line| line.strip_prefix('#'));
    let section: String = section.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect();
    let section = section
        .replace("  process: ", "  zzz: 1\n  process: ")
        .replace("    ready:", "    zzz: 1\n    ready:")
        .replace("{watch", "{zzz: 1, watch");
    let broken = broken.replace("# http_route: {", "http_route: {zzz: 1, ");
    let broken = broken.replace("# webhooks:\n    #   - {", "webhooks:\n      - {zzz: 1, ");
    let broken = format!(
        "{broken}\ntraces: {{zzz: 1}}\nkubernetes: {{zzz: 1}}\nnotifications: {{zzz: 1, receivers: [{{zzz: 1}}]}}\ndelivery:\n{section}"
    );
    let problems = refused(&broken);
    let hints = problems.iter().filter_map(|problem| problem.hint.as_deref());
    let lists: Vec<&str> = hints.filter_map(|hint| hint.strip_prefix("the keys here are ")).collect();
    assert_eq!(lists.len(), 23, "{lists:?}");
    for key in lists.iter().flat_map(|list| list.split(", ")) {
        assert!(text.contains(&format!("{key}:")), "config/example.yaml does not show {key}");
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    let settings = loaded(SMALL).settings;
    assert_eq!(settings.workers, 3);
    assert_eq!(settings.state, Path::new("/home/u/.local/state/portcullis/127.0.0.1-8080"));
    assert!(settings.trusted_proxies.is_empty());
    let service = &settings.services[0];
    assert!(
        service.rules == [Rule::for_host(HostPattern::Any)]
            && service.canary.is_none()
            && service.gates.is_empty()
            && service.perfspec.is_none()
    );
}

#[test]
fn a_version_keeps_its_spelling() {
    let settings = loaded(&SMALL.replace("v1", "1.10")).settings;
    assert_eq!(settings.services[0].stable.name.as_str(), "1.10");
}

#[test]
fn lists_may_be_single_values_and_steps_may_replace_the_ramp() {
    let text = format!(
        "{WITH_CANARY}    gates: p99 < 2s\n    hosts: Carts.Example.Com\n    plan: {{steps: [{{weight: 2.5%, hold: 1m 30s}}, {{weight: 100%, hold: 0s}}]}}\n"
    );
    let text = text
        .replace("listen: 127.0.0.1:8080", "listen: [127.0.0.1:8080, \"[::1]:8080\"]")
        .replace("[\"127.0.0.1:8082\"]", "127.0.0.1:8082");
    let settings = loaded(&text).settings;
    assert_eq!(settings.listen.len(), 2);
    let service = &settings.services[0];
    assert_eq!(service.rules, [Rule::for_host("carts.example.com".parse().unwrap())]);
    assert_eq!(service.gates, [gate("p99 < 2s")]);
    let holds: Vec<_> = service
        .schedule
        .plan(&Pace::of(&[], &Policy::default(), 0.0))
        .unwrap()
        .steps()
        .iter()
        .map(|step| (step.weight.to_string(), step.hold.as_secs()))
        .collect();
    assert_eq!(holds, [("2.5%".to_owned(), 90), ("100%".to_owned(), 0)]);
}

#[test]
fn paths_in_a_file_are_relative_to_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("gates")).unwrap();
    fs::write(folder.path().join("gates/perfspec.json"), seed_file("perfspec_dynatrace.json")).unwrap();
    let text = format!("state: var\naccess_log: logs/access.log\n{SMALL}    perfspec: gates/perfspec.json\n");
    let settings = load_in(folder.path(), text, &Flags::default()).unwrap().settings;
    assert_eq!(settings.state, folder.path().join("var"));
    assert_eq!(settings.access_log, AccessLog::File(folder.path().join("logs/access.log")));
    assert_eq!(settings.services[0].perfspec.as_ref().unwrap().path, folder.path().join("gates/perfspec.json"));
}

#[test]
fn the_state_folder_comes_from_the_file_then_systemd_then_the_user() {
    let state = |text: &str, variables: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.yaml");
        fs::write(&path, text).unwrap();
        let variable = |name: &str| variables.iter().find(|(found, _)| *found == name).map(|(_, value)| OsString::from(value));
        load(Some(&path), &Flags::default(), &Surroundings { variable: &variable, ..around() }).map(|loaded| loaded.settings.state)
    };
    let all = [("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"), ("XDG_STATE_HOME", "/x"), ("HOME", "/h")];
    assert_eq!(state(&format!("state: /s\n{SMALL}"), &all).unwrap(), Path::new("/s"));
    assert_eq!(state(SMALL, &all).unwrap(), Path::new("/var/lib/a"));
    assert_eq!(state(SMALL, &all[1..]).unwrap(), Path::new("/x/portcullis/127.0.0.1-8080"));
    assert_eq!(
        state(SMALL, &[("XDG_STATE_HOME", "relative"), ("HOME", "/h")]).unwrap(),
        Path::new("/h/.local/state/portcullis/127.0.0.1-8080")
    );
    let problems = state(SMALL, &[("HOME", "")]).unwrap_err();
    assert!(shown(&problems).contains("--state"), "{}", shown(&problems));
}

#[test]
fn a_byte_order_mark_is_no_problem() {
    assert!(load_text(format!("\u{feff}{SMALL}")).is_ok());
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let load = |path: &Path| shown(&load(Some(path), &Flags::default(), &around()).unwrap_err());
    let text = load(&folder.path().join("missing.yaml"));
    assert!(text.contains("missing.yaml") && text.contains("see that the path is right"), "{text}");
    assert!(load(folder.path()).contains("name a file in the folder"));
    let big = folder.path().join("big.yaml");
    fs::write(&big, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(load(&big).contains("larger than 1 MiB"));
    let latin = folder.path().join("latin.yaml");
    fs::write(&latin, b"listen: 127.0.0.1:80\nadmin: \xe4\n").unwrap();
    let text = load(&latin);
    assert!(text.contains("not UTF-8") && text.contains("latin.yaml:2:8"), "{text}");
}

#[test]
fn every_key_of_the_policy_and_the_plan_is_understood() {
    let text = format!(
        "{WITH_CANARY}    gates:
      - {{gate: 'errors < 0.1%', margin: 80%}}
      - apdex(500ms) > 0.9
      - gate: p95 <= stable * 1.1
    alpha: 0.01
    beta: 0.1
    burst_tolerance: 0s
    warm_up: 30s
    outcome_deadline: 5s
    max_bake: 2h
    inconclusive: roll_back
    watch: 0s
    min_clients: 2
    expected_traffic: 120/min
    plan: {{start: 5%, factor: 2, express: true, harm: 12.5}}
"
    );
    let settings = loaded(&text).settings;
    let service = &settings.services[0];
    assert_eq!(service.gates, [Gate { margin: 80, ..gate("errors < 0.1%") }, gate("apdex(500ms) > 0.9"), gate("p95 <= stable * 1.1")]);
    assert_eq!(service.gates.iter().map(|gate| gate.margin).collect::<Vec<_>>(), [80, 0, 100]);
    let wanted = Policy {
        alpha: 0.01,
        alpha_brake: 0.01,
        beta: 0.1,
        burst_tolerance: Duration::ZERO,
        warm_up: Duration::from_secs(30),
        outcome_deadline: Duration::from_secs(5),
        max_bake: Duration::from_secs(7_200),
        inconclusive: Inconclusive::RollBack,
        watch: Duration::ZERO,
        min_clients: 2,
    };
    assert_eq!(service.policy, wanted);
    assert_eq!(service.expected_traffic, Some(2.0));
    let ramp = Ramp { start: Start::At("5%".parse().unwrap()), factor: 2, hold: Duration::ZERO, harm: Some(12.5), approval: None };
    assert_eq!(service.schedule, Schedule::Ramp(ramp));
}

#[test]
fn the_seeds_gate_files_become_gates() {
    for name in ["perfspec_dynatrace.json", "perfspec_prometheus.json"] {
        let gates = |rest: &str| {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("p.json"), seed_file(name)).unwrap();
            let loaded = load_in(folder.path(), format!("{WITH_CANARY}    perfspec: p.json\n{rest}"), &Flags::default());
            let loaded = loaded.unwrap_or_else(|problems| panic!("{}", shown(&problems)));
            assert!(loaded.notes.iter().all(|note| note.file.ends_with("p.json")), "{}", shown(&loaded.notes));
            loaded.settings.services[0].gates.clone()
        };
        let count = |gates: &[Gate]| {
            let derived = gates.iter().filter(|gate| matches!(gate.origin, Origin::Derived { .. })).count();
            let compiled = gates.iter().filter(|gate| matches!(gate.origin, Origin::Compiled { .. })).count();
            (gates.len() - derived - compiled, compiled, derived)
        };
        assert_eq!(count(&gates("")), (0, 1, 1), "{name}");
        assert_eq!(count(&gates("    derive_tripwire: false\n")), (0, 1, 0), "{name}");
        assert_eq!(count(&gates("    gates: [errors < 1%]\n")), (1, 1, 1), "{name}");
    }
}

#[test]
fn a_listener_may_pass_connections_on_to_a_service_as_they_are() {
    let folder = tempfile::TempDir::new().unwrap();
    let text = |listen: &str, version: &str| {
        format!("listen: {listen}\nservices: [{{name: db, stable: {{version: v1, endpoints: ['127.0.0.1:1']{version}}}}}]\n")
    };
    let load = |listen: &str, version: &str| load_in(folder.path(), text(listen, version), &Flags::default());
    let tcp = "{address: '127.0.0.1:5432', protocol: tcp, service: db}";
    let services = |listen: &str| {
        let listen = load(listen, "").unwrap().settings.listen;
        listen.into_iter().map(|one| one.service.map(|name| name.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(services(&format!("[127.0.0.1:8080, {tcp}]")), [None, Some("db".to_owned())]);
    assert_eq!(services("{address: '127.0.0.1:2', protocol: auto}"), [None]);
    for (listen, version, wanted) in [
        ("{address: '127.0.0.1:2', protocol: tcp}", "", "which service"),
        ("{address: '127.0.0.1:2', service: db}", "", "protocol: tcp"),
        ("{address: '127.0.0.1:2', protocol: udp}", "", "auto or tcp"),
        ("{address: '127.0.0.1:2', protocol: tcp, service: dbb}", "", "no service \"dbb\""),
        (tcp, ", tls: {}", "leave 'tls' out"),
    ] {
        let problems = load(listen, version).unwrap_err();
        assert!(problems.iter().any(|problem| problem.to_string().contains(wanted)), "{listen}: {problems:?}");
    }
}

#[test]
fn a_listener_may_be_for_redirected_connections_alone() {
    let folder = tempfile::TempDir::new().unwrap();
    let load = |listen: &str| {
        let text = format!("listen: {listen}\nservices: [{{name: a, stable: {{version: v1, endpoints: ['127.0.0.1:1']}}}}]\n");
        load_in(folder.path(), text, &Flags::default())
    };
    for (flag, expected) in [("", false), (", intercepted: false, protocol: auto", false), (", intercepted: true", true)] {
        assert_eq!(load(&format!("{{address: '127.0.0.1:4140'{flag}}}")).unwrap().settings.listen[0].intercepted, expected);
    }
    for (rest, wanted) in [
        ("'127.0.0.1:2', protocol: tcp, service: a", "leave 'protocol' out"),
        ("'127.0.0.1:2', proxy_protocol: [10.0.0.0/8]", "leave 'proxy_protocol' out"),
        ("'127.0.0.1:2', tls: {certificates: []}", "leave 'tls' out"),
        ("'unix:/run/p.sock'", "no connection is redirected to a Unix socket"),
    ] {
        let problems = load(&format!("{{intercepted: true, address: {rest}}}")).unwrap_err();
        assert!(problems.iter().any(|problem| problem.to_string().contains(wanted)), "{rest}: {problems:?}");
    }
    let problems = load("{address: '127.0.0.1:2', intercepted: 1}").unwrap_err();
    assert!(problems.iter().any(|problem| problem.path == "listen.intercepted"), "{problems:?}");
}

#[test]
fn what_redirected_connections_do_not_bear_is_told() {
    let notes = |listen: &str, service: &str| {
        let text = format!(
            "listen: {listen}\nservices:\n  - name: a\n    stable: {{version: v1, endpoints: ['127.0.0.1:1']}}\n    \
             canary: {{version: v2, endpoints: ['127.0.0.1:2']}}\n    gates: ['p95 < 1s']\n{service}"
        );
        let notes = loaded(&text).notes;
        notes.into_iter().map(|note| (note.path.clone(), note.to_string())).collect::<Vec<_>>()
    };
    let (usual, redirected) = ("127.0.0.1:8080", "{address: '127.0.0.1:4140', intercepted: true}");
    let both = format!("[{usual}, {redirected}]");
    let hosts = "    hosts: [carts]\n";
    for (listen, service) in
        [(usual, ""), (redirected, hosts), (usual, "    min_clients: 2\n"), (&both, "    hosts: [carts]\n    min_clients: 2\n")]
    {
        assert_eq!(notes(listen, service), [], "{listen} {service}");
    }
    for listen in [redirected, &both] {
        for (service, path, what) in [
            ("", "services[0]", "each redirected HTTP request comes here"),
            (
                "    routes: [{path: /a, hosts: carts}, {path: /b}]\n",
                "services[0].routes[1]",
                "each redirected HTTP request for /b comes here",
            ),
        ] {
            let told = notes(listen, service);
            assert!(told.len() == 1 && told[0].0 == path && told[0].1.contains(what) && told[0].1.contains("'hosts'"), "{told:?}");
        }
    }
    for (least, notes_of_it) in [("1", 0), ("2", 1)] {
        let told = notes(redirected, &format!("{hosts}    min_clients: {least}\n"));
        assert_eq!(told.len(), notes_of_it, "{told:?}");
        assert!(told.iter().all(|(path, note)| path == "services[0].min_clients" && note.contains("one client")), "{told:?}");
    }
}

#[test]
fn a_listener_may_have_certificates_and_trusted_proxies() {
    let folder = tempfile::TempDir::new().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(folder.path().join("cert.pem"), certificate.pem()).unwrap();
    fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
    let text = |listen: &str| format!("listen: {listen}\nservices: [{{name: a, stable: {{version: v1, endpoints: ['127.0.0.1:1']}}}}]\n");
    let load = |listen: &str| load_in(folder.path(), text(listen), &Flags::default());
    let tls = "{address: '127.0.0.1:8443', tls: {certificates: [{chain: cert.pem, key: key.pem}]}, proxy_protocol: [10.0.0.0/8]}";
    for listen in [tls.to_owned(), format!("[127.0.0.1:8080, {tls}]")] {
        let listen = load(&listen).unwrap().settings.listen;
        let last = listen.last().unwrap();
        assert_eq!((last.address.ip().unwrap().port(), last.proxies.len()), (8443, 1));
        assert_eq!(last.tls.as_ref().unwrap().certificates[0].chain, folder.path().join("cert.pem"));
    }
    let misdirected = |what: &str| tls.replace("tls: {", &format!("tls: {{misdirected: {what}, "));
    for (what, refuses) in [("refuse", true), ("allow", false)] {
        assert_eq!(load(&misdirected(what)).unwrap().settings.listen[0].one_host, refuses);
    }
    for (listen, wanted) in [
        (misdirected("x").as_str(), "refuse or allow"),
        (tls.replace("tls: {", "protocol: tcp, service: a, tls: {misdirected: refuse, ").as_str(), "passed on as they are"),
        ("{tls: {certificates: []}}", "address is missing"),
        ("{address: '127.0.0.1:1', tls: {}}", "certificates is missing"),
        ("{address: '127.0.0.1:1', tls: {certificates: [{chain: none.pem, key: key.pem}]}}", "none.pem"),
        ("{address: '127.0.0.1:1', tls: {certificates: [{chain: cert.pem}]}}", "key is missing"),
        ("{address: '127.0.0.1:1', tls: {certificates: [{chain: cert.pem, key: cert.pem}]}}", "private key"),
        ("{address: '127.0.0.1:1', proxy_protocol: [x]}", "\"x\""),
        (tls.replace("tls: {", "tls: {crl: crl.pem, ").as_str(), "need show no certificate here"),
        (tls.replace("tls: {", "tls: {client_ca: cert.pem, crl: [none.pem], ").as_str(), "none.pem"),
        (tls.replace("tls: {", "tls: {client_ca: cert.pem, crl: cert.pem, ").as_str(), "no list of revoked certificates"),
    ] {
        let problems = load(listen).unwrap_err();
        assert!(problems.iter().any(|problem| problem.to_string().contains(wanted)), "{listen}: {problems:?}");
    }
}
