//! A stand-in for an API server on loopback: it holds objects, lists them page by page and lets them be watched, as a real one does, and
//! goes wrong where it is told to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use serde_json::{Value, json};

/// Objects by kind, namespace and name.
type Key = (String, String, String);

/// What happens to every watch that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is cut.
    Cut,
    /// It ends as it does when its time is over.
    Over,
    /// The server has forgotten what came before (410).
    Gone,
    /// Something comes that is no event.
    Garbage,
}

/// What the server holds and how it is to answer.
#[derive(Default)]
pub struct Inside {
    version: u64,
    objects: BTreeMap<Key, Value>,
    /// What became of each object: its version, what it was and what it is.
    log: Vec<(u64, Key, Option<Value>, Option<Value>)>,
    faults: Vec<Fault>,
    /// Closes every connection without an answer.
    pub down: bool,
    /// Accepts requests for lists and answers none of them.
    pub mute: bool,
    /// Who else manages the rules of routes.
    pub manager: Option<&'static str>,
    /// How often a route was applied.
    pub applied: usize,
    /// Says to every watch at once that it has forgotten what came before.
    pub forgets: bool,
    /// Answers every request with this status, reason and message.
    pub refuses: Option<(u16, &'static str, &'static str)>,
    /// How many watches are open.
    pub watching: usize,
    /// The requests, by method, path and query.
    pub asked: Vec<String>,
}

/// The server.
#[derive(Clone)]
pub struct Api {
    address: SocketAddr,
    inside: Arc<(Mutex<Inside>, Condvar)>,
}

