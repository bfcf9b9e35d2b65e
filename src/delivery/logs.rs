//! The logs of deployments: a file for each, cut when it grows too large, with a few of the last pieces and of the last deployments.
//!
//! The processes write to the files themselves, so that they can outlive this one. A file that is too large is copied and emptied
//! in its place; what is written between the two is lost.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::delivery::spot::Place;

/// How large a log may become, in bytes.
const LARGEST: u64 = 8 << 20;
/// How many earlier pieces of a log are kept.
const PIECES: u32 = 2;
/// The logs of how many deployments of a service in a stage are kept.
const DEPLOYMENTS: usize = 10;
/// How many bytes at the end of a log are shown when a process does not become ready.
const SHOWN: usize = 600;

/// The folder of the logs.
#[derive(Clone, Debug)]
pub(super) struct Logs {
    folder: PathBuf,
}

impl Logs {
    pub(super) const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn folder_of(&self, place: &Place) -> PathBuf {
        self.folder.join(&place.project).join(&place.stage)
    }

    /// Returns the log of a deployment.
    pub(super) fn of(&self, place: &Place) -> PathBuf {
        self.folder_of(place).join(format!("{}-{}.log", place.service, place.id))
    }

    /// Opens the log of a deployment to be written to, and deletes those of deployments of long ago.
    ///
    /// # Errors
    ///
    /// Says what the disk says.
    pub(super) fn open(&self, place: &Place) -> Result<File, String> {
        let (folder, path) = (self.folder_of(place), self.of(place));
        let failed = |error: io::Error| format!("{}: {error}", path.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        prune(&folder, place);
        OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(failed)
    }

    /// Cuts the log of a deployment where it has grown too large.
    ///
    /// # Errors
    ///
    /// Returns what the disk says.
    pub(super) fn cut(&self, place: &Place) -> io::Result<()> {
        cut(&self.of(place), LARGEST)
    }
}

/// Copies a log that is larger than this away and empties it.
fn cut(path: &Path, largest: u64) -> io::Result<()> {
    if fs::metadata(path)?.len() <= largest {
        return Ok(());
    }
    let piece = |number: u32| path.with_extension(format!("log.{number}"));
    for number in (1..PIECES).rev() {
        match fs::rename(piece(number), piece(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    fs::copy(path, piece(1))?;
    // Whoever writes to it does so at its end, wherever that is.
    OpenOptions::new().write(true).open(path)?.set_len(0)
}

/// Deletes the logs of all but the last deployments of a service. That of the one that begins is not there yet, or is among them.
fn prune(folder: &Path, place: &Place) {
    let number = |name: &str| -> Option<u64> {
        let (number, _) = name.strip_prefix(&place.service)?.strip_prefix('-')?.split_once(".log")?;
        number.parse().ok()
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut logs: Vec<(u64, PathBuf)> =
        entries.filter_map(|entry| Some((number(entry.file_name().to_str()?)?, entry.path()))).filter(|(id, _)| *id != place.id).collect();
    let mut ids: Vec<u64> = logs.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    let kept = ids.split_off(ids.len().saturating_sub(DEPLOYMENTS - 1));
    logs.retain(|(id, _)| !kept.contains(id));
    for (_, path) in logs {
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!("{} cannot be deleted: {error}", path.display());
        }
    }
}

/// Returns the last lines of a log, for people.
pub(super) fn end_of(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let from = bytes.len().saturating_sub(SHOWN);
    let text = String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).trim().replace('\n', " | ");
    if text.is_empty() { format!("; its log {} is empty", log.display()) } else { format!("; its log {} ends with: {text}", log.display()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn place(project: &str, stage: &str, service: &str, id: u64) -> Place {
        Place { project: project.to_owned(), stage: stage.to_owned(), service: service.to_owned(), id }
    }

    #[test]
    fn a_log_is_cut_under_the_hands_of_its_writer_and_only_the_last_pieces_stay() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::new(folder.path().to_owned());
        let place = place("shop", "dev", "carts", 1);
        let mut writer = logs.open(&place).unwrap();
        let path = logs.of(&place);
        for round in 1..=4 {
            write!(writer, "{}", round.to_string().repeat(20)).unwrap();
            cut(&path, 10).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().len(), 0);
        }
        write!(writer, "now").unwrap();
        cut(&path, 10).unwrap();
        let read = |name: &str| fs::read_to_string(path.with_extension(name)).unwrap();
        assert_eq!((read("log"), read("log.1"), read("log.2")), ("now".to_owned(), "4".repeat(20), "3".repeat(20)));
        assert!(!path.with_extension("log.3").exists());
    }

    #[test]
    fn the_logs_of_deployments_of_long_ago_are_deleted_and_those_of_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::new(folder.path().to_owned());
        let other = place("shop", "dev", "carts-db", 1);
        logs.open(&other).unwrap();
        for id in 1..=30 {
            logs.open(&place("shop", "dev", "carts", id)).unwrap();
        }
        let kept: Vec<u64> = (1..=30).filter(|id| logs.of(&place("shop", "dev", "carts", *id)).exists()).collect();
        assert_eq!(kept, (21..=30).collect::<Vec<_>>());
        assert!(logs.of(&other).exists());
    }

    #[test]
    fn projects_and_stages_whose_names_run_together_have_their_own_folders() {
        let logs = Logs::new(PathBuf::from("logs"));
        assert_ne!(logs.of(&place("a-b", "c", "s", 1)), logs.of(&place("a", "b-c", "s", 1)));
    }
}
