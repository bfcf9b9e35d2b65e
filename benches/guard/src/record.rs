//! A request's whole measurement, from its head to its end, and its share of handing over what a worker has seen.

use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use gungraun::{library_benchmark, library_benchmark_group};
use portcullis::domain::outcome::Role;
use portcullis::domain::time::Timestamp;
use portcullis::seam::clock::Clock;
use portcullis::seam::recorder::{EpochBooks, Recorder};
use portcullis::seam::report::{self, Report};
use portcullis::seam::sample::Sample;
use portcullis::seam::table::Epoch;

use crate::{TIMES, support};

/// How far apart the latencies are: so far that they always sort in the same order, whatever the machine does meanwhile.
const APART: Duration = Duration::from_micros(200);

/// A worker's books of one epoch, and requests of known latencies for them.
pub struct Books {
    clock: Clock,
    recorder: Recorder,
    books: Rc<EpochBooks>,
    role: Role,
    status: u16,
    latencies: Vec<Duration>,
    reports: Receiver<Report>,
}

impl Books {
    /// Opens the books of an epoch, into which requests of this role go that are answered with this status, and writes a first round.
    pub fn open(role: Role, status: u16, epoch: &Arc<Epoch>) -> Self {
        let (clock, (sender, reports)) = (Clock::start(), report::channel());
        let mut recorder = Recorder::new(0, sender);
        let books = recorder.open(epoch);
        let latencies: Vec<Duration> = (0..TIMES).map(|turn| APART * (1 + turn * 7_919 % TIMES) as u32).collect();
        let longest = Timestamp::ZERO + APART * TIMES as u32;
        // No request can have begun before the clock.
        while clock.now() <= longest {
            std::thread::yield_now();
        }
        let mut open = Self { clock, recorder, books, role, status, latencies, reports };
        open.round();
        open.reports.try_iter().for_each(drop);
        open
    }

    /// Measures a thousand requests and hands over what was seen.
    pub fn round(&mut self) {
        for latency in &self.latencies {
            let started = Timestamp::ZERO + self.clock.now().since(Timestamp::ZERO + *latency);
            let mut sample = Sample::begin(&self.books, self.clock, self.role, started, 7);
            sample.head(black_box(self.status));
            black_box(sample.complete());
        }
        assert!(self.recorder.report(self.clock.now()), "the reports are taken");
    }
}

fn alone() -> Books {
    let v1 = support::version("v1", ([127, 0, 0, 1], 9).into());
    Books::open(Role::Stable, 200, &Arc::new(Epoch::new("carts".parse().expect("a name"), 0, 1, v1, None, Timestamp::NEVER)))
}

fn beside(role: Role) -> Books {
    let nobody = ([127, 0, 0, 1], 9).into();
    let (v1, v2) = (support::version("v1", nobody), support::version("v2", nobody));
    Books::open(role, 200, &support::epoch(1, &v1, &v2, "50%", Duration::from_secs(1)))
}

#[library_benchmark]
#[bench::stable_alone(alone())]
#[bench::stable(beside(Role::Stable))]
#[bench::canary(beside(Role::Canary))]
fn requests(mut books: Books) -> Books {
    books.round();
    books
}

library_benchmark_group!(name = records, benchmarks = requests);
