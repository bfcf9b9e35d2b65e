//! Why a source gave no answer.

use std::time::Duration;

/// Why a source gave no answer; each is a reason for inconclusive, never for a pass and never against a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// No connection, or it broke.
    #[error("{place} cannot be asked: {why}; see that it runs and that the URL is right")]
    Unreached {
        /// Whom.
        place: String,
        /// Why not.
        why: String,
    },
    /// The time is up.
    #[error("{place} gave no answer within {within:?}")]
    Late {
        /// Who.
        place: String,
        /// The limit.
        within: Duration,
    },
    /// The answer is too long.
    #[error("the answer of {place} is longer than {most} bytes; ask for fewer series")]
    Long {
        /// Whose.
        place: String,
        /// The limit.
        most: usize,
    },
    /// It wants to be asked elsewhere.
    #[error("{place} answered with status {status}, a redirection, which is never followed; give the final URL")]
    Elsewhere {
        /// Who.
        place: String,
        /// Its status.
        status: u16,
    },
    /// It refused.
    #[error("{place} answered with status {status}{}", reason(.said, *status))]
    Refused {
        /// Who.
        place: String,
        /// Its status.
        status: u16,
        /// What it said, in one short line.
        said: Option<String>,
    },
    /// The answer is not what the interface promises.
    #[error("the answer of {place} is not understood: {why}")]
    Odd {
        /// Whose.
        place: String,
        /// Why not.
        why: String,
    },
    /// The time of the whole evaluation is used up.
    #[error("it was not asked: the {0:?} of the whole evaluation are used up")]
    Unasked(Duration),
}

impl Trouble {
    /// Returns the words of the original, whose client said no more than the status.
    #[must_use]
    pub fn as_keptn(&self) -> String {
        match self {
            Self::Refused { status, .. } => format!("Error: Request failed with status code {status}"),
            other => format!("Error: {other}"),
        }
    }

    /// Says whether the same question may be answered a moment later.
    pub(super) const fn is_passing(&self) -> bool {
        matches!(self, Self::Unreached { .. } | Self::Refused { status: 429 | 502 | 503 | 504, .. })
    }
}

/// Returns what a source said, or what its status alone says.
fn reason(said: &Option<String>, status: u16) -> String {
    let meaning = match status {
        401 | 403 => ": it does not take the credentials; see that the file holds the right ones",
        404 => ": there is no such interface; see that the URL is right",
        429 => ": it is asked too often",
        _ => "",
    };
    said.as_ref().map_or_else(|| meaning.to_owned(), |said| format!(": {said}"))
}

/// Makes one short line of what a source said, fit to be shown.
pub(super) fn tamed(text: &str) -> String {
    const MOST: usize = 200;
    let tame: String = text.chars().take(MOST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(MOST).is_some() { format!("{tame}…") } else { tame }
}
