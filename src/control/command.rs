//! What operators ask of the controller, and its answers.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::control::setup::{Origin, ServiceSetup};
use crate::domain::gate::Verdict;
use crate::domain::version::{Name, Version};
use crate::domain::weight::Weight;
use crate::seam::report::{Report, ReportSender};

/// What is wanted of a service.
#[derive(Clone)]
pub struct Wanted {
    /// How it is configured.
    pub setup: ServiceSetup,
    /// Whether a rollout that is progressing ends, because it would be judged otherwise or between other versions.
    pub anew: bool,
}

/// What an operator asks.
#[derive(Clone, Debug)]
pub enum Command {
    /// Begin a rollout.
    Start {
        /// The service.
        service: Name,
        /// The version to try.
        canary: Box<Version>,
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
    /// Stop a rollout and let its share go back in steps, where the service's way back is a ramp; else as [`Self::Abort`].
    Recede {
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
    /// Let a rollout go on that waits for approval.
    Approve {
        /// The service.
        service: Name,
        /// Who asks.
        actor: String,
        /// Why.
        reason: String,
    },
    /// Give everything back of a rollout that waits for approval.
    Deny {
        /// The service.
        service: Name,
        /// Who asks.
        actor: String,
        /// Why.
        reason: String,
    },
    /// Take in what those say of a rollout's version who are asked beside the gates.
    Rule {
        /// The service.
        service: Name,
        /// The number of the rollout they were asked about; any other is left alone.
        rollout: u64,
        /// What they say.
        verdict: Verdict,
        /// Whether that approves where it waits; else somebody must do so beside it.
        approves: bool,
        /// Who says it.
        actor: String,
        /// Why.
        reason: String,
    },
    /// Hold a rollout where it is; its gates stay armed.
    Pause {
        /// The service.
        service: Name,
        /// Who asks.
        actor: String,
        /// Why.
        reason: String,
    },
    /// Give the canary another share of the plan and hold it there; its gates stay armed.
    SetWeight {
        /// The service.
        service: Name,
        /// The share.
        weight: Weight,
        /// Who asks.
        actor: String,
        /// Why.
        reason: String,
    },
    /// Begin a rollout of the last canary again, though it was rolled back or aborted.
    Retry {
        /// The service.
        service: Name,
        /// Who asks.
        actor: String,
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

impl Command {
    /// Returns the service it is about.
    #[must_use]
    pub const fn service(&self) -> &Name {
        match self {
            Self::Start { service, .. }
            | Self::Abort { service, .. }
            | Self::Recede { service, .. }
            | Self::Resume { service, .. }
            | Self::Approve { service, .. }
            | Self::Deny { service, .. }
            | Self::Rule { service, .. }
            | Self::Pause { service, .. }
            | Self::SetWeight { service, .. }
            | Self::Retry { service, .. }
            | Self::Promote { service, .. } => service,
        }
    }
}

/// What the controller is to do.
pub enum Order {
    /// Carry out an operator's command.
    Command(Command),
    /// Take in what others have answered.
    Consulted {
        /// The service.
        service: Name,
        /// The rollout.
        rollout: u64,
        /// The number of the question.
        number: u64,
        /// Why they do not let it go on; `None` where they do.
        refusal: Option<String>,
    },
    /// Carry out an operator's command if the service has one of these tags ([`crate::control::status::ServiceStatus::tag`]).
    Conditional(Command, Vec<String>),
    /// Take these services in the place of the present ones of the same origin.
    Reconfigure {
        /// Whose services these are.
        origin: Origin,
        /// All of its services, in their order.
        services: Vec<Wanted>,
        /// Who asks.
        actor: String,
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
    /// The service is not as the operator saw it.
    #[error("the rollout has changed since: its tag is {0:?} now; look at it again and decide anew")]
    Changed(String),
    /// Another process is about to take over.
    #[error("a new process takes over from this one; try again in a moment")]
    Succeeded,
    /// The controller did not answer.
    #[error("the controller did not answer; try again")]
    Unavailable,
}

/// An order with the way back for its answer.
pub struct Request {
    /// The order.
    pub order: Order,
    /// Where the answer goes.
    pub answer: SyncSender<Result<Accepted, CommandError>>,
}

/// The operators' end of the channel to the controller.
#[derive(Clone)]
pub struct Commands {
    requests: Sender<Request>,
    wake: ReportSender,
    /// Set while another process may own the state: only what takes the canary's share away is carried out then. The hand-over writes
    /// it. Whoever sends an order holds it for reading until that is sent, so that nothing comes after a close that did not know of it.
    closed: Arc<RwLock<bool>>,
}

/// How long an operator waits for the controller.
const PATIENCE: Duration = Duration::from_secs(10);

impl Commands {
    /// Makes the channel; `wake` is the controller's report channel.
    #[must_use]
    pub fn channel(wake: ReportSender) -> (Self, Receiver<Request>) {
        let (requests, receiver) = channel();
        (Self { requests, wake, closed: Arc::default() }, receiver)
    }

    /// Carries out nothing but aborts until further notice; what was sent before this returns is carried out all the same.
    pub fn close(&self, closed: bool) {
        // Nobody can leave it half written.
        *self.closed.write().unwrap_or_else(PoisonError::into_inner) = closed;
    }

    /// Ends a rollout because this process is about to let go of it, closed or not. Blocks.
    ///
    /// # Errors
    ///
    /// Returns why the rollout was not ended.
    pub fn end(&self, service: Name, actor: String, reason: String) -> Result<Accepted, CommandError> {
        let (reply, _) = self.send(Order::Command(Command::Abort { service, actor, reason }))?;
        answer(&reply, Some(PATIENCE))
    }

    /// Sends a command and waits for its answer. Blocks; call it from a thread that may.
    ///
    /// # Errors
    ///
    /// Returns why the command was not carried out.
    pub fn run(&self, command: Command) -> Result<Accepted, CommandError> {
        self.run_if(command, None)
    }

    /// Sends a command that is carried out only if the service has one of these tags, and waits for its answer. Blocks.
    ///
    /// # Errors
    ///
    /// Returns why the command was not carried out.
    pub fn run_if(&self, command: Command, tags: Option<Vec<String>>) -> Result<Accepted, CommandError> {
        let order = match tags {
            Some(tags) => Order::Conditional(command, tags),
            None => Order::Command(command),
        };
        let (reply, closed) = self.send(order)?;
        let answer = answer(&reply, Some(PATIENCE));
        // What is aborted here may go on there: it must be said there too.
        if closed { Err(CommandError::Succeeded) } else { answer }
    }

    /// Has these services take the place of the present ones of the same origin, and waits for as long as that takes.
    ///
    /// # Errors
    ///
    /// Returns why nothing but ends of rollouts has happened.
    pub fn reconfigure(&self, origin: Origin, services: Vec<Wanted>, actor: String) -> Result<Accepted, CommandError> {
        let (reply, _) = self.send(Order::Reconfigure { origin, services, actor })?;
        answer(&reply, None)
    }

    /// Brings what others have answered to a question; waits for nobody.
    pub fn consulted(&self, service: Name, rollout: u64, number: u64, refusal: Option<String>) {
        let (answer, _) = std::sync::mpsc::sync_channel(1);
        // Whoever no longer listens has no rollout either.
        let _ = self.requests.send(Request { order: Order::Consulted { service, rollout, number, refusal }, answer });
        let _ = self.wake.try_send(Report::Wake);
    }

    /// Sends an order, unless this is closed to it; returns where its answer comes from, and whether this is closed.
    fn send(&self, order: Order) -> Result<(Reply, bool), CommandError> {
        let (answer, reply) = std::sync::mpsc::sync_channel(1);
        let closed = self.closed.read().unwrap_or_else(PoisonError::into_inner);
        if *closed && !matches!(order, Order::Command(Command::Abort { .. }) | Order::Conditional(Command::Abort { .. }, _)) {
            return Err(CommandError::Succeeded);
        }
        self.requests.send(Request { order, answer }).map_err(|_| CommandError::Unavailable)?;
        // A full channel means that the controller is awake already.
        let _ = self.wake.try_send(Report::Wake);
        Ok((reply, *closed))
    }
}

/// Where an answer comes from.
type Reply = Receiver<Result<Accepted, CommandError>>;

/// Waits for an answer.
fn answer(reply: &Reply, patience: Option<Duration>) -> Result<Accepted, CommandError> {
    let answered = match patience {
        Some(patience) => reply.recv_timeout(patience).ok(),
        None => reply.recv().ok(),
    };
    answered.ok_or(CommandError::Unavailable)?
}
