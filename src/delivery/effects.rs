//! Carries out what the machine asks for, each effect as a task of its own that answers with an event.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::delivery::evaluation;
use crate::delivery::http;
use crate::delivery::plane::{HANDED_OVER_WITHIN, Shown};
use crate::delivery::projects::GateFile;
use crate::delivery::spot::Spot;
use crate::delivery::trial::Trial;
use crate::delivery::workload::{self, Job};
use crate::delivery::yard::{Seen, Yard};
use crate::domain::delivery::shipyard::Mode;
use crate::domain::delivery::{Deployment, Event, RolloutEnd, TestReport, TestStrategy, Ticket};
use crate::domain::gate::Verdict;
use crate::domain::outcome::Role;
use crate::domain::rollout::Schedule;
use crate::domain::version::Version;
use crate::formats::jmeter_conf::{self, Workload, Workloads};

/// The name of the workload of a health check.
const HEALTH_CHECK: &str = "healthcheck";
/// The pause before what served is brought up once more; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a health check without a script may take.
const HEALTH_WITHIN: Duration = Duration::from_secs(15);
/// How long ordinary users may take to send enough requests where nobody tests a version.
const USERS_WITHIN: Duration = Duration::from_secs(300);

/// Brings a candidate up, once its gate file is known to be good.
pub(super) async fn deploy(yard: &Rc<Yard>, spot: &Spot, ticket: Ticket, deployment: &Deployment) -> Event {
    // A gate file that is wrong is told before any traffic moves (G3 to G29 of the compatibility rules).
    let stand_in = Version::at(deployment.name.clone(), [([127, 0, 0, 1], 1).into()]);
    let checked = yard.ground.setup(spot, &shown(yard, spot, stand_in)).map(|_| ());
    let up = match checked {
        Ok(()) => yard.deploy(spot, deployment).await,
        Err(why) => Err(why),
    };
    up.map_or_else(|why| Event::DeployFailed(ticket, why), |()| Event::Deployed(ticket))
}

/// Brings back what served when the process ended, again and again until it is up or another deployment serves; returns after the
/// first try.
pub(super) async fn bring_back(yard: Rc<Yard>, spot: Spot, serving: Deployment) {
    if attempt(&yard, &spot, &serving).await {
        return;
    }
    tokio::task::spawn_local(async move {
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            if yard.of(&spot).await.is_some() || attempt(&yard, &spot, &serving).await {
                return;
            }
        }
    });
}

async fn attempt(yard: &Rc<Yard>, spot: &Spot, serving: &Deployment) -> bool {
    let (name, stage) = (&serving.name, &spot.stage);
    if let Err(why) = yard.deploy(spot, serving).await {
        tracing::error!("{} {name} is not up again in {stage}: {why}", spot.service);
        return false;
    }
    if yard.of(spot).await.is_some() {
        return true;
    }
    match switch(yard, spot, Ticket { run: 0, attempt: 0 }, Some(serving)).await {
        Event::SwitchFailed(_, why) => {
            tracing::error!("{} {name} gets no traffic in {stage}: {why}", spot.service);
            false
        }
        _ => true,
    }
}

/// Checks a candidate's health where it listens.
pub(super) async fn check(yard: &Yard, spot: &Spot, ticket: Ticket, deployment: &Deployment) -> Event {
    let Some(version) = yard.version(spot, deployment) else { return Event::Unhealthy(ticket, "it is not up".to_owned()) };
    let Some(address) = version.endpoints.first().and_then(|endpoint| endpoint.address()) else {
        return Event::Unhealthy(ticket, "it has no address".to_owned());
    };
    let told = match workload(yard, spot, HEALTH_CHECK) {
        Ok((workload, Some(script))) => {
            let host = address.ip().to_string();
            let job = Job { workload, script, entry: address, host, id: name_of(ticket), token: None, trial: None };
            let (_keep, stop) = watch::channel(false);
            workload::run(job, stop).await.and_then(|report| if report.passed { Ok(()) } else { Err(report.reason) })
        }
        Ok((_, None)) => match http::status(address, "/health", HEALTH_WITHIN).await {
            Ok(status) if status < 400 => Ok(()),
            Ok(status) => Err(format!("/health answers with {status}")),
            Err(why) => Err(why),
        },
        Err(why) => Err(why),
    };
    told.map_or_else(|why| Event::Unhealthy(ticket, why), |()| Event::Healthy(ticket))
}

