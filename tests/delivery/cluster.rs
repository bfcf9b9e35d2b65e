//! A stand-in for a cluster on loopback: an API server that holds objects, writes down what it is asked and answers as a real one
//! does, and nodes that run carts for the Deployments it holds.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::process::eventually;

/// What becomes of the pods of an image, by its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They are available at once.
    Good,
    /// They are after so many looks.
    Slow(u32),
    /// They never are, and nobody says why.
    Never,
    /// There is no such image.
    NoImage,
    /// The cluster has given them up.
    GivenUp,
}

/// A request as it was made.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    pub kind: String,
}

/// What the API server holds and how it is to answer.
#[derive(Default)]
pub struct Inside {
    /// The objects, by their path.
    pub objects: BTreeMap<String, Value>,
    pub asked: Vec<Asked>,
    pub fates: BTreeMap<String, Fate>,
    /// Names of objects whose fields belong to somebody else.
    pub foreign: BTreeMap<String, String>,
    /// Closes every connection without an answer.
    pub down: bool,
    /// Answers so many requests with these statuses, the last one first.
    pub sick: Vec<u16>,
    looks: BTreeMap<String, u32>,
    nodes: BTreeMap<String, Child>,
    version: u64,
    services: u8,
    subnet: u16,
}

/// The API server.
pub struct Cluster {
    address: SocketAddr,
    /// The certificate by which it is known, where it speaks TLS.
    authority: Option<String>,
    inside: Arc<Mutex<Inside>>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for (_, mut child) in std::mem::take(&mut self.inside().nodes) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Cluster {
    pub fn start() -> Self {
        Self::with(None, None)
    }

    /// Speaks TLS with a certificate of its own.
    pub fn encrypted() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
        Self::with(Some(Arc::new(config)), Some(certificate.pem()))
    }

    fn with(tls: Option<Arc<ServerConfig>>, authority: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // Tests that run at the same time are other processes; each has addresses of loopback for itself.
        let inside = Inside { subnet: address.port(), ..Inside::default() };
        let inside = Arc::new(Mutex::new(inside));
        let shared = Arc::clone(&inside);
        // It ends with the process of the test.
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                std::thread::spawn(move || match tls {
                    None => serve(&shared, socket),
                    Some(config) => serve(&shared, StreamOwned::new(ServerConnection::new(config).unwrap(), socket)),
                });
            }
        });
        Self { address, authority, inside }
    }

    pub fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    /// Returns a file that says where it is.
    pub fn kubeconfig(&self) -> String {
        let (scheme, authority) = match &self.authority {
            None => ("http", String::new()),
            Some(pem) => ("https", format!("\n    certificate-authority-data: {}", STANDARD.encode(pem))),
        };
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\nclusters:\n- name: test\n  cluster:\n    server: {scheme}://{}{authority}\n\
             contexts:\n- name: test\n  context: {{cluster: test, user: test}}\nusers:\n- name: test\n  user: {{token: secret}}\n",
            self.address
        )
    }

    /// Returns the names of the objects of a kind in a namespace.
    pub fn names(&self, kind: &str, namespace: &str) -> Vec<String> {
        let inside = self.inside();
        let part = format!("/namespaces/{namespace}/{kind}/");
        inside.objects.keys().filter_map(|path| path.split_once(&part)).map(|(_, name)| name.to_owned()).collect()
    }

    /// Returns the deployment that a Service leads to.
    pub fn leads_to(&self, namespace: &str, service: &str) -> Option<String> {
        let inside = self.inside();
        let found = inside.objects.get(&format!("/api/v1/namespaces/{namespace}/services/{service}"))?;
        Some(found["spec"]["selector"]["portcullis/deployment"].as_str()?.to_owned())
    }
}

fn serve(inside: &Mutex<Inside>, stream: impl Read + Write) {
    let mut reader = BufReader::new(stream);
    loop {
        let Some((asked, body)) = read(&mut reader) else { return };
        let mut inside = inside.lock().unwrap();
        inside.asked.push(asked.clone());
        if inside.down {
            return;
        }
        let (status, answer) = match inside.sick.pop() {
            Some(status) => refuse(status, "Sick", "not now"),
            None => inside.answer(&asked, &body),
        };
        drop(inside);
        let text = answer.to_string();
        let head = format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", text.len());
        let stream = reader.get_mut();
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(text.as_bytes())).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<(Asked, Value)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut asked = Asked { method, path: path.to_owned(), query: query.to_owned(), kind: String::new() };
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "content-type" => asked.kind = value.trim().to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((asked, serde_json::from_slice(&body).unwrap_or_default()))
}

