//! The deployer that is somebody else: waits for the report of a deployment, and remembers it across restarts.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::delivery::deployer::{Deployer, Doing};
use crate::delivery::kept::Kept;
use crate::delivery::spot::{Place, Spot};
use crate::domain::delivery::Deployment;

/// Waits for what others deploy.
pub(super) struct External {
    /// How long a report may take.
    within: Duration,
    /// Where each deployment listens that was reported.
    known: RefCell<Kept>,
    /// Whom the report of a deployment goes to.
    awaited: RefCell<HashMap<Place, oneshot::Sender<Result<SocketAddr, String>>>>,
}

impl External {
    /// Begins with what was reported before.
    ///
    /// # Errors
    ///
    /// Says why that cannot be read.
    pub(super) fn new(within: Duration, state: &Path) -> Result<Self, String> {
        let known = Kept::open(state.join("reported"))?;
        Ok(Self { within, known: RefCell::new(known), awaited: RefCell::default() })
    }

    async fn reported(&self, place: Place) -> Result<SocketAddr, String> {
        if let Some(address) = self.known.borrow().get(&key(&place)).and_then(|text| text.parse().ok()) {
            return Ok(address);
        }
        let (report, reported) = oneshot::channel();
        self.awaited.borrow_mut().insert(place.clone(), report);
        let told = tokio::time::timeout(self.within, reported).await;
        self.awaited.borrow_mut().remove(&place);
        match told {
            Ok(Ok(told)) => told,
            Ok(Err(_)) | Err(_) => Err(format!(
                "nobody has reported its deployment within {:?}; whoever deploys sends a deployment-finished event with its context, image and tag",
                self.within
            )),
        }
    }
}

impl Deployer for External {
    fn bring_up<'a>(&'a self, spot: &'a Spot, deployment: &'a Deployment) -> Doing<'a, Result<SocketAddr, String>> {
        Box::pin(self.reported(Place::of(spot, deployment)))
    }

    fn take_down<'a>(&'a self, place: &'a Place) -> Doing<'a, Result<(), String>> {
        let forgotten = self.known.borrow_mut().remove(&key(place));
        Box::pin(async { forgotten })
    }

    fn report(&self, place: &Place, told: Result<SocketAddr, String>) -> Result<(), String> {
        if let Ok(address) = &told {
            self.known.borrow_mut().put(&key(place), &address.to_string())?;
        }
        if let Some(awaited) = self.awaited.borrow_mut().remove(place) {
            // Whoever waited may just have given up; an address is known all the same.
            let _ = awaited.send(told);
        }
        Ok(())
    }
}

/// Returns the name under which a deployment's address is kept. No part contains a slash.
fn key(Place { project, stage, service, id }: &Place) -> String {
    format!("{project}/{stage}/{service}/{id}")
}
