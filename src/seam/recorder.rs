//! A worker's books: what it saw of each epoch, kept by one owner without atomics and handed over whole on its tick.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::domain::invariants;
use crate::domain::observation::Observation;
use crate::domain::outcome::{Outcome, Role};
use crate::domain::time::Timestamp;
use crate::domain::version::Name;
use crate::seam::report::{Mark, Report, ReportSender, StableMarks};
use crate::seam::table::Epoch;
use crate::seam::tally::Tally;

/// One role's books.
struct Books {
    seen: Observation,
    response_time: Tally,
    duration: Tally,
}

impl Books {
    fn new(role: Role) -> Self {
        Self { seen: Observation::new(role), response_time: Tally::default(), duration: Tally::default() }
    }

    fn seal(&mut self) -> Option<Observation> {
        let sealed_in_flight = self.seen.in_flight;
        if self.seen.decided == 0 && self.seen.classes.iter().all(|c| *c == 0) && self.response_time.is_empty() {
            return None;
        }
        (self.seen.response_time, self.seen.duration) = (self.response_time.take(), self.duration.take());
        let role = self.seen.role;
        let mut fresh = Observation::new(role);
        fresh.in_flight = sealed_in_flight;
        Some(std::mem::replace(&mut self.seen, fresh))
    }
}

/// How many entries of stable requests may wait for one report, some 13 MB of them; a tick of 100 ms at 100 000 requests per
/// second leaves 10 000, and three times as many where none ends in the report it began in.
const MOST_STABLE_MARKS: usize = 1 << 18;

/// Where in the books of an epoch a request is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::seam) enum Page {
    /// With the version that plays this part.
    Of(Role),
    /// With a version that is asked beside the split, by its position.
    Beside(usize),
}

/// What one worker saw of one epoch.
pub struct EpochBooks {
    epoch: Arc<Epoch>,
    stable: RefCell<Books>,
    canary: RefCell<Option<Box<Books>>>,
    /// What is asked beside the split, by version; empty unless a choice allows it.
    beside: RefCell<Vec<(Name, Box<Books>)>>,
    /// Where in it each version is.
    pages: RefCell<HashMap<Name, usize>>,
    marks: RefCell<Vec<Mark>>,
    stable_marks: RefCell<StableMarks>,
    /// The last number taken by a stable request of this worker and rollout; absent where nothing is on trial.
    stable_started: Option<Rc<Cell<u64>>>,
    /// Requests decided and ended since the epoch began; checks the books against each other.
    totals: Cell<(u64, u64)>,
    reports: ReportSender,
}

impl EpochBooks {
    /// Opens the books of an epoch; with a canary beside them, stable requests are numbered by `stable_started`.
    #[must_use]
    fn new(epoch: Arc<Epoch>, stable_started: Option<Rc<Cell<u64>>>, reports: ReportSender) -> Rc<Self> {
        let canary = epoch.canary.is_some().then(|| Box::new(Books::new(Role::Canary)));
        Rc::new(Self {
            epoch,
            stable: RefCell::new(Books::new(Role::Stable)),
            canary: RefCell::new(canary),
            beside: RefCell::default(),
            pages: RefCell::default(),
            marks: RefCell::default(),
            stable_marks: RefCell::default(),
            stable_started,
            totals: Cell::new((0, 0)),
            reports,
        })
    }

    /// Returns the epoch.
    #[must_use]
    pub const fn epoch(&self) -> &Arc<Epoch> {
        &self.epoch
    }

    /// Changes the books of a page.
    fn with(&self, page: Page, change: impl FnOnce(&mut Books)) {
        match page {
            Page::Of(Role::Canary) => {
                if let Some(books) = self.canary.borrow_mut().as_mut() {
                    change(books);
                }
            }
            Page::Of(_) => change(&mut self.stable.borrow_mut()),
            Page::Beside(at) => {
                if let Some((_, books)) = self.beside.borrow_mut().get_mut(at) {
                    change(books);
                }
            }
        }
    }

    /// Returns the page of a version that is asked beside the split.
    pub(in crate::seam) fn beside(&self, version: &Name) -> Page {
        if let Some(known) = self.pages.borrow().get(version) {
            return Page::Beside(*known);
        }
        let mut beside = self.beside.borrow_mut();
        beside.push((version.clone(), Box::new(Books::new(Role::Beside))));
        self.pages.borrow_mut().insert(version.clone(), beside.len() - 1);
        Page::Beside(beside.len() - 1)
    }

    pub(in crate::seam) fn decided(&self, page: Page) {
        self.with(page, |books| {
            books.seen.decided += 1;
            books.seen.in_flight += 1;
        });
        let (decided, ended) = self.totals.get();
        self.totals.set((decided + 1, ended));
    }

    pub(in crate::seam) fn answered_head(&self, page: Page, response_time: std::time::Duration) {
        self.with(page, |books| books.response_time.note(response_time));
    }

    pub(in crate::seam) fn ended(&self, page: Page, outcome: Outcome, duration: std::time::Duration) {
        self.with(page, |books| {
            books.seen.count(outcome);
            books.seen.in_flight = books.seen.in_flight.saturating_sub(1);
            if !outcome.is_departure() {
                books.duration.note(duration);
            }
        });
        let (decided, done) = self.totals.get();
        self.totals.set((decided, done + 1));
    }

    pub(in crate::seam) fn mark(&self, role: Role, mark: Mark) {
        if role == Role::Canary {
            self.marks.borrow_mut().push(mark);
        } else {
            self.stable_marks.borrow_mut().note(mark);
        }
    }

