//! Names the invariants of a rollout and checks them after every step; tests call the same functions.