/// Sends all ordinary traffic of the stage to a deployment, or takes its service away.
pub(super) async fn switch(yard: &Yard, spot: &Spot, ticket: Ticket, to: Option<&Deployment>) -> Event {
    let next = match to {
        None => None,
        Some(deployment) => match yard.version(spot, deployment) {
            // No gate: where all traffic goes nothing is on trial, and a broken file must not keep the traffic from coming back.
            Some(version) => Some(Shown { stable: version, tested: None, gate: None, schedule: None }),
            None => return Event::SwitchFailed(ticket, format!("{} is not up", deployment.name)),
        },
    };
    if let (Some(deployment), Ok(name)) = (to, spot.name()) {
        let before = yard.ground.measured(&name, &deployment.name, Role::Stable);
        yard.since.borrow_mut().insert(name.to_string(), before);
    }
    let done = yard.show(spot, true, |shown| *shown = next).await;
    if let (Some(deployment), Ok(())) = (to, &done) {
        yard.owned(spot, deployment).await;
    }
    done.map_or_else(|why| Event::SwitchFailed(ticket, why), |()| Event::Switched(ticket))
}

/// Runs a stage's tests.
pub(super) async fn test(
    yard: &Yard,
    spot: &Spot,
    ticket: Ticket,
    what: (&Deployment, &TestStrategy),
    mode: Mode,
    stop: watch::Receiver<bool>,
) -> Event {
    let told = run_test(yard, spot, ticket, what, mode, stop).await;
    let untested = yard.show(spot, false, |shown| shown.iter_mut().for_each(|shown| shown.tested = None)).await;
    if let Err(why) = untested {
        tracing::warn!("the candidate stays reachable for tests in {}: {why}", spot.stage);
    }
    told.map_or_else(|why| Event::TestLost(ticket, why), |report| Event::TestEnded(ticket, report))
}

async fn run_test(
    yard: &Yard,
    spot: &Spot,
    ticket: Ticket,
    (deployment, strategy): (&Deployment, &TestStrategy),
    mode: Mode,
    stop: watch::Receiver<bool>,
) -> Result<TestReport, String> {
    let (workload, script) = workload(yard, spot, strategy.as_str())?;
    let name = spot.name()?;
    let Some(script) = script else {
        let missing = format!("there is no {}; add it with: portcullis add-resource", workload.script);
        // The original skips a test without a script and counts it as passed.
        let skipped = |reason| TestReport { passed: true, stopped_early: false, requests: 0, errors: 0, reason };
        return if mode == Mode::Keptn { Ok(skipped(missing)) } else { Err(missing) };
    };
    let version = yard.version(spot, deployment).ok_or("it is not up")?;
    // Forced also where all users are on it: so the test's own requests are told apart from theirs.
    yard.show(spot, false, |shown| shown.iter_mut().for_each(|shown| shown.tested = Some(version.clone()))).await?;
    let setup = yard.ground.setup(spot, &shown(yard, spot, version))?;
    let trial = (yard.ground.early_stop && mode == Mode::Strict && !setup.gates.is_empty())
        .then(|| Arc::new(Trial::new(&setup.gates, &setup.policy)));
    let of_test = (&name, &deployment.name, Role::Beside);
    let before = yard.ground.measured(&name, &deployment.name, Role::Beside);
    let token = Some(yard.ground.token(&name, &deployment.name));
    let decided = trial.clone();
    let job = Job { workload, script, entry: yard.ground.entry, host: spot.host(&yard.ground.domain), id: name_of(ticket), token, trial };
    let report = workload::run(job, stop).await?;
    let answered = report.requests.saturating_sub(report.errors);
    let window = yard.ground.measured_since(of_test, &before, answered, HANDED_OVER_WITHIN).await;
    let decided = decided.and_then(|trial| trial.decided().map(str::to_owned));
    yard.seen.borrow_mut().insert(name.to_string(), Seen { run: ticket.run, window, decided });
    Ok(report)
}

/// Asks the stage's gate file what it says of what was measured.
pub(super) async fn evaluate(yard: &Yard, spot: &Spot, ticket: Ticket, deployment: &Deployment, mode: Mode) -> Event {
    let (verdict, reason) = match grade(yard, spot, ticket, deployment, mode).await {
        Ok(graded) => graded,
        Err(why) => (Verdict::Inconclusive, why),
    };
    Event::Evaluated { ticket, verdict, reason }
}

