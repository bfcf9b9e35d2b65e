//! Kubernetes: what is put into pods so that a proxy runs beside the application, and how an API server is given it.
//!
//! [`inject`], [`intercept`] and [`review`] are pure.

pub mod inject;
pub mod intercept;
pub mod review;
