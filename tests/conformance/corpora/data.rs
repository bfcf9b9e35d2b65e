//! Reads the corpora; the README beside the files explains the keys.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Deserializer};

/// What must become of a request.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum Expect {
    /// It is refused, and nothing complete reaches the upstream.
    R,
    /// It is accepted and forwarded in normal form.
    N,
    /// Either of them, but cleanly.
    E,
}

/// What becomes of the client's connection when an input that strict mode refuses is repaired by default.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Repaired {
    /// It closes after the answer.
    Closes,
    /// It may carry on.
    StaysOpen,
}

/// What an accepted request must look like upstream, beyond the rules that hold for all.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Forwarded {
    /// How many requests may reach the upstream; one when nothing is said.
    pub count: Vec<usize>,
    /// What follows them is refused with 400.
    pub then_refused: bool,
    /// The method.
    pub method: Option<String>,
    /// The targets, in their order.
    pub targets: Vec<String>,
    /// Fields and all their values.
    pub fields: BTreeMap<String, Vec<String>>,
    /// Fields that must not be there.
    pub gone: Vec<String>,
    /// Fields that must be there, without this value of the client's.
    pub forged: BTreeMap<String, String>,
    /// The body.
    pub body: Option<Bytes>,
}

/// One input of a client.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Its name.
    pub id: String,
    /// The line of the catalogue.
    pub line: String,
    /// What must become of it.
    pub expect: Expect,
    /// What the client sends.
    pub bytes: Bytes,
    /// Without strict mode it may be repaired instead of refused.
    #[serde(default)]
    pub default: Option<Repaired>,
    /// Its framing is sound, so that the connection may stay open after the refusal.
    #[serde(default)]
    pub may_stay_open: bool,
    /// Its body never ends, so that no answer comes before the body's timer.
    #[serde(default)]
    pub may_wait: bool,
    /// What an accepted one looks like.
    #[serde(default)]
    pub forwarded: Forwarded,
    /// What the peers did with it.
    pub peers: [String; 3],
}

/// What must become of an answer.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum Want {
    /// It arrives, complete, in normal form.
    #[serde(rename = "pass")]
    Pass,
    /// It arrives so, or is refused with 502.
    #[serde(rename = "pass or 502")]
    Either,
    /// It arrives without a body.
    #[serde(rename = "empty")]
    Empty,
    /// The proxy answers by itself, with the status given.
    #[serde(rename = "refuse")]
    Refuse,
    /// The client sees that it is incomplete.
    #[serde(rename = "cut")]
    Cut,
}

/// How the upstream ends after its bytes.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Then {
    /// It waits for the next request.
    #[default]
    Wait,
    /// It closes.
    Close,
    /// It resets the connection.
    Reset,
    /// It sends nothing at all and never closes.
    Hang,
    /// It sends byte by byte, each after a pause.
    Drip,
}

/// One answer of an upstream.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Its name, and the path that asks for it.
    pub id: String,
    /// The line of the catalogue.
    pub line: String,
    /// What must become of it.
    pub want: Want,
    /// The status that the client gets.
    #[serde(default)]
    pub status: u16,
    /// The body that the client gets.
    #[serde(default)]
    pub body: String,
    /// What the upstream sends.
    pub bytes: Bytes,
    /// And then.
    #[serde(default)]
    pub end: Then,
    /// Fields that must not reach the client.
    #[serde(default)]
    pub gone: Vec<String>,
    /// What the peers' clients got.
    pub peers: [String; 3],
}

/// Bytes, written as text with one character for each, or as a list of such texts and of texts to be repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Part {
    Text(String),
    /// `{}` in the text stands for the number of the repetition, from 0.
    Repeated {
        text: String,
        times: usize,
    },
}

fn bytes_of(text: &str) -> Result<Vec<u8>, String> {
    text.chars().map(|c| u8::try_from(c).map_err(|_| format!("{c:?} is no byte; characters stand for bytes up to U+00FF"))).collect()
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = match Written::deserialize(deserializer)? {
            Written::Text(text) => vec![Part::Text(text)],
            Written::Parts(parts) => parts,
        };
        let mut bytes = Vec::new();
        for part in parts {
            let text = match part {
                Part::Text(text) => text,
                Part::Repeated { text, times } if text.contains("{}") => (0..times).map(|i| text.replace("{}", &i.to_string())).collect(),
                Part::Repeated { text, times } => text.repeat(times),
            };
            bytes.extend(bytes_of(&text).map_err(serde::de::Error::custom)?);
        }
        Ok(Self(bytes))
    }
}

#[derive(Deserialize)]
struct Requests {
    requests: Vec<Request>,
}

#[derive(Deserialize)]
struct Answers {
    answers: Vec<Answer>,
}

fn read<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/corpora").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Reads the requests: 216, of which 148 must be refused.
pub fn requests() -> Vec<Request> {
    let all = read::<Requests>("requests.toml").requests;
    let refused = all.iter().filter(|r| r.expect == Expect::R).count();
    assert_eq!((all.len(), refused), (216, 148), "the corpus is whole");
    all
}

/// Reads the answers: 50.
pub fn answers() -> Vec<Answer> {
    let all = read::<Answers>("answers.toml").answers;
    assert_eq!(all.len(), 50, "the corpus is whole");
    all
}
