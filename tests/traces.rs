//! The built program sends the traces of sampled requests to a collector on a real socket: ids, parentage, attributes, sampling, and
//! what it says when the collector is away.
#![cfg(test)]

#[path = "support/process.rs"]
#[expect(dead_code, reason = "shared with other test targets, each of which uses a part")]
mod process;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use process::{Finished, PATIENCE, Running, command, ended, eventually, finish, request};
use serde_json::Value;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A server that keeps what it was sent, head and body, and gives every request the same answer.
#[derive(Clone, Default)]
struct Stub {
    seen: Arc<Mutex<Vec<(String, String)>>>,
}

impl Stub {
    fn start(answer: &'static str) -> (Self, SocketAddr) {
        let stub = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::clone(&stub.seen);
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || serve(socket, answer, &seen));
            }
        });
        (stub, address)
    }

    fn seen(&self) -> Vec<(String, String)> {
        self.seen.lock().unwrap().clone()
    }

    /// Returns the value of a field in the head of the last request.
    fn last(&self, name: &str) -> Option<String> {
        let seen = self.seen();
        let (head, _) = seen.last().unwrap();
        head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
    }
}

fn serve(mut socket: TcpStream, answer: &str, seen: &Mutex<Vec<(String, String)>>) {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        while let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).into_owned();
            let length = head.to_ascii_lowercase().lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if read.len() < end + 4 + length {
                break;
            }
            let body = String::from_utf8_lossy(&read[end + 4..end + 4 + length]).into_owned();
            read.drain(..end + 4 + length);
            seen.lock().unwrap().push((head, body));
            if socket.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
        let Ok(count @ 1..) = socket.read(&mut buffer) else { return };
        read.extend_from_slice(&buffer[..count]);
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const TAKEN: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

/// A span with its attributes by name.
#[derive(Debug)]
struct Span {
    value: Value,
    attributes: BTreeMap<String, String>,
}

