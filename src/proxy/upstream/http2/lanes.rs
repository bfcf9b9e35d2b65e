//! The HTTP/2 connections of one worker to one endpoint: as few as its requests need.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::Notify;

use crate::domain::outcome::Failure;
use crate::proxy::settings::upstream_http2::LANES;
use crate::proxy::upstream::connect::Link;
use crate::proxy::upstream::dial::{Conduit, Dialed};
use crate::proxy::upstream::http2::lane::{Berth, Lane};

/// The HTTP/2 connections of one worker to one endpoint.
#[derive(Default)]
pub struct Lanes {
    open: RefCell<Vec<Rc<Lane>>>,
    /// Somebody connects, and the others wait for what comes of it.
    dialing: Cell<bool>,
    /// Whoever connected last got no connection that others can share.
    alone: Cell<bool>,
    /// How connecting last failed.
    failed: Cell<Option<Failure>>,
    changed: Notify,
}

impl Lanes {
    /// Takes a place on a connection that has one free.
    pub fn take(&self) -> Option<Berth> {
        self.open.borrow().iter().find_map(Lane::take)
    }

    /// Connects, unless somebody is at it whose connection will do for this request too, or there are connections enough.
    ///
    /// # Errors
    ///
    /// Fails as connecting does.
    pub async fn open(&self, dial: impl Future<Output = Result<Dialed, Failure>>) -> Result<Conduit, Undialed> {
        while self.dialing.get() && !self.alone.get() {
            self.changed.notified().await;
            if let Some(berth) = self.take() {
                return Ok(Conduit::Http2(berth));
            }
            if let Some(failure) = self.failed.get() {
                return Err(Undialed { failure, shared: true });
            }
        }
        if let Some(berth) = self.take_of_many() {
            return Ok(Conduit::Http2(berth));
        }
        let dialing = Dialing::begin(self);
        match dial.await.inspect_err(|failure| self.failed.set(Some(*failure))).map_err(Undialed::from)? {
            Dialed::Http1(link) => Ok(self.unshared(link)),
            Dialed::Http2(lane) => {
                self.alone.set(false);
                let berth = lane.take_anyway().ok_or(Undialed::from(Failure::ConnectionTerminated))?;
                self.open.borrow_mut().push(lane);
                drop(dialing);
                Ok(Conduit::Http2(berth))
            }
        }
    }

    fn unshared(&self, link: Link) -> Conduit {
        self.alone.set(true);
        Conduit::Http1(link)
    }

    /// Where there are as many connections as there may be, takes a place in the shortest queue.
    fn take_of_many(&self) -> Option<Berth> {
        let open = self.open.borrow();
        if open.len() < LANES {
            return None;
        }
        open.iter().min_by_key(|lane| lane.streams()).and_then(Lane::take_anyway)
    }

    /// Lets go of connections that have ended or were idle for long.
    pub fn sweep(&self) {
        self.open.borrow_mut().retain(|lane| lane.is_worth_keeping());
    }
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug)]
pub struct Undialed {
    /// The failure.
    pub failure: Failure,
    /// Whether it is somebody else's, who was waited for: it counts once against the endpoint.
    pub shared: bool,
}

impl From<Failure> for Undialed {
    fn from(failure: Failure) -> Self {
        Self { failure, shared: false }
    }
}

/// Tells those who wait when connecting has come to an end, whatever it is.
struct Dialing<'a>(&'a Lanes);

impl<'a> Dialing<'a> {
    fn begin(lanes: &'a Lanes) -> Self {
        lanes.dialing.set(true);
        lanes.failed.set(None);
        Self(lanes)
    }
}

impl Drop for Dialing<'_> {
    fn drop(&mut self) {
        self.0.dialing.set(false);
        self.0.changed.notify_waiters();
    }
}
