//! Who decides: the names under which the program itself does, which nobody else may have.
//!
//! A journal in which a person can sign as `gate` tells nothing of who decided.

/// Names under which the program itself decides.
pub const RESERVED: [&str; 11] =
    ["delivery", "delivery-watch", "endpoints", "gate", "hand-over", "plan", "reload", "restart", "sources", "tests", "webhook"];

/// Says whether a name is that of a part of the program, in whatever case and between whatever blanks.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|own| own.eq_ignore_ascii_case(name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_program_is_known_however_it_is_written() {
        assert!(RESERVED.into_iter().chain(["Gate", " hand-over ", "WEBHOOK"]).all(is_reserved));
        assert!(!["ann", "gatekeeper", "hand over", ""].into_iter().any(is_reserved));
    }
}
