//! What a run without a readable gate file is worth.

use crate::domain::gate::perfspec::spec::Compat;
use crate::domain::gate::verdict::Verdict;

/// Why there is no gate file to judge by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// The operator declared that there is no gate.
    Declared,
    /// There is no such file.
    Missing,
    /// There may be one, but it cannot be read; the text says why.
    Unreadable(String),
}

/// Returns the verdict of a run without a gate file, and its reason.
///
/// The original (release 0.4) passes whenever it cannot get the file; strictly that is no evidence for the version.
#[must_use]
pub fn verdict(absent: &Absent, compat: Compat) -> (Verdict, String) {
    let reason = match absent {
        Absent::Declared => return (Verdict::Pass, "no gate by declaration".to_owned()),
        Absent::Missing => "there is no gate file".to_owned(),
        Absent::Unreadable(why) => format!("the gate file cannot be read: {why}"),
    };
    match compat {
        Compat::Strict => (Verdict::Inconclusive, reason),
        Compat::Keptn => (Verdict::Pass, reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g1_no_gate_file_passes_in_the_original_and_is_inconclusive_strictly_unless_declared() {
        assert_eq!(verdict(&Absent::Missing, Compat::Keptn).0, Verdict::Pass);
        assert_eq!(verdict(&Absent::Missing, Compat::Strict).0, Verdict::Inconclusive);
        assert_eq!(verdict(&Absent::Declared, Compat::Strict), (Verdict::Pass, "no gate by declaration".to_owned()));
    }

    #[test]
    fn g2_an_unreadable_gate_file_passes_in_the_original_and_is_inconclusive_strictly() {
        let unreadable = Absent::Unreadable("connection refused".to_owned());
        assert_eq!(verdict(&unreadable, Compat::Keptn).0, Verdict::Pass);
        let (strict, reason) = verdict(&unreadable, Compat::Strict);
        assert_eq!(strict, Verdict::Inconclusive);
        assert!(reason.contains("connection refused"));
    }
}
