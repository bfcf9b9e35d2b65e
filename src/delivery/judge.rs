//! Judges a deployment by its stage's gate file: by the sources that the file names, where they are configured, and by what the
//! proxy itself has measured.
//!
//! Sources are asked on a thread of their own, so that a slow one holds up no decision. One that is down, slow, empty or odd leaves
//! the verdict inconclusive. Where both can grade, the worse of the two verdicts holds.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::delivery::evaluation;
use crate::delivery::gate_file::{GateFile, Texts, told};
use crate::delivery::past::Evaluation;
use crate::delivery::plane::Shown;
use crate::delivery::spot::Spot;
use crate::delivery::yard::{Seen, Yard};
use crate::domain::delivery::shipyard::Mode;
use crate::domain::delivery::{Deployment, Event, Ticket};
use crate::domain::gate::Verdict;
use crate::domain::gate::graded::joined;
use crate::domain::gate::occasion::Occasion;
use crate::domain::gate::slo::release::Lighthouse;
use crate::domain::outcome::Role;
use crate::formats::evaluation_window::Window;
use crate::sources::judgement::{self, Judged, Rules, Subject, Ungraded};

/// How long ordinary users may take to send enough requests where nobody tests a version.
const USERS_WITHIN: Duration = Duration::from_secs(300);
/// How long the sources of one evaluation may take, the wait for a service that Dynatrace does not know yet among it.
pub(super) const SOURCES_WITHIN: Duration = Duration::from_secs(300);

/// What is judged.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) spot: Spot,
    /// The context it belongs to.
    pub(super) context: String,
    /// The run; 0 where nothing is delivered.
    pub(super) run: u64,
    /// The test strategy, in keptn's word.
    pub(super) strategy: Option<String>,
    /// What keptn would call the deployment.
    pub(super) deployment: &'static str,
    pub(super) mode: Mode,
}

/// What was said, with the report of the arithmetic where a source was asked.
pub(super) struct Said {
    pub(super) verdict: Verdict,
    pub(super) reason: String,
    pub(super) report: Value,
}

impl Said {
    fn unreported((verdict, reason): (Verdict, String)) -> Self {
        Self { verdict, reason, report: Value::Null }
    }
}

/// Asks the stage's gate file what it says of a deployment.
pub(super) async fn evaluate(yard: &Yard, case: &Case, ticket: Ticket, deployment: &Deployment) -> Event {
    let said = match grade(yard, case, deployment).await {
        Ok(said) => said,
        Err(why) => Said::unreported((Verdict::Inconclusive, why)),
    };
    Event::Evaluated { ticket, verdict: said.verdict, reason: said.reason }
}

async fn grade(yard: &Yard, case: &Case, deployment: &Deployment) -> Result<Said, String> {
    let spot = &case.spot;
    let name = spot.name()?;
    let Some(gate) = yard.gate(spot) else {
        let why = format!("there is no gate file for {} in {}", spot.service, spot.stage);
        // G1 of the compatibility rules.
        return Ok(Said::unreported(match case.mode {
            Mode::Keptn => (Verdict::Pass, format!("{why}, which the original takes for a pass")),
            Mode::Strict => {
                (Verdict::Inconclusive, format!("{why}; add perfspec/perfspec.json or slo.yaml, or write 'gate: none' in the shipyard"))
            }
        }));
    };
    let seen = yard.seen.borrow_mut().remove(name.as_str()).filter(|seen| seen.run == case.run);
    let seen = match seen {
        Some(seen) => seen,
        None => of_users(yard, case, deployment).await?,
    };
    let (start, end) = (seen.start, seen.end);
    let own = own(yard, case, deployment, &gate, seen)?;
    if !gate.sourced {
        let own = own.ok_or_else(|| format!("{} grades nothing", gate.path().display()))?;
        return Ok(keep(yard, case, (start, end), Said::unreported(own)));
    }
    let window = Window::new(start, end).ok_or("the test took no time")?;
    let said = by_sources(yard, &gate, case, window).await;
    let own = own.filter(|_| case.mode == Mode::Strict).map(|(verdict, reason)| (verdict, format!("by the proxy's own numbers: {reason}")));
    let grades = [Some((said.verdict, said.reason)), own].into_iter().flatten().collect();
    let (verdict, reason) = joined(grades).ok_or("nothing grades")?;
    Ok(keep(yard, case, (start, end), Said { verdict, reason, report: said.report }))
}

/// Waits for what the users of a deployment that nobody tests do.
async fn of_users(yard: &Yard, case: &Case, deployment: &Deployment) -> Result<Seen, String> {
    let name = case.spot.name()?;
    let (before, start) = yard.since.borrow().get(name.as_str()).cloned().unwrap_or_else(|| (Default::default(), Timestamp::now()));
    let of_users = (&name, &deployment.name, Role::Stable);
    let window = yard.ground.measured_since(of_users, &before, evaluation::ENOUGH, USERS_WITHIN).await;
    if window.ended() < evaluation::ENOUGH {
        let (seen, enough) = (window.ended(), evaluation::ENOUGH);
        return Err(format!("its users have sent {seen} requests within {USERS_WITHIN:?}, and {enough} are needed to judge it"));
    }
    Ok(Seen { run: case.run, window, decided: None, start, end: Timestamp::now() })
}

