//! Reads `perfspec.json`, strictly with every problem at once or as leniently as the original, and the file of values.

mod checks;
mod keptn;
pub(super) mod reader;
mod strict;
mod values;

pub use keptn::load_keptn;
pub use strict::{Loaded, check, load, load_live};
pub use values::{load_values, load_values_keptn};