async fn grade(yard: &Yard, spot: &Spot, ticket: Ticket, deployment: &Deployment, mode: Mode) -> Result<(Verdict, String), String> {
    let name = spot.name()?;
    let gate = yard.projects.gate(spot);
    let Some(gate) = gate else {
        let why = format!("there is no gate file for {} in {}", spot.service, spot.stage);
        // G1 of the compatibility rules.
        return Ok(match mode {
            Mode::Keptn => (Verdict::Pass, format!("{why}, which the original takes for a pass")),
            Mode::Strict => {
                (Verdict::Inconclusive, format!("{why}; add perfspec/perfspec.json or slo.yaml, or write 'gate: none' in the shipyard"))
            }
        });
    };
    let version = yard.version(spot, deployment).ok_or("it is not up any more")?;
    let setup = yard.ground.setup(spot, &shown(yard, spot, version))?;
    let grader = setup.grader.ok_or_else(|| format!("{} grades nothing", gate.path().display()))?;
    let seen = yard.seen.borrow_mut().remove(name.as_str()).filter(|seen| seen.run == ticket.run);
    let Some(seen) = seen else {
        // Nobody tests it: its users must do, those it has had since it got their traffic.
        let before = yard.since.borrow().get(name.as_str()).cloned().unwrap_or_default();
        let of_users = (&name, &deployment.name, Role::Stable);
        let window = yard.ground.measured_since(of_users, &before, evaluation::ENOUGH, USERS_WITHIN).await;
        if window.ended() < evaluation::ENOUGH {
            let (seen, enough) = (window.ended(), evaluation::ENOUGH);
            return Err(format!("its users have sent {seen} requests within {USERS_WITHIN:?}, and {enough} are needed to judge it"));
        }
        return Ok(evaluation::grade(&grader, deployment.name.as_str(), &window));
    };
    let (verdict, reason) = evaluation::grade(&grader, deployment.name.as_str(), &seen.window);
    Ok(match (seen.decided, verdict) {
        // Two arithmetics that contradict each other settle nothing.
        (Some(decided), Verdict::Pass | Verdict::Warning) => {
            (Verdict::Inconclusive, format!("the test was stopped because {decided}, but the gate file says {reason}"))
        }
        (_, verdict) => (verdict, reason),
    })
}

/// Moves the traffic to a candidate by a rollout under the gates.
pub(super) async fn roll_out(yard: &Yard, spot: &Spot, ticket: Ticket, deployment: &Deployment, schedule: Schedule, resume: bool) -> Event {
    let ended = |end, reason| Event::RolloutEnded { ticket, end, reason };
    let (Ok(name), Some(version)) = (spot.name(), yard.version(spot, deployment)) else {
        return ended(RolloutEnd::Aborted, "the candidate is not up".to_owned());
    };
    // One that a restart has ended begins again at its first step, under the same gates: it was neither judged nor refused.
    let resume = resume && !yard.ground.was_interrupted(&name, &version.name);
    let gate = yard.projects.gate(spot);
    if gate.is_none() {
        return ended(
            RolloutEnd::Aborted,
            format!("there is no gate file for {} in {}, so nothing could judge it", spot.service, spot.stage),
        );
    }
    // The gates or the plan may be others than when the stage was switched; a rollout that is under way keeps its own.
    let change = |shown: &mut Option<Shown>| {
        if let Some(shown) = shown {
            (shown.gate, shown.schedule, shown.tested) = (gate, Some(schedule), None);
        }
    };
    let begin = async {
        // An abort that came before this is not overtaken, and one that comes after it finds the rollout.
        if yard.is_aborted(spot, ticket.run) {
            return Err("it was aborted".to_owned());
        }
        yard.ground.begin(&name, &version, resume).await
    };
    let past = match yard.show_and(spot, !resume, change, begin).await {
        Ok(past) => past,
        Err(why) => return ended(RolloutEnd::Aborted, why),
    };
    let (end, reason) = yard.ground.follow(&name, &version.name, past, || yard.is_aborted(spot, ticket.run)).await;
    let own = |shown: &mut Option<Shown>| {
        if let Some(shown) = shown {
            shown.stable = version;
        }
    };
    if end == RolloutEnd::Promoted {
        if let Err(why) = yard.show(spot, resume, own).await {
            tracing::warn!("{name} shows its new version late: {why}");
        }
        yard.owned(spot, deployment).await;
    }
    ended(end, reason)
}

/// Returns what the data plane shows of a stage whose traffic one version owns.
fn shown(yard: &Yard, spot: &Spot, stable: Version) -> Shown {
    let gate: Option<GateFile> = yard.projects.gate(spot);
    Shown { stable, tested: None, gate, schedule: None }
}

/// Finds a workload and its script.
fn workload(yard: &Yard, spot: &Spot, strategy: &str) -> Result<(Workload, Option<(String, String)>), String> {
    let workloads = match yard.projects.find(spot, "jmeter/jmeter.conf.yaml") {
        None => Workloads::default(),
        Some(path) => {
            let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let read = jmeter_conf::read(&path.display().to_string(), &text);
            read.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?
        }
    };
    let workload = workloads.of(strategy).map_err(|error| error.to_string())?;
    let by_service = jmeter_conf::service_script(spot.service.as_str());
    let usual = Workload::by_default(strategy).is_some_and(|usual| usual.script == workload.script) && strategy != HEALTH_CHECK;
    let found = yard.projects.find(spot, &workload.script).or_else(|| usual.then(|| yard.projects.find(spot, &by_service)).flatten());
    let script = match found {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            Some((path.display().to_string(), text))
        }
    };
    Ok((workload, script))
}

fn name_of(ticket: Ticket) -> String {
    format!("{}-{}", ticket.run, ticket.attempt)
}
