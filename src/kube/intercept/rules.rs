//! The rules themselves, and the transactions that put them in, mend them and take them out.

use crate::kube::intercept::networks::Networks;
use crate::kube::intercept::ports::Ports;
use crate::kube::intercept::standing::{CHAIN, JUMP, Standing};

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

/// What is redirected, where to, and what not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The ports of the destinations.
    pub ports: Ports,
    /// The port of the proxy on the loopback.
    pub to: u16,
    /// The user whose traffic goes its way: the proxy's, which would come back to itself else.
    pub except: u32,
    /// The port of an admin API, to which nothing is redirected.
    pub admin: Option<u16>,
    /// Further ports of destinations whose traffic goes its way.
    pub skip_ports: Option<Ports>,
    /// Networks of destinations whose traffic goes its way.
    pub skip_networks: Networks,
}

impl Redirect {
    /// Returns the rules of our chain, as arguments.
    #[must_use]
    pub fn rules(&self, family: Family) -> Vec<String> {
        let Self { ports, to, except, admin, skip_ports, skip_networks } = self;
        // What stays in the pod, to its own address too, goes over the loopback.
        let mut rules = vec![format!("-A {CHAIN} -m owner --uid-owner {except} -j RETURN"), format!("-A {CHAIN} -o lo -j RETURN")];
        rules.extend(family.aside().iter().map(|network| format!("-A {CHAIN} -d {network} -j RETURN")));
        rules.extend(skip_networks.of(family == Family::V4).map(|network| format!("-A {CHAIN} -d {network} -j RETURN")));
        let own = admin.map_or_else(|| to.to_string(), |admin| format!("{to},{admin}"));
        for skipped in std::iter::once(own).chain(skip_ports.as_ref().map(Ports::to_string)) {
            rules.push(format!("-A {CHAIN} -p tcp -m multiport --dports {skipped} -j RETURN"));
        }
        rules.push(format!("-A {CHAIN} -p tcp -m multiport --dports {ports} -j REDIRECT --to-ports {to}"));
        rules
    }

    /// Returns the rule that leads to our chain.
    #[must_use]
    pub const fn jump() -> &'static str {
        JUMP
    }

    /// Writes what `iptables-restore --noflush` takes, in one transaction: our chain is made or emptied, and filled, and exactly one rule
    /// leads to it, whatever stood there before.
    #[must_use]
    pub fn restore(&self, family: Family, standing: &Standing) -> String {
        let mut lines = vec!["*nat".to_owned(), format!(":{CHAIN} - [0:0]")];
        let kept = standing.jumps.iter().position(|jump| jump == JUMP);
        // A rule is taken out by its text, and of equal ones the first: the last of ours is the one that is left.
        lines.extend(standing.jumps.iter().enumerate().filter(|(at, _)| Some(*at) != kept).map(|(_, jump)| without(jump)));
        lines.extend(self.rules(family));
        if kept.is_none() {
            lines.push(JUMP.to_owned());
        }
        lines.push("COMMIT\n".to_owned());
        lines.join("\n")
    }
}

/// Writes what `iptables-restore --noflush` takes to remove what stands there of ours, in one transaction; `None` where nothing does.
#[must_use]
pub fn removal(standing: &Standing) -> Option<String> {
    if standing.is_nothing() {
        return None;
    }
    let mut lines = vec!["*nat".to_owned()];
    lines.extend(standing.jumps.iter().map(|jump| without(jump)));
    if standing.chain {
        lines.extend([format!("-F {CHAIN}"), format!("-X {CHAIN}")]);
    }
    lines.push("COMMIT\n".to_owned());
    Some(lines.join("\n"))
}

