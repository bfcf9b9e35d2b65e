//! Shows what happens as server-sent events, and how the versions of a service answered lately.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::Frame;
use serde::Deserialize;
use tokio::sync::mpsc::Receiver;

use crate::admin::beat;
use crate::admin::live;
use crate::admin::problem::Problem;
use crate::admin::rollouts::{Named, find};
use crate::admin::state::AdminState;

/// Marks an answer without an end, for whoever looks after the connection.
#[derive(Clone, Copy, Debug)]
pub struct Endless;

/// What may be asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    after: Option<u64>,
}

/// Shows how both versions of a service answered lately.
pub async fn history(State(state): State<AdminState>, named: Named) -> Result<Response, Problem> {
    let service = find(&state, named)?.name;
    Ok(axum::Json(state.live.chart(&service)).into_response())
}

/// Tells what happens until the client leaves: first what it missed, then where things stand, then everything as it comes.
pub async fn follow(
    State(state): State<AdminState>,
    asked: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wrong = || Problem::new(StatusCode::BAD_REQUEST, "Last-Event-ID, or the query after=N, is the sequence of an entry of the journal");
    let Query(Asked { after }) = asked.map_err(|_| wrong())?;
    let known = match headers.get("last-event-id") {
        Some(id) => Some(id.to_str().ok().and_then(|id| id.parse().ok()).ok_or_else(wrong)?),
        None => after,
    };
    // Whoever follows first and reads then is told some transitions twice, by their ids, but none too few.
    let Some(events) = beat::follow(&state) else {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{} others follow already", live::FOLLOWERS)));
    };
    let mut missed = Vec::new();
    if let Some(after) = known {
        let reading = state.reading.clone();
        let read = reading.run(move || beat::transitions(&state, after)).await;
        missed = read.map_err(|why| Problem::new(StatusCode::SERVICE_UNAVAILABLE, why))?;
        missed.reverse();
    }
    let body = Body::new(Feed { missed: missed.into_iter().map(|(_, event)| event).collect(), events });
    let mut response = ([(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))], body).into_response();
    response.extensions_mut().insert(Endless);
    Ok(response)
}

/// The body of an answer without an end.
struct Feed {
    /// The newest first.
    missed: Vec<Bytes>,
    events: Receiver<Bytes>,
}

impl hyper::body::Body for Feed {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(event) = self.missed.pop() {
            return Poll::Ready(Some(Ok(Frame::data(event))));
        }
        self.events.poll_recv(cx).map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}
