//! Kubernetes: what is put into pods so that a proxy runs beside the application (pure; it talks to no cluster), and where the pods of
//! a version are, as a cluster tells it.

#[cfg(feature = "kubernetes")]
pub mod discovery;
pub mod inject;
pub mod intercept;
pub mod slices;
