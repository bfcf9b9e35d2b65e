//! Answers an `AdmissionReview` (`admission.k8s.io/v1`) as a mutating webhook does: pure, from the bytes asked to the bytes answered.
//!
//! It fails open: whatever is asked about, the pod is allowed, and where it gets no sidecar a warning says why. A proxy is no reason
//! for an application not to run; its plain Service leads to the stable version then. Only [`Invalid::Deny`] makes it refuse, and only
//! pods that are set up wrong. Nothing is kept and nothing else is changed, so a dry run is answered as any other.
//!
//! What is not even a review, so that no answer could be matched to it, is told apart ([`NoReview`]).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::kube::inject::annotations::KNOWN;
use crate::kube::inject::fault::{Fault, shown};
use crate::kube::inject::object;
use crate::kube::inject::patch;
use crate::kube::inject::pod::Pod;
use crate::kube::inject::settings::Settings;
use crate::kube::inject::sidecar::NAME;

/// The largest review that is read, in bytes. An object has 3 MiB at most, and the new object of a creation is the only one there.
pub const MOST_BYTES: usize = 4 << 20;
/// The group of reviews; both versions have the same fields.
const GROUP: &str = "admission.k8s.io/";
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];
/// The longest uid that is given back, in bytes. The API server's have 36.
const LONGEST_UID: usize = 256;
/// The most warnings, and the longest, in characters. The API server cuts each at 256, and all of a request's at 4096 together.
const MOST_WARNINGS: usize = 8;
const LONGEST_WARNING: usize = 240;
/// The longest reason of a denial, in characters.
const LONGEST_REASON: usize = 2000;
/// The most values of a review that are taken apart.
const MOST_VALUES: usize = 50_000;
/// The most labels and annotations of ours that are looked at; there are fewer.
const MOST_OURS: usize = 100;
/// The most containers and volumes of a pod that are looked at.
const MOST_CONTAINERS: usize = 1000;
/// What the API server writes to `terminationGracePeriodSeconds` where nobody says it, before it asks us.
const UNSAID_GRACE: u64 = 30;

/// What becomes of a pod whose label or annotations are wrong, or in which something is in the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Invalid {
    /// It runs without a sidecar, with a warning.
    #[default]
    Allow,
    /// It is refused.
    Deny,
}

/// An answer, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The review with the response, JSON.
    pub body: Vec<u8>,
    /// What was decided.
    pub outcome: Outcome,
    /// The namespace and the name of the pod, cut short and quoted, for the log.
    pub pod: String,
    /// The warnings, or the reason of a denial.
    pub words: Vec<String>,
}

/// What was decided about what a review asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The pod gets the sidecar.
    Injected,
    /// The pod is as it should be without our doing anything.
    LeftAlone,
    /// The pod is set up wrong and allowed without a sidecar.
    Invalid,
    /// The pod is set up wrong and refused.
    Denied,
    /// It is not about the creation of a pod.
    Other,
    /// The review is of an unknown version, or has no pod.
    Unread,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 6] = [Self::Injected, Self::LeftAlone, Self::Invalid, Self::Denied, Self::Other, Self::Unread];

    /// Returns how it is written in metrics, in the log and in the annotations of the API server's audit log.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::LeftAlone => "left_alone",
            Self::Invalid => "invalid",
            Self::Denied => "denied",
            Self::Other => "other",
            Self::Unread => "unread",
        }
    }
}

/// Why bytes are no review. Whoever sent them is no API server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no AdmissionReview: {0}; POST one of admission.k8s.io/v1 with a request that has a uid")]
pub struct NoReview(String);

/// Answers a review.
///
/// # Errors
///
/// Says why the bytes are none.
pub fn review(asked: &[u8], settings: &Settings, invalid: Invalid) -> Result<Answer, NoReview> {
    let unreadable = |error: serde_json::Error| NoReview(format!("it cannot be read as JSON ({error})"));
    let crowded = is_crowded(asked);
    let mut review = if crowded {
        let outline: Outline = serde_json::from_slice(asked).map_err(unreadable)?;
        json!({"apiVersion": outline.version, "kind": outline.kind, "request": {"uid": outline.request.uid, "namespace": outline.request.namespace}})
    } else {
        serde_json::from_slice(asked).map_err(unreadable)?
    };
    let text = |key: &str| review.get(key).and_then(Value::as_str).unwrap_or_default();
    let (kind, version) = (text("kind"), text("apiVersion"));
    let Some(number) = version.strip_prefix(GROUP).filter(|_| kind == "AdmissionReview") else {
        return Err(NoReview(format!("its apiVersion is {} and its kind {}", shown(version), shown(kind))));
    };
    let is_number = number.len() <= 20 && number.starts_with('v') && number.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_number {
        return Err(NoReview(format!("its apiVersion is {}", shown(version))));
    }
    let (version, known) = (version.to_owned(), VERSIONS.contains(&number));
    let request = review.get_mut("request").map(Value::take);
    let Some(Value::Object(mut request)) = request else { return Err(NoReview("it has no request".to_owned())) };
    let uid = request.get("uid").and_then(Value::as_str).filter(|uid| !uid.is_empty() && uid.len() <= LONGEST_UID);
    let Some(uid) = uid.map(str::to_owned) else { return Err(NoReview("its request has no uid".to_owned())) };
    let decided = if known && crowded {
        let why = format!("no sidecar was put in: the review has more than {MOST_VALUES} values");
        Decided { words: vec![why], ..Decided::nothing(Outcome::Unread) }
    } else if known {
        decided(&mut request, settings, invalid)
    } else {
        // Its other fields may mean something else; these three a review can hardly do without.
        let why = format!("no sidecar was put in: reviews of {} are not known here, but those of {GROUP}v1", shown(&version));
        Decided { words: vec![line(&why, LONGEST_WARNING)], ..Decided::nothing(Outcome::Unread) }
    };
    let (outcome, pod, words) = (decided.outcome, named(&request), decided.words.clone());
    let body = json!({"apiVersion": version, "kind": "AdmissionReview", "response": decided.response(uid)}).to_string().into_bytes();
    Ok(Answer { body, outcome, pod, words })
}

