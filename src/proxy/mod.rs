//! The data plane: accept, sanitise, pick, forward, measure; HTTP/1.1.
