//! Reads what a text has a quantity or a word for: shares, durations, whole numbers, what is done in doubt; each refusal says how to
//! write it.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::domain::gate::Inconclusive;
use crate::domain::time;
use crate::domain::weight::{InvalidWeight, Weight};
use crate::formats::yaml::place::{At, Report};

/// Reads a share such as `10%`.
pub fn weight(text: &At<String>, report: &Report<'_>) -> Option<Weight> {
    let hint = match text.value.parse::<f64>() {
        Ok(number) if (0.0..=100.0).contains(&number) => format!("write {number}%"),
        _ => "write for example 10%".to_owned(),
    };
    text.value.parse().map_err(|error: InvalidWeight| report.error(&text.place, error.to_string(), hint)).ok()
}

/// Reads a duration with its unit, such as `300ms`, `10s` or `1m 30s`.
pub fn duration(text: &At<String>, range: RangeInclusive<Duration>, report: &Report<'_>) -> Option<Duration> {
    let spelled = &text.value;
    let Ok(parsed) = spelled.parse::<jiff::SignedDuration>() else {
        let hint = match spelled.trim().parse::<f64>() {
            Ok(_) => format!("add the unit: {0}s are seconds, {0}ms are milliseconds", spelled.trim()),
            Err(_) => "write a number with a unit (ms, s, m or h), such as 300ms, 10s or 1m 30s".to_owned(),
        };
        report.error(&text.place, format!("{spelled:?} is not a duration"), hint);
        return None;
    };
    match Duration::try_from(parsed) {
        Ok(duration) if range.contains(&duration) => Some(duration),
        _ => {
            let least =
                if range.start().is_zero() { "at least 0 s".to_owned() } else { format!("at least {}", time::human(*range.start())) };
            let most = match range.end().as_secs() / 3600 {
                0 => time::human(*range.end()),
                hours => format!("{hours} h"),
            };
            report.error(&text.place, format!("the duration {spelled:?} is out of range"), format!("write {least} and at most {most}"));
            None
        }
    }
}

/// Reads what is done in doubt.
pub fn inconclusive(text: &At<String>, report: &Report<'_>) -> Option<Inconclusive> {
    match text.value.as_str() {
        "hold" => Some(Inconclusive::Hold),
        "roll_back" => Some(Inconclusive::RollBack),
        other => {
            let hint = match other.to_ascii_lowercase().replace(['-', ' '], "_").as_str() {
                "rollback" | "roll_back" | "abort" | "fail" => "did you mean roll_back?",
                "promote" | "pass" | "continue" => "write hold or roll_back; nothing is promoted without evidence",
                _ => "write hold, to wait for an operator, or roll_back",
            };
            report.error(&text.place, format!("{other:?} is not what can be done in doubt"), hint);
            None
        }
    }
}

/// Reads a whole number.
pub fn whole(text: &At<String>, range: RangeInclusive<u16>, report: &Report<'_>) -> Option<u16> {
    match text.value.parse::<u16>() {
        Ok(number) if range.contains(&number) => Some(number),
        _ => {
            let hint = format!("write a whole number from {} to {}", range.start(), range.end());
            report.error(&text.place, format!("{:?} is not a number in range", text.value), hint);
            None
        }
    }
}
