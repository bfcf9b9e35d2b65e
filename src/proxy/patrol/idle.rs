//! Which connections have had nothing to do for a moment, so that they can let go of what only a request needs.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::proxy::patrol::connection::ConnectionGuard;

/// The time between two looks. A connection is told to rest after one to two of them.
///
/// Under load a connection is asked again within a few milliseconds and never rests; one that waits longer costs nothing that counts
/// when it begins anew. Meanwhile connections that are used once and kept come with as much memory as this time lets them.
pub const LOOK: Duration = Duration::from_millis(10);

/// A connection, and how many requests had ended on it when it came.
type Idler = (Rc<ConnectionGuard>, u32);

/// The idle connections of one worker that do not rest yet.
#[derive(Debug, Default)]
pub struct Idle {
    /// Those that came since the last look, and those that came before it.
    fresh: RefCell<Vec<Idler>>,
    seen: RefCell<Vec<Idler>>,
    came: Notify,
}

impl Idle {
    /// Notes a connection that has nothing to do; it may be noted already.
    pub fn enter(&self, guard: &Rc<ConnectionGuard>) {
        if guard.enters_idle() {
            let mut fresh = self.fresh.borrow_mut();
            fresh.push((Rc::clone(guard), guard.ended()));
            if fresh.len() == 1 {
                self.came.notify_one();
            }
        }
    }

    /// Looks every so often for as long as some are idle; never ends.
    pub async fn watch(&self) {
        loop {
            if self.fresh.borrow().is_empty() && self.seen.borrow().is_empty() {
                self.came.notified().await;
            }
            tokio::time::sleep(LOOK).await;
            self.look();
        }
    }

    /// Tells those that were idle since before the last look to rest.
    pub fn look(&self) {
        let (mut fresh, mut seen) = (self.fresh.borrow_mut(), self.seen.borrow_mut());
        for (guard, ended) in seen.drain(..) {
            guard.leaves_idle();
            if !guard.is_idle() {
                // It is entered again when it has answered.
            } else if guard.ended() == ended {
                guard.rest();
            } else if guard.enters_idle() {
                let ended = guard.ended();
                fresh.push((guard, ended));
            }
        }
        std::mem::swap(&mut *fresh, &mut *seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::patrol::rounds::Patrol;
    use crate::proxy::patrol::{Limits, Ticket};

    fn connection() -> (Rc<ConnectionGuard>, Ticket) {
        let (guard, ticket) = Patrol::new(Limits::new(&crate::domain::timeouts::Timeouts::default())).connection();
        ask(&guard);
        (guard, ticket)
    }

    fn ask(guard: &ConnectionGuard) {
        let began = guard.begin_request();
        guard.heads();
        guard.end_request(began, true);
    }

    #[test]
    fn rests_after_one_to_two_looks() {
        let (idle, (guard, _ticket)) = (Idle::default(), connection());
        idle.enter(&guard);
        idle.look();
        assert!(!guard.is_to_rest(), "it came since the last look");
        idle.look();
        assert!(guard.is_to_rest());
    }

    #[test]
    fn a_connection_that_is_used_does_not_rest() {
        let (idle, (guard, _ticket)) = (Idle::default(), connection());
        for _ in 0..20 {
            idle.enter(&guard);
            idle.look();
            ask(&guard);
            assert!(!guard.is_to_rest());
        }
        let began = guard.begin_request();
        idle.look();
        idle.look();
        assert!(!guard.is_to_rest(), "while it is at a request");
        guard.heads();
        guard.end_request(began, true);
        idle.enter(&guard);
        idle.look();
        idle.look();
        assert!(guard.is_to_rest(), "it came again when it had answered");
    }

    #[test]
    fn one_that_waits_for_its_client_to_take_something_does_not_rest() {
        let (idle, (guard, _ticket)) = (Idle::default(), connection());
        guard.write_blocked(true);
        idle.enter(&guard);
        idle.look();
        idle.look();
        assert!(!guard.is_to_rest());
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let (idle, (guard, ticket)) = (Idle::default(), connection());
        idle.enter(&guard);
        idle.enter(&guard);
        drop(ticket);
        assert_eq!(Rc::strong_count(&guard), 2, "entered once");
        idle.look();
        idle.look();
        assert_eq!(Rc::strong_count(&guard), 1);
    }
}
