//! The load generator: closed and constant-rate, latency from the intended start.
