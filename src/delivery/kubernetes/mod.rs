//! Deployments as objects of a Kubernetes cluster: applied by the server's own merge, watched until they are available, taken away.
//!
//! Each deployment has a Deployment and a Service of its own, `{service}-{number}`: what the proxy is given never leads to another
//! version. `{service}-primary` and `{service}-canary` are the doors for everybody else in the cluster: they select what owns the
//! stage and what is on trial, and follow the proxy.

mod cluster;
mod deployer;
mod objects;
mod progress;

pub(in crate::delivery) use deployer::Kubernetes;
