//! The gate format of the seed: its typed form, its arithmetic in two modes, and its report.

pub mod absent;
pub mod js;
pub mod keptn;
pub mod promql;
pub mod reach;
pub mod report;
pub mod spec;
pub mod strict;

pub use js::Js;
pub use report::Report;
pub use spec::{Answer, Answers, SourceResult, Spec};
