//! Writes the latencies of each interval as HdrHistogram's interval log, values in nanoseconds.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;

const LEGEND: &str = "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"";

/// A log that is being written.
pub(super) struct Log {
    path: PathBuf,
    file: BufWriter<File>,
    /// What there was at the end of the last interval.
    before: Option<Histogram<u64>>,
    /// When the last interval ended, counted from the begin.
    until: Duration,
}

impl Log {
    /// Begins a log, in place of what the file holds.
    ///
    /// # Errors
    ///
    /// Says why the file cannot be written and how to mend it.
    pub(super) fn begin(path: &Path, begun: SystemTime) -> Result<Self, String> {
        let file = File::create(path).map(BufWriter::new).map_err(|error| unwritable(path, &error))?;
        let mut log = Self { path: path.to_owned(), file, before: None, until: Duration::ZERO };
        let mut header = IntervalLogWriterBuilder::new();
        header.add_comment("[Histogram log format version 1.3]").with_start_time(begun).with_base_time(begun);
        let written = header.begin_log_with(&mut log.file, &mut V2DeflateSerializer::new()).map(drop);
        written.and_then(|()| writeln!(log.file, "{LEGEND}")).map_err(|error| unwritable(path, &error))?;
        Ok(log)
    }

    /// Returns when the last interval ended, counted from the begin.
    pub(super) fn until(&self) -> Duration {
        self.until
    }

    /// Writes the interval from the end of the last one until `now`, of which `all` holds the latencies since the begin.
    ///
    /// # Errors
    ///
    /// Says why the file cannot be written.
    pub(super) fn interval(&mut self, all: Histogram<u64>, now: Duration) -> Result<(), String> {
        let mut interval = all.clone();
        if let Some(before) = &self.before {
            interval.subtract(before).map_err(|error| format!("error: {} lacks an interval: {error}", self.path.display()))?;
        }
        let mut serializer = V2DeflateSerializer::new();
        let written = IntervalLogWriterBuilder::new().begin_log_with(&mut self.file, &mut serializer).and_then(|mut writer| {
            let length = now.saturating_sub(self.until);
            writer.write_histogram(&interval, self.until, length, None).map_err(|error| io::Error::other(error.to_string()))
        });
        written.and_then(|()| self.file.flush()).map_err(|error| unwritable(&self.path, &error))?;
        (self.before, self.until) = (Some(all), now);
        Ok(())
    }
}

fn unwritable(path: &Path, error: &io::Error) -> String {
    format!("error: cannot write {}: {error}\n  hint: choose a file in a writable folder with --hlog", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::hlog::{Interval, Reader};

    #[test]
    fn what_is_written_is_read_back_interval_by_interval() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("a.hlog");
        let begun = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        let mut log = Log::begin(&path, begun).unwrap();
        let mut all = Histogram::<u64>::new_with_bounds(1, 3_600_000_000_000, 3).unwrap();
        all.record(5_000_000).unwrap();
        log.interval(all.clone(), Duration::from_millis(1000)).unwrap();
        all.record_n(70_000, 2).unwrap();
        log.interval(all.clone(), Duration::from_millis(2500)).unwrap();
        log.interval(all, Duration::from_millis(3000)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(Reader::knows(text.as_bytes()));
        let mut reader = Reader::default();
        let read: Vec<Interval> = text.lines().filter_map(|line| reader.read_line(line).unwrap()).collect();
        let figures: Vec<_> = read.iter().map(|interval| (interval.start_ns, interval.length_ns, interval.total)).collect();
        let start = 1_700_000_000_250_000_000;
        let wanted = [(start, 1_000_000_000, 1), (start + 1_000_000_000, 1_500_000_000, 2), (start + 2_500_000_000, 500_000_000, 0)];
        assert_eq!(figures, wanted);
        let (first, second) = (read[0].values[0], read[1].values[0]);
        assert!(first.at_least_ns <= 5_000_000 && 5_000_000 <= first.at_most_ns && first.at_most_ns < 5_005_000, "{first:?}");
        assert!(second.at_least_ns <= 70_000 && 70_000 <= second.at_most_ns && second.count == 2, "{second:?}");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let error = Log::begin(Path::new("/nowhere/a.hlog"), SystemTime::UNIX_EPOCH).err().unwrap();
        assert!(error.contains("/nowhere/a.hlog") && error.contains("--hlog"), "{error}");
    }
}
