//! The commands of the pipeline, as keptn had them: `create project`, `onboard service`, `add-resource`, `send event`, `get`.
//!
//! Each asks the admin listener of a running proxy and prints what it answered. Exit code: 0 when it was done, 2 when the proxy
//! did not answer or refused, 3 when an artifact that was waited for did not pass.

mod configure;
mod evaluation;
mod files;
mod get;
mod outcome;
mod project;
mod send;
mod story;

pub use configure::{Configure, configure};
pub use files::{AddResourceArgs, add_resource};
pub use get::{Get, get};
pub use project::{AbortArgs, Create, DecideArgs, Onboard, abort, create, decide, onboard};
pub use send::{Send, send};
