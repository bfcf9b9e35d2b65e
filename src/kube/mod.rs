//! Kubernetes: what is put into pods so that a proxy runs beside the application (pure; it talks to no cluster), and where the pods of
//! a version are, as a cluster tells it. Routes of a cluster may follow what is decided here.

#[cfg(feature = "kubernetes")]
pub mod discovery;
pub mod http_route;
pub mod inject;
pub mod intercept;
#[cfg(feature = "kubernetes")]
pub mod mirror;
pub mod slices;
