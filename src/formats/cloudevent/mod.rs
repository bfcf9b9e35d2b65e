//! CloudEvents of 0.2 and 1.0 as keptn's releases speak them: reads them, sees what they mean, and writes those we send.
//!
//! It sends and receives nothing, and makes neither ids nor times.

mod configuration;
mod era;
mod evaluation;
mod event;
mod fields;
mod incoming;
mod intake;
mod interpret;
mod outgoing;
mod signature;

#[cfg(test)]
mod tests;

pub use era::{Era, UnknownEra};
pub use evaluation::{Evaluation, Indicator, Status, Target};
pub use event::{Event, STRUCTURED, SpecVersion};
pub use incoming::{
    ApprovalFinished, CanaryWeight, DeploymentFinished, EvaluationDone, EvaluationResult, Incoming, NewArtifact, ProblemNotice,
    StartEvaluation, Subject, TestsFinished,
};
pub use intake::{Limits, Refusal, read, read_structured};
pub use interpret::interpret;
pub use outgoing::{About, Message, Origin, build, carried};
pub use signature::{SIGNATURE, sign, verify};
