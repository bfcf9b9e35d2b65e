//! The API of the delivery: projects, services, their files, events and what became of them.

use axum::body::to_bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::admin::access;
use crate::admin::body::{self, LONGEST_REASON, PATIENCE, escape};
use crate::admin::problem::{FieldError, Problem};
use crate::admin::state::AdminState;
use crate::delivery::{Ask, Envelope, Monitor, Problem as Refused, Spotted};
use crate::domain::delivery::StageName;
use crate::domain::version::Name;
use crate::formats::evaluation_window::{self, Flags};

/// The largest file of a project and the largest event, in bytes.
const LARGEST: usize = 1 << 20;

/// The longest context, in characters.
const LONGEST_CONTEXT: usize = 128;

/// A project as it is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Project {
    name: String,
    shipyard: String,
    #[serde(default)]
    compat: Compat,
}

#[derive(Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Compat {
    #[default]
    Strict,
    Keptn,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    name: String,
}

/// An artifact as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    image: String,
    tag: Option<String>,
    stage: Option<StageName>,
    #[serde(default)]
    retry: bool,
    #[serde(default)]
    unchecked: bool,
    actor: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Why {
    context: Option<String>,
    actor: Option<String>,
    reason: Option<String>,
}

/// An evaluation as it is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    timeframe: Option<String>,
    start: Option<String>,
    end: Option<String>,
    context: Option<String>,
}

/// A source as it is configured.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    service: Option<Name>,
    monitor: Monitor,
}

/// For whom a file is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct For {
    uri: String,
    stage: Option<StageName>,
    service: Option<Name>,
}

/// Shows every project with what stands in its stages.
pub async fn projects(State(state): State<AdminState>) -> Result<Response, Problem> {
    ask(&state, Ask::Projects, StatusCode::OK).await
}

/// Makes a project of its shipyard.
pub async fn create(State(state): State<AdminState>, request: Request) -> Result<Response, Problem> {
    let Project { name, shipyard, compat } = read(request).await?;
    ask(&state, Ask::CreateProject { name, shipyard, keptn: compat == Compat::Keptn }, StatusCode::CREATED).await
}

/// Makes a service of a project known.
pub async fn onboard(State(state): State<AdminState>, Path(project): Path<String>, request: Request) -> Result<Response, Problem> {
    let project = name(&project)?;
    let Service { name: service } = read(request).await?;
    ask(&state, Ask::Onboard { project, service }, StatusCode::CREATED).await
}

/// Puts a file where a stage, a service or both look for it; the body is its content, whatever its type.
pub async fn add_resource(
    State(state): State<AdminState>,
    Path(project): Path<String>,
    query: Result<Query<For>, axum::extract::rejection::QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let Query(For { uri, stage, service }) =
        query.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("the query is ?uri=PATH[&stage=…][&service=…]: {error}")))?;
    let content = whole(request).await?.to_vec();
    ask(&state, Ask::AddResource { project: name(&project)?, stage, service, uri, content }, StatusCode::CREATED).await
}

/// Delivers an artifact.
pub async fn deliver(
    State(state): State<AdminState>,
    Path((project, service)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let Sent { image, tag, stage, retry, unchecked, actor } = read(request).await?;
    let (project, service, actor) = (name(&project)?, name(&service)?, actor_of(actor)?);
    ask(&state, Ask::Deliver { project, service, stage, image, tag, context: None, retry, unchecked, actor }, StatusCode::ACCEPTED).await
}

/// Takes in an event of another system.
pub async fn event(State(state): State<AdminState>, request: Request) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    // Whoever may not command by themselves proves that the event is one of ours.
    let local = access::may_command();
    let body = whole(request).await?;
    ask(&state, Ask::Event(Envelope { headers, body, local, unchecked: false }), StatusCode::ACCEPTED).await
}

