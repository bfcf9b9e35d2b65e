//! What the domain's own tests read JSON with.

#[path = "../../../src/formats/json.rs"]
pub mod json;

#[path = "../../../src/formats/problem.rs"]
pub mod problem;
