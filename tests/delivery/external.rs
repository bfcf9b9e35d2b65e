//! Somebody else deploys: is told when the turn of an artifact has come, reports where it listens, and is believed for that artifact only.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::events::{Heard, sink};
use crate::process::eventually;
use crate::site::{Answer, IMAGE, PROJECT, Pipeline, SERVICE, Site};

const PLAIN: &str = "stages:\n  - {name: dev, deployment_strategy: direct, gate: none}\n";

/// A version that somebody else runs; ended when dropped.
struct Elsewhere {
    address: SocketAddr,
    child: Child,
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Elsewhere {
    fn start(tag: &str) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["carts", "--tag", tag, "--listen", &address.to_string()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        eventually("it listens", || TcpStream::connect(address).ok());
        Self { address, child }
    }
}

/// What a deployer reports; changed by each case.
fn report(context: &str, tag: &str, url: &str) -> Value {
    json!({"specversion": "0.2", "type": "sh.keptn.events.deployment-finished", "source": "deployer", "id": format!("{context}-{tag}-{url}"),
        "contenttype": "application/json", "shkeptncontext": context, "data": {"project": PROJECT, "stage": "dev", "service": SERVICE,
        "image": IMAGE, "tag": tag, "deploymentURILocal": url, "teststrategy": "", "deploymentstrategy": "direct"}})
}

fn send(pipeline: &Pipeline, event: &Value) -> Answer {
    pipeline.send("POST", "/v1/events", &[("content-type", "application/cloudevents+json")], event.to_string().as_bytes())
}

/// Waits until the outside is told that the turn of a context has come.
fn triggered(pipeline: &Pipeline, heard: &Heard, context: &str) -> Value {
    pipeline.until("the outside is told", || {
        let heard = heard.lock().unwrap();
        let is =
            |event: &&(String, Value)| event.1["type"] == "sh.keptn.event.deployment.triggered" && event.1["shkeptncontext"] == context;
        heard.iter().find(is).map(|(_, event)| event.clone())
    })
}

#[test]
fn whoever_deploys_is_told_and_believed_for_that_artifact_only_and_remembered_over_a_restart() {
    let (address, heard) = sink(0);
    let site = Site::with("external: {within: 60s}", &[&format!("sinks: [\"http://{address}/\"]"), "events: 1.x"]);
    let pipeline = site.start();
    site.furnish(&pipeline, PLAIN, "strict", &[]);
    let early = send(&pipeline, &report("nobody", "0.8.1", "http://127.0.0.1:1"));
    assert_eq!(early.status, 409, "{}", early.body);
    assert!(
        early.body.contains("no deployment of carts is awaited in dev: the report names image docker.io/keptnexamples/carts, tag 0.8.1")
    );

    let context = pipeline.deliver("0.8.1", false);
    let told = triggered(&pipeline, &heard, &context);
    assert_eq!(told["data"]["configurationChange"]["values"]["image"], format!("{IMAGE}:0.8.1"));
    let one = Elsewhere::start("0.8.1");
    let url = format!("http://localhost:{}", one.address.port());
    let mut image = report(&context, "0.8.1", &url);
    image["data"]["image"] = "docker.io/other/carts".into();
    image["id"] = "another image".into();
    for wrong in [report(&context, "0.8.3", &url), report("another", "0.8.1", &url), image] {
        let refused = send(&pipeline, &wrong);
        assert_eq!(refused.status, 409, "{}", refused.body);
        let parts = [format!("is {IMAGE}:0.8.1 of context {context}, but the report names"), "dev".to_owned()];
        parts.iter().for_each(|part| assert!(refused.body.contains(part), "{part:?} is missing in {}", refused.body));
    }
    let nowhere = send(&pipeline, &report(&context, "0.8.1", "http://nowhere.invalid:1"));
    assert_eq!(nowhere.status, 422, "{}", nowhere.body);
    assert!(nowhere.body.contains("nowhere.invalid:1 has no address"), "{}", nowhere.body);
    assert_eq!(pipeline.service()["stages"][0]["run"]["phase"], "deploying");

    let taken = send(&pipeline, &report(&context, "0.8.1", &url));
    assert_eq!((taken.status, taken.json()["keptnContext"].as_str()), (202, Some(context.as_str())), "{}", taken.body);
    pipeline.idle();
    assert_eq!((pipeline.live(), pipeline.page("dev").0), (vec!["0.8.1".to_owned()], "v1".to_owned()));

    pipeline.kill();
    let pipeline = site.start();
    assert_eq!(pipeline.page("dev").0, "v1", "nobody has to report it again");

    let context = pipeline.deliver("0.8.3", false);
    triggered(&pipeline, &heard, &context);
    let failed = json!({"specversion": "1.0", "type": "sh.keptn.event.deployment.finished", "source": "deployer", "id": "failed",
        "shkeptncontext": context, "data": {"project": PROJECT, "stage": "dev", "service": SERVICE, "status": "errored", "result": "fail"}});
    pipeline.until("it is awaited", || (pipeline.service()["stages"][0]["run"]["phase"] == "deploying").then_some(()));
    assert_eq!(send(&pipeline, &failed).status, 202);
    pipeline.idle();
    let story = pipeline.story(&context);
    let last = story.last().unwrap();
    assert_eq!((&last["outcome"], pipeline.live()), (&"inconclusive".into(), vec!["0.8.1".to_owned()]), "{story:#?}");
    assert!(last["reason"].as_str().unwrap().contains("whoever deploys says that it failed"), "{last}");
    pipeline.end();
}
