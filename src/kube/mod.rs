//! Kubernetes: what is put into pods so that a proxy runs beside the application, how an API server is given it, and where the pods of a
//! version are, as a cluster tells it. Routes of a cluster may follow what is decided here.
//!
//! [`inject`], [`intercept`], [`policy`], [`review`] and [`slices`] are pure; [`webhook`] is what an API server asks.

#[cfg(feature = "kubernetes")]
pub mod discovery;
pub mod http_route;
pub mod inject;
pub mod intercept;
#[cfg(feature = "kubernetes")]
pub mod mirror;
pub mod policy;
pub mod review;
pub mod slices;
#[cfg(feature = "kubernetes")]
mod way;
pub mod webhook;
