//! A configuration without a file, and flags on top of one.

use std::time::Duration;

use super::*;
use crate::config::AccessLog;
use crate::domain::rollout::Plan;
use crate::domain::rollout::outlook::Pace;

fn owned(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn small() -> Flags {
    Flags { listen: vec!["127.0.0.1:8080".to_owned()], stable: owned("v1=127.0.0.1:8081"), ..Flags::default() }
}

fn refused(flags: &Flags) -> Vec<Problem> {
    load(None, flags, &around()).map(|loaded| panic!("{:?}", loaded.settings)).unwrap_err()
}

#[test]
fn flags_alone_make_a_configuration() {
    let perfspec = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/compat/perfspec_dynatrace.json");
    let flags = Flags {
        listen: vec!["127.0.0.1:0".to_owned()],
        intercepted: vec!["[::1]:0".to_owned()],
        admin: owned("127.0.0.1:0"),
        state: owned("var/state"),
        workers: owned("2"),
        access_log: owned("stdout"),
        service: owned("carts"),
        stable: owned("0.8.1=127.0.0.1:8081,127.0.0.1:8083"),
        canary: owned("0.8.2=carts.internal:80"),
        weight: owned("20%"),
        hold: owned("5s"),
        gates: vec!["p95 < 1s".to_owned(), "errors < 1%".to_owned()],
        perfspec: owned(perfspec.to_str().unwrap()),
        no_derived_tripwire: true,
    };
    let settings = load(None, &flags, &around()).unwrap_or_else(|problems| panic!("{}", shown(&problems))).settings;
    assert_eq!((settings.listen.len(), settings.admin.listen[0].address.ip().unwrap().port(), settings.workers), (2, 0, 2));
    assert_eq!(settings.listen.iter().map(|one| one.intercepted).collect::<Vec<_>>(), [false, true]);
    assert_eq!((settings.state.as_path(), settings.access_log), (Path::new("var/state"), AccessLog::Stdout));
    let service = &settings.services[0];
    assert_eq!(service.name.as_str(), "carts");
    assert_eq!((service.stable.name.as_str(), service.stable.endpoints.len()), ("0.8.1", 2));
    assert_eq!((service.canary.as_ref().unwrap().endpoints.len(), service.names[0].1.len()), (1, 2));
    assert_eq!(service.gates.len(), 3, "two written, one compiled, none derived");
    let read = service.perfspec.as_ref().unwrap();
    assert_eq!((&read.path, read.derive_tripwire), (&perfspec, false));
    assert_eq!(
        service.schedule.plan(&Pace::of(&service.gates, &service.policy, 0.0)).unwrap(),
        Plan::ramp("20%".parse().unwrap(), 3, Duration::from_secs(5)).unwrap()
    );
}

#[test]
fn few_flags_suffice() {
    let redirected = Flags { intercepted: vec!["127.0.0.1:4140".to_owned()], listen: Vec::new(), ..small() };
    let loaded = load(None, &redirected, &around()).unwrap();
    assert!(loaded.settings.listen[0].intercepted);
    assert!(loaded.notes.len() == 1 && loaded.notes[0].message.contains("each redirected HTTP request"), "{}", shown(&loaded.notes));
    let settings = load(None, &small(), &around()).unwrap().settings;
    assert_eq!((settings.services[0].name.as_str(), settings.workers), ("default", 3));
    assert_eq!(settings.state, Path::new("/home/u/.local/state/portcullis/127.0.0.1-8080"));
}

#[test]
fn every_problem_names_its_flag() {
    let flags = Flags {
        listen: vec!["8080".to_owned()],
        admin: owned("localhost"),
        state: owned(""),
        workers: owned("many"),
        access_log: owned("log"),
        service: owned("a b"),
        stable: owned("127.0.0.1:8081"),
        canary: owned("v2="),
        weight: owned("10"),
        hold: owned("10"),
        gates: vec!["p95".to_owned()],
        ..Flags::default()
    };
    let problems = refused(&flags);
    for flag in ["--listen", "--admin", "--workers", "--access-log", "--service", "--stable", "--canary", "--weight", "--hold", "--gate"] {
        let found: Vec<_> = problems.iter().filter(|problem| problem.path == flag).collect();
        assert_eq!(found.len(), 1, "{flag} in\n{}", shown(&problems));
        assert_eq!((found[0].file.as_str(), found[0].line), ("command line", None));
        assert!(found[0].hint.is_some());
    }
    assert_eq!(problems.len(), 10, "{}", shown(&problems));
    assert!(shown(&problems).contains("--> command line (--gate)"), "{}", shown(&problems));
}

#[test]
fn what_is_missing_or_contradicts_is_refused() {
    let paths = |flags: &Flags| refused(flags).into_iter().map(|problem| problem.path).collect::<Vec<_>>();
    assert_eq!(paths(&Flags::default()), ["--listen", "--stable"]);
    let canary = Flags { canary: owned("v2=127.0.0.1:8082"), ..small() };
    let problems = refused(&canary);
    assert_eq!(problems[0].path, "--canary");
    assert!(problems[0].message.contains("no gate"), "{}", shown(&problems));
    let same = Flags { canary: owned("v1=127.0.0.1:8082"), gates: vec!["p95 < 1s".to_owned()], ..small() };
    assert!(refused(&same)[0].message.contains("same version"));
    assert_eq!(paths(&Flags { admin: owned("127.0.0.1:8080"), ..small() }), ["--admin"]);
    assert_eq!(paths(&Flags { listen: vec!["127.0.0.1:9090".to_owned()], ..small() }), ["--listen"]);
    let home = Surroundings { variable: &|_| None, ..around() };
    assert_eq!(load(None, &small(), &home).unwrap_err()[0].path, "--state");
}

#[test]
fn flags_about_the_process_replace_values_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let flags = Flags {
        listen: vec!["127.0.0.1:0".to_owned()],
        admin: owned("127.0.0.1:0"),
        state: owned("here"),
        workers: owned("1"),
        access_log: owned("./access.log"),
        ..Flags::default()
    };
    let settings = load_in(folder.path(), format!("state: there\nworkers: 9\naccess_log: off\n{SMALL}"), &flags).unwrap().settings;
    assert_eq!(
        (settings.listen[0].address.ip().unwrap().port(), settings.admin.listen[0].address.ip().unwrap().port(), settings.workers),
        (0, 0, 1)
    );
    assert_eq!((settings.state.as_path(), settings.access_log), (Path::new("here"), AccessLog::File("./access.log".into())));
}

#[test]
fn flags_about_a_service_are_refused_beside_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let flags = Flags { gates: vec!["p95 < 1s".to_owned()], no_derived_tripwire: true, workers: owned("0"), ..small() };
    let problems = load_in(folder.path(), format!("{SMALL}zzz: 1\n"), &flags).unwrap_err();
    let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["--stable", "--gate", "--no-derived-tripwire", "--workers", "zzz"], "{}", shown(&problems));
}
