//! Reads an Argo `AnalysisTemplate`: metrics whose conditions speak of response times or shares of errors become gates.
//! For measured values it reads the conditions as they are, whatever the metrics are.

mod condition;
mod evaluation;
mod expression;
mod reader;
#[cfg(test)]
mod tests;

pub use evaluation::{Evaluated, read_conditions};
pub use reader::{Loaded, read};
