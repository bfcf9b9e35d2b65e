//! The deployer that is somebody else: waits for the report of a deployment, and remembers it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::delivery::deployer::{Deployer, Doing};
use crate::delivery::spot::{Place, Spot};
use crate::domain::delivery::Deployment;

/// Waits for what others deploy.
pub(super) struct External {
    /// How long a report may take.
    within: Duration,
    known: RefCell<HashMap<Place, SocketAddr>>,
    /// Whom the report of a deployment goes to.
    awaited: RefCell<HashMap<Place, oneshot::Sender<SocketAddr>>>,
}

impl External {
    pub(super) fn new(within: Duration) -> Self {
        Self { within, known: RefCell::default(), awaited: RefCell::default() }
    }

    async fn reported(&self, place: Place) -> Result<SocketAddr, String> {
        if let Some(address) = self.known.borrow().get(&place) {
            return Ok(*address);
        }
        let (report, reported) = oneshot::channel();
        self.awaited.borrow_mut().insert(place.clone(), report);
        let address = tokio::time::timeout(self.within, reported).await;
        self.awaited.borrow_mut().remove(&place);
        match address {
            Ok(Ok(address)) => Ok(address),
            Ok(Err(_)) | Err(_) => Err(format!("nobody has reported its deployment within {:?}", self.within)),
        }
    }
}

impl Deployer for External {
    fn bring_up<'a>(&'a self, spot: &'a Spot, deployment: &'a Deployment) -> Doing<'a, Result<SocketAddr, String>> {
        Box::pin(self.reported(Place::of(spot, deployment)))
    }

    fn take_down<'a>(&'a self, place: &'a Place) -> Doing<'a, Result<(), String>> {
        self.known.borrow_mut().remove(place);
        Box::pin(async { Ok(()) })
    }

    fn report(&self, place: &Place, address: SocketAddr) -> Result<(), String> {
        self.known.borrow_mut().insert(place.clone(), address);
        if let Some(awaited) = self.awaited.borrow_mut().remove(place) {
            // Whoever waited may just have given up; it is known all the same.
            let _ = awaited.send(address);
        }
        Ok(())
    }
}
