//! Reads `slo.yaml`, `sli.yaml`, the pair of keptn 0.5, measured values and earlier reports: strictly with every problem
//! at once, or as leniently as the original.

mod checks;
mod earlier;
mod keptn;
mod pair;
mod places;
mod sli;
mod strict;
mod values;

pub use earlier::read_earlier;
pub use keptn::read_keptn;
pub use pair::{read_pair, read_pair_keptn};
pub use sli::{Slis, read_sli, read_sli_keptn};
pub use strict::{Loaded, check, read, read_with};
pub use values::{read_values, read_values_keptn};
