//! What stands in the table `nat` of what is ours, read from `iptables-save`.

/// The chain of ours, below `OUTPUT` of the table `nat`. Other chains are left alone.
pub(super) const CHAIN: &str = "PORTCULLIS_OUTPUT";
/// The rule that leads to our chain.
pub(super) const JUMP: &str = "-A OUTPUT -p tcp -j PORTCULLIS_OUTPUT";

/// What stands in the table `nat` of what is ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether our chain is there.
    pub chain: bool,
    /// How many rules it has.
    pub rules: usize,
    /// The rules of `OUTPUT` that lead to it, as `-A` would write them anew.
    pub jumps: Vec<String>,
    /// A rule of another chain that leads to it, which nobody here has written.
    pub foreign: Option<String>,
}

impl Standing {
    /// What stands where everything was put in.
    #[must_use]
    pub fn complete(rules: usize) -> Self {
        Self { chain: true, rules, jumps: vec![JUMP.to_owned()], foreign: None }
    }

    /// Reads what `iptables-save` prints; other tables, other chains and counters mean nothing.
    #[must_use]
    pub fn read(saved: &str) -> Self {
        let mut standing = Self::default();
        let mut nat = false;
        for line in saved.lines() {
            if let Some(table) = line.strip_prefix('*') {
                nat = table.trim() == "nat";
            } else if nat {
                standing.note(line);
            }
        }
        standing
    }

    fn note(&mut self, line: &str) {
        if let Some(chain) = line.strip_prefix(':') {
            self.chain |= chain.split(' ').next() == Some(CHAIN);
            return;
        }
        let Some(chain) = line.strip_prefix("-A ").and_then(|rule| rule.split(' ').next()) else { return };
        let leads = line.ends_with(&format!(" -j {CHAIN}")) || line.ends_with(&format!(" -g {CHAIN}"));
        match chain {
            CHAIN => self.rules += 1,
            "OUTPUT" if leads => self.jumps.push(line.to_owned()),
            _ if leads => self.foreign = Some(line.to_owned()),
            _ => {}
        }
    }

    /// Says whether nothing of ours is there.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        !self.chain && self.jumps.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = "# Generated\n*filter\n:PORTCULLIS_OUTPUT - [0:0]\n-A OUTPUT -j PORTCULLIS_OUTPUT\nCOMMIT\n*nat\n:OUTPUT ACCEPT [3:180]\n\
        :PORTCULLIS_OUTPUT - [0:0]\n-A OUTPUT -p udp -m udp --dport 9 -j RETURN\n-A OUTPUT -p tcp -j PORTCULLIS_OUTPUT\n\
        -A OUTPUT -m comment --comment \"an old one\" -j PORTCULLIS_OUTPUT\n-A PORTCULLIS_OUTPUT -o lo -j RETURN\nCOMMIT\n# Completed\n";

    #[test]
    fn only_what_is_ours_in_the_table_nat_is_seen() {
        let jumps = ["-A OUTPUT -p tcp -j PORTCULLIS_OUTPUT", "-A OUTPUT -m comment --comment \"an old one\" -j PORTCULLIS_OUTPUT"];
        let expected = Standing { chain: true, rules: 1, jumps: jumps.map(str::to_owned).to_vec(), foreign: None };
        assert_eq!(Standing::read(SAVED), expected);
        assert!(Standing::read("").is_nothing());
        assert!(Standing::read("*nat\n:PORTCULLIS_OUTPUTS - [0:0]\n-A OUTPUT -j PORTCULLIS_OUTPUTS\nCOMMIT\n").is_nothing());
        assert!(Standing::read("*filter\n:PORTCULLIS_OUTPUT - [0:0]\nCOMMIT\n").is_nothing());
    }

    #[test]
    fn a_rule_of_another_chain_that_leads_to_ours_is_foreign() {
        let standing = Standing::read("*nat\n:PORTCULLIS_OUTPUT - [0:0]\n:X - [0:0]\n-A X -j PORTCULLIS_OUTPUT\nCOMMIT\n");
        assert_eq!((standing.jumps.len(), standing.foreign.as_deref()), (0, Some("-A X -j PORTCULLIS_OUTPUT")));
    }
}
