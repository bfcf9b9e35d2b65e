//! The mistake to avoid: the same sequential tests fed in the order in which requests complete.

use crate::domain::stats::exceedance::{log_e_breach, pass_n_min};

/// The counts of one gate in the order of completion.
#[derive(Debug)]
pub struct InOrderOfCompletion {
    share: f64,
    requests: u64,
    breaches: u64,
    log_alpha: f64,
    /// The number of requests at which the version passes with the breaches so far.
    passes_at: u64,
    log_beta: f64,
}

/// What the tests say after a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// Nothing yet.
    Nothing,
    /// The version is rolled back.
    RollBack,
    /// The version passes.
    Pass,
}

impl InOrderOfCompletion {
    /// Begins with nothing known of a gate that allows `share`.
    pub fn new(share: f64, alpha: f64, beta: f64) -> Self {
        let log_beta = -beta.ln();
        Self { share, requests: 0, breaches: 0, log_alpha: -alpha.ln(), passes_at: pass_n_min(0, share, log_beta), log_beta }
    }

    /// Takes in the next completion.
    pub fn add(&mut self, breach: bool) -> Says {
        self.requests += 1;
        if breach {
            self.breaches += 1;
            if log_e_breach(self.requests, self.breaches, self.share) >= self.log_alpha {
                return Says::RollBack;
            }
            self.passes_at = pass_n_min(self.breaches, self.share, self.log_beta);
        }
        if self.requests >= self.passes_at { Says::Pass } else { Says::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::stats::exceedance::breach_n_max;

    #[test]
    fn it_decides_where_the_tables_say() {
        let mut order = InOrderOfCompletion::new(0.05, 0.001, 0.05);
        let passed = (1..).find(|_| order.add(false) == Says::Pass).unwrap();
        assert_eq!(passed, 74);
        let mut order = InOrderOfCompletion::new(0.05, 0.001, 0.05);
        let rolled_back = (1..).find(|_| order.add(true) == Says::RollBack).unwrap();
        assert_eq!((rolled_back, breach_n_max(3, 0.05, 1_000_f64.ln())), (3, 3));
    }
}
