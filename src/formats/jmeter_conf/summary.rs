//! Reads what JMeter says of a run: the last line of its output that begins with `summary =`.

use std::time::Duration;

/// The figures of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many requests were sent.
    pub runs: u64,
    /// Their average response time, in whole milliseconds.
    pub average: Duration,
    /// How many of them were errors.
    pub errors: u64,
}

/// An output has no summary that can be read; the run is then not judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSummary {
    /// There is none.
    #[error("cannot parse jmeter-result: no line begins with \"summary =\"")]
    Missing,
    /// A figure of the last one is missing or no number.
    #[error("cannot parse jmeter-result: the {field} in {line:?} is not a whole number")]
    Field {
        /// Which figure.
        field: &'static str,
        /// The line, its first 200 characters.
        line: String,
    },
}

/// Reads the last summary of an output. Its fields are set apart by blanks: \[2\] runs, \[8\] average, \[14\] errors.
///
/// # Errors
///
/// Fails when there is none, or a figure of it cannot be read.
pub fn last_summary(output: &str) -> Result<Summary, NoSummary> {
    let line = output.lines().rev().find(|line| line.starts_with("summary =")).ok_or(NoSummary::Missing)?;
    let field = |at: usize, field: &'static str| {
        let number = line.split_whitespace().nth(at).and_then(|text| text.parse::<u64>().ok());
        number.ok_or_else(|| NoSummary::Field { field, line: line.chars().take(200).collect() })
    };
    Ok(Summary {
        runs: field(2, "number of runs")?,
        average: Duration::from_millis(field(8, "average")?),
        errors: field(14, "number of errors")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_that_is_cut_short_or_no_number_says_which_field() {
        let whole = "summary =   5000 in 00:08:20 =   10.0/s Avg:   990 Min:   980 Max:  1200 Err:     3 (0.06%)";
        assert_eq!(last_summary(whole), Ok(Summary { runs: 5000, average: Duration::from_millis(990), errors: 3 }));
        for (line, wanted) in [
            (whole.replace("   5000", "   -1"), "number of runs"),
            (whole.replace("990", "9.5"), "average"),
            ("summary =   5000 in 00:08:20 =   10.0/s Avg:   990".to_owned(), "number of errors"),
            ("summary =".to_owned(), "number of runs"),
        ] {
            let Err(NoSummary::Field { field, .. }) = last_summary(&line) else { panic!("{line} was read") };
            assert_eq!(field, wanted, "{line}");
        }
        assert_eq!(last_summary(" summary = 1"), Err(NoSummary::Missing));
    }
}
