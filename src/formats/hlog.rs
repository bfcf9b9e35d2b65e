//! Reads HdrHistogram's interval logs (`.hlog`, histograms of encoding V2), line after line, as `HistogramLogWriter` writes them.
//!
//! Format: <https://github.com/HdrHistogram/HdrHistogram>, class `HistogramLogReader`. A line is a comment, the legend, a start
//! time, a base time, or one interval: when it began, how long it lasted, its largest value divided by some ratio, and all of
//! its values as a compressed histogram, perhaps with a tag before them. The log does not say in which unit its values are.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogHistogram, IntervalLogIterator, LogEntry};

use crate::domain::time::nanos;

/// From this time on, in seconds since 1970, a time is one of the calendar and not one since the recording began.
const CALENDAR: Duration = Duration::from_secs(100_000_000);

/// How much earlier than the log's start time an interval must be for its time to be one since that start, as in
/// `HistogramLogReader`.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The unit in which the values of a log are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds, which the writers of HdrHistogram assume.
    #[default]
    Nanoseconds,
    /// Microseconds.
    Microseconds,
    /// Milliseconds.
    Milliseconds,
}

impl Unit {
    const fn nanos(self) -> u64 {
        match self {
            Self::Nanoseconds => 1,
            Self::Microseconds => 1_000,
            Self::Milliseconds => 1_000_000,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nanoseconds => "ns",
            Self::Microseconds => "us",
            Self::Milliseconds => "ms",
        })
    }
}

impl FromStr for Unit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ns" => Ok(Self::Nanoseconds),
            "us" | "µs" => Ok(Self::Microseconds),
            "ms" => Ok(Self::Milliseconds),
            _ => Err("write ns, us or ms".to_owned()),
        }
    }
}

/// Values of one interval that the log does not tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Values {
    /// The least they can be, in nanoseconds.
    pub at_least_ns: u64,
    /// The most they can be, in nanoseconds.
    pub at_most_ns: u64,
    /// How many there are.
    pub count: u64,
}

/// One interval of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Its tag, when it has one.
    pub tag: Option<String>,
    /// When it began, in nanoseconds since 1970-01-01 UTC, or since the recording began where the log names no such time.
    pub start_ns: u64,
    /// How long it lasted, in nanoseconds.
    pub length_ns: u64,
    /// How many values it has.
    pub total: u64,
    /// Its values, growing.
    pub values: Vec<Values>,
}

/// Reads one log; the lines must come in its order.
#[derive(Debug, Default)]
pub struct Reader {
    unit: Unit,
    start: Option<Duration>,
    base: Option<Duration>,
}

impl Reader {
    /// Begins to read a log whose values are in a unit.
    #[must_use]
    pub fn new(unit: Unit) -> Self {
        Self { unit, ..Self::default() }
    }

    /// Says whether a file that begins with these bytes looks like an interval log.
    #[must_use]
    pub fn knows(beginning: &[u8]) -> bool {
        let beginning = beginning.trim_ascii_start();
        let word = |word: &str| beginning.starts_with(word.as_bytes());
        word("#") || word("\"StartTimestamp\"") || word("Tag=") || beginning.first().is_some_and(u8::is_ascii_digit)
    }

    /// Reads one line; `None` for one that is no interval.
    ///
    /// # Errors
    ///
    /// Says what of the line cannot be understood and how to mend it.
    pub fn read_line(&mut self, line: &str) -> Result<Option<Interval>, String> {
        let line = line.trim();
        if line.is_empty() {
            return Ok(None);
        }
        // The reader of the crate wants its lines ended, and its times followed by the same time in words.
        let ended = if line.ends_with(']') && line.starts_with("#[") { line.replacen(']', " ]", 1) } else { line.to_owned() } + "\n";
        let entry = IntervalLogIterator::new(ended.as_bytes()).next().transpose().map_err(|_| {
            "it is neither a comment nor an interval; write 'start,length,max,histogram' with times in seconds such as 0.127, \
             as HdrHistogram's HistogramLogWriter does"
                .to_owned()
        })?;
        match entry {
            None => Ok(None),
            Some(LogEntry::StartTime(at)) => {
                self.start = Some(at);
                Ok(None)
            }
            Some(LogEntry::BaseTime(at)) => {
                self.base = Some(at);
                Ok(None)
            }
            Some(LogEntry::Interval(interval)) => self.interval(&interval).map(Some),
        }
    }

    fn interval(&mut self, interval: &IntervalLogHistogram<'_>) -> Result<Interval, String> {
        let stamp = interval.start_timestamp();
        // Without a base time the first interval tells whether times count from the start of the recording.
        let base = *self.base.get_or_insert_with(|| match self.start {
            Some(start) if stamp.checked_add(YEAR).is_some_and(|then| then < start) => start,
            _ => Duration::ZERO,
        });
        let start = base.checked_add(stamp).filter(|start| start.as_nanos() < u128::from(u64::MAX / 2));
        let start = start.ok_or_else(|| format!("the interval begins {} s after its base, which lies after 2262", stamp.as_secs()))?;
        let histogram = decode(interval.encoded_histogram())?;
        let unit = self.unit.nanos();
        let value = |value: u64| Values {
            at_least_ns: histogram.lowest_equivalent(value).saturating_mul(unit),
            // A value is taken as rounded down, so all that was cut off may have been there.
            at_most_ns: histogram.next_non_equivalent(value).saturating_mul(unit).saturating_sub(1),
            count: histogram.count_at(value),
        };
        Ok(Interval {
            tag: interval.tag().map(|tag| tag.as_str().to_owned()),
            start_ns: nanos(start),
            length_ns: nanos(interval.duration()),
            total: histogram.len(),
            values: histogram.iter_recorded().map(|recorded| value(recorded.value_iterated_to())).collect(),
        })
    }
}

