//! The admin listener: health, metrics and the rollout API.
