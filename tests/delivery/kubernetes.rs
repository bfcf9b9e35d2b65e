//! Deployments in a cluster: what is applied and by whom, what becomes of versions that do not come up, and what is left at the end.

use std::net::TcpListener;

use crate::cluster::{Cluster, Fate};
use crate::site::{IMAGE, PROJECT, Pipeline, SERVICE, SHIPYARD, STAGES, Site};

const PLAIN: &str = "stages:\n  - {name: dev, deployment_strategy: direct, gate: none}\n";
const DEV: &str = "sockshop-dev";

/// Makes a pipeline that deploys to a cluster, with a manifest whose pods listen at a free port.
fn site(cluster: &Cluster, within: &str) -> Site {
    let site = Site::with(&format!("kubernetes: {{kubeconfig: kubeconfig, within: {within}}}"), &[]);
    site.write("kubeconfig", cluster.kubeconfig());
    site
}

fn furnish(site: &Site, pipeline: &Pipeline, shipyard: &str, gates: &[&str]) {
    site.furnish(pipeline, shipyard, "strict", gates);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let manifest = format!(
        "apiVersion: apps/v1\nkind: Deployment\nspec:\n  replicas: 2\n  template:\n    spec:\n      containers:\n      \
         - {{name: carts, ports: [{{containerPort: {port}}}]}}\n"
    );
    let file = site.write("deployment.yaml", manifest);
    let of = ["add-resource", "--project", PROJECT, "--service", SERVICE, "--resource", &file];
    pipeline.command(&[&of[..], &["--resourceUri", "kubernetes/deployment.yaml"]].concat());
}

/// A pipeline of one stage in which 0.8.1 is live, as deployment 1.
fn plain(cluster: &Cluster, within: &str) -> (Site, Pipeline) {
    let site = site(cluster, within);
    let pipeline = site.start();
    furnish(&site, &pipeline, PLAIN, &[]);
    pipeline.delivered("0.8.1");
    assert_eq!((pipeline.live(), pipeline.page("dev").0), (vec!["0.8.1".to_owned()], "v1".to_owned()), "{:#}", pipeline.service());
    (site, pipeline)
}

/// Delivers a version that does not come up, and returns why; the traffic must be where it was.
fn fails(pipeline: &Pipeline, tag: &str) -> String {
    let story = pipeline.story(&pipeline.delivered(tag));
    let last = story.last().unwrap();
    assert_eq!(last["outcome"], "inconclusive", "{story:#?}");
    assert_eq!((pipeline.live(), pipeline.page("dev").0), (vec!["0.8.1".to_owned()], "v1".to_owned()));
    last["reason"].as_str().unwrap().to_owned()
}

/// Only what is live is there, and the door leads to it.
fn tidy(pipeline: &Pipeline, cluster: &Cluster, id: &str) {
    pipeline.until("what is not needed is taken away", || {
        let own = format!("carts-{id}");
        let services = cluster.names("services", DEV) == [own.clone(), "carts-primary".to_owned()];
        let doors = cluster.leads_to(DEV, "carts-primary").as_deref() == Some(id);
        (services && doors && cluster.names("deployments", DEV) == [own]).then_some(())
    });
}

fn contains(text: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(text.contains(part), "{part:?} is missing in:\n{text}"));
}

