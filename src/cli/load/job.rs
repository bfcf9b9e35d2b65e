//! What is to be sent, made of the arguments and the files they name.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::cli::load::args::LoadArgs;
use crate::domain::transport::Protocol;
use crate::formats::jmeter_conf::{Scheme, Workload};
use crate::formats::jmx::{self, Cookies, OnError, Options};
use crate::load::tls::{self, Trust};
use crate::load::{Accept, Group, Origin, Pace, Request, Script, Step, Target, Terms};

/// How long requests are sent where nothing says when to end.
const USUAL: Duration = Duration::from_secs(10);
/// How many users there are where nothing says so.
const USERS: u32 = 10;
/// The largest body that is read from a file, in bytes.
const LARGEST_BODY: u64 = 64 << 20;

/// What is to be sent.
#[derive(Debug)]
pub(super) struct Job {
    /// Who sends what.
    pub(super) script: Script,
    /// The server.
    pub(super) origin: Origin,
    /// The HTTP that is spoken.
    pub(super) protocol: Protocol,
    /// What the user should know before it begins.
    pub(super) notes: Vec<String>,
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Job {
    /// Makes the job.
    ///
    /// # Errors
    ///
    /// Says what of the arguments, or of the files they name, cannot be used and how to mend it.
    pub(super) fn new(args: &LoadArgs) -> Result<Self, String> {
        let origin = Origin::of(&args.url).map_err(|error| format!("error: {} cannot be asked: {error}", args.url))?;
        let (script, mut notes) = match &args.jmx {
            Some(path) => planned(path, args, &origin)?,
            None => (simple(args)?, Vec::new()),
        };
        let protocol = if args.http2 { Protocol::Http2 } else { Protocol::Http1 };
        let steps = || script.groups.iter().flat_map(|group| group.scripts.first()).flat_map(|steps| steps.iter());
        let encrypted = |origin: &Origin| origin.scheme() == Scheme::Https;
        let others = || steps().filter_map(|step| step.origin.as_deref());
        let redirected = steps().any(|step| step.follow_redirects);
        let wanted = encrypted(&origin) || others().any(encrypted);
        let trust = match &args.ca {
            _ if args.insecure => Trust::Anybody,
            Some(path) => Trust::File(path),
            None => Trust::System,
        };
        let tls = if wanted || args.ca.is_some() {
            Some(tls::client(trust, protocol).map_err(|problem| problem.to_string())?)
        } else if redirected {
            // Without authorities a redirect to TLS fails, and says that none was set up.
            tls::client(trust, protocol).ok()
        } else {
            None
        };
        let mut elsewhere: Vec<String> = others().map(ToString::to_string).collect();
        elsewhere.sort();
        elsewhere.dedup();
        notes.extend(elsewhere.into_iter().map(|other| format!("note: the plan sends to {other} too, which is not the server under test")));
        Ok(Self { script, origin, protocol, notes, tls })
    }

    /// Returns the server as it is reached at an address.
    pub(super) fn target(&self, address: std::net::SocketAddr) -> Target {
        let target = Target::new(self.origin.clone(), address).with_protocol(self.protocol).and_elsewhere();
        match &self.tls {
            Some(tls) => target.with_tls(Arc::clone(tls)),
            None => target,
        }
    }
}

/// Makes the script of one request that all users send.
fn simple(args: &LoadArgs) -> Result<Script, String> {
    let body = match (&args.body, &args.body_file) {
        (Some(text), _) => Bytes::from(text.clone()),
        (None, Some(path)) => Bytes::from(read(path, "the body", LARGEST_BODY)?),
        (None, None) => Bytes::new(),
    };
    let has_body = args.body.is_some() || args.body_file.is_some();
    let method = args.method.clone().unwrap_or(if has_body { Method::POST } else { Method::GET });
    let path = args.url.path.parse().map_err(|error| format!("error: {} cannot be asked: {error}", args.url))?;
    let cookies = args.cookies.then_some(Cookies { clear_each_iteration: false });
    let request = Request { method, path, headers: headers(args), body };
    let step = Step { follow_redirects: args.follow, cookies, ..Step::from(request) };
    let script: Arc<[Step]> = vec![step].into();
    let pace = match args.rate {
        Some(rate) => Pace::Constant { rate, requests: args.requests },
        None => Pace::Closed { loops: args.loops, think: args.think.unwrap_or_default(), ramp: Duration::ZERO },
    };
    let has_end = args.loops.is_some() || args.requests.is_some();
    let group = Group {
        scripts: vec![script; args.users.unwrap_or(USERS) as usize],
        pace,
        requests: args.requests,
        delay: Duration::ZERO,
        duration: args.duration.or((!has_end).then_some(USUAL)),
        accept: Accept::BelowError,
        timeout: Some(args.timeout),
        on_error: OnError::Continue,
    };
    Ok(group.into())
}

/// Makes the script of a JMeter plan, and tells what its reader noted.
fn planned(path: &Path, args: &LoadArgs, origin: &Origin) -> Result<(Script, Vec<String>), String> {
    let file = path.display().to_string();
    let text = String::from_utf8(read(path, "the plan", 16 << 20)?)
        .map_err(|error| format!("error: cannot read the plan {file}: {error}\n  hint: give a .jmx file as JMeter saves it"))?;
    let properties = properties(args);
    let options = Options { properties: &properties, honour_think_time: args.think.is_some() };
    let all = |problems: Vec<crate::formats::problem::Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let plan = jmx::read(&file, &text, options).map_err(all)?;
    let mut terms = Terms::new(origin.clone());
    (terms.headers, terms.timeout) = (headers(args), Some(args.timeout));
    (terms.elsewhere, terms.endless) = (true, true);
    let script = crate::load::script(&plan, &terms);
    let mut script = script.map_err(|problems| {
        let line = |problem| format!("error: {file} cannot be run: {problem}");
        problems.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    for group in script.groups.iter_mut().filter(|_| args.duration.is_some()) {
        group.duration = group.duration.into_iter().chain(args.duration).min();
    }
    Ok((script, plan.notes.iter().map(ToString::to_string).collect()))
}

/// Returns the properties of a plan: those that keptn sets, as far as they are given, and then those of the command line.
fn properties(args: &LoadArgs) -> BTreeMap<String, String> {
    let workload = Workload {
        strategy: "performance".to_owned(),
        users: args.users.unwrap_or_default(),
        loops: args.loops.and_then(|loops| u32::try_from(loops).ok()).unwrap_or(u32::MAX),
        think_time: args.think.unwrap_or_default(),
        script: String::new(),
        accepted_error_rate: args.accept_errors,
        average_limit: None,
        properties: args.property.iter().cloned().collect(),
    };
    let mut properties = workload.script_properties(&args.url, "portcullis_load");
    let ungiven = [("VUCount", args.users.is_none()), ("LoopCount", args.loops.is_none()), ("ThinkTime", args.think.is_none())];
    for (name, _) in ungiven.into_iter().filter(|(name, ungiven)| *ungiven && !args.property.iter().any(|(given, _)| given == name)) {
        properties.remove(name);
    }
    properties
}

fn headers(args: &LoadArgs) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &args.header {
        headers.append(name.clone(), value.clone());
    }
    headers
}

/// Reads a file that is at most so large.
fn read(path: &Path, what: &str, largest: u64) -> Result<Vec<u8>, String> {
    let refuse = |why: &dyn std::fmt::Display| {
        format!("error: cannot read {what} {}: {why}\n  hint: name a file that this user may read", path.display())
    };
    let length = std::fs::metadata(path).map_err(|error| refuse(&error))?.len();
    if length > largest {
        return Err(refuse(&format!("it has {length} bytes, {largest} are the most")));
    }
    std::fs::read(path).map_err(|error| refuse(&error))
}
