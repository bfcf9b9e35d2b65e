//! The admission webhook: what an API server asks over TLS, and what is answered.
//!
//! [`routes`] answers one request, [`server`] has the connections, [`seats`] and [`pace`] their limits, [`figures`] counts. A certificate
//! comes from files, whose end [`expiry`] tells of, or [`authority`] makes one, [`bundle`] tells the API server whom to trust, and
//! [`renewal`] sees to it that this stays so.

pub mod authority;
pub mod bundle;
pub mod expiry;
pub mod figures;
pub mod pace;
pub mod renewal;
pub mod routes;
pub mod seats;
pub mod server;

#[cfg(test)]
mod tests;