#[test]
fn artifacts_go_through_the_stages_of_a_cluster_and_a_bad_one_leaves_nothing_behind() {
    let cluster = Cluster::start();
    let site = site(&cluster, "30s");
    let pipeline = site.start();
    furnish(&site, &pipeline, SHIPYARD, &["staging"]);
    pipeline.delivered("0.8.1");
    assert_eq!(pipeline.live(), ["0.8.1"; 3], "{:#}", pipeline.service());
    pipeline.delivered("0.8.2");
    assert_eq!(pipeline.live(), ["0.8.2", "0.8.1", "0.8.1"], "{:#}", pipeline.service());
    assert_eq!(pipeline.page("staging"), ("v1".to_owned(), "0".to_owned()));
    for stage in STAGES {
        let namespace = format!("{PROJECT}-{stage}");
        pipeline.until("only what is live is left", || {
            let services = cluster.names("services", &namespace);
            (cluster.names("deployments", &namespace).len() == 1 && services.len() == 2 && services[1] == "carts-primary").then_some(())
        });
        let deployment = cluster.names("deployments", &namespace).remove(0);
        assert_eq!(cluster.leads_to(&namespace, "carts-primary"), cluster.leads_to(&namespace, &deployment), "{stage}");
    }

    let inside = cluster.inside();
    let applied: Vec<_> = inside.asked.iter().filter(|asked| asked.method == "PATCH").collect();
    assert!(!applied.is_empty());
    for asked in applied {
        assert_eq!(asked.kind, "application/apply-patch+yaml", "{asked:?}");
        let manager = asked.query.split('&').find_map(|pair| pair.strip_prefix("fieldManager=")).unwrap_or_default();
        assert!(manager.starts_with("portcullis-") && !asked.query.contains("force"), "{asked:?}");
    }
    drop(inside);
    pipeline.end();
    assert_eq!(cluster.names("deployments", DEV).len(), 1, "what is live outlives the process");
}

#[test]
fn a_version_that_does_not_come_up_says_why_and_leaves_the_traffic_where_it_is() {
    let cluster = Cluster::start();
    cluster.inside().fates.extend([
        ("0.8.3".to_owned(), Fate::Slow(4)),
        ("0.8.6".to_owned(), Fate::NoImage),
        ("0.8.7".to_owned(), Fate::Never),
        ("0.8.8".to_owned(), Fate::GivenUp),
    ]);
    let (_site, pipeline) = plain(&cluster, "6s");
    let missing = format!("ImagePullBackOff: Back-off pulling image \"{IMAGE}:0.8.6\": not found");
    contains(&fails(&pipeline, "0.8.6"), &["carts-2-abcde, container carts", &missing]);
    tidy(&pipeline, &cluster, "1");
    contains(&fails(&pipeline, "0.8.7"), &["was not available within 6s: 0 of 2 pods are available"]);
    contains(&fails(&pipeline, "0.8.8"), &["ProgressDeadlineExceeded: ReplicaSet has timed out progressing."]);
    tidy(&pipeline, &cluster, "1");
    pipeline.delivered("0.8.3");
    assert_eq!(pipeline.live(), ["0.8.3"], "one that is slow is waited for: {:#}", pipeline.service());
    tidy(&pipeline, &cluster, "5");
    pipeline.end();
}

#[test]
fn what_belongs_to_somebody_else_is_neither_taken_nor_deleted() {
    let cluster = Cluster::start();
    let (_site, pipeline) = plain(&cluster, "6s");
    let door = "/api/v1/namespaces/sockshop-dev/services/carts-canary";
    cluster.inside().objects.insert(door.to_owned(), serde_json::json!({"metadata": {"name": "carts-canary"}, "spec": {}}));
    cluster.inside().foreign.insert("carts-canary".to_owned(), "helm".to_owned());
    contains(&fails(&pipeline, "0.8.3"), &["Service carts-canary in namespace sockshop-dev is another's", "conflict with \"helm\""]);
    pipeline.until("our own objects are gone", || (cluster.names("deployments", DEV) == ["carts-1"]).then_some(()));
    assert!(cluster.inside().objects.contains_key(door), "it is left alone");
    cluster.inside().foreign.clear();
    pipeline.delivered("0.8.3");
    assert_eq!(pipeline.live(), ["0.8.3"], "{:#}", pipeline.service());
    pipeline.end();
}

