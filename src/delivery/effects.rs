//! Carries out what the machine asks for, each effect as a task of its own that answers with an event.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::delivery::gate_file::Texts;
use crate::delivery::http;
use crate::delivery::judge::Case;
use crate::delivery::plane::{Ended, HANDED_OVER_WITHIN, Shown};
use crate::delivery::script;
use crate::delivery::sourced::{self, Sourced};
use crate::delivery::spot::Spot;
use crate::delivery::trial::Trial;
use crate::delivery::workload::{self, Job};
use crate::delivery::yard::{Seen, Yard};
use crate::domain::delivery::shipyard::Mode;
use crate::domain::delivery::{Deployment, Event, RolloutEnd, TestReport, TestStrategy, Ticket};
use crate::domain::outcome::Role;
use crate::domain::rollout::Schedule;
use crate::domain::version::Version;

/// The pause before what served is brought up once more; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a health check without a script may take.
const HEALTH_WITHIN: Duration = Duration::from_secs(15);

/// Brings a candidate up, once its gate file is known to be good.
pub(super) async fn deploy(yard: &Rc<Yard>, spot: &Spot, ticket: Ticket, deployment: &Deployment, mode: Mode) -> Event {
    let up = match check_gate(yard, spot, deployment, mode) {
        Ok(()) => yard.deploy(spot, deployment).await,
        Err(why) => Err(why),
    };
    up.map_or_else(|why| Event::DeployFailed(ticket, why), |()| Event::Deployed(ticket))
}

/// Checks the gate file: one that is wrong is told before any traffic moves (G3 to G29 of the compatibility rules).
fn check_gate(yard: &Yard, spot: &Spot, deployment: &Deployment, mode: Mode) -> Result<(), String> {
    let stand_in = Version::at(deployment.name.clone(), [([127, 0, 0, 1], 1).into()]);
    yard.ground.setup(spot, &shown(yard, spot, stand_in))?;
    match yard.gate(spot).filter(|gate| gate.sourced && mode == Mode::Strict) {
        Some(gate) => Texts::read(&gate.files)?.check(),
        None => Ok(()),
    }
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
    let told = match script::find(&yard.projects, spot, script::HEALTH_CHECK) {
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
        yard.since.borrow_mut().insert(name.to_string(), (before, Timestamp::now()));
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
    let (workload, script) = script::find(&yard.projects, spot, strategy.as_str())?;
    let name = spot.name()?;
    let script = match script {
        Some(script) => script,
        None => return script::absent(&workload, mode),
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
    let start = Timestamp::now();
    let report = script::measured(workload::run(job, stop).await?)?;
    let end = Timestamp::now();
    let answered = report.requests.saturating_sub(report.errors);
    let window = yard.ground.measured_since(of_test, &before, answered, HANDED_OVER_WITHIN).await;
    let decided = decided.and_then(|trial| trial.decided().map(str::to_owned));
    yard.seen.borrow_mut().insert(name.to_string(), Seen { run: ticket.run, window, decided, start, end });
    Ok(report)
}

/// Moves the traffic to a candidate by a rollout under the gates.
pub(super) async fn roll_out(yard: &Yard, case: &Case, ticket: Ticket, deployment: &Deployment, schedule: Schedule, resume: bool) -> Event {
    let spot = &case.spot;
    let ended = |Ended { end, actor, reason }| Event::RolloutEnded { ticket, end, actor, reason };
    let none = |reason| ended(Ended { end: RolloutEnd::Aborted, actor: "delivery".to_owned(), reason });
    let (Ok(name), Some(version)) = (spot.name(), yard.version(spot, deployment)) else {
        return none("the candidate is not up".to_owned());
    };
    // One that a restart has ended begins again at its first step, under the same gates: it was neither judged nor refused.
    let resume = resume && !yard.ground.was_interrupted(&name, &version.name);
    let gate = yard.gate(spot);
    let Some(file) = &gate else {
        let why = format!("there is no gate file for {} in {}, so nothing could judge it", spot.service, spot.stage);
        return none(why);
    };
    let judges = yard.ground.setup(spot, &shown(yard, spot, version.clone())).map(|setup| !setup.gates.is_empty());
    if judges == Ok(false) {
        let file = file.path().display();
        return none(format!("the proxy itself can judge nothing of {file}, so no rollout begins; test it instead"));
    }
    let (sourced, schedule) = Sourced::of(file, case.mode, yard.ground.sources_within, schedule);
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
        Err(why) => return none(why),
    };
    let rollout = yard.ground.follow(&name, &version.name, past, || yard.is_aborted(spot, ticket.run));
    let end = sourced::follow(yard, sourced.as_ref().map(|sourced| (sourced, case)), (&version.name, past), rollout).await;
    let own = |shown: &mut Option<Shown>| {
        if let Some(shown) = shown {
            shown.stable = version;
        }
    };
    if end.end.is_promoted() {
        if let Err(why) = yard.show(spot, resume, own).await {
            tracing::warn!("{name} shows its new version late: {why}");
        }
        yard.owned(spot, deployment).await;
    }
    ended(end)
}

/// Returns what the data plane shows of a stage whose traffic one version owns.
fn shown(yard: &Yard, spot: &Spot, stable: Version) -> Shown {
    Shown { stable, tested: None, gate: yard.gate(spot), schedule: None }
}

fn name_of(ticket: Ticket) -> String {
    format!("{}-{}", ticket.run, ticket.attempt)
}
