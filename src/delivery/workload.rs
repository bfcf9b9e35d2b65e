//! Runs a stage's tests: a JMeter plan sent by the load generator, judged by keptn's rules, stopped when the gates have decided.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::delivery::trial::Trial;
use crate::domain::delivery::TestReport;
use crate::formats::jmeter_conf::{TestUrl, Workload};
use crate::formats::jmx::{self, Group, Loops, Options};
use crate::load::{Accept, Hook, Judgement, Limits, Pace, Plan, Request, ResponseHead, Run};
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

/// Runs a test to its end, or until `stop` turns true.
///
/// # Errors
///
/// Says why the script cannot be run.
pub(super) async fn run(job: Job, mut stop: watch::Receiver<bool>) -> Result<TestReport, String> {
    let url: TestUrl = format!("http://{}:{}", job.host, job.entry.port()).parse().map_err(|error| format!("{error}"))?;
    let properties = job.workload.script_properties(&url, &job.workload.test_name(&job.id));
    let script = read(&job, &properties)?;
    let planned: u64 = script.groups.iter().filter_map(Group::requests).sum();
    let (mut requests, mut errors, mut answered, mut total) = (0, 0, 0_u32, Duration::ZERO);
    let decided = Arc::new(AtomicBool::new(false));
    for group in &script.groups {
        let (over, mut is_over) = watch::channel(false);
        let plan = plan(group, &job, &url)?;
        let counters: Arc<std::sync::OnceLock<_>> = Arc::default();
        let hook = job.trial.clone().map(|trial| {
            let (counters, decided) = (Arc::clone(&counters), Arc::clone(&decided));
            let before = requests;
            let hook: Hook = Arc::new(move |answer: &ResponseHead| {
                let sent = counters.get().map_or(u64::MAX, |counters: &Arc<crate::load::Counters>| counters.snapshot().sent);
                let latency = answer.finished.saturating_duration_since(answer.started);
                if trial.answer(answer.status.as_u16(), latency, sent.saturating_add(before)) {
                    decided.store(true, Ordering::Relaxed);
                    let _ = over.send(true);
                }
            });
            hook
        });
        let mut run = Run::start(&Handle::current(), job.entry, plan, hook);
        let _ = counters.set(Arc::clone(run.counters()));
        tokio::select! {
            () = run.wait() => {}
            () = turned(&mut is_over) => {}
            () = turned(&mut stop) => {}
        }
        let latency = run.counters().latency();
        let seen = run.stop(GRACE).await;
        requests += seen.sent;
        errors += seen.errors();
        if let Some(latency) = latency {
            let count = u32::try_from(latency.count).unwrap_or(u32::MAX);
            answered = answered.saturating_add(count);
            total += latency.mean.saturating_mul(count);
        }
        if decided.load(Ordering::Relaxed) || *stop.borrow() {
            break;
        }
    }
    let average = total.checked_div(answered).unwrap_or_default();
    Ok(report(&job, Sums { planned, requests, errors, average }, decided.load(Ordering::Relaxed)))
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
    read.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

/// Makes the load generator's plan of a group.
fn plan(group: &Group, job: &Job, url: &TestUrl) -> Result<Plan, String> {
    let (loops, think) = match group.loops {
        Loops::Times(times) => (Some(times), group.samplers.iter().map(|sampler| sampler.pause).max().unwrap_or_default()),
        Loops::Forever => return Err(format!("the group {:?} never ends; give it a number of loops", group.name)),
    };
    let script = |thread: u32| group.samplers.iter().map(|sampler| request(sampler, group, thread, job, url)).collect();
    Ok(Plan {
        scripts: (0..group.threads).map(script).collect::<Result<_, String>>()?,
        pace: Pace::Closed { loops, think, ramp: group.ramp },
        accept: Accept::BelowError,
        timeout: Some(LONGEST_ANSWER),
        host: Some(HeaderValue::try_from(job.host.clone()).map_err(|error| format!("{:?}: {error}", job.host))?),
    })
}

fn request(sampler: &jmx::Sampler, group: &Group, thread: u32, job: &Job, url: &TestUrl) -> Result<Request, String> {
    // The published health check names no port: inside a cluster a service has the usual one, and here it has its own.
    let usual = sampler.url.scheme.port();
    if sampler.url.host != url.host || ![url.port, usual].contains(&sampler.url.port) {
        let (host, port) = (&sampler.url.host, sampler.url.port);
        return Err(format!("{:?} is sent to {host}:{port} and not to the service under test; use ${{__P(SERVER_URL)}}", sampler.name));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &sampler.headers {
        headers.append(name.clone(), value.clone());
    }
    let mut put = |name: &'static str, value: Option<String>| -> Result<(), String> {
        if let Some(value) = value {
            let value = HeaderValue::try_from(value).map_err(|error| format!("{name} of {:?}: {error}", sampler.name))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(())
    };
    put("x-dynatrace-test", sampler.dynatrace_test(&group.name, thread))?;
    put(FORCE, job.token.clone())?;
    let path = sampler.url.path.parse().map_err(|error| format!("{:?}: {error}", sampler.url.path))?;
    let body = Bytes::from(sampler.body.clone().unwrap_or_default());
    Ok(Request { method: sampler.method.clone(), path, headers, body })
}
