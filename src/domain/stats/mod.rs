//! Anytime-valid sequential tests: truncated-Beta breach and pass processes, and the non-negative mean.
