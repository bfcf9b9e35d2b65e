//! The promises of the store, tried against damage, kills, a failing disk and a second process.

mod chain;
mod damage;
mod disk;
mod faults;
mod folder;
mod kill;
mod peek;
mod transactions;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::domain::version::Name;
use crate::store::{Opened, Store};

/// A record that can be checked for invention: `echo` is derived from `number`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    number: u64,
    echo: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    why: String,
}

type Opening = Opened<Record, Entry>;

fn record(number: u64) -> Record {
    Record { number, echo: format!("{number:x}").repeat(20) }
}

fn entry(number: u64) -> Entry {
    Entry { why: format!("because of {number}") }
}

fn carts() -> Name {
    "carts".parse().unwrap()
}

fn open(folder: &Path) -> Opening {
    Store::open(folder).unwrap()
}

/// Opens the folder, expecting nothing to warn about.
fn open_quietly(folder: &Path) -> Store<Record, Entry> {
    let opened = open(folder);
    assert_eq!(opened.warnings, []);
    opened.store
}