/// What has to be known to answer a review whose pod is not taken apart.
#[derive(Deserialize)]
struct Outline {
    #[serde(rename = "apiVersion")]
    version: String,
    kind: String,
    request: OutlineOfRequest,
}

#[derive(Deserialize)]
struct OutlineOfRequest {
    uid: String,
    #[serde(default)]
    namespace: String,
}

/// Says whether there are so many values that taking them apart would keep others waiting, or fill the memory. A pod has hundreds; each
/// value but the first comes after a comma, or is the first of a list or of a mapping.
fn is_crowded(asked: &[u8]) -> bool {
    let (mut in_text, mut escaped, mut values) = (false, false, 0);
    for byte in asked {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b',' | b'[' | b'{' if !in_text => values += 1,
            _ => {}
        }
    }
    values > MOST_VALUES
}

/// What is answered, before it is written.
struct Decided {
    outcome: Outcome,
    /// Warnings, or the reason of a denial.
    words: Vec<String>,
    patch: Option<Vec<u8>>,
}

impl Decided {
    const fn nothing(outcome: Outcome) -> Self {
        Self { outcome, words: Vec::new(), patch: None }
    }

    fn response(self, uid: String) -> Value {
        let mut response = Map::new();
        let mut put = |key: &str, value: Value| response.insert(key.to_owned(), value);
        put("uid", uid.into());
        put("allowed", (self.outcome != Outcome::Denied).into());
        if self.outcome == Outcome::Denied {
            let reason = line(&self.words.join("; "), LONGEST_REASON);
            put("status", json!({"status": "Failure", "message": reason, "reason": "Invalid", "code": 422}));
        } else if !self.words.is_empty() {
            put("warnings", self.words.into());
        }
        if let Some(patch) = self.patch {
            put("patchType", "JSONPatch".into());
            put("patch", STANDARD.encode(patch).into());
        }
        if self.outcome != Outcome::Other {
            put("auditAnnotations", json!({"outcome": self.outcome.word(), "version": env!("CARGO_PKG_VERSION")}));
        }
        Value::Object(response)
    }
}

fn decided(request: &mut Map<String, Value>, settings: &Settings, invalid: Invalid) -> Decided {
    // Whoever registers the webhook for more than it is made for is told nothing of each of them.
    if !is_creation(request) {
        return Decided::nothing(Outcome::Other);
    }
    let Some(Value::Object(mut pod)) = request.remove("object") else {
        let words = vec!["no sidecar was put in: the review has no pod".to_owned()];
        return Decided { words, ..Decided::nothing(Outcome::Unread) };
    };
    // What it is says the request, and a patch never touches it.
    pod.insert("apiVersion".to_owned(), "v1".into());
    pod.insert("kind".to_owned(), "Pod".into());
    let mut pod = Value::Object(pod);
    // Where others are asked after us, we are asked again.
    let done = Pod::read(&pod, "").is_ok_and(|pod| pod.has_status() && pod.container(NAME).is_some());
    let name = pod.get("metadata").map(|metadata| json!({"name": metadata.get("name"), "generateName": metadata.get("generateName")}));
    request.insert("pod".to_owned(), name.unwrap_or_default());
    if done {
        return Decided::nothing(Outcome::LeftAlone);
    }
    let unsaid = forget_unsaid_grace(&mut pod);
    let injected = if let Some(fault) = beyond_measure(&pod) { Err(vec![fault]) } else { object::inject(&pod, settings) };
    let (outcome, words, injected) = match injected {
        Err(faults) => {
            let denied = invalid == Invalid::Deny;
            let words = faults.iter().map(|fault| told(fault, !denied)).collect();
            (if denied { Outcome::Denied } else { Outcome::Invalid }, words, None)
        }
        Ok(injected) => {
            let words = injected.warnings.iter().map(|fault| told(fault, false)).collect();
            if injected.count == 0 { (Outcome::LeftAlone, words, None) } else { (Outcome::Injected, words, Some(injected.object)) }
        }
    };
    let patch = injected.map(|mut after| {
        if let Some(grace) = unsaid {
            remember_grace(&mut pod, &grace);
            remember_grace(&mut after, &grace);
        }
        serde_json::to_vec(&patch::patch(&pod, &after)).unwrap_or_else(|_| b"[]".to_vec())
    });
    Decided { outcome, words: limited(words), patch }
}

