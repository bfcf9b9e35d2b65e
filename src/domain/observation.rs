//! Counts and a latency histogram of one version over one stretch of time; mergeable.
