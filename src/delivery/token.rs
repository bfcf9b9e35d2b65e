//! The token of those who send events from other machines: read from its file, and anew whenever that has changed.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The least bytes of a token.
const LEAST: usize = 16;
/// The most bytes that are read of its file.
const MOST: u64 = 4096;

/// A token and its file.
#[derive(Debug)]
pub(super) struct Token {
    path: PathBuf,
    current: RefCell<Vec<u8>>,
    /// What was last wrong with the file, so that it is said once; empty where nothing is.
    told: RefCell<String>,
}

impl Token {
    /// Reads the token.
    ///
    /// # Errors
    ///
    /// Says why the file cannot be read, or that the token is too short.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        Ok(Self { path: path.to_owned(), current: RefCell::new(read(path)?), told: RefCell::default() })
    }

    /// Returns the token that is in the file now; where that cannot be used, the last one that could.
    pub(super) fn current(&self) -> Vec<u8> {
        match read(&self.path) {
            Ok(token) => {
                self.told.borrow_mut().clear();
                if self.current.replace(token.clone()) != token {
                    tracing::info!("{}: a new token for events is in use", self.path.display());
                }
                token
            }
            Err(why) => {
                if *self.told.borrow() != why {
                    tracing::error!("the token for events in use stays: {why}");
                }
                *self.told.borrow_mut() = why;
                self.current.borrow().clone()
            }
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut bytes));
    file.map_err(|error| format!("{}: {error}", path.display()))?;
    let token = bytes.trim_ascii().to_vec();
    if token.len() < LEAST {
        return Err(format!("{}: the token is shorter than {LEAST} bytes; make one with: openssl rand -hex 32", path.display()));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_what_is_in_its_file_now_and_a_bad_file_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        assert!(Token::open(&path).unwrap_err().contains("token"));
        std::fs::write(&path, "short\n").unwrap();
        assert!(Token::open(&path).unwrap_err().contains("shorter than 16 bytes"));
        std::fs::write(&path, "the first of two tokens\n").unwrap();
        let token = Token::open(&path).unwrap();
        for (written, current) in [
            (None, "the first of two tokens"),
            (Some("short"), "the first of two tokens"),
            (Some(" the second of two tokens\r\n"), "the second of two tokens"),
        ] {
            written.into_iter().for_each(|text| std::fs::write(&path, text).unwrap());
            assert_eq!(token.current(), current.as_bytes());
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(token.current(), b"the second of two tokens");
    }
}
