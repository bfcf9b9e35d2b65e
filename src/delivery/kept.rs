//! Small things that must outlive the process: a file of texts by name, replaced as a whole, so that a kill leaves the old one or
//! the new one.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Texts by name, on disk.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    texts: BTreeMap<String, String>,
}

impl Kept {
    /// Reads what was kept; nothing where there is no file yet.
    ///
    /// # Errors
    ///
    /// Says why the file cannot be read. It is left as it is: what would be written over it could be mended.
    pub(super) fn open(path: PathBuf) -> Result<Self, String> {
        let texts = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| format!("{} cannot be read: {error}", path.display()))?,
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        Ok(Self { path, texts })
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.texts.keys().map(String::as_str)
    }

    /// Keeps a text; when this returns it is on disk.
    ///
    /// # Errors
    ///
    /// Says what the disk says; then what was kept before is kept still.
    pub(super) fn put(&mut self, name: &str, text: &str) -> Result<(), String> {
        if self.get(name) == Some(text) {
            return Ok(());
        }
        let mut texts = self.texts.clone();
        texts.insert(name.to_owned(), text.to_owned());
        self.write(texts)
    }

    /// Forgets a text; when this returns it is gone from the disk.
    ///
    /// # Errors
    ///
    /// Says what the disk says; then it is kept still.
    pub(super) fn remove(&mut self, name: &str) -> Result<(), String> {
        let mut texts = self.texts.clone();
        if texts.remove(name).is_none() {
            return Ok(());
        }
        self.write(texts)
    }

    fn write(&mut self, texts: BTreeMap<String, String>) -> Result<(), String> {
        let bytes = serde_json::to_vec(&texts).map_err(|error| error.to_string())?;
        replace(&self.path, &bytes).map_err(|error| format!("{}: {error}", self.path.display()))?;
        self.texts = texts;
        Ok(())
    }
}

/// Writes a file under another name first, so that nobody ever reads half of it; when this returns it is on disk.
///
/// # Errors
///
/// Returns what the disk says.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    // The new name is durable with its folder.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_there_after_a_restart_and_half_a_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        let mut kept = Kept::open(path.clone()).unwrap();
        kept.put("a", "1").unwrap();
        kept.put("b", "2").unwrap();
        kept.remove("a").unwrap();
        let again = Kept::open(path.clone()).unwrap();
        assert_eq!((again.get("a"), again.get("b"), again.names().count()), (None, Some("2"), 1));
        fs::write(&path, "{\"b\": ").unwrap();
        let why = Kept::open(path.clone()).unwrap_err();
        assert!(why.contains("cannot be read"), "{why}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"b\": ");
    }

    #[test]
    fn what_could_not_be_written_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        let mut kept = Kept::open(path.clone()).unwrap();
        kept.put("a", "1").unwrap();
        fs::create_dir(path.with_extension("new")).unwrap();
        assert!(kept.put("a", "2").is_err());
        assert!(kept.remove("a").is_err());
        assert_eq!(kept.get("a"), Some("1"));
    }
}
