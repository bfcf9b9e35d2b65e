//! keptn's `slo.yaml`: its criteria and scoring, as lighthouse did it and strictly, and which figure of the proxy answers an SLI.

pub mod baseline;
pub mod criterion;
pub mod keptn;
pub mod live;
pub mod provider;
pub mod reach;
pub mod release;
pub mod report;
pub mod spec;
pub mod strict;
pub mod total;
pub mod value;
#[cfg(test)]
mod vectors;
pub mod written;
