//! The listening side of a worker: its thread, its runtime, accepting, and the drain.

use std::fs::File;
use std::io;
use std::rc::Rc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

use crate::proxy::connection::{self, Admitted, Door};
use crate::proxy::listening::{Accepting, Listening};
use crate::proxy::patrol;
use crate::proxy::plain::{Plain, Remote};
use crate::proxy::pressure::Level;
use crate::proxy::spread::{Handed, Seat};
use crate::proxy::worker::{Parts, Worker};

/// Runs a worker on the calling thread until it has drained.
///
/// # Errors
///
/// Fails when the runtime or the listener cannot be set up.
pub fn run(index: usize, listeners: Vec<Listening>, parts: &Parts) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let worker = Worker::new(index, parts);
        show_runtime(&worker);
        tokio::task::spawn_local(Rc::clone(&worker.deadlines).run());
        let ticking = tokio::task::spawn_local(ticks(Rc::clone(&worker)));
        let idle = Rc::clone(&worker.idle);
        tokio::task::spawn_local(async move { idle.watch().await });
        let (mut accepting, mut doors) = (Vec::new(), Vec::new());
        for Listening { door: index, socket: listener } in listeners {
            let listener = listener.accepting()?;
            let setup = parts.doors.get(index).cloned().unwrap_or_default();
            let door = Rc::new(Door { index, port: listener.port(), setup });
            doors.push(Rc::clone(&door));
            accepting.push(tokio::task::spawn_local(accept(listener, door, Rc::clone(&worker), parts.drain.clone())));
        }
        if let Some(handed) = worker.desk.open() {
            accepting.push(tokio::task::spawn_local(take(handed, doors, Rc::clone(&worker), parts.drain.clone())));
        }
        parts.counters.accepting.fetch_add(1, Ordering::AcqRel);
        for task in accepting {
            // A panic there is a bug that the process reports by itself; the others drain all the same.
            let _ = task.await;
        }
        parts.counters.accepting.fetch_sub(1, Ordering::AcqRel);
        drained(&worker, worker.rules().settings.timeouts.drain).await;
        ticking.abort();
        worker.flush();
        Ok(())
    })
}

/// Lets the exposition measure this worker's runtime.
fn show_runtime(worker: &Worker) {
    // A panic of another worker leaves the list whole.
    let mut runtimes = worker.counters.runtimes.lock().unwrap_or_else(PoisonError::into_inner);
    runtimes.push(tokio::runtime::Handle::current().metrics());
}

async fn ticks(worker: Rc<Worker>) {
    let mut interval = tokio::time::interval(patrol::ROUND);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        worker.patrol.lull().await;
        worker.tick();
    }
}

async fn accept(listener: Accepting, door: Rc<Door>, worker: Rc<Worker>, mut drain: watch::Receiver<bool>) {
    let mut spare = Spare::new();
    loop {
        tokio::select! {
            biased;
            _ = drain.wait_for(|draining| *draining) => break,
            accepted = next(&listener, &worker) => match accepted {
                Ok((socket, remote)) => place(socket, remote, &door, &worker),
                Err(error) => {
                    worker.counters.rejected.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(%error, "a connection could not be accepted");
                    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
                        // Out of descriptors: trying again at once would only spin.
                        spare.turn_one_away(&listener);
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        spare = Spare::new();
                    }
                }
            }
        }
    }
    worker.drain();
    // Whoever the kernel has already let in is served too; a closing listener would reset them.
    let Ok(listener) = listener.into_bound() else { return };
    while let Ok((socket, remote)) = listener.accept() {
        admit(socket, remote, &door, worker.desk.seat(), &worker);
    }
}

/// Takes the connections that other workers hand over, until the drain. Those on their way then are served too.
async fn take(mut handed: UnboundedReceiver<Handed>, doors: Vec<Rc<Door>>, worker: Rc<Worker>, mut drain: watch::Receiver<bool>) {
    let welcome = |Handed { socket, remote, door, seat }| {
        let door = doors.iter().find(|known| known.index == door);
        match (socket.fasten(), door) {
            (Ok(socket), Some(door)) => admit(socket, remote, door, seat, &worker),
            _ => lost(&worker, remote),
        }
    };
    loop {
        tokio::select! {
            biased;
            _ = drain.wait_for(|draining| *draining) => break,
            Some(one) = handed.recv() => welcome(one),
        }
    }
    // Who hands one over from now on gets it back.
    handed.close();
    while let Some(one) = handed.recv().await {
        welcome(one);
    }
}

/// Keeps a connection that was accepted here, or hands it over to a worker with fewer.
fn place(socket: Plain, remote: Remote, door: &Rc<Door>, worker: &Rc<Worker>) {
    let Some(better) = worker.desk.better_seat() else { return admit(socket, remote, door, worker.desk.seat(), worker) };
    let kept = match socket.loosen().map(|socket| better.hand_over(socket, remote, door.index)) {
        Ok(Ok(())) => {
            worker.counters.handed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        Ok(Err(socket)) => socket.fasten(),
        Err(error) => Err(error),
    };
    match kept {
        Ok(socket) => admit(socket, remote, door, worker.desk.seat(), worker),
        Err(_) => lost(worker, remote),
    }
}

/// Counts a connection that is gone because no runtime could have it.
fn lost(worker: &Worker, remote: Remote) {
    worker.counters.rejected.fetch_add(1, Ordering::Relaxed);
    tracing::warn!(%remote, "a connection was lost on its way to another worker");
}

/// Accepts the next connection, once the process is no longer short of what one takes.
async fn next(listener: &Accepting, worker: &Worker) -> io::Result<(Plain, Remote)> {
    while worker.pressure.level() == Level::Full {
        tokio::time::sleep(patrol::ROUND).await;
    }
    listener.accept().await
}

/// A descriptor in reserve: without one a client could not even be told that there is none for it.
struct Spare(Option<File>);

impl Spare {
    fn new() -> Self {
        Self(File::open("/dev/null").ok())
    }

    /// Accepts a connection in place of the reserve and closes it.
    fn turn_one_away(&mut self, listener: &Accepting) {
        if self.0.take().is_some() {
            let _ = std::pin::pin!(listener.accept()).poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}

fn admit(socket: Plain, remote: Remote, door: &Rc<Door>, seat: Seat, worker: &Rc<Worker>) {
    if worker.patrol.connections() >= worker.rules().settings.connections {
        worker.counters.rejected.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let Ok(admitted) = Admitted::new(socket, remote, door, seat, worker) else {
        worker.counters.rejected.fetch_add(1, Ordering::Relaxed);
        return tracing::debug!(%remote, "a source has as many connections as it may");
    };
    worker.counters.accepted.fetch_add(1, Ordering::Relaxed);
    tokio::task::spawn_local(connection::serve(admitted, Rc::clone(door), Rc::clone(worker)));
}

/// Waits until every connection is closed, at most for the drain time.
async fn drained(worker: &Rc<Worker>, limit: Duration) {
    let quiet = async || {
        let mut interval = tokio::time::interval(Duration::from_millis(10));
        while worker.patrol.connections() > 0 {
            interval.tick().await;
        }
    };
    if tokio::time::timeout(limit, quiet()).await.is_err() {
        tracing::warn!(connections = worker.patrol.connections(), "the drain time is over; the remaining connections are cut");
        worker.cut();
        // They end at their next turn, at once; the limit is for a case that cannot be.
        let _ = tokio::time::timeout(Duration::from_secs(1), quiet()).await;
    }
}
