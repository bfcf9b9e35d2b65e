//! The rollout machine: a plan, phases, and handle(now, event) -> effects.
