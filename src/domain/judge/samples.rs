//! What tests of others take for a judged gate.
#![cfg(test)]

use crate::domain::gate::criterion::Unit;
use crate::domain::gate::{Origin, Verdict};
use crate::domain::judge::status::GateStatus;

/// Makes a gate with 80 good requests, which suffice to pass it.
pub fn gate(verdict: Verdict) -> GateStatus {
    GateStatus {
        gate: "p95 < 1 s".to_owned(),
        origin: Origin::Written,
        verdict,
        requests: 80,
        breaches: 0,
        log_e: 3.1,
        log_threshold: 3.0,
        basis: None,
        unit: Unit::Share,
        value: None,
        limit: None,
        lower: None,
        upper: None,
        brake_log_e: 0.0,
        brake_log_threshold: 7.0,
        confirm_log_e: 0.0,
        confirm_log_threshold: None,
        needs: Some(0),
        awaits_stable: None,
    }
}
