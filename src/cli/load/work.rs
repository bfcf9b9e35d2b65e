//! Sends what a job says until it is done or interrupted, and writes the log meanwhile.

use std::io;
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use crate::cli::load::hlog::Log;
use crate::cli::load::progress::Progress;
use crate::cli::load::report::{Asked, Report};
use crate::load::{Run, Script, Target};

/// How often progress is shown.
const LOOK: Duration = Duration::from_millis(100);
/// How long an interval of the log is.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the answers in flight are waited for after an interrupt.
const GRACE: Duration = Duration::from_secs(5);

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn one(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What there is to tell before the begin, and where the log goes.
pub(super) struct Around {
    /// Says what is about to be sent.
    pub(super) announcement: String,
    /// The log, if one is kept, begun at `begun`.
    pub(super) log: Option<Log>,
    /// The time of day at the begin.
    pub(super) begun: SystemTime,
}

/// Carries out a script and sums it up.
///
/// # Errors
///
/// Says why the signals cannot be listened to or the log not be written.
pub(super) async fn work(target: Target, script: Script, asked: Asked, around: Around) -> Result<Report, String> {
    let Around { announcement, mut log, begun } = around;
    let mut signals = Signals::listen().map_err(|error| format!("error: cannot listen to signals: {error}"))?;
    let mut progress = Progress::begin();
    // From here on an interrupt is listened to.
    progress.event(&announcement);
    let started = Instant::now();
    let mut run = Run::start(&Handle::current(), target, script, None);
    let counters = std::sync::Arc::clone(run.counters());
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let interrupted = loop {
        tokio::select! {
            () = run.wait() => break false,
            () = signals.one() => break true,
            _ = looks.tick() => {
                progress.show(&counters);
                if let Some(log) = log.as_mut().filter(|log| started.elapsed() >= log.until() + INTERVAL) {
                    log.interval(counters.distribution(), started.elapsed())?;
                }
            }
        }
    };
    if interrupted {
        run.ask_to_stop();
        let waiting = counters.snapshot().in_flight();
        progress.event(&format!("interrupted; {waiting} answers are waited for up to {} s, a second interrupt cuts them", GRACE.as_secs()));
        tokio::select! {
            () = run.wait() => {}
            () = signals.one() => {}
            () = tokio::time::sleep(GRACE) => {}
        }
    }
    let end = run.stop(Duration::ZERO).await;
    let elapsed = started.elapsed();
    progress.end();
    if let Some(mut log) = log {
        log.interval(counters.distribution(), elapsed)?;
    }
    Ok(Report::new(asked, begun, elapsed, interrupted, end, &counters))
}
