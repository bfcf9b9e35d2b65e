//! What brings deployments up and takes them away, whatever they are: processes of this machine, objects of a cluster, or the
//! work of somebody else. It moves no traffic.

use std::net::SocketAddr;
use std::pin::Pin;

use crate::delivery::spot::{Place, Spot};
use crate::domain::delivery::Deployment;

/// Something that takes its time.
pub(super) type Doing<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A way to deploy. Each call may come again, also after a restart, and does no harm then.
pub(super) trait Deployer {
    /// Brings a deployment up, or finds that it is, and returns where it listens once it can serve.
    ///
    /// # Errors
    ///
    /// Says why it cannot serve. What there is of it is taken away by [`Deployer::take_down`].
    fn bring_up<'a>(&'a self, spot: &'a Spot, deployment: &'a Deployment) -> Doing<'a, Result<SocketAddr, String>>;

    /// Takes a deployment away that gets no traffic any more; one that is not there is gone.
    ///
    /// # Errors
    ///
    /// Says why it may still be there.
    fn take_down<'a>(&'a self, place: &'a Place) -> Doing<'a, Result<(), String>>;

    /// Takes note that all ordinary traffic of a stage goes to a deployment.
    ///
    /// # Errors
    ///
    /// Says what does not show that yet.
    fn owned<'a>(&'a self, _spot: &'a Spot, _deployment: &'a Deployment) -> Doing<'a, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    /// Says whether an earlier process has left a deployment behind, which nobody has asked for since.
    fn is_left(&self, _place: &Place) -> bool {
        false
    }

    /// Ends what an earlier process has left behind and nobody has asked for; what is not known stays.
    fn clear<'a>(&'a self, _is_known: &'a dyn Fn(&Place) -> bool) -> Doing<'a, ()> {
        Box::pin(async {})
    }

    /// Takes in what somebody else says of a deployment: where it listens, or why it is not there.
    ///
    /// # Errors
    ///
    /// Says why that is not taken in.
    fn report(&self, _place: &Place, _told: Result<SocketAddr, String>) -> Result<(), String> {
        Err("deployments are not reported here: this process deploys by itself".to_owned())
    }

    /// Leaves everything as it is, for a process that succeeds this one and finds it.
    fn let_go(&self) -> Doing<'_, ()> {
        Box::pin(async {})
    }

    /// Ends what does not outlive the process.
    fn close(&self) -> Doing<'_, ()> {
        Box::pin(async {})
    }
}
