//! Why the story could not go on, in words that say what, where, why and how to mend it.

use std::io;

use crate::cli::demo::admin::AdminError;
use crate::cli::demo::children::ChildError;
use crate::cli::demo::folder::Unwritable;
use crate::cli::http::Unanswered;

/// Why the story could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// A child is not as it should be.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// The temporary folder cannot be used.
    #[error(transparent)]
    Folder(#[from] Unwritable),
    /// The admin API did not do what was asked.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// A version does not answer a question about itself.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// The load generator cannot be started.
    #[error("cannot start the load: {0}\n  hint: it needs a thread and a few file descriptors; check the limits of the system")]
    Load(#[source] io::Error),
    /// The pipeline went another way.
    #[error("{0}")]
    Pipeline(String),
    /// Something did not happen in time.
    #[error("waited {waited:.1} s in vain until {what}; {stand}")]
    Late {
        /// What was waited for.
        what: String,
        /// For how long, in seconds.
        waited: f64,
        /// Where everything stood then.
        stand: String,
    },
    /// A rollout ended as it should not.
    #[error("the rollout of {version} ended as {phase}: {reason}")]
    OtherEnd {
        /// The version on trial.
        version: String,
        /// How it ended.
        phase: &'static str,
        /// Why, by the proxy.
        reason: String,
    },
}
