//! What was decided and why, on disk; read back at start.
