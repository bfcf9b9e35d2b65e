//! YAML text as a tree with places, and the tools that take it apart and collect every problem at once.

pub mod fields;
pub mod manifests;
pub mod meaning;
pub mod place;
pub mod quantities;
pub mod tree;