/// Says no as the API does.
fn refuse(code: u16, reason: &str, message: &str) -> (u16, Value) {
    (code, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": message}))
}

impl Inside {
    fn answer(&mut self, asked: &Asked, body: &Value) -> (u16, Value) {
        let Asked { method, path, query, .. } = asked;
        let (folder, name) = path.rsplit_once('/').unwrap();
        match method.as_str() {
            "GET" if name == "pods" => (200, json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": self.pods(query)})),
            "GET" => match self.look(path) {
                Some(object) => (200, object),
                None => refuse(404, "NotFound", &format!("{name} not found")),
            },
            "PATCH" => {
                if let Some(manager) = self.foreign.get(name) {
                    let why = format!("Apply failed with 1 conflict: conflict with \"{manager}\": .spec.selector");
                    return refuse(409, "Conflict", &why);
                }
                if folder.contains("/namespaces/nowhere-") {
                    return refuse(404, "NotFound", "namespaces \"nowhere-dev\" not found");
                }
                (200, self.apply(path, body))
            }
            "DELETE" => {
                let Some(found) = self.objects.get(path) else { return refuse(404, "NotFound", &format!("{name} not found")) };
                let wanted = &body["preconditions"];
                let same = |key: &str| wanted[key].is_null() || wanted[key] == found["metadata"][key];
                if !(same("uid") && same("resourceVersion")) {
                    return refuse(409, "Conflict", "the object has been modified");
                }
                let found = self.objects.remove(path).unwrap();
                if let Some(mut child) = self.nodes.remove(path) {
                    child.kill().unwrap();
                    child.wait().unwrap();
                }
                (200, found)
            }
            other => panic!("a method that is not used: {other}"),
        }
    }

    /// Takes an object as it is applied, keeping what the server itself adds.
    fn apply(&mut self, path: &str, body: &Value) -> Value {
        self.version += 1;
        let before = self.objects.get(path).cloned().unwrap_or_default();
        let mut object = body.clone();
        let metadata = &mut object["metadata"];
        metadata["uid"] = if before.is_null() { format!("uid-{}", self.version).into() } else { before["metadata"]["uid"].clone() };
        metadata["resourceVersion"] = self.version.to_string().into();
        let (was, mut is) = (before["spec"].clone(), body["spec"].clone());
        if path.contains("/services/") {
            is["clusterIP"] = was["clusterIP"].as_str().map_or_else(|| self.next_address(), str::to_owned).into();
        }
        let generation = before["metadata"]["generation"].as_u64().unwrap_or_default();
        metadata["generation"] = if was == is { generation } else { generation + 1 }.into();
        object["spec"] = is;
        self.objects.insert(path.to_owned(), object.clone());
        object
    }

    fn next_address(&mut self) -> String {
        self.services += 1;
        let [high, low] = self.subnet.to_be_bytes();
        Ipv4Addr::new(127, high, low, self.services).to_string()
    }

    /// Returns an object with the status it has by now.
    fn look(&mut self, path: &str) -> Option<Value> {
        let mut object = self.objects.get(path)?.clone();
        if path.contains("/deployments/") {
            let wanted = object["spec"]["replicas"].as_u64().unwrap_or(1);
            let looks = self.looks.entry(path.to_owned()).or_default();
            *looks += 1;
            let (looks, fate) = (*looks, self.fate(&object));
            let available = match fate {
                Fate::Good => true,
                Fate::Slow(many) => looks > many,
                Fate::Never | Fate::NoImage | Fate::GivenUp => false,
            };
            if available {
                self.run(path, &object);
            }
            object["status"] = json!({"observedGeneration": object["metadata"]["generation"], "replicas": wanted, "updatedReplicas": wanted,
                "availableReplicas": if available { wanted } else { 0 }});
            if fate == Fate::GivenUp {
                let message = "ReplicaSet has timed out progressing.";
                object["status"]["conditions"] =
                    json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": message}]);
            }
        }
        Some(object)
    }

    fn fate(&self, deployment: &Value) -> Fate {
        self.fates.get(&tag(deployment)).copied().unwrap_or(Fate::Good)
    }

    fn pods(&self, query: &str) -> Vec<Value> {
        let of = |deployment: &&Value| {
            let id = deployment["metadata"]["labels"]["portcullis/deployment"].as_str().unwrap_or_default();
            query.contains(&format!("portcullis%2Fdeployment%3D{id}"))
        };
        let found = self.objects.iter().filter(|(path, _)| path.contains("/deployments/")).map(|(_, object)| object).filter(of);
        let pod = |deployment: &Value| {
            let state = match self.fate(deployment) {
                Fate::NoImage => json!({"waiting": {"reason": "ImagePullBackOff",
                    "message": format!("Back-off pulling image \"{}\": not found", image(deployment))}}),
                _ => json!({"running": {}}),
            };
            json!({"metadata": {"name": format!("{}-abcde", deployment["metadata"]["name"].as_str().unwrap())},
                "status": {"containerStatuses": [{"name": "carts", "state": state}]}})
        };
        found.map(pod).collect()
    }

    /// Runs carts where the Service of a Deployment listens.
    fn run(&mut self, path: &str, deployment: &Value) {
        let service = path.replace("/apis/apps/v1/", "/api/v1/").replace("/deployments/", "/services/");
        let Some(service) = self.objects.get(&service).filter(|_| !self.nodes.contains_key(path)) else { return };
        let ip = service["spec"]["clusterIP"].as_str().unwrap();
        let address: SocketAddr = format!("{ip}:{}", service["spec"]["ports"][0]["port"]).parse().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["carts", "--tag", &tag(deployment), "--listen", &address.to_string()]);
        self.nodes.insert(path.to_owned(), command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        eventually("a pod listens", || TcpStream::connect(address).ok());
    }
}

fn image(deployment: &Value) -> &str {
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    containers.iter().find(|container| container["name"] == "carts").unwrap()["image"].as_str().unwrap()
}

fn tag(deployment: &Value) -> String {
    image(deployment).rsplit(':').next().unwrap().to_owned()
}
