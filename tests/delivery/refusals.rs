//! Bad input: each is refused with what, where and how to mend it, and changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use portcullis::formats::cloudevent::{SIGNATURE, sign};
use serde_json::{Value, json};

use crate::site::{IMAGE, PROJECT, Pipeline, SERVICE, SHIPYARD, Site};

/// One stage that takes everything at once.
const PLAIN: &str = "stages:\n  - {name: dev, deployment_strategy: direct, gate: none}\n";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";
const EVENT: (&str, &str) = ("content-type", "application/cloudevents+json");

/// What must be as before: the projects as they stand, their files, and the deployments.
#[derive(Debug, PartialEq)]
struct Everything {
    projects: Value,
    files: BTreeMap<PathBuf, Vec<u8>>,
    deployed: Vec<crate::site::Deployed>,
}

impl Everything {
    fn of(site: &Site, pipeline: &Pipeline) -> Self {
        let mut files = BTreeMap::new();
        read(&site.path("."), &mut files);
        // The records are compared by what is shown of them.
        files.retain(|path, _| !path.starts_with(site.path("./state/delivery")) && path.extension().is_none_or(|kind| kind != "redb"));
        Self { projects: pipeline.get("/v1/projects").json(), files, deployed: site.deployed() }
    }
}

fn read(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            read(&entry.path(), files);
        } else {
            files.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
}

/// A pipeline of one stage in which 0.8.1 is live.
fn plain(more: &[&str]) -> (Site, Pipeline) {
    let site = Site::new(more);
    let pipeline = site.start();
    site.furnish(&pipeline, PLAIN, "strict", &[]);
    pipeline.delivered("0.8.1");
    assert_eq!(pipeline.live(), ["0.8.1"]);
    (site, pipeline)
}

fn contains(text: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(text.contains(part), "{part:?} is missing in:\n{text}"));
}

fn new_artifact(id: &str, context: Option<&str>, tag: &str) -> String {
    let mut event = json!({"specversion": "0.2", "type": "sh.keptn.events.new-artifact", "source": "here", "id": id,
        "contenttype": "application/json", "data": {"project": PROJECT, "service": SERVICE, "image": IMAGE, "tag": tag}});
    if let Some(context) = context {
        event["shkeptncontext"] = context.into();
    }
    event.to_string()
}

#[test]
fn a_broken_shipyard_is_refused_with_every_problem_at_once() {
    let site = Site::new(&[]);
    let pipeline = site.start();
    let text = "stages:\n- name: dev\n  deploymnt_strategy: direct\n- deployment_strategy: canary\n  gate: non\n- name: production\n  rollback: maybe\n";
    let file = site.write("broken.yaml", text);
    let before = Everything::of(&site, &pipeline);
    let refused = pipeline.ask(&["create", "project", PROJECT, "--shipyard", &file]);
    assert_eq!(refused.code, Some(2), "{}", refused.stdout);
    contains(
        &refused.stderr,
        &["deploymnt_strategy", "deployment_strategy", "name is missing", "\"non\"", "rollback must be true or false"],
    );
    contains(&refused.stderr, &[":3:", ":4:", ":5:", ":7:"]);
    assert_eq!(Everything::of(&site, &pipeline), before);
    pipeline.end();
}

#[test]
fn what_is_not_known_is_named_with_what_is() {
    let (site, pipeline) = plain(&[]);
    let before = Everything::of(&site, &pipeline);
    let send = |project: &str, service: &str, stage: &str| {
        let path = format!("/v1/projects/{project}/services/{service}/artifacts");
        pipeline.post(&path, &json!({"image": IMAGE, "tag": "0.8.3", "stage": stage}))
    };
    let cases = [
        (("sockshopp", SERVICE, "dev"), vec!["there is no project sockshopp", PROJECT, "create project"]),
        ((PROJECT, "cart", "dev"), vec!["sockshop has no service cart", SERVICE, "onboard service"]),
        ((PROJECT, SERVICE, "staging"), vec!["sockshop has no stage staging", "it has dev"]),
    ];
    for ((project, service, stage), parts) in cases {
        let answer = send(project, service, stage);
        assert_eq!(answer.status, 404, "{}", answer.body);
        contains(&answer.body, &parts);
        let args = [
            "send",
            "event",
            "new-artifact",
            "--project",
            project,
            "--service",
            service,
            "--stage",
            stage,
            "--image",
            IMAGE,
            "--tag",
            "0.8.3",
        ];
        let refused = pipeline.ask(&args);
        assert_eq!(refused.code, Some(2), "{}", refused.stdout);
        contains(&refused.stderr, &parts);
    }
    assert_eq!(Everything::of(&site, &pipeline), before);
    pipeline.end();
}