/// Says whether a pod is to be made; not, for example, whether it is bound to a node, which is the creation of a subresource.
fn is_creation(request: &Map<String, Value>) -> bool {
    let resource = |key: &str| request.get("resource").and_then(|resource| resource.get(key)).and_then(Value::as_str).unwrap_or_default();
    let text = |key: &str| request.get(key).and_then(Value::as_str).unwrap_or_default();
    let whole = request.get("subResource").is_none_or(|part| part.is_null() || part == "");
    text("operation") == "CREATE" && resource("group").is_empty() && resource("resource") == "pods" && whole
}

/// Finds more annotations and labels of ours than there are, or more containers than any pod has: whoever may make pods could keep others
/// waiting with them, for each is looked at and told of.
fn beyond_measure(pod: &Value) -> Option<Fault> {
    let (metadata, spec) = (pod.get("metadata"), pod.get("spec"));
    let of = |part: &str| metadata.and_then(|it| it.get(part)).and_then(Value::as_object).into_iter().flat_map(Map::keys);
    let ours = of("annotations").chain(of("labels")).filter(|key| key.contains("portcullis")).take(MOST_OURS + 1).count();
    if ours > MOST_OURS {
        let message = format!("there are more than {MOST_OURS} labels and annotations of ours");
        return Some(Fault::new("metadata", message, format!("{} are known, see docs/kubernetes.md", KNOWN.len())));
    }
    let length = |part: &str| spec.and_then(|it| it.get(part)).and_then(Value::as_array).map_or(0, Vec::len);
    let long =
        ["containers", "initContainers", "ephemeralContainers", "volumes"].into_iter().find(|part| length(part) > MOST_CONTAINERS)?;
    Some(Fault::new(format!("spec.{long}"), format!("there are more than {MOST_CONTAINERS}"), "make several pods of it"))
}

/// Takes the time for a pod's end out where it is what the API server writes by itself, so that it is raised for the proxy as in a
/// manifest that does not say it.
fn forget_unsaid_grace(pod: &mut Value) -> Option<Value> {
    let spec = pod.get_mut("spec")?.as_object_mut()?;
    let said = spec.get("terminationGracePeriodSeconds")?.as_u64()?;
    if said == UNSAID_GRACE { spec.shift_remove("terminationGracePeriodSeconds") } else { None }
}

fn remember_grace(pod: &mut Value, grace: &Value) {
    if let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) {
        spec.entry("terminationGracePeriodSeconds").or_insert_with(|| grace.clone());
    }
}

fn told(fault: &Fault, in_vain: bool) -> String {
    let Fault { path, message, hint } = fault;
    let place = if path.is_empty() { String::new() } else { format!(" ({path})") };
    let begin = if in_vain { "no sidecar: " } else { "" };
    line(&format!("portcullis: {begin}{message}{place}; {hint}"), LONGEST_WARNING)
}

/// Keeps as many as are sent on, and says how many were not.
fn limited(mut words: Vec<String>) -> Vec<String> {
    let beyond = words.len().saturating_sub(MOST_WARNINGS);
    if beyond > 0 {
        words.truncate(MOST_WARNINGS - 1);
        words.push(format!("portcullis: there are {} more", beyond + 1));
    }
    words
}

/// Makes one line of at most `longest` characters, without those by which it could look like something else.
fn line(text: &str, longest: usize) -> String {
    let hides =
        |c: char| c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let mut line: String = text.chars().take(longest).map(|c| if hides(c) { ' ' } else { c }).collect();
    if line.len() < text.len() && text.chars().count() > longest {
        line.pop();
        line.push('…');
    }
    line
}

/// Names the pod. One that a controller makes has only the beginning of a name yet, and its namespace stands in the request.
fn named(request: &Map<String, Value>) -> String {
    let name = |key: &str| request.get("pod").and_then(|pod| pod.get(key)).and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = name("name").or_else(|| name("generateName")).unwrap_or_default();
    let namespace = request.get("namespace").and_then(Value::as_str).unwrap_or_default();
    let short = |text: &str, longest| text.chars().take(longest).collect::<String>();
    format!("{}/{}", short(namespace, 63), short(name, 253)).escape_debug().to_string()
}

#[cfg(test)]
#[path = "review_tests.rs"]
mod tests;
