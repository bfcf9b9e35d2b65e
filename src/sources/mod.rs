//! Where the values of an indicator come from.
