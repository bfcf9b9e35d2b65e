//! What a gate file that can never say anything is: worth a note where it is loaded, an error where it is checked.

use crate::formats::yaml::place::{Place, Report};

/// What a gate that cannot say anything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rigour {
    /// Worth a note: the file loads.
    Load,
    /// An error: the operator asked whether the file is any good.
    Check,
}

impl Rigour {
    /// Adds what was found and how to mend it.
    pub fn tell(self, report: &Report<'_>, place: &Place, message: String, hint: &str) {
        match self {
            Self::Load => report.note(place, message, hint),
            Self::Check => report.error(place, message, hint),
        }
    }
}
