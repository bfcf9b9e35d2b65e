//! The gate format of the seed: its typed form, its arithmetic in two modes, and its report.

pub mod js;
pub mod promql;
pub mod reach;
pub mod spec;

pub use js::Js;
pub use spec::{Answer, Answers, SourceResult, Spec};
