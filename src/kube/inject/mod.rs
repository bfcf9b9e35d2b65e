//! Puts the proxy into pods as a sidecar: pure functions from an object of Kubernetes and settings to the object with it.
//!
//! [`object::inject`] finds the pods in an object, [`template::inject`] decides about one of them, [`sidecar`] writes what is put in,
//! and [`patch`] tells the difference as a JSONPatch (RFC 6902). The command `inject` and the admission webhook call the same
//! functions, so that both say the same of the same pod.
//!
//! Labels and annotations:
//!
//! | where | name | what |
//! |---|---|---|
//! | label of a pod | `portcullis/inject` | `true` asks for the sidecar, `false` forbids it |
//! | annotation of a pod | `config.portcullis/…` | how its sidecar is set up, a closed list ([`annotations::KNOWN`]) |
//! | annotation of a pod | `portcullis/status` | written by us: what was put in |

pub mod annotations;
pub mod fault;
pub mod kinds;
pub mod object;
pub mod patch;
pub mod places;
pub mod pod;
pub mod quantity;
pub mod settings;
pub mod sidecar;
pub mod template;
pub mod wishes;

#[cfg(test)]
mod tests;
