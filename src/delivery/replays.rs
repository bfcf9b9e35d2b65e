//! Remembers which events of others were taken in, across restarts, so that one that comes again changes nothing.
//!
//! An event is known by its source and id (CloudEvents 1.0, section 3.1.1). A file keeps a line for each: the SHA-256 of both, and
//! the context it belongs to. The line is written when the event has taken effect: where the process ends in between, the sender
//! has no answer and sends the event again, and what is on its way under the same context is known to the delivery itself.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::delivery::digest;

/// How many events are remembered, the newest.
const MOST: usize = 10_000;
/// How many hexadecimal digits stand for an event.
const DIGITS: usize = 64;

/// The events that were taken in.
#[derive(Debug)]
pub(super) struct Replays {
    path: PathBuf,
    /// The context of each event.
    known: HashMap<String, String>,
    /// The events, oldest first.
    order: VecDeque<String>,
    /// How many lines the file has.
    lines: usize,
}

impl Replays {
    /// Reads what was remembered.
    ///
    /// # Errors
    ///
    /// Says why the file cannot be read or written.
    pub(super) fn open(path: PathBuf) -> Result<Self, String> {
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        let mut replays = Self { path, known: HashMap::new(), order: VecDeque::new(), lines: 0 };
        for (event, context) in text.lines().filter_map(|line| line.split_once(' ')).filter(|(event, _)| event.len() == DIGITS) {
            replays.learn(event.to_owned(), context.to_owned());
        }
        // A kill may have left half a line at the end, onto which nothing may be written.
        if !text.is_empty() {
            replays.rewrite()?;
        }
        Ok(replays)
    }

    /// Returns what stands for an event.
    pub(super) fn mark(source: &str, id: &str) -> String {
        digest::sha256(format!("{source}\0{id}").as_bytes())
    }

    /// Returns the context of an event that was taken in before.
    pub(super) fn context(&self, event: &str) -> Option<&str> {
        self.known.get(event).map(String::as_str)
    }

    /// Remembers an event; when this returns it is on disk.
    ///
    /// # Errors
    ///
    /// Says what the disk says; the event is remembered for as long as the process lives all the same.
    pub(super) fn remember(&mut self, event: String, context: &str) -> Result<(), String> {
        let line = format!("{event} {context}\n");
        self.learn(event, context.to_owned());
        if self.lines >= 2 * MOST {
            return self.rewrite();
        }
        self.lines += 1;
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()).and_then(|()| file.sync_data()));
        written.map_err(|error| failed(&self.path, &error))
    }

    fn learn(&mut self, event: String, context: String) {
        if self.known.insert(event.clone(), context).is_none() {
            self.order.push_back(event);
        }
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Writes the file anew, under another name first.
    fn rewrite(&mut self) -> Result<(), String> {
        let line = |event: &String| self.known.get(event).map(|context| format!("{event} {context}\n"));
        let text: String = self.order.iter().filter_map(line).collect();
        let fresh = self.path.with_extension("new");
        let file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&fresh);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        written.and_then(|()| fs::rename(&fresh, &self.path)).map_err(|error| failed(&self.path, &error))?;
        self.lines = self.order.len();
        Ok(())
    }
}

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_known_after_a_restart_also_behind_half_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let (one, two) = (Replays::mark("here", "1"), Replays::mark("here", "2"));
        Replays::open(path.clone()).unwrap().remember(one.clone(), "a").unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], &two.as_bytes()[..20]].concat()).unwrap();
        let mut again = Replays::open(path.clone()).unwrap();
        assert_eq!((again.context(&one), again.context(&two)), (Some("a"), None));
        again.remember(two.clone(), "b").unwrap();
        let last = Replays::open(path).unwrap();
        assert_eq!((last.context(&one), last.context(&two)), (Some("a"), Some("b")));
    }

    #[test]
    fn the_oldest_are_forgotten_and_the_file_does_not_grow() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let line = |n: usize| format!("{} c{n}\n", Replays::mark("here", &n.to_string()));
        fs::write(&path, (0..2 * MOST).map(line).collect::<String>()).unwrap();
        let mut replays = Replays::open(path.clone()).unwrap();
        assert_eq!(replays.context(&Replays::mark("here", &(MOST - 1).to_string())), None);
        assert_eq!(replays.context(&Replays::mark("here", &MOST.to_string())), Some(&*format!("c{MOST}")));
        replays.lines = 2 * MOST;
        replays.remember(Replays::mark("here", "new"), "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), MOST);
    }

    #[test]
    fn source_and_id_are_told_apart() {
        assert_ne!(Replays::mark("a", "bc"), Replays::mark("ab", "c"));
    }
}
