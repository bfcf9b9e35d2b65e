//! The control plane: drains observations, judges, decides and applies effects in the safe order.
