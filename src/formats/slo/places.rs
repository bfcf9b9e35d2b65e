//! Where the parts of an `slo.yaml` stand, for the checks that look at several of them together.

use crate::formats::yaml::place::Place;

/// Where one objective stands.
#[derive(Clone, Debug)]
pub struct ObjectivePlaces {
    /// The name of its SLI.
    pub sli: Place,
    /// Each criterion of each set of `pass`.
    pub pass: Vec<Vec<Place>>,
    /// Each criterion of each set of `warning`.
    pub warning: Vec<Vec<Place>>,
}

/// Where the parts of a file stand.
#[derive(Clone, Debug)]
pub struct Places {
    /// The list of objectives.
    pub objectives: Place,
    /// Each objective.
    pub each: Vec<ObjectivePlaces>,
    /// `total_score.pass`.
    pub pass: Place,
    /// `total_score.warning`, or `total_score` where there is none.
    pub warning: Place,
}
