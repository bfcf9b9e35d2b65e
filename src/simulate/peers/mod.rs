//! Other controllers on the same requests, as their code and documents describe them; none of them sees a request before it
//! has completed.
//!
//! Each judges the canary at the fixed share of the plan's first step: what its own ramp would add is left out, in its favour.

mod argo;
mod completion;
mod flagger;
mod judge;
mod kayenta;
mod run;
mod stream;

pub use run::run;
