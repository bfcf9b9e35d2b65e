//! The core of Portcullis exactly as it is compiled into the proxy, without what needs a network: what seeded bugs are tried on.

#[path = "../../../src/domain/mod.rs"]
pub mod domain;

#[path = "../../../src/seam/mod.rs"]
pub mod seam;

#[path = "../../../src/store/mod.rs"]
pub mod store;

#[path = "../../../src/control/mod.rs"]
pub mod control;

pub mod formats;
