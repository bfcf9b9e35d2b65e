//! Reads an Argo `AnalysisTemplate`: metrics whose conditions speak of response times or shares of errors become gates.

mod condition;
mod reader;
#[cfg(test)]
mod tests;

pub use reader::{Loaded, read};
