//! Where a name may lead: which of a resolver's answers are taken, and which never are.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The most addresses of one name that are used.
pub const MOST: usize = 64;

/// The most endpoints of one Service that are used.
pub const MOST_OF_SERVICE: usize = 1024;

/// The metadata service of a cloud that listens on an address of its own rather than a link-local one.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Takes the addresses of a name that may be connected to, in order, each once, at most [`MOST`].
///
/// Of a name that has addresses of both families only the IPv4 ones are taken, because a server behind such a name often
/// listens on one of them only. The order of the answer says nothing and is forgotten, so that no answer looks new for it.
#[must_use]
pub fn chosen(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = addresses.into_iter().filter(|address| !is_forbidden(address.ip())).collect();
    let any_v4 = addresses.iter().any(SocketAddr::is_ipv4);
    addresses.retain(|address| address.is_ipv4() || !any_v4);
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MOST);
    addresses
}

/// Takes a later answer for a name, given the last good one: a name that led elsewhere does not come to lead to this machine,
/// nor any name to what listens there for us. Who writes the name's record is not who wrote the configuration.
#[must_use]
pub fn again(answer: Vec<SocketAddr>, before: &[SocketAddr], host: &str, own: &[SocketAddr]) -> Vec<SocketAddr> {
    let local = host == "localhost" || host.ends_with(".localhost") || before.iter().any(|address| address.ip().is_loopback());
    let mut addresses = answer;
    addresses.retain(|address| local || !address.ip().to_canonical().is_loopback());
    addresses.retain(|address| !own.iter().any(|listener| is_own(*listener, *address)));
    chosen(addresses)
}

/// Takes the addresses that a cluster tells of a Service, which are sorted, at most [`MOST_OF_SERVICE`]: none that is forbidden and none
/// where one of `own` listens. Says how many are beyond that and get nothing.
#[must_use]
pub fn of_service(mut addresses: Vec<SocketAddr>, own: &[SocketAddr]) -> (Vec<SocketAddr>, usize) {
    addresses.retain(|address| !is_forbidden(address.ip()) && !own.iter().any(|listener| is_own(*listener, *address)));
    let beyond = addresses.len().saturating_sub(MOST_OF_SERVICE);
    addresses.truncate(MOST_OF_SERVICE);
    (addresses, beyond)
}

/// Says whether a listener of ours would accept a connection to this address.
#[must_use]
pub fn is_own(listener: SocketAddr, address: SocketAddr) -> bool {
    let (own, ip) = (listener.ip().to_canonical(), address.ip().to_canonical());
    listener.port() == address.port() && (own == ip || (own.is_unspecified() && (ip.is_loopback() || ip.is_unspecified())))
}

/// Addresses that no version listens on: link-local ones, where clouds serve their metadata, multicast and none at all.
fn is_forbidden(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_multicast() || ip.is_broadcast() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_multicast() || ip.is_unspecified() || ip == METADATA_V6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn an_answer_is_taken_in_order_of_one_family() {
        let answer = addresses(&["[fd00::1]:80", "10.0.0.2:80", "10.0.0.1:80", "10.0.0.2:80"]);
        assert_eq!(chosen(answer), addresses(&["10.0.0.1:80", "10.0.0.2:80"]));
        let many = (0..10_000_u32).map(|i| SocketAddr::new(IpAddr::V4((0x0a00_0000 + i).into()), 80)).collect();
        assert_eq!(chosen(many).len(), MOST);
    }

    #[test]
    fn no_answer_leads_to_the_metadata_of_a_cloud() {
        for text in
            ["169.254.169.254:80", "[::ffff:169.254.169.254]:80", "[fe80::1]:80", "[fd00:ec2::254]:80", "0.0.0.0:80", "[ff02::1]:80"]
        {
            assert_eq!(chosen(addresses(&[text])), [], "{text}");
        }
    }

    #[test]
    fn a_service_leads_to_its_pods_of_both_families_and_not_here() {
        let told = addresses(&["10.0.0.1:80", "10.0.0.9:8080", "169.254.169.254:80", "[fd00::1]:80"]);
        assert_eq!(of_service(told, &addresses(&["10.0.0.9:8080"])), (addresses(&["10.0.0.1:80", "[fd00::1]:80"]), 0));
        let many = (0..10_000_u32).map(|i| SocketAddr::new(IpAddr::V4((0x0a00_0000 + i).into()), 80)).collect();
        let (taken, beyond) = of_service(many, &[]);
        assert_eq!((taken.len(), beyond), (MOST_OF_SERVICE, 10_000 - MOST_OF_SERVICE));
    }

    #[test]
    fn a_name_does_not_come_to_lead_here() {
        let before = addresses(&["10.0.0.1:8081"]);
        let own = addresses(&["0.0.0.0:8080", "192.0.2.1:9090"]);
        assert_eq!(again(addresses(&["127.0.0.1:8081", "[::1]:8081"]), &before, "carts", &own), []);
        assert_eq!(again(addresses(&["127.0.0.1:8081"]), &before, "localhost", &own), addresses(&["127.0.0.1:8081"]));
        let local = addresses(&["127.0.0.1:8081"]);
        assert_eq!(again(local.clone(), &local, "carts", &own), local, "it was so from the start");
        assert_eq!(
            again(addresses(&["127.0.0.1:8080", "192.0.2.1:9090", "192.0.2.1:80"]), &local, "carts", &own),
            addresses(&["192.0.2.1:80"])
        );
    }
}
