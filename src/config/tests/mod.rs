//! The configuration as users write it: what is understood, what is refused and how the refusal reads.

mod admin;
mod choice;
mod files;
mod flags;
mod gate_files;
mod gates;
mod kubernetes;
mod limits;
mod problems;
mod robust;
mod routes;
mod schema;
mod traces;
mod transport;
mod values;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use crate::config::{Flags, Hurried, Loaded, Surroundings, load};
use crate::formats::problem::Problem;

/// The smallest configuration.
const SMALL: &str = "listen: 127.0.0.1:8080\nservices:\n  - name: carts\n    stable: {version: v1, endpoints: [\"127.0.0.1:8081\"]}\n";

/// The smallest configuration with a canary; its service can be continued with four spaces.
const WITH_CANARY: &str = "listen: 127.0.0.1:8080\nservices:\n  - name: carts\n    stable: {version: v1, endpoints: [\"127.0.0.1:8081\"]}\n    canary: {version: v2, endpoints: [\"127.0.0.1:8082\"]}\n";

fn variable(name: &str) -> Option<OsString> {
    (name == "HOME").then(|| "/home/u".into())
}

fn resolve(address: &str) -> io::Result<Vec<SocketAddr>> {
    match address {
        "carts.internal:80" => Ok(vec!["[fd00::1]:80".parse().unwrap(), "10.0.0.2:80".parse().unwrap(), "10.0.0.1:80".parse().unwrap()]),
        "six.internal:80" => Ok(vec!["[fd00::1]:80".parse().unwrap()]),
        "empty.internal:80" => Ok(Vec::new()),
        _ => Err(io::Error::other("no such name")),
    }
}

/// A machine with three cores, a home folder and a few names.
fn around() -> Surroundings<'static> {
    Surroundings { cores: 3, variable: &variable, resolve: &resolve, awaits_names: false, sends_traces: true, watches_clusters: true }
}

/// Loads a text as the file `portcullis.yaml` of a folder.
fn load_in(folder: &Path, text: impl AsRef<[u8]>, flags: &Flags) -> Result<Loaded, Vec<Problem>> {
    let path = folder.join("portcullis.yaml");
    fs::write(&path, text).unwrap();
    load(Some(&path), flags, &around())
}

fn load_text(text: impl AsRef<[u8]>) -> Result<Loaded, Vec<Problem>> {
    load_in(tempfile::tempdir().unwrap().path(), text, &Flags::default())
}

fn loaded(text: &str) -> Loaded {
    load_text(text).unwrap_or_else(|problems| panic!("{}", shown(&problems)))
}

fn refused(text: &str) -> Vec<Problem> {
    load_text(text).map(|loaded| panic!("{:?}", loaded.settings)).unwrap_err()
}

/// Returns one of the gate files the seed came with.
fn seed_file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/compat").join(name)).unwrap()
}

fn shown(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}
