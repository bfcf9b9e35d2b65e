//! Shows what was decided for a service and why, from the durable journal, and whether anybody has changed that.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::admin::problem::Problem;
use crate::admin::rollouts::{Named, find};
use crate::admin::state::AdminState;
use crate::domain::rollout::Entry;
use crate::store::{Limits, Stored};

/// How many entries are shown where nobody says.
pub const USUAL: usize = 100;
/// The most entries that are shown.
pub const MOST: usize = 1_000;
/// The most bytes of entries that are shown; a single larger one is shown all the same.
pub const MOST_BYTES: usize = 2 * 1024 * 1024;

/// What may be asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    last: Option<usize>,
}

/// One line of the journal as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Its number in the journal, growing over all services.
    pub sequence: u64,
    /// What was decided; absent where it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Entry>,
    /// Why it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// The journal of a service as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    /// Its newest entries, the newest last; a line that cannot be read may be of any service.
    pub entries: Vec<Line>,
    /// Whether these are all that are kept.
    pub complete: bool,
}

impl From<(u64, Stored<Entry>)> for Line {
    fn from((sequence, stored): (u64, Stored<Entry>)) -> Self {
        match stored {
            Stored::Known(entry) => Self { sequence, entry: Some(entry), unreadable: None },
            Stored::Unknown { reason } => Self { sequence, entry: None, unreadable: Some(reason) },
        }
    }
}

/// Shows the newest entries of a service.
pub async fn show(State(state): State<AdminState>, named: Named, asked: Result<Query<Asked>, QueryRejection>) -> Result<Response, Problem> {
    let service = find(&state, named)?.name;
    let last = match asked {
        Ok(Query(Asked { last })) => last.unwrap_or(USUAL),
        Err(_) => return Err(wrong()),
    };
    if !(1..=MOST).contains(&last) {
        return Err(wrong());
    }
    let store = Arc::clone(&state.store);
    let limits = Limits { entries: last, bytes: MOST_BYTES, ..Limits::NONE };
    let wanted = move |stored: &Stored<Entry>| match stored {
        Stored::Known(entry) => entry.service == service,
        Stored::Unknown { .. } => true,
    };
    // The disk may be slow; this thread has other questions to answer.
    let read = state.reading.run(move || store.excerpt(limits, wanted).map_err(|error| error.to_string())).await;
    let excerpt = read.map_err(|why| Problem::new(StatusCode::SERVICE_UNAVAILABLE, why))?;
    let journal = Journal { entries: excerpt.entries.into_iter().map(Line::from).collect(), complete: excerpt.complete };
    Ok(axum::Json(journal).into_response())
}

/// Follows the chain of the journal and says whether it is whole.
pub async fn chain(State(state): State<AdminState>) -> Result<Response, Problem> {
    let store = Arc::clone(&state.store);
    // It reads the whole journal.
    let read = state.reading.run(move || store.chain().map_err(|error| error.to_string())).await;
    let chain = read.map_err(|why| Problem::new(StatusCode::SERVICE_UNAVAILABLE, why))?;
    Ok(axum::Json(chain).into_response())
}

fn wrong() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        format!("the query may say last=N, how many of the newest entries to show, with N from 1 to {MOST}"),
    )
}
