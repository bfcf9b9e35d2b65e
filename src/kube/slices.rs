//! Makes one list of endpoints of the EndpointSlices of a Service. Pure; it knows nothing of how they come here.
//!
//! What the fields mean is said by the API of `discovery.k8s.io/v1`. A pod occurs in several slices, once per family where a cluster
//! has two, and more often while it moves between slices; here it counts once. What the order of events or of slices was says nothing:
//! the list is the same for the same slices.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::domain::slices::{Family, Port};

/// One slice, as far as it matters. One whose addresses are names (`FQDN`) has no members here: the API has given them up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// The ports of all its members.
    pub ports: Vec<SlicePort>,
    /// Its members.
    pub members: Vec<Member>,
}

/// A port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// What the Service calls it; empty for the only port of a Service that gives it no name.
    pub name: String,
    /// Its number at the pods; `None` stands for every port.
    pub number: Option<u16>,
    /// Whether it is one of TCP.
    pub is_tcp: bool,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its address: the first, because no further one means anything.
    pub address: IpAddr,
    /// What tells the object behind it from all others, such as the UID of a pod.
    pub uid: Option<String>,
    /// Whether it is ready and does not end; what is not known counts as ready.
    pub ready: Option<bool>,
    /// Whether it answers, be it that it ends; what is not known is as `ready` says.
    pub serving: Option<bool>,
    /// Whether it ends; what is not known counts as that it does not.
    pub terminating: Option<bool>,
}

/// The slices of one Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    slices: BTreeMap<String, Slice>,
}

/// Why slices give no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    /// There is no slice with members.
    #[error("it has no pods, or there is no such Service")]
    Nothing,
    /// No slice has the port.
    #[error("none of its ports is meant; there are {0}")]
    Port(String),
    /// No slice has any port, so that none can be the one that is meant.
    #[error("its {0} pods come without any port; write its number, such as kubernetes:SERVICE:8080")]
    Portless(usize),
    /// No member has the labels.
    #[error("none of its {0} pods has the labels")]
    Labels(usize),
    /// No member answers.
    #[error("none of its {0} pods is ready")]
    Unready(usize),
}

/// What is known of one pod from all slices.
#[derive(Default)]
struct Pod {
    addresses: BTreeSet<SocketAddr>,
    serving: bool,
    terminating: bool,
}

impl Known {
    /// Takes a slice as it is now.
    pub fn apply(&mut self, name: String, slice: Slice) {
        self.slices.insert(name, slice);
    }

    /// Takes a slice away.
    pub fn delete(&mut self, name: &str) {
        self.slices.remove(name);
    }

    /// Lists the endpoints: those that answer and do not end, or where there is none, those that answer although they end, as
    /// kube-proxy does it. Of a pod with addresses of both families one of `prefer` is taken. With `pods` only those count.
    ///
    /// # Errors
    ///
    /// Says why there is none.
    pub fn endpoints(&self, port: &Port, prefer: Family, pods: Option<&BTreeSet<String>>) -> Result<Vec<SocketAddr>, Gap> {
        let (mut found, mut strangers, mut ports) = (BTreeMap::<Key<'_>, Pod>::new(), BTreeSet::new(), BTreeSet::new());
        let mut portless = BTreeSet::new();
        for slice in self.slices.values().filter(|slice| !slice.members.is_empty()) {
            let Some(number) = slice.port(port) else {
                ports.extend(slice.ports.iter().map(ToString::to_string));
                portless.extend(slice.members.iter().filter(|_| slice.ports.is_empty()).map(Member::key));
                continue;
            };
            for member in &slice.members {
                let counts = pods.is_none_or(|pods| member.uid.as_ref().is_some_and(|uid| pods.contains(uid)));
                if !counts {
                    strangers.insert(member.key());
                    continue;
                }
                let pod = found.entry(member.key()).or_default();
                pod.addresses.insert(SocketAddr::new(member.address, number));
                pod.serving |= member.serving.or(member.ready).unwrap_or(true);
                // Who ends does not come back, so the slice that says so is the newer one.
                pod.terminating |= member.terminating.unwrap_or(false);
            }
        }
        if found.is_empty() {
            return Err(match (strangers.len(), ports.is_empty()) {
                (0, true) if portless.is_empty() => Gap::Nothing,
                (0, true) => Gap::Portless(portless.len()),
                (0, false) => Gap::Port(ports.into_iter().collect::<Vec<_>>().join(", ")),
                (many, _) => Gap::Labels(many),
            });
        }
        let listed = |ends: bool| -> Vec<SocketAddr> {
            let pods = found.values().filter(|pod| pod.serving && pod.terminating == ends);
            let all: BTreeSet<SocketAddr> = pods.flat_map(|pod| pod.of_family(prefer)).collect();
            all.into_iter().collect()
        };
        Some(listed(false))
            .filter(|list| !list.is_empty())
            .or_else(|| Some(listed(true)).filter(|list| !list.is_empty()))
            .ok_or(Gap::Unready(found.len()))
    }
}

/// What tells members apart: the object behind one, else its address.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Object(&'a str),
    Address(IpAddr),
}

impl Member {
    fn key(&self) -> Key<'_> {
        self.uid.as_deref().map_or(Key::Address(self.address), Key::Object)
    }
}

impl Pod {
    /// Returns the addresses of a family, or of the other where it has none of it.
    fn of_family(&self, prefer: Family) -> impl Iterator<Item = SocketAddr> {
        let is_preferred = move |address: &SocketAddr| address.is_ipv4() == (prefer == Family::V4);
        let any = self.addresses.iter().any(is_preferred);
        self.addresses.iter().filter(move |address| !any || is_preferred(address)).copied()
    }
}

impl Slice {
    /// Returns the number of a port; `None` where the slice has no such port, or several where the only one is meant.
    fn port(&self, wanted: &Port) -> Option<u16> {
        let mut ports = self.ports.iter().filter(|port| port.is_tcp);
        let found = match wanted {
            // A Service without a cluster address may have none, and its pods listen all the same.
            Port::Number(number) if self.ports.is_empty() => return Some(*number),
            Port::Number(number) => return ports.any(|port| port.number.is_none_or(|own| own == *number)).then_some(*number),
            Port::Name(name) => ports.find(|port| port.name == *name),
            Port::Only => ports.next().filter(|_| ports.next().is_none()),
        };
        found.and_then(|port| port.number)
    }
}

impl std::fmt::Display for SlicePort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.number {
            Some(number) => write!(f, "{number}")?,
            None => f.write_str("all")?,
        }
        if !self.is_tcp {
            f.write_str(" (not TCP)")?;
        }
        if self.name.is_empty() { Ok(()) } else { write!(f, " called {}", self.name) }
    }
}

#[cfg(test)]
#[path = "slices_tests.rs"]
mod tests;
