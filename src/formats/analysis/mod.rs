//! Reads `AnalysisDefinition` and `AnalysisValueTemplate` documents of the lifecycle toolkit, and the values they judge.

mod checks;
pub(super) mod documents;
mod keptn;
mod strict;
mod values;

pub use keptn::read_keptn;
pub use strict::{Loaded, Template, check, read};
pub use values::read_values;