#[test]
fn with_a_token_only_those_who_know_it_are_heard() {
    let site = Site::new(&["token_file: token"]);
    site.write("token", TOKEN);
    let pipeline = site.start();
    site.furnish(&pipeline, PLAIN, "strict", &[]);
    let before = Everything::of(&site, &pipeline);
    let event = new_artifact("1", None, "0.8.1");
    let signature = sign(TOKEN.as_bytes(), event.as_bytes());
    let post = |header: Option<(&str, &str)>, body: &str| {
        let headers: Vec<_> = [Some(EVENT), header].into_iter().flatten().collect();
        pipeline.send("POST", "/v1/events", &headers, body.as_bytes())
    };
    let other = sign(b"another token of some length", event.as_bytes());
    let bearer = format!("Bearer {TOKEN}");
    let wrong: [Option<(&str, &str)>; 6] = [
        None,
        Some((SIGNATURE, &other)),
        Some((SIGNATURE, "sha1=")),
        Some(("authorization", "Bearer 0123456789abcdef0123456789abcdee")),
        Some(("authorization", TOKEN)),
        Some(("x-token", "")),
    ];
    for header in wrong {
        let answer = post(header, &event);
        assert_eq!(answer.status, 401, "{header:?}: {}", answer.body);
        contains(&answer.body, &["X-Keptn-Signature", "x-token", "Bearer"]);
    }
    let changed = post(Some((SIGNATURE, &signature)), &event.replace("0.8.1", "0.8.2"));
    assert_eq!(changed.status, 401, "the signature is of another body: {}", changed.body);
    assert_eq!(Everything::of(&site, &pipeline), before);

    let answer = post(Some((SIGNATURE, &signature)), &event);
    assert_eq!(answer.status, 202, "{}", answer.body);
    pipeline.idle();
    assert_eq!(pipeline.live(), ["0.8.1"]);
    for (id, header) in [("2", ("authorization", bearer.as_str())), ("3", ("x-token", TOKEN))] {
        let answer = post(Some(header), &new_artifact(id, None, "0.8.3"));
        assert_eq!(answer.status, 202, "{header:?}: {}", answer.body);
        pipeline.idle();
    }
    assert_eq!(pipeline.live()[0].split('-').next(), Some("0.8.3"));
    // The command line signs what it sends with the token, and is nobody without it.
    let (file, wrong) = (site.write("event.json", new_artifact("6", None, "0.8.1")), site.write("wrong", OTHER));
    let token = site.path("token").to_str().unwrap().to_owned();
    let send = |more: &[&str]| pipeline.ask(&[&["send", "event", "--file", &file], more].concat());
    for more in [&[][..], &["--token-file", &wrong]] {
        let refused = send(more);
        assert_ne!(refused.code, Some(0), "{more:?}");
        contains(&refused.stderr, &["neither signed with the token"]);
    }
    let absent = send(&["--token-file", "/no/such/token"]);
    assert_ne!(absent.code, Some(0));
    contains(&absent.stderr, &["/no/such/token"]);
    let sent = send(&["--token-file", &token]);
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    contains(&sent.stdout, &["ID of keptn context: "]);
    pipeline.idle();
    assert_eq!(pipeline.live()[0].split('-').next(), Some("0.8.1"));
    contains(&send(&["--token-file", &token]).stdout, &["note: an event with this source and id was taken in before"]);
    // The token is replaced while it runs: the old one counts no more.
    site.write("token", OTHER);
    for (id, token, status) in [("4", TOKEN, 401), ("5", OTHER, 202)] {
        let answer = post(Some(("x-token", token)), &new_artifact(id, None, "0.8.1"));
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    pipeline.idle();
    pipeline.end();
}

#[test]
fn an_event_that_comes_again_delivers_nothing_also_after_a_kill() {
    let (site, pipeline) = plain(&[]);
    let post = |pipeline: &Pipeline, body: &str| {
        let answer = pipeline.send("POST", "/v1/events", &[EVENT], body.as_bytes());
        assert_eq!(answer.status, 202, "{}", answer.body);
        pipeline.idle();
        answer.json()
    };
    let (mine, named) = (new_artifact("1", None, "0.8.3"), new_artifact("2", Some("my-context"), "0.8.1"));
    let context = post(&pipeline, &mine)["keptnContext"].clone();
    assert_eq!(pipeline.live(), ["0.8.3"]);
    assert_eq!(post(&pipeline, &named)["keptnContext"], "my-context");
    assert_eq!(pipeline.live(), ["0.8.1"]);

    let before = Everything::of(&site, &pipeline);
    let told = post(&pipeline, &mine);
    assert_eq!(told["keptnContext"], context, "the answer names the delivery that it began");
    contains(told["ignored"].as_str().unwrap_or_default(), &["taken in before", "another id"]);
    assert_eq!(Everything::of(&site, &pipeline), before);
    pipeline.kill();

    let pipeline = site.start();
    let stood = |pipeline: &Pipeline| (pipeline.live(), pipeline.story("my-context").len(), site.deployed().len());
    let before = stood(&pipeline);
    assert_eq!(before.0, ["0.8.1"]);
    for event in [&mine, &named] {
        assert!(post(&pipeline, event)["ignored"].is_string(), "{event}");
    }
    assert_eq!(stood(&pipeline), before);
    // The same id of somebody else is another event.
    let other = mine.replace("\"here\"", "\"there\"");
    assert!(post(&pipeline, &other)["ignored"].is_null());
    assert_eq!(pipeline.live(), ["0.8.3"]);
    pipeline.end();
}

#[test]
fn an_event_of_ten_megabytes_is_refused_for_its_size() {
    let (site, pipeline) = plain(&[]);
    let before = Everything::of(&site, &pipeline);
    let event = new_artifact("1", None, "0.8.3").replace("\"data\":{", &format!("\"data\":{{\"githuborg\":\"{}\",", "x".repeat(10 << 20)));
    let answer = pipeline.send("POST", "/v1/events", &[EVENT], event.as_bytes());
    assert_eq!(answer.status, 413, "{}", answer.body);
    contains(&answer.body, &["1 MiB"]);
    assert_eq!(Everything::of(&site, &pipeline), before);
    pipeline.end();
}

#[test]
fn an_image_that_does_not_exist_leaves_the_traffic_where_it_is() {
    let (site, pipeline) = plain(&[]);
    let deployed = site.deployed();
    let context = pipeline.delivered("no-such-tag");
    let story = pipeline.story(&context);
    let last = story.last().unwrap();
    assert_eq!(last["outcome"], "inconclusive", "{story:#?}");
    contains(last["reason"].as_str().unwrap(), &["no-such-tag could not be deployed to dev", "ended with exit status", "its log", "tag"]);
    assert_eq!((pipeline.live(), pipeline.page("dev").0), (vec!["0.8.1".to_owned()], "v1".to_owned()));
    assert_eq!(site.deployed(), deployed);
    pipeline.end();
}

#[test]
fn a_test_plan_with_elements_that_are_not_supported_is_refused_and_the_old_one_stays() {
    let site = Site::new(&[]);
    let pipeline = site.start();
    site.furnish(&pipeline, SHIPYARD, "strict", &["staging"]);
    let old = fs::read_to_string("tests/data/compat/jmeter/load.jmx").unwrap();
    let file = site.write("load.jmx", old.replace("HTTPSamplerProxy", "JDBCSampler"));
    let before = Everything::of(&site, &pipeline);
    let of = ["add-resource", "--project", PROJECT, "--service", SERVICE, "--resource", &file, "--resourceUri", "jmeter/load.jmx"];
    let refused = pipeline.ask(&of);
    assert_eq!(refused.code, Some(2), "{}", refused.stdout);
    contains(&refused.stderr, &["JDBCSampler", "is not supported", "jmeter/load.jmx:"]);
    let line = old.lines().position(|line| line.contains("<HTTPSamplerProxy")).unwrap() + 1;
    contains(&refused.stderr, &[&format!(":{line}:")]);
    assert_eq!(Everything::of(&site, &pipeline), before);
    assert_eq!(fs::read_to_string(site.path("state/projects/sockshop/services/carts/jmeter/load.jmx")).unwrap(), old);
    pipeline.end();
}

#[test]
fn a_file_goes_nowhere_but_below_its_project() {
    let site = Site::new(&[]);
    let pipeline = site.start();
    site.furnish(&pipeline, PLAIN, "strict", &[]);
    let before = Everything::of(&site, &pipeline);
    let escapes =
        ["../x", "/etc/x", "a/../../x", "..", ".", "", "a/", "./x", "%2e%2e/x", "a%2F..%2F..%2Fx", "a%5Cx", "a%00x", "shipyard.yaml"];
    for uri in escapes {
        let answer = pipeline.send("PUT", &format!("/v1/projects/{PROJECT}/resources?uri={uri}"), &[], b"x");
        assert_eq!(answer.status, 422, "{uri}: {}", answer.body);
        let words = if uri == "shipyard.yaml" { "kept for the project itself" } else { "is no place for a file" };
        contains(&answer.body, &[words]);
    }
    let at_service =
        pipeline.send("PUT", &format!("/v1/projects/{PROJECT}/resources?service={SERVICE}&uri=../../shipyard.yaml"), &[], b"x");
    assert_eq!(at_service.status, 422, "{}", at_service.body);
    assert_eq!(Everything::of(&site, &pipeline), before);
    assert!(!Path::new("/etc/x").exists());
    pipeline.end();
}

#[test]
fn a_name_that_is_no_part_of_a_host_name_is_refused() {
    let site = Site::new(&[]);
    let pipeline = site.start();
    site.furnish(&pipeline, PLAIN, "strict", &[]);
    let before = Everything::of(&site, &pipeline);
    let long = "x".repeat(41);
    for name in ["Sock_Shop", "-shop", "shop-", "sock.shop", "9shop", "../shop", "", "söck", &long] {
        let project = pipeline.post("/v1/projects", &json!({"name": name, "shipyard": PLAIN}));
        let service = pipeline.post(&format!("/v1/projects/{PROJECT}/services"), &json!({"name": name}));
        for answer in [project, service] {
            assert_eq!(answer.status, 422, "{name}: {}", answer.body);
            contains(&answer.body, &["part of a host name", "small letters"]);
        }
    }
    assert_eq!(Everything::of(&site, &pipeline), before);
    pipeline.end();
}
