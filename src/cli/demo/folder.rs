//! The temporary folder of the demo: configuration, gate file and state; removed at the end.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// The gate file of the seed, byte for byte.
pub const PERFSPEC: &str = include_str!("../../../tests/data/compat/perfspec_dynatrace.json");
/// What the gate file is called in the folder.
const PERFSPEC_NAME: &str = "perfspec_dynatrace.json";

/// A folder of its own that nobody else may read; removed when dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

/// Why the folder or a file in it cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {source}\n  hint: the demo needs a writable temporary folder; set TMPDIR to one", path = path.display())]
pub struct Unwritable {
    path: PathBuf,
    source: io::Error,
}

impl Folder {
    /// Makes a new folder in the system's folder for temporary files.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn create() -> Result<Self, Unwritable> {
        let parent = std::env::temp_dir();
        loop {
            let path = parent.join(format!("portcullis-demo-{:016x}", rand::random::<u64>()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(Unwritable { path, source }),
            }
        }
    }

    /// Writes the gate file and a configuration with carts 0.8.1 at `stable` and no canary, and returns the
    /// configuration's path.
    ///
    /// # Errors
    ///
    /// A file cannot be written.
    pub fn configure(&self, stable: SocketAddr) -> Result<PathBuf, Unwritable> {
        self.write(PERFSPEC_NAME, PERFSPEC)?;
        self.write("portcullis.yaml", &configuration(stable))
    }

    /// Writes a file, with the folders it is in, and returns its path.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, Unwritable> {
        let path = self.path.join(name);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
        match written {
            Ok(()) => Ok(path),
            Err(source) => Err(Unwritable { path, source }),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(problem) = fs::remove_dir_all(&self.path) {
            tracing::warn!(folder = %self.path.display(), %problem, "the temporary folder of the demo could not be removed");
        }
    }
}

fn configuration(stable: SocketAddr) -> String {
    format!(
        "listen: 127.0.0.1:0
admin: 127.0.0.1:0
state: state
timeouts:
  response: 5s
  drain: 5s
services:
  - name: carts
    stable: {{version: 0.8.1, endpoints: [\"{stable}\"]}}
    perfspec: {PERFSPEC_NAME}
    burst_tolerance: 0s
    watch: 2s
    plan: {{start: 10%, factor: 3, hold: 2s}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, Surroundings, load};

    #[test]
    fn the_configuration_is_accepted_and_the_folder_is_removed() {
        let folder = Folder::create().unwrap();
        let path = folder.path.clone();
        let file = folder.configure("127.0.0.1:8081".parse().unwrap()).unwrap();
        let loaded = load(Some(&file), &Flags::default(), &Surroundings::real()).unwrap();
        let service = &loaded.settings.services[0];
        assert_eq!((service.stable.name.as_str(), service.canary.is_none(), service.gates.len()), ("0.8.1", true, 2));
        assert!(loaded.settings.state.starts_with(&path));
        drop(folder);
        assert!(!path.exists());
    }
}
