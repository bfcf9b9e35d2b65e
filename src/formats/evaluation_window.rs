//! Reads the time flags of `send event start-evaluation`: a time frame in minutes, a start and an end.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// How far back an evaluation looks when nothing is said.
const DEFAULT: SignedDuration = SignedDuration::from_mins(5);

/// The longest window: a year.
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 366);

/// How a time is written; it is UTC.
const LAYOUT: &str = "%Y-%m-%dT%H:%M:%S";

/// The flags as they were given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags<'a> {
    /// `--timeframe`, such as `5m`.
    pub timeframe: Option<&'a str>,
    /// `--start`, such as `2026-01-31T12:00:00`, in UTC.
    pub start: Option<&'a str>,
    /// `--end`, in the same manner.
    pub end: Option<&'a str>,
}

/// A span of time that is evaluated; it is never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first moment.
    pub start: Timestamp,
    /// Its end.
    pub end: Timestamp,
}

impl Window {
    /// Makes a window, `None` where it would be empty or longer than a year.
    #[must_use]
    pub fn new(start: Timestamp, end: Timestamp) -> Option<Self> {
        (start < end && end.duration_since(start) <= LONGEST).then_some(Self { start, end })
    }
}

/// Why flags say no window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// The time frame is no whole number of minutes.
    #[error("the time frame format is invalid: {0:?}; use the format [duration]m, e.g.: 5m")]
    Timeframe(String),
    /// A time is written otherwise.
    #[error("{flag} {text:?} is not a time; write it in UTC and without a zone, e.g.: 2026-01-31T12:00:00")]
    Time {
        /// The flag.
        flag: &'static str,
        /// What it says.
        text: String,
    },
    /// There is a start and nothing that says how far to look from there.
    #[error("--start needs --timeframe or --end; add one of them")]
    StartAlone,
    /// There is an end without a start.
    #[error("--end needs --start; add it, or give --timeframe alone to look back from now")]
    EndAlone,
    /// The end is said twice.
    #[error("--end and --timeframe exclude each other; leave one of them out")]
    EndAndTimeframe,
    /// The window is empty, backwards or too long.
    #[error("the time from {start} to {end} is no window; the end must come after the start, by a year at most")]
    Empty {
        /// The start.
        start: Timestamp,
        /// The end.
        end: Timestamp,
    },
}

/// Finds the window that the flags mean; without flags, the last five minutes.
///
/// # Errors
///
/// Says which flag is wrong or missing.
pub fn read(flags: Flags<'_>, now: Timestamp) -> Result<Window, WindowError> {
    let length = flags.timeframe.map(timeframe).transpose()?;
    let start = flags.start.map(|text| time("--start", text)).transpose()?;
    let end = flags.end.map(|text| time("--end", text)).transpose()?;
    let (start, end) = match (start, end, length) {
        (_, Some(_), Some(_)) => return Err(WindowError::EndAndTimeframe),
        (None, Some(_), None) => return Err(WindowError::EndAlone),
        (Some(_), None, None) => return Err(WindowError::StartAlone),
        (Some(start), Some(end), None) => (start, end),
        (Some(start), None, Some(length)) => (start, start.saturating_add(length).unwrap_or(Timestamp::MAX)),
        (None, None, length) => (now.saturating_sub(length.unwrap_or(DEFAULT)).unwrap_or(Timestamp::MIN), now),
    };
    Window::new(start, end).ok_or(WindowError::Empty { start, end })
}

/// Reads a time frame: a whole number of minutes, such as `5m`.
///
/// # Errors
///
/// Fails for anything else, and for nothing at all (`0m`).
pub fn timeframe(text: &str) -> Result<SignedDuration, WindowError> {
    let digits = text.strip_suffix('m').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse::<i64>().ok());
    let length = number.and_then(SignedDuration::try_from_mins);
    length.filter(SignedDuration::is_positive).ok_or_else(|| WindowError::Timeframe(text.chars().take(80).collect()))
}

fn time(flag: &'static str, text: &str) -> Result<Timestamp, WindowError> {
    let parsed = DateTime::strptime(LAYOUT, text).and_then(|civil| TimeZone::UTC.to_timestamp(civil));
    parsed.map_err(|_| WindowError::Time { flag, text: text.chars().take(80).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(timeframe: Option<&str>, start: Option<&str>, end: Option<&str>) -> Result<(String, String), WindowError> {
        let now = "2026-01-31T12:00:00Z".parse().unwrap();
        read(Flags { timeframe, start, end }, now).map(|window| (window.start.to_string(), window.end.to_string()))
    }

    fn is(start: &str, end: &str) -> Result<(String, String), WindowError> {
        Ok((format!("2026-01-31T{start}Z"), format!("2026-01-31T{end}Z")))
    }

    const START: Option<&str> = Some("2026-01-31T10:00:00");
    const END: Option<&str> = Some("2026-01-31T10:30:00");

    #[test]
    fn each_pair_of_flags_that_says_a_window_gives_it() {
        assert_eq!(window(None, None, None), is("11:55:00", "12:00:00"));
        assert_eq!(window(Some("15m"), None, None), is("11:45:00", "12:00:00"));
        assert_eq!(window(Some("15m"), START, None), is("10:00:00", "10:15:00"));
        assert_eq!(window(None, START, END), is("10:00:00", "10:30:00"));
    }

    #[test]
    fn flags_that_lack_or_exclude_each_other_are_refused() {
        assert_eq!(window(None, START, None), Err(WindowError::StartAlone));
        assert_eq!(window(None, None, END), Err(WindowError::EndAlone));
        assert_eq!(window(Some("5m"), START, END), Err(WindowError::EndAndTimeframe));
        assert_eq!(window(Some("5m"), None, END), Err(WindowError::EndAndTimeframe));
        assert!(matches!(window(None, END, START), Err(WindowError::Empty { .. })));
        assert!(matches!(window(None, START, START), Err(WindowError::Empty { .. })));
    }

    #[test]
    fn a_time_frame_is_a_whole_number_of_minutes_from_1_on() {
        for text in ["", "m", "5", "5s", "5 m", "-5m", "+5m", "1.5m", "1h5m", "0m", "99999999999999999999m", "9223372036854775807m", "5mm"]
        {
            assert_eq!(window(Some(text), None, None), Err(WindowError::Timeframe(text.to_owned())), "{text:?}");
        }
        assert!(WindowError::Timeframe(String::new()).to_string().contains("use the format [duration]m, e.g.: 5m"));
        assert!(matches!(window(Some("9999999999m"), START, None), Err(WindowError::Empty { .. })));
    }

    #[test]
    fn a_time_has_the_one_layout_and_no_zone() {
        for text in
            ["", "2026-01-31", "2026-01-31 10:00:00", "2026-01-31T10:00:00Z", "2026-01-31T10:00:00+01:00", "2026-02-30T10:00:00", "x"]
        {
            let refused = window(Some("5m"), Some(text), None);
            assert_eq!(refused, Err(WindowError::Time { flag: "--start", text: text.to_owned() }), "{text:?}");
        }
    }
}
