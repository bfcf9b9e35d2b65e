//! `portcullis pause | resume | approve | deny | set-weight | promote | abort | retry`: what operators ask of a rollout.
//!
//! Each asks the admin listener of a running proxy and prints what it answered. What gives the canary more, or waives a hold, is confirmed at
//! a terminal first, and refused where nobody can be asked. An abort is asked about at a terminal alone: it is never held up elsewhere.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::cli::admin::Admin;
use crate::cli::exit;
use crate::cli::figures::harmless;
use crate::cli::http::{Body, JSON};
use crate::cli::remote::RemoteError;
use crate::domain::version::Name;
use crate::domain::weight::Weight;

/// Asks something of a rollout.
///
/// Exit code: 0 when it was done or there was nothing to do, 2 when the proxy did not answer or refused, or it was not confirmed.
#[derive(Clone, Debug, clap::Args)]
pub struct VerbArgs {
    /// The service.
    #[arg(value_name = "SERVICE", default_value = "default")]
    pub service: Name,
    /// Whom to ask, and what to say.
    #[command(flatten)]
    pub say: Say,
}

/// Holds the canary with another share of its plan.
///
/// Exit code: 0 when it was done, 2 when the proxy did not answer or refused, or it was not confirmed.
#[derive(Clone, Debug, clap::Args)]
pub struct SetWeightArgs {
    /// The share, such as 10%: that of a step of the plan, or 0%.
    #[arg(value_name = "WEIGHT")]
    pub weight: Weight,
    /// The service.
    #[arg(value_name = "SERVICE", default_value = "default")]
    pub service: Name,
    /// Whom to ask, and what to say.
    #[command(flatten)]
    pub say: Say,
}

/// Whom to ask, and what to say.
#[derive(Clone, Debug, clap::Args)]
pub struct Say {
    /// Why, for the journal.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Who asks, for the journal; absent: $USER.
    #[arg(long, value_name = "NAME")]
    pub actor: Option<String>,
    /// Does not ask whether it is meant.
    #[arg(long)]
    pub yes: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub admin: Admin,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verb {
    /// Hold it.
    Pause,
    /// Let it go on.
    Resume,
    /// Approve it.
    Approve,
    /// Deny it.
    Deny,
    /// Hold it with this share.
    SetWeight(Weight),
    /// Waive the holds.
    Promote,
    /// End it.
    Abort,
    /// End it, and let its share go back in steps where that is configured.
    Recede,
    /// Begin the last one again.
    Retry,
}

impl Verb {
    /// The method, and the last part of the path.
    const fn place(self) -> (Method, &'static str) {
        match self {
            Self::Pause => (Method::POST, "pause"),
            Self::Resume => (Method::POST, "resume"),
            Self::Approve => (Method::POST, "approve"),
            Self::Deny => (Method::POST, "deny"),
            Self::SetWeight(_) => (Method::PUT, "weight"),
            Self::Promote => (Method::POST, "promote"),
            Self::Abort | Self::Recede => (Method::POST, "abort"),
            Self::Retry => (Method::POST, "retry"),
        }
    }

    /// Whether it must not wait for an answer that nobody may give.
    const fn is_urgent(self) -> bool {
        matches!(self, Self::Abort | Self::Recede)
    }