/// Begins an evaluation that delivers nothing.
pub async fn evaluate(
    State(state): State<AdminState>,
    Path((project, service, stage)): Path<(String, String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let Wish { timeframe, start, end, context } = read(request).await?;
    let flags = Flags { timeframe: timeframe.as_deref(), start: start.as_deref(), end: end.as_deref() };
    let window = evaluation_window::read(flags, jiff::Timestamp::now());
    let window = window.map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    let context = context.map(|context| short(context, LONGEST_CONTEXT, "context")).transpose()?;
    ask(&state, Ask::Evaluate { at: spotted(&project, &service, &stage)?, window, context }, StatusCode::ACCEPTED).await
}

/// Names a source of the values behind a project's gates.
pub async fn monitor(State(state): State<AdminState>, Path(project): Path<String>, request: Request) -> Result<Response, Problem> {
    let Source { service, monitor } = read(request).await?;
    ask(&state, Ask::Monitor { project: name(&project)?, service, monitor }, StatusCode::OK).await
}

/// Shows everything that was decided under a context.
pub async fn context(State(state): State<AdminState>, Path(id): Path<String>) -> Result<Response, Problem> {
    ask(&state, Ask::Context(id), StatusCode::OK).await
}

/// Lets an artifact into a stage.
pub async fn approve(state: State<AdminState>, path: Path<(String, String, String)>, request: Request) -> Result<Response, Problem> {
    decide(&state, path, request, true).await
}

/// Does not let an artifact into a stage.
pub async fn deny(state: State<AdminState>, path: Path<(String, String, String)>, request: Request) -> Result<Response, Problem> {
    decide(&state, path, request, false).await
}

/// Stops what is on trial in a stage and what waits for it.
pub async fn abort(
    State(state): State<AdminState>,
    Path((project, service, stage)): Path<(String, String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let Why { actor, reason, .. } = read_or_default(request).await?;
    let at = spotted(&project, &service, &stage)?;
    ask(&state, Ask::Abort { at, actor: actor_of(actor)?, reason: reason_of(reason)? }, StatusCode::ACCEPTED).await
}

async fn decide(
    state: &AdminState,
    Path((project, service, stage)): Path<(String, String, String)>,
    request: Request,
    approve: bool,
) -> Result<Response, Problem> {
    let Why { context, actor, reason } = read_or_default(request).await?;
    let at = spotted(&project, &service, &stage)?;
    ask(state, Ask::Decide { at, context, approve, actor: actor_of(actor)?, reason: reason_of(reason)? }, StatusCode::ACCEPTED).await
}

async fn ask(state: &AdminState, ask: Ask, status: StatusCode) -> Result<Response, Problem> {
    let Some(desk) = &state.delivery else {
        let hint = "write 'delivery' in its configuration; config/example.yaml shows how";
        return Err(Problem::new(StatusCode::NOT_FOUND, format!("this proxy delivers nothing: {hint}")));
    };
    match desk.ask(ask).await {
        Ok(value) => Ok((status, axum::Json::<Value>(value)).into_response()),
        Err(refused) => {
            let status = match &refused {
                Refused::Unknown(_) => StatusCode::NOT_FOUND,
                Refused::Conflict(_) => StatusCode::CONFLICT,
                Refused::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
                Refused::Denied(_) => StatusCode::UNAUTHORIZED,
                Refused::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
                Refused::Busy | Refused::Gone => StatusCode::SERVICE_UNAVAILABLE,
            };
            Err(Problem::new(status, refused.to_string()))
        }
    }
}

/// Reads a whole body of at most 1 MiB.
async fn whole(request: Request) -> Result<axum::body::Bytes, Problem> {
    match tokio::time::timeout(PATIENCE, to_bytes(request.into_body(), LARGEST)).await {
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 10 s")),
        Ok(Err(_)) => Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 1 MiB, or broken")),
        Ok(Ok(bytes)) => Ok(bytes),
    }
}

async fn read<T: serde::de::DeserializeOwned>(request: Request) -> Result<T, Problem> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be JSON; send Content-Type: application/json"));
    }
    let bytes = whole(request).await?;
    let mut json = serde_json::Deserializer::from_slice(&bytes);
    let wrong = |pointer: String, error: serde_json::Error| {
        let detail = error.to_string();
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the body cannot be read: {detail}"))
            .with_errors(vec![FieldError { pointer, detail }])
    };
    let read = serde_path_to_error::deserialize(&mut json).map_err(|error| wrong(pointer(error.path()), error.into_inner()))?;
    json.end().map_err(|error| wrong(String::new(), error))?;
    Ok(read)
}

/// Writes a path as a JSON pointer (RFC 6901); empty for the whole body.
fn pointer(path: &serde_path_to_error::Path) -> String {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(format!("/{index}")),
        Segment::Map { key } => Some(format!("/{}", escape(key))),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().filter_map(step).collect()
}

/// Reads a body that may be left out.
async fn read_or_default(request: Request) -> Result<Why, Problem> {
    let none = request.headers().get(header::CONTENT_TYPE).is_none();
    if none { Ok(Why::default()) } else { read(request).await }
}

fn name(text: &str) -> Result<Name, Problem> {
    text.parse().map_err(|error: crate::domain::version::InvalidName| Problem::new(StatusCode::NOT_FOUND, error.to_string()))
}

fn spotted(project: &str, service: &str, stage: &str) -> Result<Spotted, Problem> {
    let stage = stage
        .parse()
        .map_err(|error: crate::domain::delivery::shipyard::InvalidStageName| Problem::new(StatusCode::NOT_FOUND, error.to_string()))?;
    Ok(Spotted { project: name(project)?, service: name(service)?, stage })
}

fn actor_of(actor: Option<String>) -> Result<String, Problem> {
    if let Some(said) = &actor {
        body::person(said).map_err(|detail| unusable("actor", detail))?;
    }
    Ok(access::signed(actor, body::ANYBODY))
}

fn reason_of(reason: Option<String>) -> Result<String, Problem> {
    short(reason.unwrap_or_else(|| "no reason given".to_owned()), LONGEST_REASON, "reason")
}

fn short(text: String, most: usize, what: &str) -> Result<String, Problem> {
    body::line(&text, most).map_err(|detail| unusable(what, detail))?;
    Ok(text)
}

fn unusable(what: &str, detail: String) -> Problem {
    let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the {what} cannot be used: {detail}"));
    problem.with_errors(vec![FieldError { pointer: format!("/{what}"), detail }])
}
