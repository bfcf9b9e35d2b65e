//! Images that are looked for before they are delivered: one that is not there changes nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::site::{PROJECT, SERVICE, Site};

const PLAIN: &str = "stages:\n  - {name: dev, deployment_strategy: direct, gate: none}\n";
const CARTS: &str = "keptnexamples/carts";

/// What was asked for.
type Heard = Arc<Mutex<Vec<String>>>;

/// A registry that has carts 0.7.0 and nothing else; it ends with the process of the test.
fn registry() -> (SocketAddr, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, heard) = (listener.local_addr().unwrap(), Heard::default());
    let log = Arc::clone(&heard);
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if !matches!(socket.read(&mut byte), Ok(1)) {
                    break;
                }
                head.push(byte[0]);
            }
            let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
            let status = if line == "HEAD /v2/keptnexamples/carts/manifests/0.7.0 HTTP/1.1" { "200 OK" } else { "404 Not Found" };
            log.lock().unwrap().push(line);
            let _ = write!(socket, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    (address, heard)
}

/// A site where something else deploys, in no time.
fn external(registry: SocketAddr) -> Site {
    let site = Site::new(&[]);
    let delivery = format!("delivery:\n  external: {{within: 50ms}}\n  registries: [\"docker.io=http://{registry}\"]\n");
    let state = site.state();
    site.write("pipeline.yaml", format!("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nstate: {}\n{delivery}", state.display()));
    site
}

#[test]
fn an_image_that_is_not_there_is_refused_and_one_that_nobody_can_look_for_is_vouched_for_or_not_taken() {
    let (address, heard) = registry();
    let site = external(address);
    let pipeline = site.start();
    site.furnish(&pipeline, PLAIN, "strict", &[]);
    let before = pipeline.service();
    let send = |image: &str, tag: &str, more: &[&str]| {
        let of = ["send", "event", "new-artifact", "--project", PROJECT, "--service", SERVICE, "--image", image, "--tag", tag];
        pipeline.ask(&[&of[..], more].concat())
    };
    for (image, tag, part) in [
        (CARTS, "0.7.5", "there is no image keptnexamples/carts:0.7.5 in docker.io"),
        ("10.10.10.10:10/keptnexamples/carts", "0.7.5", "--unchecked"),
        ("httpd", "2.4", "there is no image httpd:2.4"),
    ] {
        let refused = send(image, tag, &[]);
        assert_eq!(refused.code, Some(2), "{}", refused.stdout);
        assert!(refused.stderr.contains(part), "{part:?} is missing in: {}", refused.stderr);
        assert_eq!(pipeline.service(), before, "{image}: nothing has changed");
    }
    let event = |id: &str, tag: &str| {
        let data = json!({"project": PROJECT, "service": SERVICE, "image": CARTS, "tag": tag});
        let event = json!({"specversion": "0.2", "type": "sh.keptn.events.new-artifact", "source": "here", "id": id, "shkeptncontext": id,
            "data": data});
        pipeline.send("POST", "/v1/events", &[("content-type", "application/json")], event.to_string().as_bytes())
    };
    let refused = event("one", "0.7.5");
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(refused.body.contains("there is no image"), "{}", refused.body);
    assert_eq!(pipeline.service(), before);

    // What is there is taken, by either way; and what is vouched for, without a question.
    let taken = event("two", "0.7.0");
    assert_eq!((taken.status, taken.json()["keptnContext"].as_str()), (202, Some("two")), "{}", taken.body);
    assert_eq!(send(CARTS, "0.7.0", &[]).code, Some(0));
    let asked = heard.lock().unwrap().len();
    let vouched = send("10.10.10.10:10/keptnexamples/carts", "0.7.5", &["--unchecked"]);
    assert_eq!(vouched.code, Some(0), "{}", vouched.stderr);
    assert_eq!(heard.lock().unwrap().len(), asked, "nobody was asked");
    pipeline.idle();
    pipeline.end();
}

#[test]
fn a_project_of_keptn_takes_the_tag_latest_and_trusts_registries_that_the_original_did_not_ask() {
    let (address, heard) = registry();
    let site = external(address);
    let pipeline = site.start();
    site.furnish(&pipeline, PLAIN, "keptn", &[]);
    let send = |image: &str| pipeline.ask(&["send", "event", "new-artifact", "--project", PROJECT, "--service", SERVICE, "--image", image]);
    let refused = send(CARTS);
    assert_eq!(refused.code, Some(2), "{}", refused.stdout);
    assert!(refused.stderr.contains("Provided image not found: Tag not found"), "{}", refused.stderr);
    assert_eq!(heard.lock().unwrap().as_slice(), ["HEAD /v2/keptnexamples/carts/manifests/latest HTTP/1.1"]);
    for image in ["docker.io/keptnexamples/carts:0.7.0", "registry.example.org/team/carts", "httpd"] {
        assert_eq!(send(image).code, Some(0), "{image}");
    }
    pipeline.idle();
    pipeline.end();
}
