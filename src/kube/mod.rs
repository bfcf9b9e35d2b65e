//! Kubernetes: what is put into pods so that a proxy runs beside the application. Pure; nothing here talks to a cluster.

pub mod inject;
pub mod intercept;
