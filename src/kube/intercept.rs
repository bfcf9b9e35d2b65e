//! The rules by which what an application sends to some ports is redirected to the proxy in its pod: pure, a text for
//! `iptables-restore`. Nothing but numbers gets into them.

use std::fmt;
use std::str::FromStr;

/// The chain of ours, below `OUTPUT` of the table `nat`. Other chains are left alone.
pub const CHAIN: &str = "PORTCULLIS_OUTPUT";
/// The most ports that one rule takes.
const MOST: usize = 15;

/// Which addresses rules are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// What is never redirected: the link itself, where clouds give machines and pods their identity, over plain HTTP and by address.
    const fn aside(self) -> &'static [&'static str] {
        match self {
            Self::V4 => &["169.254.0.0/16"],
            Self::V6 => &["fe80::/10", "fd00:ec2::/32"],
        }
    }
}

/// Ports whose traffic is redirected: 1 to 15 of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(Vec<u16>);

/// Why a text names no ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} are no ports; write 1 to 15 from 1 to 65535 with commas between them, such as 80,8080")]
pub struct InvalidPorts(String);

impl FromStr for Ports {
    type Err = InvalidPorts;
    fn from_str(text: &str) -> Result<Self, InvalidPorts> {
        let port = |port: &str| port.parse::<u16>().ok().filter(|port| *port > 0);
        let ports: Option<Vec<u16>> = if text.len() > 200 { None } else { text.split(',').map(port).collect() };
        ports.filter(|ports| ports.len() <= MOST).map(Self).ok_or_else(|| InvalidPorts(text.chars().take(80).collect()))
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports: Vec<String> = self.0.iter().map(u16::to_string).collect();
        f.write_str(&ports.join(","))
    }
}

impl Ports {
    /// Says whether a port is among them.
    #[must_use]
    pub fn has(&self, port: u16) -> bool {
        self.0.contains(&port)
    }
}

/// What is redirected, where to, and for whom not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The ports of the destinations.
    pub ports: Ports,
    /// The port of the proxy on the loopback.
    pub to: u16,
    /// The user whose traffic goes its way: the proxy's, which would come back to itself else.
    pub except: u32,
}

impl Redirect {
    /// Returns the rules of our chain, as arguments.
    #[must_use]
    pub fn rules(&self, family: Family) -> Vec<String> {
        let Self { ports, to, except } = self;
        // What stays in the pod, to its own address too, goes over the loopback.
        let mut rules = vec![format!("-A {CHAIN} -m owner --uid-owner {except} -j RETURN"), format!("-A {CHAIN} -o lo -j RETURN")];
        rules.extend(family.aside().iter().map(|network| format!("-A {CHAIN} -d {network} -j RETURN")));
        rules.push(format!("-A {CHAIN} -p tcp -m multiport --dports {ports} -j REDIRECT --to-ports {to}"));
        rules
    }

    /// Returns the rule that leads to our chain.
    #[must_use]
    pub fn jump() -> String {
        format!("-A OUTPUT -p tcp -j {CHAIN}")
    }

    /// Writes what `iptables-restore --noflush` takes, in one transaction: our chain is made or emptied, and filled. The jump to it is
    /// written where there is none yet.
    #[must_use]
    pub fn restore(&self, family: Family, has_jump: bool) -> String {
        let mut lines = vec!["*nat".to_owned(), format!(":{CHAIN} - [0:0]")];
        lines.extend(self.rules(family));
        if !has_jump {
            lines.push(Self::jump());
        }
        lines.push("COMMIT\n".to_owned());
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transaction_fills_our_chain_and_touches_no_other() {
        let redirect = Redirect { ports: "80,8080".parse().unwrap(), to: 4140, except: 2102 };
        assert_eq!(
            redirect.restore(Family::V4, false),
            "*nat\n:PORTCULLIS_OUTPUT - [0:0]\n-A PORTCULLIS_OUTPUT -m owner --uid-owner 2102 -j RETURN\n-A PORTCULLIS_OUTPUT -o lo -j RETURN\n\
             -A PORTCULLIS_OUTPUT -d 169.254.0.0/16 -j RETURN\n-A PORTCULLIS_OUTPUT -p tcp -m multiport --dports 80,8080 -j REDIRECT --to-ports 4140\n-A OUTPUT -p tcp -j PORTCULLIS_OUTPUT\nCOMMIT\n"
        );
        assert!(!redirect.restore(Family::V6, true).contains("OUTPUT -p tcp -j PORTCULLIS_OUTPUT\n"));
    }

    #[test]
    fn ports_are_numbers_and_at_most_fifteen() {
        let many = |count: u16| (1..=count).map(|port| port.to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(many(15).parse::<Ports>().unwrap().to_string(), many(15));
        for text in ["", "0", "65536", "80:90", "80,", "80 -j ACCEPT", "http", "0-65535", &many(16), &"1,".repeat(1000)] {
            assert!(text.parse::<Ports>().is_err(), "{text}");
        }
    }
}
