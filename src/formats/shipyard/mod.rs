//! Reads `shipyard.yaml` of keptn 0.1 to 0.7 and of spec 0.2.x: strictly with every problem at once, or as leniently as the
//! original.

mod checks;
mod reader;
mod sequences;
mod stages;
#[cfg(test)]
mod tests;
mod words;

pub use reader::{Loaded, check, read, read_keptn, read_with};
