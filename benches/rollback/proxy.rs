//! The real data plane under load: from the deciding breach to the last request that reached the canary, by its own count.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portcullis::domain::time::Timestamp;
use portcullis::seam::clock::Clock;
use portcullis::seam::report::{Mark, Report};

use crate::support::client::Client;
use crate::support::plane::Plane;
use crate::support::upstream::{Manner, Upstream};
use crate::{Times, support};

/// The gate's limit, short so that many runs are quick.
pub const LIMIT: Duration = Duration::from_millis(20);
/// The canary's share: small, so that clients remain that do not wait for it.
const SHARE: &str = "1%";
const WORKERS: usize = 2;
const CLIENTS: usize = 8;
/// How long a run may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was measured.
#[derive(Default)]
pub struct Measured {
    /// From the evidence to the flag.
    pub to_trip: Times,
    /// From the evidence to the last arrival of a request at the canary, none at all when that was before.
    pub to_last: Times,
    /// Canary requests whose head was read after the flag was set.
    pub started_after_trip: usize,
    /// Requests answered over all runs.
    pub served: u64,
}

/// Clients that ask without pause until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    /// Requests answered; written by every client.
    served: Arc<AtomicU64>,
    clients: Vec<thread::JoinHandle<()>>,
}

impl Load {
    fn start(plane: &Plane) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut clients = Vec::new();
        for address in plane.addresses.iter().copied().flat_map(|a| std::iter::repeat_n(a, CLIENTS)) {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            clients.push(thread::spawn(move || {
                let mut client = Client::connect(address).expect("a connection to a worker");
                while !stop.load(Ordering::Acquire) {
                    match client.get() {
                        Ok(_) => served.fetch_add(1, Ordering::AcqRel),
                        Err(_) => client.reconnect().map_or(0, |()| 0),
                    };
                }
            }));
        }
        Self { stop, served, clients }
    }

    /// Waits until this many further requests were answered.
    fn serve_more(&self, requests: u64) -> io::Result<()> {
        let (from, since) = (self.served.load(Ordering::Acquire), Instant::now());
        while self.served.load(Ordering::Acquire) < from + requests {
            if since.elapsed() > PATIENCE {
                return Err(io::Error::other("the clients got no answers"));
            }
            thread::yield_now();
        }
        Ok(())
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Release);
        for client in self.clients {
            let _ = client.join();
        }
        self.served.load(Ordering::Acquire)
    }
}

/// Measures `runs` rollbacks of a canary that behaves in this manner, each with a trial of its own.
pub fn measure(manner: Manner, runs: u64) -> io::Result<Measured> {
    let clock = Clock::start();
    let (stable, canary) = (Upstream::start(clock, Manner::Fast)?, Upstream::start(clock, manner)?);
    let (v1, v2) = (support::version("v1", stable.address), support::version("v2", canary.address));
    let plane = Plane::start(clock, WORKERS)?;
    let mut measured = Measured::default();
    // For each run when the flag was set, and the latest start of a canary request.
    let (mut trips, mut starts) = (HashMap::new(), HashMap::new());
    plane.routes.publish(support::table(1, &support::epoch(1, &v1, &v1, SHARE, PATIENCE)));
    let load = Load::start(&plane);
    load.serve_more(1_000)?;
    for run in 2..=runs + 1 {
        plane.routes.publish(support::table(run, &support::epoch(run, &v1, &v2, SHARE, LIMIT)));
        let (evident, at) = await_trip(&plane, run, &mut starts)?;
        trips.insert(run, at);
        load.serve_more(400)?;
        let (_, last) = canary.arrivals();
        measured.to_trip.add(evident, at);
        measured.to_last.add(evident, Timestamp::from_nanos(last));
        canary.release();
    }
    // The last reports come within two rounds.
    let end = clock.now() + Duration::from_millis(300);
    while clock.now() < end {
        if let Ok(report) = plane.reports.recv_timeout(Duration::from_millis(50)) {
            note_starts(&report, &mut starts);
        }
        canary.release();
    }
    measured.served = load.stop();
    plane.stop();
    measured.started_after_trip = trips.iter().filter(|(run, at)| starts.get(run).is_some_and(|start| start > at)).count();
    Ok(measured)
}

/// Reads reports until this run has tripped; returns when the breach was evident and when the flag was set.
fn await_trip(plane: &Plane, run: u64, starts: &mut HashMap<u64, Timestamp>) -> io::Result<(Timestamp, Timestamp)> {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        match plane.reports.recv_timeout(PATIENCE) {
            Ok(Report::Tripped { rollout, evident, at, .. }) if rollout == run => return Ok((evident, at)),
            Ok(report) => note_starts(&report, starts),
            Err(error) => return Err(io::Error::other(error)),
        }
    }
    Err(io::Error::other(format!("run {run} did not trip within {PATIENCE:?}")))
}

fn note_starts(report: &Report, starts: &mut HashMap<u64, Timestamp>) {
    if let Report::Observed { rollout, marks, .. } = report {
        for mark in marks {
            if let Mark::Started(_, at) = mark {
                let latest = starts.entry(*rollout).or_insert(*at);
                *latest = (*latest).max(*at);
            }
        }
    }
}
