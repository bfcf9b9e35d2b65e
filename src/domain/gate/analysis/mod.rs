//! keptn's `AnalysisDefinition` of the lifecycle toolkit: inverted criteria, weights and a total in percent.

pub mod keptn;
pub mod quantity;
pub mod reach;
pub mod spec;
pub mod strict;
