//! Whose request it is, as one number: enough to tell clients apart, not to name them.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

use crate::proxy::sanitise::Peer;

/// Returns a number that stands for the client of a request whose head was cleaned, 0 when nobody knows it.
///
/// It is the peer, or behind trusted proxies the last address of `X-Forwarded-For` that is not one of them. An IPv6 client
/// is its /64 network, because whoever has one address of it has all; different IPv4 addresses have different numbers.
#[must_use]
pub fn of(headers: &HeaderMap, peer: &Peer, trusted: &[IpNet]) -> u64 {
    if !peer.trusted {
        return peer.address.map_or(0, number);
    }
    let mut nearest = peer.address;
    let chain = headers.get_all("x-forwarded-for").into_iter().rev().map(HeaderValue::as_bytes);
    for entry in chain.flat_map(|value| value.rsplit(|byte| *byte == b',')) {
        nearest = address(entry);
        if nearest.is_none_or(|address| !trusted.iter().any(|net| net.contains(&address))) {
            break;
        }
    }
    nearest.map_or(0, number)
}

/// Reads an entry of `X-Forwarded-For`: an address, which some write with a port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok()?.trim();
    let address = entry.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    let bracketed = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    address.or_else(bracketed).map(|address| address.to_canonical())
}

fn number(address: IpAddr) -> u64 {
    match address {
        // 0:1::/32 is not assigned to anybody, so that no IPv6 network has such a number.
        IpAddr::V4(address) => 1 << 32 | u64::from(address.to_bits()),
        IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(remote: &str, forwarded: &[&str]) -> u64 {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let peer = Peer::new(SocketAddr::new(remote.parse().unwrap(), 4711), 80, &trusted);
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_str(value).unwrap());
        }
        of(&headers, &peer, &trusted)
    }

    fn at(address: &str) -> u64 {
        number(address.parse().unwrap())
    }

    #[test]
    fn a_peer_that_is_not_trusted_is_the_client() {
        assert_eq!(client("192.0.2.7", &["198.51.100.1"]), at("192.0.2.7"));
        assert_eq!(client("::ffff:192.0.2.7", &[]), at("192.0.2.7"));
        assert_ne!(at("192.0.2.7"), at("192.0.2.8"));
    }

    #[test]
    fn behind_trusted_proxies_the_client_is_the_last_address_that_is_none_of_them() {
        assert_eq!(client("10.0.0.1", &["198.51.100.1, 10.0.0.1"]), at("198.51.100.1"));
        assert_eq!(client("10.0.0.1", &["203.0.113.9, 198.51.100.1", "10.9.9.9,10.0.0.1"]), at("198.51.100.1"));
        assert_eq!(client("fd00::1", &["198.51.100.1:4711, fd00::1"]), at("198.51.100.1"));
        assert_eq!(client("10.0.0.1", &["[2001:db8::1]:80, 10.0.0.1"]), at("2001:db8::1"));
        assert_eq!(client("10.0.0.1", &["[2001:db8::1]"]), at("2001:db8::1"));
        assert_eq!(client("10.0.0.1", &["10.0.0.2, 10.0.0.1"]), at("10.0.0.2"), "who asks from within is a client too");
        assert_eq!(client("10.0.0.1", &[]), at("10.0.0.1"));
    }

    #[test]
    fn what_is_no_address_is_nobody_known_and_what_stands_before_it_is_not_believed() {
        for chain in ["198.51.100.1, unknown, 10.0.0.1", "198.51.100.1, , 10.0.0.1", "_hidden", "198.51.100.1, \u{fc}"] {
            assert_eq!(client("10.0.0.1", &[chain]), 0, "{chain}");
        }
    }

    #[test]
    fn one_network_of_ipv6_is_one_client() {
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:1"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
    }
}
