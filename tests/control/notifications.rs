//! The program tells others of its rollouts as it is configured to, and keeps their secrets.

use crate::listener::listen;
use crate::process::{PATIENCE, finish};
use crate::stand::Stand;

#[test]
fn every_change_of_a_rollout_is_told_as_it_is_configured() {
    let (address, told) = listen(|_, _| Some("204 No Content"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("slack.url");
    std::fs::write(&file, format!("http://{address}/services/T0/s3cr3t\n")).unwrap();
    let process = format!(
        "notifications:\n  link: https://portcullis.example.com\n  receivers:\n    - {{name: ops, kind: slack, url_file: {}}}\n    \
         - {{name: events, kind: cloudevents, url: \"http://{address}/events\"}}\n",
        file.display()
    );
    let stand = Stand::with(&process, "    plan: {steps: [{weight: 50%, hold: 0s}, {weight: 100%, hold: 0s}]}\n");
    stand.until("promoted");
    let (mut phases, mut sentences) = (Vec::new(), Vec::new());
    while phases.len() < 3 || sentences.len() < 3 {
        let (path, body) = told.recv_timeout(PATIENCE).expect("a message in time");
        match path.as_str() {
            "/events" => phases.push(format!("{} {}", body["data"]["phase"].as_str().unwrap(), body["data"]["to"].as_str().unwrap())),
            "/services/T0/s3cr3t" => sentences.push(body["text"].as_str().unwrap().to_owned()),
            other => panic!("{other}"),
        }
    }
    assert_eq!(phases, ["progressing 50%", "progressing 100%", "promoted 100%"], "from the very first, once each, in order");
    assert!(sentences.iter().all(|text| text.ends_with("<https://portcullis.example.com/|dashboard>")), "{sentences:?}");
    for path in ["/v1/notices", "/v1/rollouts", "/metrics"] {
        assert!(!stand.call(&format!("GET {path}"), "").1.to_string().contains("s3cr3t"), "{path}");
    }
}

#[test]
fn a_secret_is_not_sent_for_everybody_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("slack.url"), "http://hooks.example.com/services/s3cr3t").unwrap();
    let text = format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nstate: {}\nnotifications: {{receivers: [{{name: ops, kind: slack, url_file: slack.url}}]}}\n\
         services: [{{name: carts, stable: {{version: v1, endpoints: [\"127.0.0.1:1\"]}}}}]\n",
        path("state")
    );
    std::fs::write(path("portcullis.yaml"), text).unwrap();
    let ended = finish(&["run", &path("portcullis.yaml")]);
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("ops cannot be told: http://hooks.example.com is in clear text"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("s3cr3t"), "{}", ended.stderr);
}
