//! Figures as people read them: shares, odds, stretches of time, and columns that stand below each other.

use std::time::Duration;

use crate::domain::gate::criterion::Unit;
use crate::domain::gate::evidence;
use crate::domain::time;

/// What stands where nothing is known.
pub const UNKNOWN: &str = "-";

/// Writes evidence as odds: `1 in 2,900`.
#[must_use]
pub fn odds(log_e: f64) -> String {
    format!("1 in {}", evidence::odds(log_e))
}

/// Writes a number of a gate's unit: `1.25%`, `340 ms`, `0.93`.
#[must_use]
pub fn quantity(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Share => format!("{}%", plain(value * 100.0)),
        Unit::Nanoseconds => time::human(Duration::from_nanos(value.max(0.0) as u64)),
        Unit::Score => plain(value),
    }
}

/// Writes the bounds on a value, of which either may be unknown: ` (0.1% to 3%)`; nothing when both are. A mean has no upper bound;
/// one that is given counts each request up to ten times the limit.
#[must_use]
pub fn bounds(unit: Unit, lower: Option<f64>, upper: Option<f64>) -> String {
    match (lower, upper) {
        (Some(lower), Some(upper)) if unit == Unit::Nanoseconds => {
            format!(" ({} to {}, each request counting up to 10 times the limit)", quantity(unit, lower), quantity(unit, upper))
        }
        (Some(lower), None) if unit == Unit::Nanoseconds => format!(" (at least {}, no upper bound)", quantity(unit, lower)),
        (Some(lower), Some(upper)) => format!(" ({} to {})", quantity(unit, lower), quantity(unit, upper)),
        (Some(lower), None) => format!(" (at least {})", quantity(unit, lower)),
        (None, Some(upper)) => format!(" (at most {})", quantity(unit, upper)),
        (None, None) => String::new(),
    }
}

/// Writes a stretch of time the way people plan with it: `40 s`, `7 min`, `3 h`, `2 days`; from one unit on the next, rounded up.
#[must_use]
pub fn span(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    let units = [(60.0, 1.0, "s"), (3_600.0, 60.0, "min"), (2.0 * 86_400.0, 3_600.0, "h")];
    let small = units.into_iter().find(|(below, size, _)| (seconds / size).ceil() * size < *below);
    let (_, size, name) = small.unwrap_or((f64::INFINITY, 86_400.0, "days"));
    format!("{} {name}", (seconds / size).ceil())
}

/// Writes rows in columns, each as wide as its widest cell, two blanks apart; the last column is not filled up.
#[must_use]
pub fn columns(indent: &str, rows: &[Vec<String>]) -> String {
    let width = |text: &str| text.chars().count();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> =
        (0..count).map(|i| rows.iter().filter_map(|row| row.get(i)).map(|cell| width(cell)).max().unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, wide)| format!("{cell}{}", " ".repeat(wide.saturating_sub(width(cell)))));
        format!("{indent}{}", cells.collect::<Vec<_>>().join("  ")).trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// Writes a latency of so many microseconds with two or three digits: `840 µs`, `4.2 ms`, `45 ms`, `1.23 s`.
#[must_use]
pub fn latency(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..9_950 => format!("{:.1} ms", us as f64 / 1e3),
        9_950..999_500 => format!("{:.0} ms", us as f64 / 1e3),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}

/// Replaces what could steer a terminal; what is shown comes from files and from the network.
#[must_use]
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Writes a number with three significant digits at least, and no zeros at the end.
fn plain(value: f64) -> String {
    let digits = if value.abs() >= 100.0 {
        1
    } else if value.abs() >= 1.0 {
        2
    } else {
        4
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_their_unit() {
        for (unit, value, text) in [
            (Unit::Share, 0.0, "0%"),
            (Unit::Share, 0.0125, "1.25%"),
            (Unit::Share, 1.0, "100%"),
            (Unit::Share, 0.000_321, "0.0321%"),
            (Unit::Nanoseconds, 3.4e8, "340 ms"),
            (Unit::Nanoseconds, -1.0, "0 ns"),
            (Unit::Score, 0.93, "0.93"),
            (Unit::Share, f64::NAN, "NaN%"),
        ] {
            assert_eq!(quantity(unit, value), text);
        }
        assert_eq!(odds(7.979), "1 in 2,900");
        assert_eq!(bounds(Unit::Share, Some(0.0), Some(0.037)), " (0% to 3.7%)");
        assert_eq!(bounds(Unit::Nanoseconds, None, Some(2e9)), " (at most 2 s)");
        assert_eq!(bounds(Unit::Nanoseconds, Some(1e9), None), " (at least 1 s, no upper bound)");
        assert_eq!(bounds(Unit::Nanoseconds, Some(1e9), Some(2e9)), " (1 s to 2 s, each request counting up to 10 times the limit)");
        assert_eq!(bounds(Unit::Score, None, None), "");
    }

    #[test]
    fn stretches_are_rounded_up_to_the_unit_people_plan_with() {
        for (seconds, text) in [
            (-1.0, "0 s"),
            (0.0, "0 s"),
            (0.2, "1 s"),
            (59.0, "59 s"),
            (59.5, "1 min"),
            (400.0, "7 min"),
            (3_599.0, "1 h"),
            (10_000.0, "3 h"),
            (86_400.0, "24 h"),
            (200_000.0, "3 days"),
        ] {
            assert_eq!(span(seconds), text, "{seconds}");
        }
        assert_eq!(span(f64::INFINITY), "inf days");
        assert_eq!(span(f64::NAN), "0 s");
    }

    #[test]
    fn latencies_have_two_or_three_digits() {
        for (us, text) in [
            (0, "0 µs"),
            (840, "840 µs"),
            (4_249, "4.2 ms"),
            (9_949, "9.9 ms"),
            (9_951, "10 ms"),
            (999_499, "999 ms"),
            (1_234_567, "1.23 s"),
        ] {
            assert_eq!(latency(us), text);
        }
    }

    #[test]
    fn columns_stand_below_each_other_and_lines_end_without_blanks() {
        let rows = [vec!["µs".to_owned(), "b".to_owned()], vec!["long".to_owned(), String::new()], vec!["x".to_owned()]];
        assert_eq!(columns("  ", &rows), "  µs    b\n  long\n  x\n");
    }

    #[test]
    fn nothing_that_is_shown_steers_a_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\r\n\u{9b}c"), "a\u{fffd}[2Jb\u{fffd}\n\u{fffd}c");
    }
}
