//! What the data plane does for the tripwire: a canary's bad end is counted and compared, and a pick asks whether it has tripped.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use gungraun::{library_benchmark, library_benchmark_group};
use portcullis::domain::error_kinds::ErrorKinds;
use portcullis::domain::outcome::Role;
use portcullis::domain::time::Timestamp;
use portcullis::seam::table::{Epoch, Watch};
use portcullis::seam::tripwire::{Tables, Trial};

use crate::record::Books;
use crate::{TIMES, support};

/// An epoch whose canary's wires watch this, by tables of so many entries that all say the same; for how many clients it waits.
fn watching(watches: Vec<Watch>, n_max: u64, min_clients: u8) -> Arc<Epoch> {
    let nobody = ([127, 0, 0, 1], 9).into();
    let (v1, v2) = (support::version("v1", nobody), support::version("v2", nobody));
    let mut epoch = Arc::into_inner(support::epoch(1, &v1, &v2, "50%", Duration::from_secs(1))).expect("one owner");
    let table: Box<[u64]> = vec![n_max; 10 * TIMES].into();
    let tables = watches.iter().map(|_| Tables { cumulative: table.clone(), step: table.clone() }).collect();
    if let Some(canary) = &mut epoch.canary {
        canary.trial = Arc::new(Trial::new(tables, min_clients));
        canary.watches = watches.into();
    }
    Arc::new(Epoch::new(epoch.service, 1, 1, epoch.stable, epoch.canary, Timestamp::NEVER))
}

/// Requests that the canary answers so late that each is a breach.
fn slow() -> Books {
    Books::open(Role::Canary, 200, &watching(vec![Watch::Latency(Duration::ZERO)], 0, 1))
}

/// Requests that the canary answers late and badly, which two wires watch, and of which each client is asked for.
fn slow_and_failed() -> Books {
    Books::open(Role::Canary, 503, &watching(vec![Watch::Latency(Duration::ZERO), Watch::Errors(ErrorKinds::SERVER)], 0, 8))
}

#[library_benchmark]
#[bench::slow(slow())]
#[bench::slow_and_failed(slow_and_failed())]
fn ends(mut books: Books) -> Books {
    books.round();
    books
}

/// A trial that has seen every client it asks for, and does not trip.
fn armed() -> Arc<Epoch> {
    watching(vec![Watch::Latency(Duration::ZERO)], 0, 8)
}

fn tripped() -> Arc<Epoch> {
    let epoch = watching(vec![Watch::Latency(Duration::ZERO)], u64::MAX, 1);
    let canary = epoch.canary.as_ref().expect("a canary");
    assert!(canary.trial.breach(0, canary.trial.begin(), 7, false), "the first breach trips");
    epoch
}

#[library_benchmark]
#[bench::counted(armed())]
fn breaches(epoch: Arc<Epoch>) -> Arc<Epoch> {
    let trial = &epoch.canary.as_ref().expect("a canary").trial;
    for seq in 1..=TIMES as u64 {
        assert!(!trial.breach(black_box(0), black_box(seq), seq % 8, false));
    }
    epoch
}

#[library_benchmark]
#[bench::armed(armed(), Role::Canary)]
#[bench::tripped(tripped(), Role::Stable)]
fn picks(epoch: Arc<Epoch>, expected: Role) -> Arc<Epoch> {
    for _ in 0..TIMES {
        assert_eq!(black_box(&epoch).pick(black_box(Role::Canary), black_box(Timestamp::from_nanos(1))), expected);
    }
    epoch
}

library_benchmark_group!(name = trips, benchmarks = [ends, breaches, picks]);
