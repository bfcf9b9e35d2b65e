//! The seed's demo service, carts, with its endpoints, delays and failures.
//!
//! It stands in for the image `keptnexamples/carts` so that the reference scenario runs without a cluster, and
//! differs from it where that is said: carts live in a bounded memory instead of MongoDB, every tag has the
//! page and the metrics of 0.10, and there are no feature toggles. It knows nothing of the proxy.

mod answer;
mod cart;
mod fault;
mod item;
mod items;
mod metrics;
mod page;
mod server;
mod service;
mod settings;
mod special;
mod store;

#[cfg(test)]
mod tests;

pub use page::value_of;
pub use server::{router, serve};
pub use settings::{Environment, InvalidTag, Settings, Tag};
