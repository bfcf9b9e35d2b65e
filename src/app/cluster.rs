//! What the process has to do with a cluster, when it is built so: it follows where versions are, waits for that at the start and before
//! a new configuration, and lets routes follow the shares.

#[cfg(feature = "kubernetes")]
pub(super) use with_kubernetes::{Ahead, Discovery, Ending, Mirroring};
#[cfg(not(feature = "kubernetes"))]
pub(super) use without::{Ahead, Discovery, Ending, Mirroring};

use crate::config::Service;
use crate::domain::endpoint::Endpoint;

/// Returns what versions of these services are written by.
pub(super) fn endpoints(services: &[Service]) -> impl Iterator<Item = Endpoint> {
    services.iter().flat_map(|service| {
        let others = service.choice.iter().flat_map(|choice| choice.others.all().map(|other| &**other));
        let versions = [Some(&service.stable), service.canary.as_ref()].into_iter().flatten().chain(others);
        versions.flat_map(|version| version.endpoints.clone()).collect::<Vec<_>>()
    })
}

#[cfg(feature = "kubernetes")]
mod with_kubernetes {
    use crate::config::kubernetes::Kubernetes;
    use crate::config::{Service, Settings};
    use crate::control::status::Board;
    pub(in crate::app) use crate::kube::discovery::{Ahead, Discovery};
    pub(in crate::app) use crate::kube::mirror::Ending;
    use crate::kube::mirror::{Mirror, Target};

    /// The routes that follow; there is a thread for them from the first one on.
    pub(in crate::app) struct Mirroring {
        board: Board,
        settings: Kubernetes,
        mirror: Option<Mirror>,
        targets: Vec<Target>,
    }

    impl Mirroring {
        pub(in crate::app) fn start(board: &Board, settings: &Settings) -> Self {
            let mut mirroring = Self { board: board.clone(), settings: settings.kubernetes.clone(), mirror: None, targets: Vec::new() };
            mirroring.follow(&settings.services);
            mirroring
        }

        /// Lets the routes of these services follow, and no others.
        pub(in crate::app) fn follow(&mut self, services: &[Service]) {
            self.let_follow(targets(services));
        }

        /// Lets no route follow any more that would do it otherwise for these services; none of them is written when this returns.
        pub(in crate::app) fn withdraw(&mut self, services: &[Service]) {
            let coming = targets(services);
            let staying = |target: &&Target| coming.iter().any(|other| other.moves_as(target));
            self.let_follow(self.targets.iter().filter(staying).cloned().collect());
        }

        /// Lets no route follow any more.
        pub(in crate::app) fn end(self, ending: Ending) {
            if let Some(mirror) = self.mirror {
                mirror.end(ending);
            }
        }

        fn let_follow(&mut self, targets: Vec<Target>) {
            if self.mirror.is_none() && !targets.is_empty() {
                match Mirror::start(self.board.clone(), self.settings.clone()) {
                    Ok(mirror) => self.mirror = Some(mirror),
                    Err(error) => tracing::error!("no HTTPRoute can follow: {error}"),
                }
            }
            if let Some(mirror) = &self.mirror {
                mirror.follow(targets.clone());
            }
            self.targets = targets;
        }
    }

    fn targets(services: &[Service]) -> Vec<Target> {
        let target = |service: &Service| {
            let canary = service.canary.as_ref().map(|version| (version.name.clone(), version.endpoints.clone()));
            let (stable, route) = (service.stable.name.clone(), service.http_route.clone()?);
            Some(Target { service: service.name.clone(), stable, canary, route })
        };
        services.iter().filter_map(target).collect()
    }
}

/// What stands for it in a program that speaks to no cluster: a configuration that wants it was refused before.
#[cfg(not(feature = "kubernetes"))]
mod without {
    use std::io;
    use std::net::SocketAddr;

    use crate::config::kubernetes::Kubernetes;
    use crate::config::{Service, Settings};
    use crate::control::status::Board;
    use crate::domain::endpoint::Endpoint;
    use crate::seam::endpoints::Endpoints;

    pub(in crate::app) struct Ahead;

    pub(in crate::app) struct Discovery;

    pub(in crate::app) struct Mirroring;

    pub(in crate::app) enum Ending {
        Farewell,
        AsItIs,
    }

    impl Discovery {
        pub(in crate::app) fn start(_: Endpoints, _: Vec<SocketAddr>, _: Kubernetes) -> io::Result<Self> {
            Ok(Self)
        }

        pub(in crate::app) fn ahead(&self) -> Ahead {
            Ahead
        }

        pub(in crate::app) fn end(self) {}
    }

    impl Ahead {
        pub(in crate::app) fn come(&self, _: impl IntoIterator<Item = Endpoint>, _: impl FnMut() -> bool) -> Vec<(Endpoint, String)> {
            Vec::new()
        }
    }

    impl Mirroring {
        pub(in crate::app) fn start(_: &Board, _: &Settings) -> Self {
            Self
        }

        pub(in crate::app) fn follow(&mut self, _: &[Service]) {}

        pub(in crate::app) fn withdraw(&mut self, _: &[Service]) {}

        pub(in crate::app) fn end(self, _: Ending) {}
    }
}
