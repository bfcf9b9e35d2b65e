//! What `simulate --replay` makes of files.
#![cfg(test)]

use std::fmt::Write as _;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};

use super::*;

/// A log of three seconds in which every request of a tag takes so many microseconds.
fn hlog(streams: &[(&str, u64)]) -> String {
    let mut text = "#[Histogram log format version 1.3]\n#[StartTime: 1441812279.474 (seconds since epoch), Wed Sep 09 2015]\n".to_owned();
    text.push_str("\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n");
    for second in 0..3 {
        for (tag, micros) in streams {
            let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).unwrap();
            histogram.record_n(*micros, 100).unwrap();
            let mut bytes = Vec::new();
            V2DeflateSerializer::new().serialize(&histogram, &mut bytes).unwrap();
            writeln!(text, "{tag}{second}.000,1.000,0.1,{}", STANDARD.encode(bytes)).unwrap();
        }
    }
    text
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn of(files: &[(&str, String)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
        Self(folder)
    }

    /// Replays files of the folder; says whether no gate fires.
    fn replay(&self, name: &str, stable: Option<&str>, unit: &str, tag: Option<&str>, gates: &[&str]) -> Result<bool, String> {
        let path = |name: &str| self.0.path().join(name);
        let args = ReplayArgs {
            replay: None,
            stable: stable.map(path),
            unit: unit.parse().unwrap(),
            tag: tag.map(str::to_owned),
            stable_tag: tag.and(stable).map(|_| "a".to_owned()),
        };
        let gates: Vec<Criterion> = gates.iter().map(|gate| gate.parse().unwrap()).collect();
        replay(&path(name), &args, (&gates, None, 1), None).map_err(|stop| match stop {
            Stop::Failed(message) => message,
            Stop::BadFile(problems) => problems.iter().map(ToString::to_string).collect(),
        })
    }
}

#[test]
fn an_interval_log_is_replayed_in_its_unit_and_by_its_tag() {
    let folder = Folder::of(&[("plain.hlog", hlog(&[("", 2_000)])), ("tagged.hlog", hlog(&[("Tag=a,", 2_000), ("Tag=b,", 2_000_000)]))]);
    let gates = ["p95 < 1s", "mean < 500ms"];
    assert_eq!(folder.replay("plain.hlog", None, "us", None, &gates), Ok(true));
    assert_eq!(folder.replay("plain.hlog", None, "ns", None, &gates), Ok(true));
    assert_eq!(folder.replay("plain.hlog", None, "ms", None, &gates), Ok(false), "2 000 ms are slow");
    assert_eq!(folder.replay("tagged.hlog", None, "us", Some("a"), &gates), Ok(true));
    assert_eq!(folder.replay("tagged.hlog", None, "us", Some("b"), &gates), Ok(false));
    let error = folder.replay("tagged.hlog", None, "us", None, &gates).unwrap_err();
    assert!(error.contains("no interval without a tag, only some with a, b") && error.contains("--tag"), "{error}");
}

#[test]
fn two_logs_are_compared() {
    let folder = Folder::of(&[("slow.hlog", hlog(&[("", 90_000)])), ("fast.hlog", hlog(&[("", 20_000)]))]);
    let gates = ["p95 <= stable * 1.5"];
    assert_eq!(folder.replay("slow.hlog", Some("fast.hlog"), "us", None, &gates), Ok(false));
    assert_eq!(folder.replay("fast.hlog", Some("fast.hlog"), "us", None, &gates), Ok(true));
    let one = Folder::of(&[("both.hlog", hlog(&[("Tag=a,", 20_000), ("Tag=b,", 90_000)]))]);
    assert_eq!(one.replay("both.hlog", Some("both.hlog"), "us", Some("b"), &gates), Ok(false), "b against a");
    let error = folder.replay("slow.hlog", None, "us", None, &gates).unwrap_err();
    assert!(error.contains("p95 <= stable * 1.5 cannot be replayed") && error.contains("--stable"), "{error}");
    let error = folder.replay("slow.hlog", Some("fast.hlog"), "us", None, &["errors < 1%"]).unwrap_err();
    assert!(error.contains("slow.hlog: the gate errors < 1% cannot be replayed") && error.contains("no failures"), "{error}");
}

#[test]
fn a_broken_line_is_named_with_its_number() {
    let broken = hlog(&[("", 2_000)]).replace("2.000,1.000,0.1,", "2.000,1.000,0.1,?");
    let error = Folder::of(&[("broken.hlog", broken)]).replay("broken.hlog", None, "us", None, &["p95 < 1s"]).unwrap_err();
    assert!(error.contains("broken.hlog:6") && error.contains("not Base64"), "{error}");
}