/// Says whether a time is one of the calendar.
#[must_use]
pub fn is_of_the_calendar(at_ns: u64) -> bool {
    at_ns >= nanos(CALENDAR)
}

fn decode(encoded: &str) -> Result<Histogram<u64>, String> {
    let bytes =
        STANDARD.decode(encoded).map_err(|error| format!("the histogram is not Base64: {error}; give the log as it was written"))?;
    Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(|error| {
        format!(
            "the histogram cannot be read: {error}; give a log with histograms of encoding V2, plain or compressed, as written since 2015"
        )
    })
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::{Serializer, V2DeflateSerializer, V2Serializer};

    use super::*;

    /// One line of an interval with these values.
    fn line(before: &str, values: &[u64], deflate: bool) -> String {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 3_600_000_000_000, 3).unwrap();
        values.iter().for_each(|value| histogram.record(*value).unwrap());
        let mut bytes = Vec::new();
        if deflate {
            V2DeflateSerializer::new().serialize(&histogram, &mut bytes).unwrap();
        } else {
            V2Serializer::new().serialize(&histogram, &mut bytes).unwrap();
        }
        format!("{before},{}", STANDARD.encode(bytes))
    }

    #[test]
    fn an_interval_of_either_encoding_gives_its_values_in_nanoseconds() {
        for deflate in [false, true] {
            let mut reader = Reader::new(Unit::Microseconds);
            assert_eq!(reader.read_line("#[Histogram log format version 1.3]"), Ok(None));
            assert_eq!(
                reader.read_line("\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\""),
                Ok(None)
            );
            let read = reader.read_line(&line("Tag=v2,0.127,1.007,2.769", &[250, 250, 1_000_000], deflate)).unwrap().unwrap();
            assert_eq!((read.tag.as_deref(), read.start_ns, read.length_ns, read.total), (Some("v2"), 127_000_000, 1_007_000_000, 3));
            let [fast, slow] = read.values[..] else { panic!("{read:?}") };
            assert_eq!(fast, Values { at_least_ns: 250_000, at_most_ns: 250_999, count: 2 });
            assert!(slow.at_least_ns <= 1_000_000_000 && slow.at_most_ns >= 1_000_000_000 && slow.count == 1, "{slow:?}");
        }
    }

    #[test]
    fn times_count_from_the_base_or_else_from_a_start_long_after_them() {
        let start = |lines: &[&str], at: &str| {
            let mut reader = Reader::default();
            lines.iter().for_each(|line| assert_eq!(reader.read_line(line), Ok(None), "{line}"));
            reader.read_line(&line(&format!("{at},1.0,0.1"), &[1], true)).unwrap().unwrap().start_ns
        };
        let begun = "#[StartTime: 1441812279.474 (seconds since epoch), Wed Sep 09 08:24:39 PDT 2015]";
        assert_eq!(start(&[], "5.5"), 5_500_000_000);
        assert_eq!(start(&[begun], "5.5"), 1_441_812_284_974_000_000);
        assert_eq!(start(&[begun], "1441812280.0"), 1_441_812_280_000_000_000);
        assert_eq!(start(&[begun, "#[BaseTime: 1441812000.0 (seconds since epoch)]"], "5.5"), 1_441_812_005_500_000_000);
        assert_eq!(start(&["#[BaseTime: 1441812000.0]"], "5.5"), 1_441_812_005_500_000_000);
        assert!(is_of_the_calendar(1_441_812_280_000_000_000) && !is_of_the_calendar(5_500_000_000));
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        let good = line("0.1,1.0,0.1", &[5], true);
        for (wrong, part) in [
            ("nonsense".to_owned(), "start,length,max,histogram"),
            ("1,1,1,HISTFAAA".to_owned(), "start,length,max,histogram"),
            ("0.1,1.0,0.1,not base64!".to_owned(), "not Base64"),
            ("0.1,1.0,0.1,HISTFAAAAA==".to_owned(), "encoding V2"),
            (good[..good.len() / 8 * 4].to_owned(), "cannot be read"),
            (good.replacen("0.1", "99999999999999.0", 1), "2262"),
        ] {
            let error = Reader::default().read_line(&wrong).unwrap_err();
            assert!(error.contains(part), "{wrong}: {error}");
        }
        assert!("s".parse::<Unit>().is_err() && "us".parse() == Ok(Unit::Microseconds) && Unit::Milliseconds.to_string() == "ms");
    }

    #[test]
    fn a_log_is_told_by_its_beginning() {
        for beginning in ["#[Histogram log", "\"StartTimestamp\",", "Tag=a,0.1", " 0.127,1.0"] {
            assert!(Reader::knows(beginning.as_bytes()), "{beginning}");
        }
        assert!(!Reader::knows(b"{\"@timestamp\"") && !Reader::knows(b""));
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_it_panic(at in 0_usize..40, byte in 0x20_u8..0x7f, cut in 0_usize..60) {
            let mut wrong = line("0.1,1.0,0.1", &[5, 70_000], true).into_bytes();
            let place = at.min(wrong.len() - 1);
            wrong[place] = byte;
            wrong.truncate(wrong.len() - cut.min(wrong.len()));
            let _ = Reader::default().read_line(&String::from_utf8(wrong).unwrap());
        }
    }
}
