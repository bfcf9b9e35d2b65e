//! Networks that are left out of the redirection.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// The most networks, each of which is a rule.
const MOST: usize = 32;

/// Networks of IPv4 and IPv6, at most 32.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

/// Why a text names no networks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetworks {
    /// Something of it is no network.
    #[error("{0:?} is no network; write for example 10.0.0.0/8 or 2001:db8::/32, with commas between several")]
    Unread(String),
    /// A network has bits behind its prefix.
    #[error("{0} has bits behind its prefix; write {1}")]
    Bits(IpNet, IpNet),
    /// A network is all there is.
    #[error("{0} is everything, so that nothing would be redirected")]
    Everything(IpNet),
    /// There are too many.
    #[error("these are more than {MOST} networks; write larger ones")]
    TooMany,
}

impl FromStr for Networks {
    type Err = InvalidNetworks;
    fn from_str(text: &str) -> Result<Self, InvalidNetworks> {
        if text.split(',').nth(MOST).is_some() {
            return Err(InvalidNetworks::TooMany);
        }
        text.split(',').map(network).collect::<Result<_, _>>().map(Self)
    }
}

fn network(text: &str) -> Result<IpNet, InvalidNetworks> {
    let read = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = read.map_err(|_| InvalidNetworks::Unread(text.chars().take(80).collect()))?;
    if network.trunc() != network {
        return Err(InvalidNetworks::Bits(network, network.trunc()));
    }
    if network.prefix_len() == 0 { Err(InvalidNetworks::Everything(network)) } else { Ok(network) }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let networks: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&networks.join(","))
    }
}

impl Networks {
    /// Returns those of one family of addresses.
    pub fn of(&self, v4: bool) -> impl Iterator<Item = &IpNet> {
        self.0.iter().filter(move |network| network.addr().is_ipv4() == v4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_told_apart_by_family() {
        let networks: Networks = "10.0.0.0/8,2001:db8::/32,192.0.2.7".parse().unwrap();
        assert_eq!(networks.to_string(), "10.0.0.0/8,2001:db8::/32,192.0.2.7/32");
        let shown = |v4| networks.of(v4).map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            (shown(true), shown(false)),
            (vec!["10.0.0.0/8".to_owned(), "192.0.2.7/32".to_owned()], vec!["2001:db8::/32".to_owned()])
        );
    }

    #[test]
    fn what_is_none_says_how_to_mend_it() {
        let many = ["10.0.0.1"; 33].join(",");
        for (text, hint) in [
            ("", "10.0.0.0/8"),
            ("10.0.0.0/33", "10.0.0.0/8"),
            ("10.0.0.0/8 -j ACCEPT", "10.0.0.0/8"),
            ("10.0.0.0/8,", "10.0.0.0/8"),
            ("carts", "10.0.0.0/8"),
            ("10.1.2.3/8", "write 10.0.0.0/8"),
            ("0.0.0.0/0", "everything"),
            ("::/0", "everything"),
            (many.as_str(), "larger"),
        ] {
            let error = text.parse::<Networks>().unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}
