//! The real data plane under load: from the deciding breach to the last request that reached the canary, by its own count.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portcullis::domain::error_kinds::ErrorKinds;
use portcullis::domain::time::Timestamp;
use portcullis::seam::clock::Clock;
use portcullis::seam::report::{Mark, Report};
use portcullis::seam::table::Watch;

use crate::support;
use crate::support::client::Client;
use crate::support::plane::Plane;
use crate::support::sheet::Times;
use crate::support::upstream::{Manner, Upstream};

/// The gate's limit, short so that many runs are quick.
pub const LIMIT: Duration = Duration::from_millis(20);
/// The canary's share: small, so that clients remain that do not wait for it.
const SHARE: &str = "1%";
/// Workers, each with clients of its own.
pub const WORKERS: usize = 2;
/// Clients of each worker.
pub const CLIENTS: usize = 8;
/// How long a run may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was measured.
#[derive(Default)]
pub struct Measured {
    /// From the breach being evident to the flag.
    pub to_flag: Times,
    /// From there to the last pick of the canary by any worker, at the latest; none at all when its request was read before.
    pub to_last_pick: Times,
    /// From there to the last arrival of a request at the canary, none at all when that was before.
    pub to_last_arrival: Times,
    /// Rollbacks with a canary request whose head was read after the flag was set.
    pub started_after_flag: usize,
    /// Requests answered per second.
    pub rate: f64,
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

    fn stop(self) {
        self.stop.store(true, Ordering::Release);
        for client in self.clients {
            let _ = client.join();
        }
    }
}

/// Measures `runs` rollbacks of a canary that behaves in this manner, each with a trial of its own.
pub fn measure(manner: Manner, runs: u64) -> io::Result<Measured> {
    let clock = Clock::start();
    let (stable, canary) = (Upstream::start(clock, Manner::Fast)?, Upstream::start(clock, manner)?);
    let (v1, v2) = (support::version("v1", stable.address), support::version("v2", canary.address));
    let plane = Plane::start(clock, WORKERS)?;
    let mut measured = Measured::default();
    // For each run when the breach was evident and when the flag was set, and the latest start of a canary request.
    let (mut trips, mut starts) = (HashMap::new(), HashMap::new());
    // An answer that is late was missed before it came; what an answer decides is whether it is an error.
    let watch = if manner == Manner::Fail { Watch::Errors(ErrorKinds::SERVER) } else { Watch::Latency(LIMIT) };
    plane.routes.publish(support::table(1, &support::epoch(1, &v1, &v1, SHARE, PATIENCE)));
    let load = Load::start(&plane);
    load.serve_more(1_000)?;
    let (begun, before) = (Instant::now(), load.served.load(Ordering::Acquire));
    for run in 2..=runs + 1 {
        plane.routes.publish(support::table(run, &support::watched(run, &v1, &v2, SHARE, watch)));
        let (evident, at) = await_trip(&plane, run, &mut starts)?;
        trips.insert(run, (evident, at));
        load.serve_more(400)?;
        let (_, last) = canary.arrivals();
        measured.to_flag.add(evident, at);
        measured.to_last_arrival.add(evident, Timestamp::from_nanos(last));
        canary.release();
    }
    measured.rate = (load.served.load(Ordering::Acquire) - before) as f64 / begun.elapsed().as_secs_f64();
    // The last reports come within two rounds.
    let end = clock.now() + Duration::from_millis(300);
    while clock.now() < end {
        if let Ok(report) = plane.reports.recv_timeout(Duration::from_millis(50)) {
            note_starts(&report, &mut starts);
        }
        canary.release();
    }
    load.stop();
    plane.stop();
    for (run, (evident, at)) in &trips {
        let last = *starts.get(run).ok_or_else(|| io::Error::other(format!("no canary request of run {run} was reported")))?;
        measured.to_last_pick.add(*evident, if last > *evident { *at } else { *evident });
        measured.started_after_flag += usize::from(last > *at);
    }
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
