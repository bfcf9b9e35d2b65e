//! What certificates are read with.

#[path = "../../../src/formats/problem.rs"]
pub mod problem;

#[path = "../../../src/formats/revocation.rs"]
pub mod revocation;

#[path = "../../../src/formats/tls.rs"]
pub mod tls;

#[path = "../../../src/formats/validity.rs"]
pub mod validity;
