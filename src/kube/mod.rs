//! Kubernetes: what is put into pods so that a proxy runs beside the application, and how an API server is given it.
//!
//! [`inject`], [`intercept`], [`policy`] and [`review`] are pure; [`webhook`] is what an API server asks.

pub mod inject;
pub mod intercept;
pub mod policy;
pub mod review;
pub mod webhook;