#[test]
fn an_api_server_that_is_down_is_told_and_one_that_stumbles_is_asked_again() {
    let cluster = Cluster::start();
    let (_site, pipeline) = plain(&cluster, "4s");
    cluster.inside().down = true;
    let context = pipeline.deliver("0.8.3", false);
    let reason = pipeline.until("it is given up", || {
        let story = pipeline.story(&context);
        let last = story.last()?;
        (last["outcome"] == "inconclusive").then(|| last["reason"].as_str().unwrap().to_owned())
    });
    contains(&reason, &["0.8.3 could not be deployed to dev", "the API server http://127.0.0.1", "until the time was over"]);
    assert_eq!(pipeline.page("dev").0, "v1", "who serves goes on without it");
    cluster.inside().down = false;
    pipeline.idle();
    tidy(&pipeline, &cluster, "1");

    cluster.inside().sick = vec![410, 503, 429];
    let asked = cluster.inside().asked.len();
    pipeline.delivered("0.8.3");
    assert_eq!(pipeline.live(), ["0.8.3"], "{:#}", pipeline.service());
    assert!(cluster.inside().asked.len() > asked + 3);
    pipeline.end();
}

#[test]
fn a_kill_leaves_what_is_live_as_it_is() {
    let cluster = Cluster::start();
    let (site, pipeline) = plain(&cluster, "10s");
    let path = "/apis/apps/v1/namespaces/sockshop-dev/deployments/carts-1";
    let before = cluster.inside().objects[path].clone();
    pipeline.kill();
    let pipeline = site.start();
    assert_eq!((pipeline.live(), pipeline.page("dev").0), (vec!["0.8.1".to_owned()], "v1".to_owned()));
    tidy(&pipeline, &cluster, "1");
    let after = cluster.inside().objects[path].clone();
    assert_eq!(
        (&after["metadata"]["uid"], &after["metadata"]["generation"]),
        (&before["metadata"]["uid"], &before["metadata"]["generation"])
    );
    pipeline.end();
}

#[test]
fn an_api_server_is_believed_by_the_certificate_that_the_file_names() {
    let cluster = Cluster::encrypted();
    let (site, pipeline) = plain(&cluster, "4s");
    pipeline.end();
    // Another one, which nobody has said to believe.
    let stranger = Cluster::encrypted();
    let other = cluster.kubeconfig();
    let place = |text: &str| text.lines().find(|line| line.contains("server:")).unwrap().to_owned();
    site.write("kubeconfig", other.replace(&place(&other), &place(&stranger.kubeconfig())));
    let pipeline = site.start();
    let context = pipeline.deliver("0.8.3", false);
    let reason = pipeline.until("it is given up", || {
        let story = pipeline.story(&context);
        (story.last()?["outcome"] == "inconclusive").then(|| story.last().unwrap()["reason"].as_str().unwrap().to_owned())
    });
    contains(&reason, &["until the time was over", "certificate"]);
    assert!(stranger.inside().asked.is_empty(), "nothing was said to it");
    drop(pipeline);
}

#[test]
fn a_service_without_a_manifest_and_a_namespace_that_is_not_there_are_told() {
    let cluster = Cluster::start();
    let site = Site::with("kubernetes: {kubeconfig: kubeconfig, namespace: 'nowhere-{stage}', within: 4s}", &[]);
    site.write("kubeconfig", cluster.kubeconfig());
    let pipeline = site.start();
    site.furnish(&pipeline, PLAIN, "strict", &[]);
    let reason = |context: String| pipeline.story(&context).last().unwrap()["reason"].as_str().unwrap().to_owned();
    contains(&reason(pipeline.delivered("0.8.1")), &["there is no kubernetes/deployment.yaml for carts in dev", "portcullis add-resource"]);
    let broken =
        site.write("deployment.yaml", "apiVersion: apps/v1\nkind: Deployment\nspec: {template: {spec: {containers: [{name: cart}]}}}\n");
    let of =
        ["add-resource", "--project", PROJECT, "--service", SERVICE, "--resource", &broken, "--resourceUri", "kubernetes/deployment.yaml"];
    contains(&pipeline.ask(&of).stderr, &["no container is called carts; there is cart"]);
    site.write(
        "deployment.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nspec: {template: {spec: {containers: [{name: carts, ports: [{containerPort: 80}]}]}}}\n",
    );
    pipeline.command(&of);
    contains(&reason(pipeline.delivered("0.8.1")), &["namespaces \"nowhere-dev\" not found", "make the namespace first"]);
    pipeline.end();
}
