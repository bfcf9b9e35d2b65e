//! Which shipyards there can be.

use super::world::stage;
use crate::domain::delivery::shipyard::default_schedule;
use crate::domain::delivery::{Gate, InvalidShipyard, Mode, Shipyard, Strategy, TestStrategy};

#[test]
fn a_shipyard_is_valid_by_construction() {
    let direct = |name: &str| stage(name, Strategy::Direct, Some(TestStrategy::Functional));
    let problems = |stages: &[_]| Shipyard::problems(stages, Mode::Strict);
    assert_eq!(problems(&[]), [InvalidShipyard::Empty]);
    let twice = problems(&[direct("a"), direct("b"), direct("a")]);
    assert_eq!(twice[0].to_string(), "stage 3 is named a like stage 1");
    let mut canary = stage("a", Strategy::Canary(default_schedule()), None);
    canary.gate = Gate::None;
    assert!(matches!(problems(&[canary])[..], [InvalidShipyard::Unjudged { index: 0, .. }]));
    for bad in ["", "Dev", "1dev", "dev-", "d_v", "a/b", "ü"] {
        assert!(bad.parse::<crate::domain::delivery::StageName>().is_err(), "{bad}");
    }
}
