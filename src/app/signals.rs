//! What signals ask of the process.

use std::io;
use std::sync::mpsc::Sender;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::handover::Successor;

/// What the process is to do.
#[derive(Debug)]
pub(super) enum Wish {
    /// End after the requests in flight.
    Stop,
    /// Read the configuration and the certificates again.
    Reload,
    /// Start a process that succeeds this one.
    HandOver,
    /// The successor serves.
    Succeeded(Successor),
    /// There is no successor, for this reason.
    NotSucceeded(String),
    /// End, because a worker stopped.
    Fail,
}

/// Listens to signals on a thread of its own: SIGTERM and SIGINT stop, a second of them ends the process at once; SIGHUP reloads,
/// and SIGUSR2 hands over.
pub(super) fn listen(wishes: Sender<Wish>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (mut term, mut int, mut hup, mut usr2) = {
        let _inside = runtime.enter();
        let of = |kind| signal(kind);
        (of(SignalKind::terminate())?, of(SignalKind::interrupt())?, of(SignalKind::hangup())?, of(SignalKind::user_defined2())?)
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            let mut stopping = false;
            loop {
                let wish = tokio::select! {
                    _ = term.recv() => Wish::Stop,
                    _ = int.recv() => Wish::Stop,
                    _ = hup.recv() => Wish::Reload,
                    _ = usr2.recv() => Wish::HandOver,
                };
                if matches!(wish, Wish::Stop) && std::mem::replace(&mut stopping, true) {
                    std::process::exit(1);
                }
                // Nobody listens any more once the process is about to end.
                let _ = wishes.send(wish);
            }
        });
    })?;
    Ok(())
}