impl Span {
    fn of(value: &Value) -> Self {
        let text = |value: &Value| value.as_object().unwrap().values().next().unwrap().clone();
        let one = |attribute: &Value| {
            let value = text(&attribute["value"]);
            (attribute["key"].as_str().unwrap().to_owned(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        };
        let attributes = value["attributes"].as_array().unwrap().iter().map(one).collect();
        Self { value: value.clone(), attributes }
    }

    fn text(&self, key: &str) -> &str {
        self.value[key].as_str().unwrap_or_default()
    }

    fn is(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

/// Returns every span the collector has got, once there are as many.
fn spans(collector: &Stub, wanted: usize) -> Vec<Span> {
    eventually("the spans came", || {
        let bodies: Vec<Value> = collector.seen().iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect();
        let spans: Vec<Span> =
            bodies.iter().flat_map(|body| body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap()).map(Span::of).collect();
        Some(spans).filter(|spans| spans.len() >= wanted)
    })
}

struct Scene {
    folder: tempfile::TempDir,
    proxy: Running,
    listen: SocketAddr,
    admin: SocketAddr,
}

/// Starts the proxy before stable, and a canary that gets every request where there is one.
fn scene(traces: &str, stable: SocketAddr, canary: Option<SocketAddr>) -> Scene {
    scene_with(&format!("traces: {traces}\n"), &[], stable, canary)
}

/// Starts it with these lines in its configuration and these variables in its environment.
fn scene_with(lines: &str, variables: &[(&str, &str)], stable: SocketAddr, canary: Option<SocketAddr>) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("portcullis.yaml");
    let canary = canary.map_or_else(String::new, |address| {
        format!(
            "    canary: {{version: v2, endpoints: ['{address}']}}\n    gates: [errors < 90%]\n    \
             plan: {{steps: [{{weight: 100%, hold: 1h}}]}}\n"
        )
    });
    let text = format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nworkers: 1\nstate: {}\naccess_log: ./access.log\n{lines}\
         services:\n  - name: carts\n    stable: {{version: v1, endpoints: ['{stable}']}}\n{canary}",
        folder.path().join("state").display()
    );
    std::fs::write(&path, text).unwrap();
    let mut command = command(&["run", path.to_str().unwrap()]);
    command.envs(variables.iter().copied());
    let proxy = Running::spawn(command);
    let (listen, admin) = (proxy.address("listening on "), proxy.address("admin on "));
    Scene { folder, proxy, listen, admin }
}

impl Scene {
    fn get(&self, fields: &str) {
        let mut socket = TcpStream::connect(self.listen).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(socket, "GET /carts/1?secret=s3cr3t HTTP/1.1\r\nhost: carts.test:81\r\nconnection: close\r\n{fields}\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    fn counter(&self, name: &str) -> f64 {
        let text = request(self.admin, "GET /metrics", "");
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(-1.0)
    }
}

#[test]
fn a_recorded_request_is_a_span_of_its_callers_trace_with_one_for_the_attempt() {
    let (version, stable) = Stub::start(OK);
    let (collector, address) = Stub::start(TAKEN);
    let scene = scene(&format!("{{endpoint: 'http://{address}', sample: 0%}}"), stable, None);
    scene.get(&format!("traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: a=b\r\n"));
    let spans = spans(&collector, 2);
    let [server, client] = spans.as_slice() else { panic!("{spans:?}") };
    for (key, value) in [("traceId", TRACE), ("parentSpanId", PARENT), ("traceState", "a=b"), ("name", "GET")] {
        assert_eq!(server.text(key), value, "{key}");
    }
    assert_eq!((client.text("traceId"), client.text("parentSpanId")), (TRACE, server.text("spanId")));
    assert_eq!((server.value["kind"].as_u64(), client.value["kind"].as_u64()), (Some(2), Some(3)));
    assert_eq!(version.last("traceparent").unwrap(), format!("00-{TRACE}-{}-01", client.text("spanId")));
    assert_eq!(version.last("tracestate").unwrap(), "a=b");
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("url.path", "/carts/1"),
        ("url.scheme", "http"),
        ("server.address", "carts.test"),
        ("client.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("portcullis.service", "carts"),
        ("portcullis.version", "v1"),
        ("portcullis.role", "stable"),
    ] {
        assert_eq!(server.is(key), value, "{key}");
    }
    assert_ne!(server.is("portcullis.generation"), "");
    assert_eq!((client.is("server.port"), client.is("http.response.status_code")), (stable.port().to_string().as_str(), "200"));
    assert_eq!(client.is("url.full"), format!("http://{stable}/carts/1"));
    let times = |span: &Span| ["startTimeUnixNano", "endTimeUnixNano"].map(|key| span.text(key).parse::<u128>().unwrap());
    let ([began, ended], [asked, answered]) = (times(server), times(client));
    assert!(began <= asked && asked < answered && answered <= ended, "{began} {asked} {answered} {ended}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    assert!(ended <= now && now - began < PATIENCE.as_nanos() * 3, "{began} to {ended}, and now it is {now}");
    let (head, body) = &collector.seen()[0];
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n") && !body.contains("s3cr3t"), "{head}\n{body}");
    let log = eventually("the line", || std::fs::read_to_string(scene.folder.path().join("access.log")).ok().filter(|log| !log.is_empty()));
    assert!(log.contains(&format!("\"trace.id\":\"{TRACE}\"")), "{log}");
    eventually("the spans are counted", || (scene.counter("portcullis_trace_spans_sent_total") == 2.0).then_some(()));
}

#[test]
fn a_rescue_is_a_second_attempt_and_the_version_that_answers_is_told_its_span() {
    let (version, stable) = Stub::start(OK);
    let (collector, address) = Stub::start(TAKEN);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let scene = scene(&format!("{{endpoint: 'http://{address}', sample: 100%}}"), stable, Some(closed));
    let mut sent = 0;
    // The rollout may not have begun when the first request comes.
    let spans = eventually("a rescue", || {
        scene.get("");
        sent += 1;
        let mut all = eventually("its span", || {
            let all = spans(&collector, 1);
            (all.iter().filter(|span| span.value["kind"] == 2).count() == sent).then_some(all)
        });
        let last = all.iter().rposition(|span| span.value["kind"] == 2).unwrap();
        let own = all.split_off(last);
        (own.len() == 3).then_some(own)
    });
    let [server, failed, rescue] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!((server.is("portcullis.rescue.reason"), server.is("portcullis.rollout")), ("connection_refused", "1"));
    assert_eq!((server.is("portcullis.version"), server.is("portcullis.attempts")), ("v1", "2"));
    assert!(server.value.get("parentSpanId").is_none(), "{server:?}");
    assert_eq!(
        (failed.is("portcullis.version"), failed.is("error.type"), failed.is("portcullis.role")),
        ("v2", "connection_refused", "canary")
    );
    assert_eq!(
        (rescue.is("portcullis.version"), rescue.is("portcullis.rescue"), rescue.is("http.request.resend_count")),
        ("v1", "true", "1")
    );
    assert!([failed, rescue].iter().all(|child| child.text("parentSpanId") == server.text("spanId")));
    let told = version.last("traceparent").unwrap();
    assert_eq!(told, format!("00-{}-{}-03", server.text("traceId"), rescue.text("spanId")));
}

#[test]
fn of_many_requests_the_share_is_recorded_and_a_callers_no_is_kept() {
    let (version, stable) = Stub::start(OK);
    let (collector, address) = Stub::start(TAKEN);
    let scene = scene(&format!("{{endpoint: 'http://{address}', sample: 25%}}"), stable, None);
    let mut socket = TcpStream::connect(scene.listen).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut many = |count: usize, fields: &str| {
        for _ in 0..count {
            write!(socket, "GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n").unwrap();
            let (mut answer, mut buffer) = (Vec::new(), [0; 1024]);
            while !answer.ends_with(b"\r\n\r\nok") {
                let read = socket.read(&mut buffer).unwrap();
                assert!(read > 0, "the connection ended");
                answer.extend_from_slice(&buffer[..read]);
            }
        }
    };
    let declined = format!("traceparent: 00-{TRACE}-{PARENT}-00\r\n");
    many(200, &declined);
    assert!(version.seen().iter().all(|(head, _)| head.contains(declined.trim_end())));
    many(2_000, "");
    // Whoever stops it gets the last ones too.
    let id = scene.proxy.id();
    assert_eq!(scene.proxy.terminate(), Some(0), "process {id}");
    let recorded = spans(&collector, 0).iter().filter(|span| span.value["kind"] == 2).count();
    assert_eq!(recorded, version.seen().iter().filter(|(head, _)| head.contains("-03\r\n")).count());
    // Six standard deviations of a binomial of 2,000 by 25 % are 116.
    assert!((384..=616).contains(&recorded), "{recorded} of 2000");
    assert!(spans(&collector, 0).iter().all(|span| span.text("traceId") != TRACE));
}

#[test]
fn without_a_collector_requests_go_on_and_what_is_lost_is_counted() {
    let (_version, stable) = Stub::start(OK);
    let (_, refuses) = Stub::start("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    let scene = scene(&format!("{{endpoint: 'http://{refuses}', sample: 100%}}"), stable, None);
    scene.get("");
    let lost = "portcullis_trace_spans_dropped_total{reason=\"refused\"}";
    eventually("the loss is counted", || (scene.counter(lost) == 2.0).then_some(()));
    scene.get("");
    eventually("the next loss is counted", || (scene.counter(lost) == 4.0).then_some(()));
}

#[test]
fn the_environment_alone_has_traces_sent_with_its_fields_and_name() {
    let (_version, stable) = Stub::start(OK);
    let (collector, address) = Stub::start(TAKEN);
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*format!("http://{address}")),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cr3t%20key"),
        ("OTEL_SERVICE_NAME", "edge"),
        ("OTEL_TRACES_SAMPLER", "always_on"),
    ];
    let scene = scene_with("", &variables, stable, None);
    scene.get("");
    spans(&collector, 2);
    assert_eq!(collector.last("api-key").as_deref(), Some("s3cr3t key"));
    let (_, body) = collector.seen().remove(0);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        body["resourceSpans"][0]["resource"]["attributes"][0],
        serde_json::json!({"key": "service.name", "value": {"stringValue": "edge"}})
    );
    let shown = request(scene.admin, "GET /metrics", "");
    assert!(!shown.contains("s3cr3t"), "{shown}");
    let disabled = [variables[0], ("OTEL_SDK_DISABLED", "true")];
    let quiet = scene_with("", &disabled, stable, None);
    assert_eq!(quiet.counter("portcullis_trace_spans_sent_total"), -1.0, "there is no exporter");
}

#[test]
fn a_token_is_not_sent_in_clear_text() {
    use std::os::unix::fs::OpenOptionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (path, token) = (folder.path().join("portcullis.yaml"), folder.path().join("t"));
    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(token).unwrap();
    file.write_all(b"s3cr3t-token-of-more-than-32-characters").unwrap();
    let text = format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nstate: {}\ntraces: {{endpoint: 'http://collector.example', token_file: t}}\n\
         services: [{{name: a, stable: {{version: v1, endpoints: ['127.0.0.1:1']}}}}]\n",
        folder.path().join("state").display()
    );
    std::fs::write(&path, text).unwrap();
    let refused = finish(&["run", path.to_str().unwrap()]);
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("in clear text") && !refused.stderr.contains("s3cr3t"), "{}", refused.stderr);
    // Nor is one of the environment.
    let text = std::fs::read_to_string(&path).unwrap();
    let text: String = text.lines().filter(|line| !line.starts_with("traces:")).map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, text).unwrap();
    let mut said = command(&["run", path.to_str().unwrap()]);
    said.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example");
    said.env("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20s3cr3t");
    let Finished { code, stderr, .. } = ended(said);
    assert!(code != Some(0) && stderr.contains("in clear text") && !stderr.contains("s3cr3t"), "{stderr}");
}
