//! A writer killed at a random moment leaves the last acknowledged record or the one after it.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use super::*;
use crate::store::Stored;

/// Set in the child process to the folder it writes to.
const CHILD: &str = "PORTCULLIS_TEST_STORE_WRITER";

/// Puts growing numbers for ever and says each one only after the store has acknowledged it.
fn write_for_ever(folder: &Path) -> ! {
    let store = open_quietly(folder);
    let mut number = match store.record(&carts()).unwrap() {
        Some(Stored::Known(record)) => record.number,
        Some(Stored::Unknown { reason }) => panic!("{reason}"),
        None => 0,
    };
    loop {
        number += 1;
        store.put(&carts(), &record(number), &entry(number)).unwrap();
        let mut out = std::io::stdout();
        writeln!(out, "acknowledged {number}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn a_killed_writer_leaves_the_acknowledged_record_or_the_next() {
    if let Some(folder) = env::var_os(CHILD) {
        write_for_ever(Path::new(&folder));
    }
    let seed = rand::rng().next_u64();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut before = 0;
    for round in 0..20 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "store::tests::kill::a_killed_writer_leaves_the_acknowledged_record_or_the_next", "--nocapture"])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut acknowledged =
            |count: usize| lines.by_ref().filter_map(|line| line.strip_prefix("acknowledged ")?.parse::<u64>().ok()).take(count).last();
        let seen = acknowledged(random.random_range(1..20)).expect("the child writes");
        // The random moment itself: somewhere within the next few transactions.
        std::thread::sleep(Duration::from_micros(random.random_range(0..3_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let last = acknowledged(usize::MAX).unwrap_or(seen);

        let store = open_quietly(folder.path());
        let found = store.record(&carts()).unwrap().and_then(Stored::known).expect("a record");
        assert!(found == record(last) || found == record(last + 1), "round {round}: acknowledged {last}, found {}", found.number);
        let newest = store.journal(1).unwrap();
        assert_eq!(newest, [(found.number, Stored::Known(entry(found.number)))], "state and journal agree");
        assert!(last > before, "round {round}: {last} after {before}");
        before = found.number;
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing was moved aside");
}