    /// Takes the number of a stable request beside a canary, from 1; `None` where nothing is on trial, and while the
    /// controller is so far behind that a further request would cost more memory than it could tell.
    pub(in crate::seam) fn begin_stable(&self) -> Option<u64> {
        let started = self.stable_started.as_ref().filter(|_| self.stable_marks.borrow().len() < MOST_STABLE_MARKS)?;
        started.set(started.get() + 1);
        Some(started.get())
    }

    /// Wakes the controller: the trial has tripped. Losing the message costs nothing but a tick, the share is already gone.
    pub(in crate::seam) fn tripped(&self, evident: Timestamp, at: Timestamp) {
        let (service, rollout) = (self.epoch.service.clone(), self.epoch.rollout);
        let _ = self.reports.try_send(Report::Tripped { service, rollout, evident, at });
    }

    /// Returns how many requests of this epoch this worker has in flight.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        let beside: u64 = self.beside.borrow().iter().map(|(_, books)| books.seen.in_flight).sum();
        self.stable.borrow().seen.in_flight + self.canary.borrow().as_ref().map_or(0, |b| b.seen.in_flight) + beside
    }

    /// Seals what was seen since the last time; `None` when there is nothing.
    #[must_use]
    pub fn seal(&self, worker: usize) -> Option<Report> {
        let (decided, ended) = self.totals.get();
        let conserved = invariants::i14_requests_are_conserved(decided, ended, 0, 0, self.in_flight());
        debug_assert_eq!(conserved, Ok(()));
        let observations: Vec<Observation> =
            [self.stable.borrow_mut().seal(), self.canary.borrow_mut().as_mut().and_then(|b| b.seal())].into_iter().flatten().collect();
        let beside: Vec<(Name, Observation)> =
            self.beside.borrow_mut().iter_mut().filter_map(|(version, books)| Some((version.clone(), books.seal()?))).collect();
        let (marks, stable_marks) = (hand_over(&self.marks), self.stable_marks.borrow_mut().hand_over());
        if observations.is_empty() && beside.is_empty() && marks.is_empty() && stable_marks.is_empty() {
            return None;
        }
        let epoch = &self.epoch;
        Some(Report::Observed {
            service: epoch.service.clone(),
            rollout: epoch.rollout,
            worker,
            generation: epoch.generation,
            versions: (epoch.stable.name.clone(), epoch.version(Role::Canary).name.clone()),
            observations,
            beside,
            marks,
            stable_marks,
        })
    }
}

/// Copies the marks out and keeps the room they took, so that no request has to make room again.
fn hand_over(marks: &RefCell<Vec<Mark>>) -> Vec<Mark> {
    let mut marks = marks.borrow_mut();
    let handed = marks.as_slice().to_vec();
    marks.clear();
    handed
}

/// All books of one worker.
pub struct Recorder {
    worker: usize,
    books: Vec<Rc<EpochBooks>>,
    /// For each service that had a rollout: the last one, and the last number a stable request beside its canary took.
    stable_started: Vec<(Name, u64, Rc<Cell<u64>>)>,
    unsent: Vec<Report>,
    reports: ReportSender,
}

impl Recorder {
    /// Makes a recorder without books.
    #[must_use]
    pub const fn new(worker: usize, reports: ReportSender) -> Self {
        Self { worker, books: Vec::new(), stable_started: Vec::new(), unsent: Vec::new(), reports }
    }

    /// Returns the books of an epoch, opening them when needed.
    pub fn open(&mut self, epoch: &Arc<Epoch>) -> Rc<EpochBooks> {
        if let Some(books) = self.books.iter().find(|b| Arc::ptr_eq(b.epoch(), epoch)) {
            return Rc::clone(books);
        }
        let stable_started = epoch.canary.is_some().then(|| self.stable_started(epoch));
        let books = EpochBooks::new(Arc::clone(epoch), stable_started, self.reports.clone());
        self.books.push(Rc::clone(&books));
        books
    }

    /// Returns the counter of stable requests of the epoch's rollout, which goes on over its epochs.
    fn stable_started(&mut self, epoch: &Epoch) -> Rc<Cell<u64>> {
        match self.stable_started.iter_mut().find(|(service, _, _)| *service == epoch.service) {
            Some((_, rollout, started)) => {
                if *rollout != epoch.rollout {
                    (*rollout, *started) = (epoch.rollout, Rc::default());
                }
                Rc::clone(started)
            }
            None => {
                let started = Rc::default();
                self.stable_started.push((epoch.service.clone(), epoch.rollout, Rc::clone(&started)));
                started
            }
        }
    }

    /// Hands everything seen since the last tick to the controller and closes books that are over.
    ///
    /// `now` must have been read before, on the same thread. Returns whether all of it was taken; what was not is offered again
    /// on the next tick.
    pub fn report(&mut self, now: Timestamp) -> bool {
        let before = std::mem::take(&mut self.unsent);
        if self.offer(before) {
            let mut sealed: Vec<Report> = self.books.iter().filter_map(|b| b.seal(self.worker)).collect();
            sealed.push(Report::UpTo { worker: self.worker, at: now });
            self.offer(sealed);
        }
        if self.unsent.is_empty() {
            // All books were just sealed; only this recorder holds those that no route and no request needs any more.
            self.books.retain(|b| Rc::strong_count(b) > 1);
        }
        self.unsent.is_empty()
    }

    /// Offers reports to the controller and keeps what it does not take; says whether it took all.
    fn offer(&mut self, reports: Vec<Report>) -> bool {
        let mut waiting = reports.into_iter();
        for report in waiting.by_ref() {
            if let Err(error) = self.reports.try_send(report) {
                if let std::sync::mpsc::TrySendError::Full(report) = error {
                    self.unsent.push(report);
                }
                break;
            }
        }
        self.unsent.extend(waiting);
        self.unsent.is_empty()
    }
}
