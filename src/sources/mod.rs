//! Where the values of an indicator come from.

pub mod builtin;
