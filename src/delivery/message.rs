//! What others ask the engine, and its answers.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::delivery::deployer::Doing;
use crate::delivery::pulse::Pulse;
use crate::domain::delivery::StageName;
use crate::domain::time::Timestamp;
use crate::domain::version::Name;
use crate::formats::evaluation_window::Window;

/// How long an answer is waited for.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);
/// The most questions that wait at a time.
const MOST: usize = 128;

/// Why the engine did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is no such thing.
    #[error("{0}")]
    Unknown(String),
    /// It is there already, or in a state in which this cannot be done.
    #[error("{0}")]
    Conflict(String),
    /// What was sent is wrong; the sentence says what and how to mend it.
    #[error("{0}")]
    Invalid(String),
    /// Whoever asks may not.
    #[error("{0}")]
    Denied(String),
    /// The disk or the data plane did not do what it should.
    #[error("{0}")]
    Failed(String),
    /// The engine does not get to it.
    #[error(
        "the delivery has not answered in time and may still do what it was asked: look with 'portcullis get projects' before you ask again"
    )]
    Busy,
    /// The engine is gone.
    #[error("the delivery has ended and takes nothing more; what is live is served all the same")]
    Gone,
}

/// What the engine is asked.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Make a project.
    CreateProject {
        /// Its name.
        name: String,
        /// The text of its `shipyard.yaml`.
        shipyard: String,
        /// Whether it is delivered as keptn 0.4 did.
        keptn: bool,
    },
    /// Make a service of a project known.
    Onboard {
        /// The project.
        project: Name,
        /// The service's name.
        service: String,
    },
    /// Put a file where a stage, a service or both look for it.
    AddResource {
        /// The project.
        project: Name,
        /// For this stage only.
        stage: Option<StageName>,
        /// For this service only.
        service: Option<Name>,
        /// Its path.
        uri: String,
        /// What it contains.
        content: Vec<u8>,
    },
    /// Deliver an artifact.
    Deliver {
        /// The project.
        project: Name,
        /// The service.
        service: Name,
        /// The stage it is sent to; the first one where none is named.
        stage: Option<StageName>,
        /// The image, perhaps with its tag or digest.
        image: String,
        /// The tag beside it.
        tag: Option<String>,
        /// Its context; made up where none is given.
        context: Option<String>,
        /// Whether it may be tried again where it failed.
        retry: bool,
        /// Whether nobody is asked if its image is there.
        unchecked: bool,
        /// Who asks.
        actor: String,
    },
    /// Take in an event as it came.
    Event(Envelope),
    /// Judge what a stage's sources say of a time, and deliver nothing.
    Evaluate {
        /// Where.
        at: Spotted,
        /// Of which time.
        window: Window,
        /// The context; made up where none is given.
        context: Option<String>,
    },
    /// Ask this source from now on, once it has shown that it answers.
    Monitor {
        /// The project.
        project: Name,
        /// For this service only.
        service: Option<Name>,
        /// The source.
        monitor: Monitor,
    },
    /// Let an artifact in, or not.
    Decide {
        /// Where.
        at: Spotted,
        /// Of which context; whatever waits where none is named.
        context: Option<String>,
        /// Whether it is let in.
        approve: bool,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// Stop what is on trial and what waits.
    Abort {
        /// Where.
        at: Spotted,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
    /// Show every project.
    Projects,
    /// Show what became of a context.
    Context(String),
}

/// A system that measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Prometheus.
    Prometheus,
    /// Dynatrace.
    Dynatrace,
}

/// How a source is shown who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// A bearer token.
    Bearer,
    /// `user:password`.
    Basic,
    /// A token of Dynatrace.
    ApiToken,
}

/// What a source is shown to let us in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authorization {
    /// In which manner.
    pub scheme: Scheme,
    /// The secret; it is never shown.
    pub secret: String,
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorization({:?}, …)", self.scheme)
    }
}

/// A source as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Monitor {
    /// What it is.
    pub provider: Provider,
    /// Where it is.
    pub url: String,
    /// What lets us in.
    pub authorization: Option<Authorization>,
}

/// One stage of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spotted {
    /// The project.
    pub project: Name,
    /// The service.
    pub service: Name,
    /// The stage.
    pub stage: StageName,
}

/// An event as it came over HTTP.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The fields of the request.
    pub headers: http::HeaderMap,
    /// Its body.
    pub body: bytes::Bytes,
    /// Whether it came over a listener that only this machine reaches.
    pub local: bool,
    /// Whether nobody is asked if the image it brings is there.
    pub unchecked: bool,
}

/// What the engine is sent.
#[derive(Debug)]
pub struct Asked {
    /// The question.
    pub ask: Ask,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Value, Problem>>,
}

/// What the engine says to a question.
pub(super) type Answer = Result<Value, Problem>;

/// An answer that is there, or one that takes its time and needs the engine no more.
pub(super) enum Told {
    Now(Answer),
    Later(Doing<'static, Answer>),
}

/// The way to the engine.
#[derive(Clone, Debug)]
pub struct Desk {
    sender: mpsc::Sender<Asked>,
    pulse: Pulse,
}

impl Desk {
    /// Makes the way and its end, and what shows whether anybody is there.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Asked>, Pulse) {
        let (sender, receiver) = mpsc::channel(MOST);
        let pulse = Pulse::default();
        (Self { sender, pulse: pulse.clone() }, receiver, pulse)
    }

    /// Asks and waits for the answer, for as long as it is worth waiting.
    ///
    /// # Errors
    ///
    /// Returns why it was not done, or that nobody knows.
    pub async fn ask(&self, ask: Ask) -> Result<Value, Problem> {
        let (answer, answered) = oneshot::channel();
        self.sender.try_send(Asked { ask, answer }).map_err(|error| match error {
            TrySendError::Full(_) => Problem::Busy,
            TrySendError::Closed(_) => Problem::Gone,
        })?;
        match tokio::time::timeout(ANSWERED_WITHIN, answered).await {
            Ok(told) => told.unwrap_or(Err(Problem::Gone)),
            Err(_) => Err(Problem::Busy),
        }
    }

    /// Says why the delivery does not work; `None` where it does, or is still being brought up.
    #[must_use]
    pub fn failure(&self, now: Timestamp) -> Option<&'static str> {
        self.pulse.failure(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_asks_an_engine_that_hangs_is_told_so_in_time() {
        let (desk, mut asked, _) = Desk::channel();
        assert_eq!(desk.ask(Ask::Projects).await, Err(Problem::Busy));
        let waiting = asked.recv().await.unwrap();
        assert!(waiting.answer.is_closed(), "it need not be done any more");
        let mut all = Vec::new();
        for _ in 0..MOST {
            let desk = desk.clone();
            all.push(tokio::spawn(async move { desk.ask(Ask::Projects).await }));
        }
        while desk.sender.capacity() > 0 {
            tokio::task::yield_now().await;
        }
        let begun = tokio::time::Instant::now();
        assert_eq!((desk.ask(Ask::Projects).await, begun.elapsed()), (Err(Problem::Busy), Duration::ZERO), "no more than so many wait");
        drop(asked);
        assert_eq!(desk.ask(Ask::Projects).await, Err(Problem::Gone));
    }
}