    /// What it would do, where somebody should think twice.
    fn question(self, service: &Name) -> Option<String> {
        match self {
            Self::Pause | Self::Deny | Self::SetWeight(Weight::ZERO) => None,
            Self::Abort => Some(format!("end the rollout of {service}: the canary gets nothing, and is tried again only on a retry")),
            Self::Recede => Some(format!(
                "end the rollout of {service}: the canary's share goes down to nothing, in steps where its way back is a ramp"
            )),
            Self::Resume => Some(format!("let the rollout of {service} go on")),
            Self::Approve => Some(format!("approve that the rollout of {service} goes on")),
            Self::SetWeight(weight) => Some(format!("hold the canary of {service} with {weight}, without the evidence for it")),
            Self::Promote => Some(format!("waive the remaining holds of {service}")),
            Self::Retry => Some(format!("try the last canary of {service} again")),
        }
    }
}

/// Returns the service that is meant where none is named.
#[must_use]
pub fn usual() -> Name {
    "default".parse().expect("it is a name")
}

/// Asks for a share and returns the exit code.
#[must_use]
pub fn set_weight(args: &SetWeightArgs) -> ExitCode {
    run(Verb::SetWeight(args.weight), &VerbArgs { service: args.service.clone(), say: args.say.clone() })
}

/// Asks for something and returns the exit code.
#[must_use]
pub fn run(verb: Verb, args: &VerbArgs) -> ExitCode {
    let at_terminal = std::io::stdin().is_terminal();
    match asked(verb, args, at_terminal.then_some(&confirmed)) {
        Ok(message) => {
            println!("{}", harmless(&message));
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("error: {}", harmless(&message));
            exit::REFUSED.end()
        }
    }
}

/// Asks somebody whether what is to be done is meant.
type Confirm<'a> = &'a dyn Fn(&str) -> Result<(), String>;

/// What of a service is shown to whoever confirms.
#[derive(Deserialize)]
struct Seen {
    rollout: Option<SeenRollout>,
}

#[derive(Deserialize)]
struct SeenRollout {
    canary: SeenVersion,
    weight: Weight,
    phase: String,
}

#[derive(Deserialize)]
struct SeenVersion {
    name: String,
}

impl Seen {
    /// Tells where the rollout stands, as a sentence and a blank.
    fn told(&self, service: &Name) -> String {
        match &self.rollout {
            None => format!("{service} has no rollout. "),
            Some(SeenRollout { canary, weight, phase }) => {
                format!("{service}: {} has {weight} and is {}. ", canary.name, phase.replace('_', " "))
            }
        }
    }
}

/// Does it, once whoever can be asked has confirmed what they were shown: it is refused where that is no more so.
fn asked(verb: Verb, args: &VerbArgs, confirm: Option<Confirm<'_>>) -> Result<String, String> {
    let VerbArgs { service, say } = args;
    let question = verb.question(service).filter(|_| !say.yes && (confirm.is_some() || !verb.is_urgent()));
    if let (Some(what), None) = (&question, confirm) {
        return Err(format!("this would {what}; say --yes, since nobody can be asked"));
    }
    let failed = |error: RemoteError| error.to_string();
    let remote = say.admin.remote().map_err(failed)?;
    // An abort needs no condition: whatever has changed, the canary is to get nothing.
    let seen = if verb.is_urgent() { None } else { Some(remote.see::<Seen>(&format!("/v1/rollouts/{service}")).map_err(failed)?) };
    if let (Some(what), Some(confirm)) = (question, confirm) {
        let stands = seen.as_ref().map_or_else(String::new, |(seen, _)| seen.told(service));
        confirm(&format!("{stands}This will {what}."))?;
    }
    let (method, word) = verb.place();
    let body = Body { kind: JSON, bytes: body(verb, say, std::env::var("USER").ok()).to_string().into(), field: None };
    let tag = seen.and_then(|(_, tag)| tag);
    let answer = remote.send_if(method, &format!("/v1/rollouts/{service}/{word}"), tag, body).map_err(failed)?;
    answer.get("message").and_then(Value::as_str).map(str::to_owned).ok_or_else(|| format!("the answer has no message: {answer}"))
}

/// Writes what the proxy is told. Who asks may be anybody's name; the journal says who it was said to be.
fn body(verb: Verb, say: &Say, user: Option<String>) -> Value {
    let mut body = Map::new();
    if let Verb::SetWeight(weight) = verb {
        body.insert("weight".to_owned(), Value::String(weight.to_string()));
    }
    if verb == Verb::Recede {
        body.insert("ramp".to_owned(), Value::Bool(true));
    }
    if let Some(actor) = say.actor.clone().or_else(|| user.filter(|user| !user.is_empty())) {
        body.insert("actor".to_owned(), Value::String(actor));
    }
    // A retry tells its reason by itself.
    if let Some(reason) = say.reason.clone().filter(|_| verb != Verb::Retry) {
        body.insert("reason".to_owned(), Value::String(reason));
    }
    Value::Object(body)
}

/// Asks at the terminal.
fn confirmed(question: &str) -> Result<(), String> {
    eprint!("{} Go on? [y/N] ", harmless(question));
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|error| format!("the answer cannot be read: {error}"))?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err("it was not confirmed, so nothing was done".to_owned()) }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read as _};
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    use super::*;

    fn say(reason: Option<&str>, actor: Option<&str>) -> Say {
        Say { reason: reason.map(str::to_owned), actor: actor.map(str::to_owned), yes: true, admin: Admin::default() }
    }

    #[test]
    fn the_proxy_is_told_who_why_and_how_much() {
        let half = Verb::SetWeight("50%".parse().unwrap());
        let told = body(half, &say(Some("a try"), None), Some("ann".to_owned()));
        assert_eq!(told, serde_json::json!({"weight": "50%", "actor": "ann", "reason": "a try"}));
        assert_eq!(body(Verb::Abort, &say(None, Some("bo")), Some("ann".to_owned())), serde_json::json!({"actor": "bo"}));
        assert_eq!(body(Verb::Recede, &say(None, Some("bo")), None), serde_json::json!({"actor": "bo", "ramp": true}));
        assert_eq!(body(Verb::Retry, &say(Some("mended"), None), Some(String::new())), serde_json::json!({}));
    }

    #[test]
    fn what_gives_more_or_ends_it_is_asked_about_and_only_an_abort_goes_on_unasked() {
        let service = "carts".parse().unwrap();
        for verb in [Verb::Pause, Verb::Deny, Verb::SetWeight(Weight::ZERO)] {
            assert_eq!(verb.question(&service), None, "{verb:?}");
        }
        for verb in [Verb::Resume, Verb::Approve, Verb::Promote, Verb::Retry, Verb::SetWeight(Weight::FULL)] {
            assert!(verb.question(&service).is_some() && !verb.is_urgent(), "{verb:?}");
        }
        assert!([Verb::Abort, Verb::Recede].iter().all(|verb| verb.question(&service).is_some() && verb.is_urgent()));
    }

    /// A proxy whose rollout is paused, as its tag says.
    struct Proxy {
        args: VerbArgs,
        /// The generation of its rollout.
        generation: Arc<Mutex<u64>>,
        /// The method, the path and the condition of each request.
        requests: Arc<Mutex<Vec<String>>>,
    }

    impl Proxy {
        fn start(yes: bool) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let admin = Admin { admin: Some(listener.local_addr().unwrap().to_string().parse().unwrap()), ..Admin::default() };
            let (generation, requests) = (Arc::new(Mutex::new(2)), Arc::<Mutex<Vec<String>>>::default());
            let (now, kept) = (Arc::clone(&generation), Arc::clone(&requests));
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let mut stream = BufReader::new(stream.unwrap());
                    let (mut told, mut length) = (Vec::new(), 0);
                    loop {
                        let mut line = String::new();
                        stream.read_line(&mut line).unwrap();
                        let line = line.trim();
                        match line.split_once(": ") {
                            _ if line.is_empty() => break,
                            None => told.push(line.replace(" HTTP/1.1", "")),
                            Some((name, value)) if name.eq_ignore_ascii_case("if-match") => told.push(value.to_owned()),
                            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap(),
                            Some(_) => {}
                        }
                    }
                    stream.read_exact(&mut vec![0; length]).unwrap();
                    kept.lock().unwrap().push(told.join(" "));
                    let shown = r#"{"message": "so be it", "rollout": {"canary": {"name": "0.8.2"}, "weight": 1000, "phase": "paused"}}"#;
                    let (tag, length) = (format!("\"1.{}.paused\"", now.lock().unwrap()), shown.len());
                    let head = format!("HTTP/1.1 200 OK\r\netag: {tag}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                    stream.get_mut().write_all(format!("{head}{shown}").as_bytes()).unwrap();
                }
            });
            let say = Say { reason: None, actor: Some("ann".to_owned()), yes, admin };
            Self { args: VerbArgs { service: "carts".parse().unwrap(), say }, generation, requests }
        }

        fn requests(&self) -> Vec<String> {
            std::mem::take(&mut self.requests.lock().unwrap())
        }
    }

    #[test]
    fn what_is_done_is_what_was_shown_to_whoever_confirmed() {
        let proxy = Proxy::start(false);
        for verb in [Verb::Resume, Verb::Approve, Verb::Promote, Verb::Retry, Verb::SetWeight(Weight::FULL)] {
            let before = *proxy.generation.lock().unwrap();
            let said = asked(
                verb,
                &proxy.args,
                Some(&|question| {
                    assert!(question.starts_with("carts: 0.8.2 has 10% and is paused. This will "), "{question}");
                    // While somebody thinks about it, it goes on.
                    *proxy.generation.lock().unwrap() += 1;
                    Ok(())
                }),
            );
            assert_eq!(said.as_deref(), Ok("so be it"));
            let (method, word) = verb.place();
            let sent = format!("{method} /v1/rollouts/carts/{word} \"1.{before}.paused\"");
            assert_eq!(proxy.requests(), ["GET /v1/rollouts/carts".to_owned(), sent]);
        }
        let said = asked(Verb::Promote, &proxy.args, Some(&|_| Err("no".to_owned())));
        assert_eq!((said, proxy.requests()), (Err("no".to_owned()), vec!["GET /v1/rollouts/carts".to_owned()]));
        let said = asked(Verb::Promote, &proxy.args, None);
        assert!(said.is_err_and(|why| why.contains("--yes")) && proxy.requests().is_empty());
    }

    #[test]
    fn an_abort_asks_the_proxy_for_nothing_before() {
        let proxy = Proxy::start(false);
        for confirm in [None, Some(&(|_: &str| Ok(())) as Confirm<'_>)] {
            assert!(asked(Verb::Abort, &proxy.args, confirm).is_ok());
            assert_eq!(proxy.requests(), ["POST /v1/rollouts/carts/abort"]);
        }
    }
}