/// Writes that a rule is taken out.
fn without(rule: &str) -> String {
    rule.replacen("-A ", "-D ", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect() -> Redirect {
        Redirect {
            ports: "80,8080".parse().unwrap(),
            to: 4140,
            except: 2102,
            admin: None,
            skip_ports: None,
            skip_networks: Networks::default(),
        }
    }

    #[test]
    fn the_transaction_fills_our_chain_and_touches_no_other() {
        assert_eq!(
            redirect().restore(Family::V4, &Standing::default()),
            "*nat\n:PORTCULLIS_OUTPUT - [0:0]\n-A PORTCULLIS_OUTPUT -m owner --uid-owner 2102 -j RETURN\n-A PORTCULLIS_OUTPUT -o lo -j RETURN\n\
             -A PORTCULLIS_OUTPUT -d 169.254.0.0/16 -j RETURN\n-A PORTCULLIS_OUTPUT -p tcp -m multiport --dports 4140 -j RETURN\n\
             -A PORTCULLIS_OUTPUT -p tcp -m multiport --dports 80,8080 -j REDIRECT --to-ports 4140\n-A OUTPUT -p tcp -j PORTCULLIS_OUTPUT\nCOMMIT\n"
        );
    }

    #[test]
    fn what_is_skipped_comes_before_what_is_redirected() {
        let redirect = Redirect {
            ports: "1-65535".parse().unwrap(),
            admin: Some(9090),
            skip_ports: Some("25,3306".parse().unwrap()),
            skip_networks: "10.96.0.0/12,2001:db8::/32".parse().unwrap(),
            ..redirect()
        };
        let skipped =
            |family| redirect.rules(family).iter().map(|rule| rule.replace("-A PORTCULLIS_OUTPUT ", "")).skip(2).collect::<Vec<_>>();
        let ports = ["-p tcp -m multiport --dports 4140,9090 -j RETURN", "-p tcp -m multiport --dports 25,3306 -j RETURN"];
        let last = "-p tcp -m multiport --dports 1:65535 -j REDIRECT --to-ports 4140";
        assert_eq!(skipped(Family::V4), ["-d 169.254.0.0/16 -j RETURN", "-d 10.96.0.0/12 -j RETURN", ports[0], ports[1], last]);
        let v6 = ["-d fe80::/10 -j RETURN", "-d fd00:ec2::/32 -j RETURN", "-d 2001:db8::/32 -j RETURN", ports[0], ports[1], last];
        assert_eq!(skipped(Family::V6), v6);
    }

    #[test]
    fn every_half_of_it_is_mended_to_the_same_and_taken_out_whole() {
        let odd = "-A OUTPUT -j PORTCULLIS_OUTPUT".to_owned();
        let ours = || JUMP.to_owned();
        let standing = |chain, jumps: &[String]| Standing { chain, rules: 1, jumps: jumps.to_vec(), foreign: None };
        for (now, mended, taken_out) in [
            (standing(true, &[]), vec![ours()], vec![]),
            (standing(true, &[ours()]), vec![], vec!["-D OUTPUT -p tcp -j PORTCULLIS_OUTPUT"]),
            (
                standing(true, &[ours(), ours()]),
                vec!["-D OUTPUT -p tcp -j PORTCULLIS_OUTPUT".to_owned()],
                vec!["-D OUTPUT -p tcp -j PORTCULLIS_OUTPUT"; 2],
            ),
            (
                standing(true, std::slice::from_ref(&odd)),
                vec!["-D OUTPUT -j PORTCULLIS_OUTPUT".to_owned(), ours()],
                vec!["-D OUTPUT -j PORTCULLIS_OUTPUT"],
            ),
        ] {
            let text = redirect().restore(Family::V4, &now);
            let of_output: Vec<_> = text.lines().filter(|line| line.contains(" OUTPUT ")).map(str::to_owned).collect();
            assert_eq!(of_output, mended, "{now:?}");
            assert!(text.starts_with("*nat\n:PORTCULLIS_OUTPUT - [0:0]\n") && text.contains("--to-ports 4140\n"), "{text}");
            let lines = [vec!["*nat"], taken_out, vec!["-F PORTCULLIS_OUTPUT", "-X PORTCULLIS_OUTPUT", "COMMIT\n"]].concat();
            assert_eq!(removal(&now), Some(lines.join("\n")), "{now:?}");
        }
        assert_eq!(removal(&Standing::default()), None);
    }
}
