//! What a supervisor such as systemd is told (sd_notify(3)); nothing where there is none.

use std::io;
use std::thread;

use sd_notify::NotifyState;

use crate::control::status::Board;

/// Tells the supervisor something; that it cannot be told is no reason to stop.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the supervisor could not be told");
    }
}

/// Says that this process serves, and is the main one from now on.
pub(super) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::MainPid(std::process::id())]);
}

/// Says that the process is about to end.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Feeds the supervisor's watchdog, if it has one, for as long as the controller judges: a process whose controller hangs is to be
/// started anew.
pub(super) fn feed_watchdog(board: Board) -> io::Result<()> {
    let Some(limit) = sd_notify::watchdog_enabled() else { return Ok(()) };
    thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
        let mut last = None;
        loop {
            let judged = Some(board.snapshot().judged_ns);
            if judged != last {
                tell(&[NotifyState::Watchdog]);
            }
            last = judged;
            thread::sleep(limit / 4);
        }
    })?;
    Ok(())
}