impl Api {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = Self { address: listener.local_addr().unwrap(), inside: Arc::default() };
        let shared = api.clone();
        // It ends with the process of the test.
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let api = shared.clone();
                std::thread::spawn(move || api.serve(socket));
            }
        });
        api
    }

    pub fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.0.lock().unwrap()
    }

    /// Returns a file that says where it is, and which namespace is meant where none is written.
    pub fn kubeconfig(&self) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\nclusters:\n- name: test\n  cluster: {{server: 'http://{}'}}\n\
             contexts:\n- name: test\n  context: {{cluster: test, user: test, namespace: shop}}\nusers:\n- name: test\n  user: {{token: secret}}\n",
            self.address
        )
    }

    /// Makes or changes an object, or deletes it.
    pub fn put(&self, kind: &str, name: &str, object: Option<Value>) {
        let mut inside = self.inside();
        inside.version += 1;
        let (version, key) = (inside.version, (kind.to_owned(), "shop".to_owned(), name.to_owned()));
        let is = object.map(|mut object| {
            object["metadata"]["name"] = name.into();
            object["metadata"]["namespace"] = "shop".into();
            object["metadata"]["resourceVersion"] = version.to_string().into();
            object
        });
        let was = match is.clone() {
            Some(object) => inside.objects.insert(key.clone(), object),
            None => inside.objects.remove(&key),
        };
        inside.log.push((version, key, was, is));
        drop(inside);
        self.inside.1.notify_all();
    }

    /// Puts a slice of a Service, of pods that are named by what is behind `uid-`, with their conditions.
    pub fn slice(&self, name: &str, service: &str, port: u16, pods: &[Value]) {
        self.put(
            "endpointslices",
            name,
            Some(json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {"labels": {"kubernetes.io/service-name": service,
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}},
                "endpoints": pods, "ports": [{"name": "http", "port": port, "protocol": "TCP"}]})),
        );
    }

    /// Returns the names of the objects of a kind.
    pub fn names(&self, kind: &str) -> Vec<String> {
        self.inside().objects.keys().filter(|(of, ..)| of == kind).map(|(.., name)| name.clone()).collect()
    }

    /// Puts a route whose one rule has two backends, with their weights.
    pub fn route(&self, stable: (&str, u32), canary: (&str, u32)) {
        let backend = |(name, weight): (&str, u32)| json!({"group": "", "kind": "Service", "name": name, "port": 80, "weight": weight});
        let spec = json!({"parentRefs": [{"name": "gateway"}], "rules": [{"backendRefs": [backend(stable), backend(canary)]}]});
        self.put(
            "httproutes",
            "carts",
            Some(json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {}, "spec": spec})),
        );
    }

    /// Returns the weights of the backends of that rule.
    pub fn weights(&self) -> Vec<u64> {
        let inside = self.inside();
        let route = &inside.objects[&("httproutes".to_owned(), "shop".to_owned(), "carts".to_owned())];
        let backends = route["spec"]["rules"][0]["backendRefs"].as_array().unwrap();
        backends.iter().map(|backend| backend["weight"].as_u64().unwrap()).collect()
    }

    /// Lets every watch that is open go wrong.
    pub fn fault(&self, fault: Fault) {
        self.inside().faults.push(fault);
        self.inside.1.notify_all();
    }

    /// Changes how it answers; what is open notices at once.
    pub fn set(&self, change: impl FnOnce(&mut Inside)) {
        change(&mut self.inside());
        self.inside.1.notify_all();
    }

    fn serve(&self, mut socket: TcpStream) {
        let mut reader = BufReader::new(socket.try_clone().unwrap());
        while let Some((line, body)) = read(&mut reader) {
            let mut words = line.split(' ');
            let (method, target) = (words.next().unwrap(), words.next().unwrap());
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let mut inside = self.inside();
            inside.asked.push(format!("{method} {target}"));
            if inside.down {
                return;
            }
            let refuses = inside.refuses;
            if let Some((code, reason, message)) = refuses {
                drop(inside);
                answer(&mut socket, code, &status(code, reason, message));
                continue;
            }
            let query: BTreeMap<String, String> =
                query.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), decoded(v))).collect();
            let (namespace, kind, name) = place(path);
            if let Some(name) = name {
                assert!(kind == "httproutes" && (method == "GET" || method == "PATCH"), "nothing else is changed: {line}");
                let (code, object) = inside.route((kind, namespace, name), (method == "PATCH").then_some((&query, &body[..])));
                drop(inside);
                answer(&mut socket, code, &object);
            } else if query.contains_key("watch") {
                drop(inside);
                self.watch(&mut socket, &namespace, &kind, &query);
                return;
            } else {
                if inside.mute {
                    drop(inside);
                    drop(self.inside.1.wait_while(self.inside(), |inside| inside.mute).unwrap());
                    return;
                }
                let list = inside.list(&namespace, &kind, &query);
                drop(inside);
                answer(&mut socket, 200, &list);
            }
        }
    }

    /// Tells what becomes of objects from a version on, until something goes wrong.
    fn watch(&self, socket: &mut TcpStream, namespace: &str, kind: &str, query: &BTreeMap<String, String>) {
        let mut seen: u64 = query["resourceVersion"].parse().unwrap();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        socket.write_all(head.as_bytes()).unwrap();
        // Who sees that it is watched may let it go wrong.
        let mut before = 0;
        self.set(|inside| (inside.watching, before) = (inside.watching + 1, inside.faults.len()));
        let mut inside = self.inside();
        loop {
            let mut text = String::new();
            for (version, (of, place, _), was, is) in &inside.log {
                let fits = |object: &&Value| matches(object, query);
                if *version > seen && of == kind && place == namespace {
                    let event = match (was.as_ref().filter(fits), is.as_ref().filter(fits)) {
                        (None, None) => continue,
                        (None, Some(is)) => json!({"type": "ADDED", "object": is}),
                        (Some(_), Some(is)) => json!({"type": "MODIFIED", "object": is}),
                        (Some(was), None) => {
                            let mut object = was.clone();
                            object["metadata"]["resourceVersion"] = version.to_string().into();
                            json!({"type": "DELETED", "object": object})
                        }
                    };
                    text += &format!("{event}\n");
                }
            }
            seen = inside.version;
            let meta =
                json!({"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "metadata": {"resourceVersion": seen.to_string()}});
            text += &format!("{}\n", json!({"type": "BOOKMARK", "object": meta}));
            let fault = inside.faults.get(before).copied().or_else(|| inside.forgets.then_some(Fault::Gone));
            match fault {
                Some(Fault::Gone) => {
                    text = format!("{}\n", json!({"type": "ERROR", "object": status(410, "Expired", "too old resource version")}))
                }
                Some(Fault::Garbage) => text += "{\"type\":\"MODIFIED\",\"object\":{\"spec\": no JSON}}\n",
                Some(Fault::Cut | Fault::Over) | None => {}
            }
            let down = inside.down;
            drop(inside);
            let told = !down && write!(socket, "{:x}\r\n{text}\r\n", text.len()).is_ok();
            if fault == Some(Fault::Over) || fault == Some(Fault::Gone) {
                let _ = socket.write_all(b"0\r\n\r\n");
            }
            if !told || (fault.is_some() && fault != Some(Fault::Garbage)) {
                break self.set(|inside| inside.watching -= 1);
            }
            if fault.is_some() {
                before += 1;
            }
            // Who has gone away is noticed by what the socket says.
            socket.set_nonblocking(true).unwrap();
            let rests = |inside: &Inside| inside.version == seen && inside.faults.len() == before && !inside.down;
            loop {
                let (held, _) = self.inside.1.wait_timeout(self.inside(), std::time::Duration::from_millis(20)).unwrap();
                inside = held;
                if !rests(&inside) || matches!(socket.peek(&mut [0]), Ok(0)) {
                    break;
                }
                drop(inside);
            }
            if matches!(socket.peek(&mut [0]), Ok(0)) {
                inside.watching -= 1;
                return;
            }
            socket.set_nonblocking(false).unwrap();
        }
    }
}

impl Inside {
    /// Lists two objects at a time.
    fn list(&self, namespace: &str, kind: &str, query: &BTreeMap<String, String>) -> Value {
        let of = self.objects.iter().filter(|((of, place, _), object)| of == kind && place == namespace && matches(object, query));
        let all: Vec<&Value> = of.map(|(_, object)| object).collect();
        let from: usize = query.get("continue").map_or(0, |token| token.parse().unwrap());
        let mut meta = json!({"resourceVersion": self.version.to_string()});
        if all.len() > from + 2 {
            meta["continue"] = (from + 2).to_string().into();
            meta["remainingItemCount"] = (all.len() - from - 2).into();
        }
        json!({"kind": "List", "apiVersion": "v1", "metadata": meta, "items": all.iter().skip(from).take(2).collect::<Vec<_>>()})
    }
}

impl Inside {
    /// Answers for a route: what it is, or what becomes of it when it is applied.
    fn route(&mut self, key: Key, applied: Option<(&BTreeMap<String, String>, &[u8])>) -> (u16, Value) {
        let Some(found) = self.objects.get(&key).cloned() else {
            return (404, status(404, "NotFound", "httproutes.gateway.networking.k8s.io \"carts\" not found"));
        };
        let Some((query, body)) = applied else { return (200, found) };
        let body: Value = serde_json::from_slice(body).unwrap();
        assert_eq!((query["fieldManager"].as_str(), body["kind"].as_str()), ("portcullis", Some("HTTPRoute")));
        if let Some(manager) = self.manager.filter(|_| query.get("force").is_none_or(|force| force != "true")) {
            return (409, status(409, "Conflict", &format!("Apply failed with 1 conflict: conflict with \"{manager}\": .spec.rules")));
        }
        if body["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"] {
            return (409, status(409, "Conflict", "the object has been modified; please apply your changes to the latest version"));
        }
        self.version += 1;
        self.applied += 1;
        let mut object = found;
        object["spec"]["rules"] = body["spec"]["rules"].clone();
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.objects.insert(key, object.clone());
        (200, object)
    }
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason, "code": code, "message": message})
}

