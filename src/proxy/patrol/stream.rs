//! One HTTP/2 stream under patrol: whether its client takes the answer.
//!
//! A client that gives a stream no window holds what was read for it, and opening the window by single bytes must not count as
//! taking it. A stream is asked for its next piece only when the last one has gone, so each question stands for a whole piece.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::proxy::patrol::limits::Limits;

/// One stream under patrol.
#[derive(Debug)]
pub struct StreamGuard {
    round: Rc<Cell<u32>>,
    /// Since when a piece of the answer is with the client's connection; `None` while there is none.
    held_since: Cell<Option<u32>>,
    stalled: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl StreamGuard {
    pub(super) fn new(round: &Rc<Cell<u32>>) -> Self {
        Self { round: Rc::clone(round), held_since: Cell::new(None), stalled: Cell::new(false), waker: RefCell::default() }
    }

    /// Notes whether the client has a piece of the answer to take, after each question for the next one.
    pub fn holds(&self, piece: bool) {
        self.held_since.set(piece.then(|| self.round.get()));
    }

    /// Says whether the client has taken nothing for too long, and otherwise wakes the caller when that is so.
    pub fn poll_stalled(&self, cx: &Context<'_>) -> bool {
        if !self.stalled.get() {
            let mut waker = self.waker.borrow_mut();
            match waker.as_mut() {
                Some(known) => known.clone_from(cx.waker()),
                None => *waker = Some(cx.waker().clone()),
            }
        }
        self.stalled.get()
    }

    pub(super) fn inspect(&self, round: u32, limits: &Limits) {
        let late = self.held_since.get().is_some_and(|since| round.wrapping_sub(since) > limits.write_stall);
        if late
            && !self.stalled.replace(true)
            && let Some(waker) = self.waker.borrow_mut().take()
        {
            waker.wake();
        }
    }
}
