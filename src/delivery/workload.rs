//! Runs a stage's tests: a JMeter plan sent by the load generator, judged by keptn's rules, stopped when the gates have decided.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use crate::delivery::trial::Trial;
use crate::domain::delivery::TestReport;
use crate::formats::jmeter_conf::{TestUrl, Workload};
use crate::formats::jmx::{self, Options};
use crate::load::{self, Counters, Hook, Judgement, Limits, Origin, ResponseHead, Run, Target, Terms};
use crate::proxy::sanitise::FORCE;

/// How long a request of a test may take.
const LONGEST_ANSWER: Duration = Duration::from_secs(60);
/// How long requests in flight are waited for when a test is stopped.
const GRACE: Duration = Duration::from_secs(5);

/// A test that is to be run.
pub(super) struct Job {
    /// Who sends how often.
    pub(super) workload: Workload,
    /// The file of the script, and its text.
    pub(super) script: (String, String),
    /// Where the requests go.
    pub(super) entry: SocketAddr,
    /// The host name under test.
    pub(super) host: String,
    /// What tells this run from others.
    pub(super) id: String,
    /// Forces the requests onto a version.
    pub(super) token: Option<String>,
    /// Stops the test when the gates have decided.
    pub(super) trial: Option<Arc<Trial>>,
}

/// Runs a test to its end, or until `stop` turns true, on a thread of its own: neither waits for the other. It ends with whoever
/// waits for it, too.
///
/// # Errors
///
/// Says why the script cannot be run.
pub(super) async fn run(job: Job, stop: watch::Receiver<bool>) -> Result<TestReport, String> {
    let (mut answer, answered) = oneshot::channel();
    let run = move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(answer.send(Err(format!("the test cannot begin: {error}")))),
        };
        let report = runtime.block_on(async {
            tokio::select! {
                report = drive(job, stop) => Some(report),
                () = answer.closed() => None,
            }
        });
        if let Some(report) = report {
            // Whoever waited may have gone this very moment.
            let _ = answer.send(report);
        }
    };
    std::thread::Builder::new().name("load".to_owned()).spawn(run).map_err(|error| format!("the test cannot begin: {error}"))?;
    answered.await.unwrap_or_else(|_| Err("the test has ended by a fault of its own".to_owned()))
}

async fn drive(job: Job, mut stop: watch::Receiver<bool>) -> Result<TestReport, String> {
    let url: TestUrl = format!("http://{}:{}", job.host, job.entry.port()).parse().map_err(|error| format!("{error}"))?;
    let properties = job.workload.script_properties(&url, &job.workload.test_name(&job.id));
    let mut terms = Terms::new(Origin::of(&url).map_err(|error| error.to_string())?);
    terms.timeout = Some(LONGEST_ANSWER);
    if let Some(token) = &job.token {
        let token = HeaderValue::try_from(token).map_err(|error| format!("the token of the test: {error}"))?;
        terms.headers.insert(HeaderName::from_static(FORCE), token);
    }
    let script = load::script(&read(&job, &properties)?, &terms).map_err(told)?;
    let planned = script.requests().unwrap_or_default();
    let target = Target::new(terms.server, job.entry);
    let (over, mut is_over) = watch::channel(false);
    let counters: Arc<OnceLock<Arc<Counters>>> = Arc::default();
    let hook = job.trial.clone().map(|trial| {
        let counters = Arc::clone(&counters);
        let hook: Hook = Arc::new(move |answer: &ResponseHead| {
            let sent = counters.get().map_or(u64::MAX, |counters| counters.snapshot().sent);
            let latency = answer.finished.saturating_duration_since(answer.started);
            if trial.answer(answer.status.as_u16(), latency, sent) {
                over.send_replace(true);
            }
        });
        hook
    });
    let mut run = Run::start(&Handle::current(), target, script, hook);
    let _ = counters.set(Arc::clone(run.counters()));
    tokio::select! {
        () = run.wait() => {}
        () = turned(&mut is_over) => {}
        () = turned(&mut stop) => {}
    }
    let average = run.counters().latency().map_or(Duration::ZERO, |latency| latency.mean);
    let seen = run.stop(GRACE).await;
    let stopped_early = *is_over.borrow();
    Ok(report(&job, Sums { planned, requests: seen.sent, errors: seen.errors(), average }, stopped_early))
}

/// Waits until a flag turns true; for ever where nobody can turn it any more.
async fn turned(flag: &mut watch::Receiver<bool>) {
    if flag.wait_for(|flag| *flag).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What a run came to.
struct Sums {
    planned: u64,
    requests: u64,
    errors: u64,
    average: Duration,
}

fn report(job: &Job, sums: Sums, stopped_early: bool) -> TestReport {
    let Sums { planned, requests, errors, average } = sums;
    let workload = &job.workload;
    let limits =
        Limits { functional: workload.allows_no_error(), error_rate: workload.accepted_error_rate, average: workload.average_limit };
    let figures = format!("{requests} requests, {errors} errors, {} ms on average", average.as_millis());
    let decided = job.trial.as_ref().and_then(|trial| trial.decided());
    let (passed, reason) = match (limits.judge(requests, errors, average), decided) {
        (Judgement::Pass, Some(decided)) => {
            let saved = planned.saturating_sub(requests);
            (true, format!("stopped after {figures}, {saved} saved, because the gate has decided: {decided}"))
        }
        (Judgement::Pass, None) => (true, figures),
        (Judgement::Fail(why), _) => (false, format!("{why} ({figures})")),
        (Judgement::Unmeasured, _) => (false, "no request was sent".to_owned()),
    };
    TestReport { passed, stopped_early, requests, errors, reason }
}

fn read(job: &Job, properties: &BTreeMap<String, String>) -> Result<jmx::Plan, String> {
    let (file, text) = &job.script;
    let read = jmx::read(file, text, Options { properties, honour_think_time: false });
    read.map_err(told)
}

/// Puts several problems into one text.
fn told(problems: Vec<impl ToString>) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
