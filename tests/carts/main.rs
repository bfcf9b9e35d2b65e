//! Holds `portcullis carts` as a real process to its line on stdout, its exit codes, SIGTERM and the hang.

#[cfg(test)]
mod process;