/// Returns the namespace, the kind and the name in a path.
fn place(path: &str) -> (String, String, Option<String>) {
    let (_, rest) = path.split_once("/namespaces/").unwrap();
    let mut parts = rest.split('/').map(str::to_owned);
    (parts.next().unwrap(), parts.next().unwrap(), parts.next())
}

/// Says whether an object has the labels that are asked for.
fn matches(object: &Value, query: &BTreeMap<String, String>) -> bool {
    let wanted = query.get("labelSelector").map_or("", String::as_str);
    wanted.split(',').filter_map(|pair| pair.split_once('=')).all(|(key, value)| object["metadata"]["labels"][key] == value)
}

fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |all, part| {
        let (code, rest) = part.split_at(2);
        format!("{all}{}{rest}", char::from(u8::from_str_radix(code, 16).unwrap()))
    })
}

fn answer(socket: &mut TcpStream, status: u16, body: &Value) {
    let text = body.to_string();
    let _ = write!(socket, "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{text}", text.len());
}

/// Reads a request: its first line and its body.
fn read(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first, body))
}

/// A pod as a slice names it.
pub fn pod(name: &str, ip: &str, ready: bool, ends: bool) -> Value {
    json!({"addresses": [ip], "conditions": {"ready": ready && !ends, "serving": ready, "terminating": ends}, "nodeName": "worker-1",
        "targetRef": {"kind": "Pod", "name": name, "namespace": "shop", "uid": format!("uid-{name}")}})
}
