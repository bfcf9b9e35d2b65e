//! What operators ask of the controller, and its answers.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::time::Duration;

use crate::domain::version::{Name, Version};
use crate::seam::report::{Report, ReportSender};

/// What an operator asks.
#[derive(Clone, Debug)]
pub enum Command {
    /// Begin a rollout.
    Start {
        /// The service.
        service: Name,
        /// The version to try.
        canary: Version,
        /// Whether a version that was rolled back may be tried again.
        retry: bool,
        /// Who asks.
        actor: String,
    },
    /// Stop a rollout and give everything to stable.
    Abort {
        /// The service.
        service: Name,
        /// Who asks.
        actor: String,
        /// Why.
        reason: String,
    },
    /// Let a paused rollout go on, with fresh evidence.
    Resume {
        /// The service.
        service: Name,
        /// Who asks.
        actor: String,
        /// Why.
        reason: String,
    },
    /// Waive the remaining holds before the last step; evidence is still required.
    Promote {
        /// The service.
        service: Name,
        /// Who asks.
        actor: String,
        /// Why.
        reason: String,
    },
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It changed something; the sentence says what.
    Done(String),
    /// There was nothing to do; the sentence says why.
    Nothing(String),
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No such service is configured.
    #[error("there is no service {0}")]
    UnknownService(Name),
    /// The command does not fit the state the rollout is in.
    #[error("{0}")]
    Conflict(String),
    /// The controller did not answer.
    #[error("the controller did not answer; try again")]
    Unavailable,
}

/// A command with the way back for its answer.
pub struct Request {
    /// The command.
    pub command: Command,
    /// Where the answer goes.
    pub answer: SyncSender<Result<Accepted, CommandError>>,
}

/// The operators' end of the channel to the controller.
#[derive(Clone)]
pub struct Commands {
    requests: Sender<Request>,
    wake: ReportSender,
}

/// How long an operator waits for the controller.
const PATIENCE: Duration = Duration::from_secs(10);

impl Commands {
    /// Makes the channel; `wake` is the controller's report channel.
    #[must_use]
    pub fn channel(wake: ReportSender) -> (Self, Receiver<Request>) {
        let (requests, receiver) = channel();
        (Self { requests, wake }, receiver)
    }

    /// Sends a command and waits for its answer. Blocks; call it from a thread that may.
    ///
    /// # Errors
    ///
    /// Returns why the command was not carried out.
    pub fn run(&self, command: Command) -> Result<Accepted, CommandError> {
        let (answer, reply) = std::sync::mpsc::sync_channel(1);
        self.requests.send(Request { command, answer }).map_err(|_| CommandError::Unavailable)?;
        // A full channel means that the controller is awake already.
        let _ = self.wake.try_send(Report::Wake);
        reply.recv_timeout(PATIENCE).map_err(|_| CommandError::Unavailable)?
    }
}
