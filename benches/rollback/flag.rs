//! The flag alone: two loaded workers, one of which counts the deciding breach, and when the other sees it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use http::{HeaderMap, Method};
use portcullis::domain::outcome::Role;
use portcullis::domain::route::Asked;
use portcullis::domain::split::Draw;
use portcullis::domain::time::Timestamp;
use portcullis::seam::clock::Clock;
use portcullis::seam::routes::{Reader, Routes};
use portcullis::seam::table::Epoch;
use rand::RngExt;
use rand::rngs::SmallRng;

use crate::support;
use crate::support::sheet::Times;

/// What was measured.
#[derive(Default)]
pub struct Flag {
    /// From the instant before the deciding breach to the first pick of each worker that sees the flag, the later one.
    pub visible: Times,
    /// From the instant before the deciding breach to the last pick of any worker that gave the canary a request.
    pub last_pick: Times,
    /// The same as `visible` for the runs in which both workers were on their cores.
    pub visible_on_core: Times,
    /// Runs in which a worker made no pick for over [`OFF_CORE`] across the trip: the system gave its core to somebody else.
    pub off_core: usize,
}

/// A pick takes about a tenth of a microsecond; a worker without one for this long was not running.
pub const OFF_CORE: Duration = Duration::from_micros(10);

/// What one worker saw of one run.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// The instant before the deciding breach, by the worker that counted it.
    breach: Option<Timestamp>,
    first_refused: Timestamp,
    last_canary: Timestamp,
    off_core: bool,
}

struct Shared {
    routes: Routes,
    clock: Clock,
    barrier: Barrier,
    /// Picks of each worker in this run; written by that worker.
    picks: [AtomicU64; 2],
}

/// Measures `runs` rollbacks, each with a trial of its own; the workers take turns at counting the breach.
pub fn measure(runs: usize) -> Flag {
    let shared = Arc::new(Shared {
        routes: Routes::default(),
        clock: Clock::start(),
        barrier: Barrier::new(2),
        picks: [AtomicU64::new(0), AtomicU64::new(0)],
    });
    let worker = |index: usize| {
        let shared = Arc::clone(&shared);
        thread::spawn(move || (0..runs).map(|run| shared.run(index, run)).collect::<Vec<Seen>>())
    };
    let (first, second) = (worker(0), worker(1));
    let (first, second) = (first.join().expect("worker 0"), second.join().expect("worker 1"));
    let mut flag = Flag::default();
    for (a, b) in first.into_iter().zip(second) {
        let evident = a.breach.or(b.breach).expect("one of the two counted the breach");
        let visible = a.first_refused.max(b.first_refused);
        flag.visible.add(evident, visible);
        flag.last_pick.add(evident, a.last_canary.max(b.last_canary));
        if a.off_core || b.off_core {
            flag.off_core += 1;
        } else {
            flag.visible_on_core.add(evident, visible);
        }
    }
    flag
}

impl Shared {
    fn run(&self, index: usize, run: usize) -> Seen {
        let mine = self.picks.get(index).expect("two workers");
        let other = self.picks.get(1 - index).expect("two workers");
        self.barrier.wait();
        mine.store(0, Ordering::Release);
        if index == 0 {
            let nobody = ([127, 0, 0, 1], 9).into();
            let (v1, v2) = (support::version("v1", nobody), support::version("v2", nobody));
            let number = run as u64 + 1;
            self.routes.publish(support::table(number, &support::epoch(number, &v1, &v2, "50%", Duration::from_secs(1))));
        }
        self.barrier.wait();
        let mut rng: SmallRng = rand::make_rng();
        let (mut reader, mut draw) = (self.routes.reader(), Draw::new(rng.random()));
        let breach_at = if run % 2 == index { rng.random_range(1_000..4_000) } else { u64::MAX };
        let (mut seen, mut before, mut left) = (Seen::default(), self.clock.now(), 200);
        // One pick of each two draws the canary, so that two picks in a row may not look at the flag; and the one before them
        // may have looked just before its worker lost its core.
        let mut gaps = [Duration::ZERO; 4];
        for n in 0_u64.. {
            let epoch = route(&mut reader);
            let weight = epoch.canary.as_ref().map(|canary| canary.weight).unwrap_or_default();
            let drawn = draw.next(weight, rng.random());
            let role = epoch.pick(drawn, self.clock.now());
            let after = self.clock.now();
            gaps = [after.since(before), gaps[0], gaps[1], gaps[2]];
            if role == Role::Canary {
                seen.last_canary = after;
            } else if drawn == Role::Canary && seen.first_refused == Timestamp::ZERO {
                seen.first_refused = after;
                seen.off_core |= gaps.iter().any(|gap| *gap > OFF_CORE);
            }
            before = after;
            mine.store(n, Ordering::Release);
            // Not before the other is at work as well.
            if n >= breach_at && seen.breach.is_none() && other.load(Ordering::Acquire) > 500 {
                let (evident, tripped) = self.breach(epoch);
                seen.breach = Some(evident);
                seen.off_core = tripped.since(evident) > OFF_CORE;
            }
            left -= u64::from(seen.first_refused > Timestamp::ZERO);
            if left == 0 {
                break;
            }
        }
        seen
    }

    /// Counts three breaches of three requests and returns the instants around the third.
    fn breach(&self, epoch: &Epoch) -> (Timestamp, Timestamp) {
        let trial = &epoch.canary.as_ref().expect("a canary").trial;
        for seq in 1..=2 {
            assert!(!trial.breach(0, seq, 0, false));
        }
        let evident = self.clock.now();
        assert!(trial.breach(0, 3, 0, false), "the third breach of three trips");
        (evident, self.clock.now())
    }
}

fn route(reader: &mut Reader) -> &Epoch {
    let table = reader.load();
    let headers = HeaderMap::new();
    let asked = Asked { host: "carts.sockshop.localhost", method: &Method::GET, path: "/carts/1/items", query: None, headers: &headers };
    let index = table.route(&asked).ok().flatten().expect("a route");
    &table.routes.get(index).expect("the route").epoch
}
