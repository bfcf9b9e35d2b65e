//! One line of the access log as a finished request.

use std::time::Duration;

use serde::Deserialize;

use crate::domain::outcome::{Failure, Outcome, Role};

/// One finished request of the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recorded {
    /// When its line was written, which is just after its end: nanoseconds since 1970-01-01 UTC.
    pub written_ns: u64,
    /// From its head to its end.
    pub duration: Duration,
    /// From its head to the response head, when there was one.
    pub response_time: Option<Duration>,
    /// The part its version played.
    pub role: Role,
    /// How it ended.
    pub outcome: Outcome,
}

impl Recorded {
    /// Returns when the request began, to the grain of the log's times: nanoseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn started_ns(&self) -> u64 {
        self.written_ns.saturating_sub(crate::domain::time::nanos(self.duration))
    }
}

/// The keys that matter, by the names the proxy writes.
#[derive(Deserialize)]
struct Keys<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: &'a str,
    #[serde(rename = "event.duration")]
    duration_ns: u64,
    response_time_ms: Option<f64>,
    #[serde(rename = "http.response.status_code")]
    status: Option<u16>,
    role: Option<Role>,
    #[serde(rename = "error.type")]
    failure: Option<Failure>,
}

/// Reads one line; `None` for a request that no version was picked for, such as a refused one, and for an empty line.
///
/// # Errors
///
/// Says what of the line cannot be understood and how to mend it.
pub fn read_line(line: &str) -> Result<Option<Recorded>, String> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(None);
    }
    let keys: Keys<'_> = serde_json::from_str(line).map_err(|error| {
        let place = error.column();
        let what = error.to_string();
        let what = what.rsplit_once(" at line").map_or(what.as_str(), |(what, _)| what);
        format!("{what} (column {place}); give a log of Portcullis itself, one JSON object per line")
    })?;
    let Some(role) = keys.role.filter(|role| *role != Role::Beside) else { return Ok(None) };
    let at: jiff::Timestamp = keys
        .timestamp
        .parse()
        .map_err(|_| format!("@timestamp {:?} is not a time such as 2026-01-31T12:00:00.000Z", short(keys.timestamp)))?;
    let written_ns = u64::try_from(at.as_nanosecond()).map_err(|_| "@timestamp lies before 1970 or after 2554".to_owned())?;
    let response_time = keys.response_time_ms.map(|ms| Duration::try_from_secs_f64(ms / 1e3)).transpose();
    let response_time = response_time.map_err(|_| "response_time_ms is not a time from 0 on".to_owned())?;
    let outcome = match (keys.failure, keys.status) {
        (Some(failure), _) => Outcome::Failed(failure),
        (None, Some(status)) => Outcome::Answered(status),
        (None, None) => return Err("there is neither http.response.status_code nor error.type, so nobody knows how it ended".to_owned()),
    };
    Ok(Some(Recorded { written_ns, duration: Duration::from_nanos(keys.duration_ns), response_time, role, outcome }))
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"@timestamp":"1970-01-01T00:00:02.000Z","client.address":"127.0.0.1","http.request.method":"GET","http.response.status_code":200,"event.duration":1500000000,"response_time_ms":1499.5,"role":"canary","decision.epoch":3}"#;

    #[test]
    fn a_line_of_the_proxy_is_read() {
        let read = read_line(LINE).unwrap().unwrap();
        assert_eq!((read.started_ns(), read.role, read.outcome), (500_000_000, Role::Canary, Outcome::Answered(200)));
        assert_eq!(read.response_time, Some(Duration::from_micros(1_499_500)));
        let failed = LINE.replace("\"role\"", "\"error.type\":\"response_timeout\",\"role\"");
        assert_eq!(read_line(&failed).unwrap().unwrap().outcome, Outcome::Failed(Failure::ResponseTimeout));
    }

    #[test]
    fn a_request_without_a_version_is_passed_over() {
        assert_eq!(read_line(&LINE.replace("\"role\":\"canary\",", "")), Ok(None));
        assert_eq!(read_line(&LINE.replace("canary", "beside")), Ok(None), "a forced request says nothing of the canary");
        assert_eq!(read_line("  \r\n"), Ok(None));
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        for (from, to, part) in [
            ("{", "", "one JSON object per line"),
            ("1970-01-01T00:00:02.000Z", "yesterday", "@timestamp \"yesterday\""),
            ("1970-01-01T00:00:02.000Z", "1960-01-01T00:00:02.000Z", "before 1970"),
            ("\"event.duration\":1500000000,", "", "event.duration"),
            ("1499.5", "-1", "response_time_ms"),
            ("\"canary\"", "\"v2\"", "v2"),
            ("\"http.response.status_code\":200,", "", "neither"),
        ] {
            let error = read_line(&LINE.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(part), "{to}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_it_panic(at in 0_usize..LINE.len(), text in "\\PC{0,8}") {
            let _ = read_line(&format!("{}{text}{}", &LINE[..at], &LINE[at..]));
        }
    }
}
