//! The rollout API: shows rollouts and notices, and hands an operator's commands to the controller.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::admin::body::{self, Ask};
use crate::admin::condition;
use crate::admin::names;
use crate::admin::problem::Problem;
use crate::admin::state::AdminState;
use crate::control::command::{Accepted, Command, CommandError};
use crate::control::status::{RolloutStatus, ServiceStatus};
use crate::domain::gate::Verdict;
use crate::domain::rollout::Phase;
use crate::domain::version::Name;

/// The name in a path, as far as it could be read.
pub(super) type Named = Result<Path<String>, PathRejection>;

/// Shows every service with its current or last rollout.
pub async fn list(State(state): State<AdminState>) -> Response {
    axum::Json(json!({"rollouts": state.board.snapshot().services})).into_response()
}

/// Shows one service with its current or last rollout.
pub async fn show(State(state): State<AdminState>, named: Named) -> Result<Response, Problem> {
    let service = find(&state, named)?;
    let tag = [(header::ETAG, format!("\"{}\"", service.tag()))];
    Ok((tag, axum::Json(service)).into_response())
}

/// Says in one word what the gates say of the current or last rollout's canary.
pub async fn verdict(State(state): State<AdminState>, named: Named) -> Result<Response, Problem> {
    let service = find(&state, named)?;
    let verdict = service.rollout.as_ref().map_or(Verdict::Inconclusive, verdict_of);
    Ok(axum::Json(judged(&service, verdict)).into_response())
}

/// Says whether anything speaks against the canary, as Flagger asks: by a POST whose body says what it is about, and which counts as
/// passed with any 2xx.
pub async fn confirm(State(state): State<AdminState>, named: Named, request: Request) -> Result<Response, Problem> {
    body::read(request).await?;
    let service = find(&state, named)?;
    let verdict = service.rollout.as_ref().map_or(Verdict::Inconclusive, verdict_of);
    if verdict == Verdict::Fail {
        let reason = service.rollout.as_ref().map_or("", |rollout| &rollout.reason);
        return Err(Problem::new(StatusCode::CONFLICT, format!("the gates of {} fail: {reason}", service.name)));
    }
    Ok(axum::Json(judged(&service, verdict)).into_response())
}

fn judged(service: &ServiceStatus, verdict: Verdict) -> Value {
    let (canary, phase, reason) =
        service.rollout.as_ref().map_or((None, None, None), |r| (Some(&r.canary.name), Some(r.phase), Some(&r.reason)));
    json!({
        "service": service.name, "canary": canary, "phase": phase, "reason": reason,
        "verdict": verdict, "pass": verdict == Verdict::Pass,
    })
}

/// Shows what people were told lately, oldest first.
pub async fn notices(State(state): State<AdminState>) -> Response {
    axum::Json(json!({"notices": state.board.snapshot().notices})).into_response()
}

/// Starts a rollout.
pub async fn start(State(state): State<AdminState>, request: Request) -> Result<Response, Problem> {
    let body::Start { service, canary, retry, actor } = body::start(body::read(request).await?.as_ref())?;
    let names = names::resolve(&canary.endpoints).await?;
    // Names that nobody uses after all do no harm.
    state.routes.endpoints().learn(names);
    let accepted = run(&state, Command::Start { service: service.clone(), canary: Box::new(canary), retry, actor }).await?;
    let place = [(header::LOCATION, format!("/v1/rollouts/{service}"))];
    Ok((StatusCode::ACCEPTED, place, told(&service, accepted)).into_response())
}

/// Stops a rollout; a service without a progressing one is left as it is, and the answer says so.
pub async fn abort(State(state): State<AdminState>, named: Named, request: Request) -> Result<Response, Problem> {
    let service = name(named)?;
    let (ramp, Ask { actor, reason }) = body::end(body::read(request).await?.as_ref())?;
    let named = service.clone();
    let command = if ramp { Command::Recede { service: named, actor, reason } } else { Command::Abort { service: named, actor, reason } };
    let accepted = run(&state, command).await?;
    Ok(told(&service, accepted))
}

/// Waives the remaining holds before the last step.
pub async fn promote(State(state): State<AdminState>, named: Named, request: Request) -> Result<Response, Problem> {
    let service = name(named)?;
    let Ask { actor, reason } = body::ask(body::read(request).await?.as_ref())?;
    let accepted = run(&state, Command::Promote { service: service.clone(), actor, reason }).await?;
    Ok((StatusCode::ACCEPTED, told(&service, accepted)).into_response())
}

/// Holds a rollout where it is.
pub async fn pause(State(state): State<AdminState>, named: Named, request: Request) -> Result<Response, Problem> {
    let service = name(named)?;
    let Ask { actor, reason } = body::ask(body::read(request).await?.as_ref())?;
    let accepted = run(&state, Command::Pause { service: service.clone(), actor, reason }).await?;
    Ok(told(&service, accepted))
}