/// Grades what the proxy itself has measured; nothing where it cannot grade the file.
fn own(yard: &Yard, case: &Case, deployment: &Deployment, gate: &GateFile, seen: Seen) -> Result<Option<(Verdict, String)>, String> {
    let version = yard.version(&case.spot, deployment).ok_or("it is not up any more")?;
    let shown = Shown { stable: version, tested: None, gate: Some(gate.clone()), schedule: None };
    let Some(grader) = yard.ground.setup(&case.spot, &shown)?.grader else { return Ok(None) };
    let (verdict, reason) = evaluation::grade(&grader, deployment.name.as_str(), &seen.window);
    Ok(Some(match (seen.decided, verdict) {
        // Two arithmetics that contradict each other settle nothing.
        (Some(decided), Verdict::Pass | Verdict::Warning) => {
            (Verdict::Inconclusive, format!("the test was stopped because {decided}, but the gate file says {reason}"))
        }
        (_, verdict) => (verdict, reason),
    }))
}

/// Grades a gate file by what its sources say of a time.
pub(super) async fn by_sources(yard: &Yard, gate: &GateFile, case: &Case, window: Window) -> Said {
    let span = format!("from {} to {} UTC", window.start.strftime("%H:%M:%S"), window.end.strftime("%H:%M:%S"));
    match ask(yard, gate, case, window).await {
        Err(why) => Said::unreported((Verdict::Inconclusive, format!("the sources say nothing of the time {span}: {why}"))),
        Ok(judged) => {
            let figures: Vec<String> = judged.figures.iter().map(ToString::to_string).collect();
            let reason = format!("{}; measured {span}: {}", judged.reasons.join("; "), figures.join("; "));
            let report = serde_json::to_value(&judged.report).unwrap_or_default();
            Said { verdict: judged.verdict, reason, report }
        }
    }
}

async fn ask(yard: &Yard, gate: &GateFile, case: &Case, window: Window) -> Result<Judged, String> {
    let spot = &case.spot;
    let texts = Texts::read(&gate.files)?;
    let configured = yard.monitoring.of(&spot.project, &spot.service)?;
    let configured = configured.ok_or_else(|| format!("nothing says any more where {} of {} is measured", spot.service, spot.project))?;
    let sources = if texts.has_one_source() { configured.one() } else { configured.all() };
    let earlier = yard.past.earlier(spot, (&case.context, case.run))?;
    let milliseconds = window.end.duration_since(window.start).as_millis();
    let occasion = Occasion {
        project: Some(spot.project.to_string()),
        stage: Some(spot.stage.to_string()),
        service: Some(spot.service.to_string()),
        deployment: Some(case.deployment.to_owned()),
        test_strategy: case.strategy.clone(),
        context: Some(case.context.clone()),
        seconds: u64::try_from(milliseconds).unwrap_or_default().div_ceil(1000),
        ..Occasion::default()
    };
    let rules = match case.mode {
        Mode::Strict => Rules::Strict,
        Mode::Keptn => Rules::Keptn(Lighthouse::default()),
    };
    let judged = aside(move || async move {
        let subject = Subject { sources: &sources, window, occasion: &occasion };
        judgement::judge(texts.graded(&earlier), rules, subject).await
    });
    judged.await?.map_err(|ungraded| match ungraded {
        Ungraded::Files(problems) => told(problems),
        Ungraded::Unasked(all) => all.into_iter().map(|one| one.what).collect::<Vec<_>>().join("; "),
    })
}

/// Does something on a thread of its own, for [`SOURCES_WITHIN`] at most; the thread ends when nobody waits any more.
async fn aside<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Result<T, String>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let (mut answer, answered) = oneshot::channel();
    let run = move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "no source can be asked"),
        };
        runtime.block_on(async move {
            tokio::select! {
                // Whoever asked has gone, at the end of the process.
                () = answer.closed() => (),
                done = tokio::time::timeout(SOURCES_WITHIN, work()) => {
                    if let Ok(done) = done {
                        let _ = answer.send(done);
                    }
                }
            }
        });
        // A look-up of a host's name that hangs holds up nobody.
        runtime.shutdown_background();
    };
    std::thread::Builder::new().name("gate".to_owned()).spawn(run).map_err(|error| format!("no source can be asked: {error}"))?;
    answered.await.map_err(|_| format!("the sources gave no answer within {SOURCES_WITHIN:?}"))
}

/// Keeps what was said; where that fails it is told, and holds all the same.
pub(super) fn keep(yard: &Yard, case: &Case, (start, end): (Timestamp, Timestamp), said: Said) -> Said {
    let spot = &case.spot;
    let kept = Evaluation {
        context: case.context.clone(),
        run: case.run,
        project: spot.project.to_string(),
        stage: spot.stage.to_string(),
        service: spot.service.to_string(),
        start: start.to_string(),
        end: end.to_string(),
        verdict: said.verdict,
        reason: said.reason.clone(),
        report: said.report.clone(),
    };
    if let Err(why) = yard.past.keep(spot, kept) {
        tracing::error!("an evaluation of {} in {} is not kept: {why}", spot.service, spot.stage);
    }
    said
}
