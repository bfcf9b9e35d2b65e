//! The configuration: as written, checked completely, then compiled into domain types.
