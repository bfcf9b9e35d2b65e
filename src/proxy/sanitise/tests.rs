//! Requests and responses as they must be refused or cleaned.
#![cfg(test)]
