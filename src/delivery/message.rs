//! What others ask the engine, and its answers.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::domain::delivery::StageName;
use crate::domain::version::Name;
use crate::formats::evaluation_window::Window;

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
    /// The engine is gone.
    #[error("the delivery has ended; the process is about to stop")]
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

/// The way to the engine.
#[derive(Clone, Debug)]
pub struct Desk {
    sender: mpsc::UnboundedSender<Asked>,
}

impl Desk {
    /// Makes the way and its end.
    #[must_use]
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Asked>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender }, receiver)
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    ///
    /// Returns why it was not done.
    pub async fn ask(&self, ask: Ask) -> Result<Value, Problem> {
        let (answer, answered) = oneshot::channel();
        self.sender.send(Asked { ask, answer }).map_err(|_| Problem::Gone)?;
        answered.await.unwrap_or(Err(Problem::Gone))
    }
}
