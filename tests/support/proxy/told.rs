//! What the workers of a test tell, and how they end.

use super::*;

impl Proxy {
    /// Returns all that was reported of a role so far.
    pub fn window(&self, role: Role) -> Window {
        let mut guard = self.reports.lock().unwrap();
        let (reports, stable, canary) = &mut *guard;
        while let Ok(report) = reports.try_recv() {
            let Report::Observed { worker, observations, beside, .. } = report else { continue };
            *self.decided.lock().unwrap().entry(worker).or_default() += observations.iter().map(|seen| seen.decided).sum::<u64>();
            for (version, seen) in &beside {
                self.beside.lock().unwrap().entry(version.to_string()).or_default().merge(seen);
            }
            for seen in &observations {
                if seen.role == Role::Stable { stable.merge(seen) } else { canary.merge(seen) }
            }
        }
        if role == Role::Stable { stable.clone() } else { canary.clone() }
    }

    /// Returns how many requests each worker has said it decided, as far as was reported.
    pub fn decided_by_worker(&self) -> Vec<u64> {
        self.window(Role::Stable);
        self.decided.lock().unwrap().values().copied().collect()
    }

    /// Waits until as many requests to a version beside the split ended, and returns what was reported.
    #[track_caller]
    pub fn beside_ended(&self, version: &str, count: u64) -> Window {
        eventually("requests beside the split were reported", || {
            self.window(Role::Stable);
            self.beside.lock().unwrap().get(version).filter(|window| window.ended() >= count).cloned()
        })
    }

    /// Waits until as many requests of the stable version ended, and returns what was reported.
    #[track_caller]
    pub fn ended(&self, count: u64) -> Window {
        eventually("requests of stable were reported", || Some(self.window(Role::Stable)).filter(|w| w.ended() >= count))
    }

    /// Waits until as many requests of the canary ended, and returns what was reported.
    #[track_caller]
    pub fn canary_ended(&self, count: u64) -> Window {
        eventually("requests of the canary were reported", || Some(self.window(Role::Canary)).filter(|w| w.ended() >= count))
    }

    /// Returns breaches of each wire.
    pub fn breaches(&self) -> Vec<u64> {
        self.trial.as_ref().unwrap().counts().iter().map(|c| c.cumulative.breaches).collect()
    }

    /// Returns how many requests were refused.
    pub fn refused(&self) -> u64 {
        self.counters.refused.load(Ordering::Relaxed)
    }

    /// Waits for the next line of the access log.
    #[track_caller]
    pub fn line(&self) -> access::Line {
        *self.access.lock().unwrap().lines.recv_timeout(super::super::PATIENCE).expect("a line of the access log")
    }

    /// Waits for the trace of the next recorded request.
    #[track_caller]
    pub fn trace(&self) -> Finished {
        let traces = self.traces.as_ref().expect("requests are recorded").lock().unwrap();
        *traces.traces.recv_timeout(super::super::PATIENCE).expect("a trace")
    }

    /// Gives the signal to drain.
    pub fn drain(&self) {
        let _ = self.drain.send(true);
    }

    /// Waits until all workers have returned.
    pub fn join(&mut self) {
        eventually("the workers return", || self.workers.iter().all(JoinHandle::is_finished).then_some(()));
        for worker in self.workers.drain(..) {
            worker.join().expect("a worker does not panic").expect("a worker runs");
        }
    }

    /// Says whether all workers have returned.
    pub fn is_finished(&self) -> bool {
        self.workers.iter().all(JoinHandle::is_finished)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.drain();
        if !std::thread::panicking() {
            self.join();
        }
    }
}
