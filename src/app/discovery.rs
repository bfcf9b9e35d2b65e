//! Where a cluster says that versions are: followed when the program is built so, waited for at the start and before a new configuration.

use crate::config::Service;
use crate::domain::endpoint::Endpoint;

#[cfg(feature = "kubernetes")]
pub(super) use crate::kube::discovery::{Ahead, Discovery};
#[cfg(not(feature = "kubernetes"))]
pub(super) use without::{Ahead, Discovery};

/// Returns what versions of these services are written by.
pub(super) fn endpoints(services: &[Service]) -> impl Iterator<Item = Endpoint> {
    services.iter().flat_map(|service| {
        let others = service.choice.iter().flat_map(|choice| choice.others.all().map(|other| &**other));
        let versions = [Some(&service.stable), service.canary.as_ref()].into_iter().flatten().chain(others);
        versions.flat_map(|version| version.endpoints.clone()).collect::<Vec<_>>()
    })
}

/// What stands for it in a program that watches no cluster: a configuration that wants it was refused before.
#[cfg(not(feature = "kubernetes"))]
mod without {
    use std::io;
    use std::net::SocketAddr;

    use crate::config::kubernetes::Kubernetes;
    use crate::domain::endpoint::Endpoint;
    use crate::seam::endpoints::Endpoints;

    #[derive(Clone)]
    pub(in crate::app) struct Ahead;

    pub(in crate::app) struct Discovery;

    impl Discovery {
        pub(in crate::app) fn start(_: Endpoints, _: Vec<SocketAddr>, _: Kubernetes) -> io::Result<Self> {
            Ok(Self)
        }

        pub(in crate::app) fn ahead(&self) -> Ahead {
            Ahead
        }
    }

    impl Ahead {
        pub(in crate::app) fn come(&self, _: impl IntoIterator<Item = Endpoint>, _: impl FnMut() -> bool) -> Vec<(Endpoint, String)> {
            Vec::new()
        }
    }
}
