//! Ports as one rule of iptables takes them.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The most ports that one rule takes, where a range counts as two.
const MOST: usize = 15;

/// Ports and ranges of ports, as many as one rule takes: 1 to 15, where a range counts as two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(Vec<RangeInclusive<u16>>);

/// Why a text names no ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} are no ports; write 1 to 15 from 1 to 65535 with commas between them, such as 80,8080, where a range such as 8000-8099 counts as two"
)]
pub struct InvalidPorts(String);

impl FromStr for Ports {
    type Err = InvalidPorts;
    fn from_str(text: &str) -> Result<Self, InvalidPorts> {
        let ranges: Option<Vec<_>> = if text.len() > 200 { None } else { text.split(',').map(range).collect() };
        let ports = ranges.map(Self).filter(|ports| ports.0.iter().map(slots).sum::<usize>() <= MOST);
        ports.ok_or_else(|| InvalidPorts(text.chars().take(80).collect()))
    }
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some(first..=last)
}

/// Reads decimal digits alone.
fn port(text: &str) -> Option<u16> {
    text.parse::<u16>().ok().filter(|port| *port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn slots(range: &RangeInclusive<u16>) -> usize {
    if range.start() == range.end() { 1 } else { 2 }
}

impl fmt::Display for Ports {
    /// Writes them as `multiport` takes them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{comma}{first}")?,
                (first, last) => write!(f, "{comma}{first}:{last}")?,
            }
        }
        Ok(())
    }
}

impl Ports {
    /// Says whether a port is named by itself, and not only within a range.
    #[must_use]
    pub fn names(&self, port: u16) -> bool {
        self.0.contains(&(port..=port))
    }

    /// Returns the first port of those that stand alone here and are among the others too.
    #[must_use]
    pub fn first_in(&self, others: &Self) -> Option<u16> {
        let alone = self.0.iter().filter(|range| slots(range) == 1).map(|range| *range.start());
        alone.into_iter().find(|port| others.0.iter().any(|range| range.contains(port)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_numbers_and_ranges_and_at_most_fifteen() {
        let many = |count: u16| (1..=count).map(|port| port.to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(many(15).parse::<Ports>().unwrap().to_string(), many(15));
        assert_eq!("80,8000-8099,1-65535".parse::<Ports>().unwrap().to_string(), "80,8000:8099,1:65535");
        assert_eq!("7-7".parse::<Ports>().unwrap().to_string(), "7");
        for text in ["", "0", "65536", "80:90", "80,", "80 -j ACCEPT", "http", "0-65535", "9-8", "1-", "-1", "+80", "1-2-3", &many(16)] {
            assert!(text.parse::<Ports>().is_err(), "{text}");
        }
        assert!(format!("{},20-30", many(14)).parse::<Ports>().is_err(), "a range counts as two");
        assert!("1,".repeat(1000).parse::<Ports>().is_err());
    }

    #[test]
    fn only_a_port_by_itself_is_named() {
        let ports: Ports = "80,8000-8099".parse().unwrap();
        assert_eq!((ports.names(80), ports.names(8000), ports.names(8050)), (true, false, false));
        assert_eq!("443,8050".parse::<Ports>().unwrap().first_in(&ports), Some(8050));
        assert_eq!(ports.first_in(&"8000-9000".parse().unwrap()), None);
    }
}