/// Lets a rollout go on that waits for approval.
pub async fn approve(State(state): State<AdminState>, named: Named, request: Request) -> Result<Response, Problem> {
    let service = name(named)?;
    let Ask { actor, reason } = body::ask(body::read(request).await?.as_ref())?;
    let accepted = run(&state, Command::Approve { service: service.clone(), actor, reason }).await?;
    Ok((StatusCode::ACCEPTED, told(&service, accepted)).into_response())
}

/// Gives everything back of a rollout that waits for approval.
pub async fn deny(State(state): State<AdminState>, named: Named, request: Request) -> Result<Response, Problem> {
    let service = name(named)?;
    let Ask { actor, reason } = body::ask(body::read(request).await?.as_ref())?;
    let accepted = run(&state, Command::Deny { service: service.clone(), actor, reason }).await?;
    Ok(told(&service, accepted))
}

/// Gives the canary another share of the plan and holds it there.
pub async fn set_weight(State(state): State<AdminState>, named: Named, request: Request) -> Result<Response, Problem> {
    let service = name(named)?;
    let (weight, Ask { actor, reason }) = body::share(body::read(request).await?.as_ref())?;
    let accepted = run(&state, Command::SetWeight { service: service.clone(), weight, actor, reason }).await?;
    Ok(told(&service, accepted))
}

/// Begins a rollout of the last canary again.
pub async fn retry(State(state): State<AdminState>, named: Named, request: Request) -> Result<Response, Problem> {
    let service = name(named)?;
    let Ask { actor, .. } = body::ask(body::read(request).await?.as_ref())?;
    let accepted = run(&state, Command::Retry { service: service.clone(), actor }).await?;
    Ok((StatusCode::ACCEPTED, told(&service, accepted)).into_response())
}

/// Lets a paused rollout go on, with fresh evidence.
pub async fn resume(State(state): State<AdminState>, named: Named, request: Request) -> Result<Response, Problem> {
    let service = name(named)?;
    let Ask { actor, reason } = body::ask(body::read(request).await?.as_ref())?;
    let accepted = run(&state, Command::Resume { service: service.clone(), actor, reason }).await?;
    Ok((StatusCode::ACCEPTED, told(&service, accepted)).into_response())
}

fn name(named: Named) -> Result<Name, Problem> {
    let not_found = |detail: String| Problem::new(StatusCode::NOT_FOUND, detail);
    let Path(text) = named.map_err(|_| not_found("the path names no service".to_owned()))?;
    text.parse().map_err(|error: crate::domain::version::InvalidName| not_found(error.to_string()))
}

pub(super) fn find(state: &AdminState, named: Named) -> Result<ServiceStatus, Problem> {
    let name = name(named)?;
    let snapshot = state.board.snapshot();
    let service = snapshot.services.iter().find(|service| service.name == name);
    service.map(|service| (**service).clone()).ok_or_else(|| refusal(CommandError::UnknownService(name)))
}

/// While it progresses a version fails by any failing gate and passes by all gates; afterwards its phase tells.
fn verdict_of(rollout: &RolloutStatus) -> Verdict {
    match rollout.phase {
        Phase::Promoted => Verdict::Pass,
        Phase::RolledBack => Verdict::Fail,
        Phase::Aborted | Phase::Braked | Phase::Paused | Phase::AwaitingApproval | Phase::Receding => Verdict::Inconclusive,
        Phase::Progressing | Phase::Watching
            if rollout.trip.is_some() || rollout.gates.iter().any(|gate| gate.verdict == Verdict::Fail) =>
        {
            Verdict::Fail
        }
        Phase::Progressing | Phase::Watching
            if !rollout.gates.is_empty() && rollout.gates.iter().all(|gate| gate.verdict == Verdict::Pass) =>
        {
            Verdict::Pass
        }
        Phase::Progressing | Phase::Watching => Verdict::Inconclusive,
    }
}

/// Hands a command to the controller and waits for its answer on a thread that may wait.
async fn run(state: &AdminState, command: Command) -> Result<Accepted, Problem> {
    let (commands, expected) = (state.commands.clone(), condition::expected());
    let answer = tokio::task::spawn_blocking(move || commands.run_if(command, expected)).await;
    answer.unwrap_or(Err(CommandError::Unavailable)).map_err(refusal)
}

fn refusal(error: CommandError) -> Problem {
    match &error {
        CommandError::UnknownService(_) => Problem::new(StatusCode::NOT_FOUND, format!("{error}; GET /v1/rollouts lists them")),
        CommandError::Changed(_) => Problem::new(StatusCode::PRECONDITION_FAILED, error.to_string()),
        CommandError::Conflict(_) => Problem::new(StatusCode::CONFLICT, error.to_string()),
        CommandError::Succeeded => Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        CommandError::Unavailable => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{error}; the command may still be carried out once"))
        }
    }
}

fn told(service: &Name, accepted: Accepted) -> Response {
    let (changed, message) = match accepted {
        Accepted::Done(message) => (true, message),
        Accepted::Nothing(message) => (false, message),
    };
    axum::Json(json!({"service": service, "changed": changed, "message": message})).into_response()
}
