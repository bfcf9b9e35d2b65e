//! When requests arrive: independently, evenly, or from clients that wait for their answers; with rates that change or stop.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::domain::time::Timestamp;
use crate::simulate::chance::{Chance, Stream};
use crate::simulate::scenario::{Arrivals, Scenario};

/// The arrivals of one run.
#[derive(Debug)]
pub struct Traffic {
    how: How,
    next: Timestamp,
    chance: Chance,
}

#[derive(Debug)]
enum How {
    /// Rates by the time from which they hold.
    Open { rates: Vec<(f64, f64)>, even: bool },
    /// When each waiting client asks again.
    Closed { clients: BinaryHeap<Reverse<Timestamp>>, think: Duration },
}

impl Traffic {
    /// Makes the arrivals of one run; `rate` is the one of the scenario unless chaos draws another.
    #[must_use]
    pub fn new(scenario: &Scenario, rate: f64, seed: u64) -> Self {
        let mut chance = Chance::new(seed, Stream::Arrivals);
        let how = match &scenario.traffic.arrivals {
            Arrivals::Closed { clients, think } => {
                // They begin within the time of one thought, or a millisecond where they do not think.
                let within = think.0.max(Duration::from_millis(1));
                let begins = (0..clients.0).map(|_| Reverse(Timestamp::ZERO + within.mul_f64(chance.unit())));
                How::Closed { clients: begins.collect(), think: think.0 }
            }
            arrivals => {
                let changes = scenario.traffic.change.iter().map(|change| (change.at.secs(), change.rate));
                How::Open { rates: std::iter::once((0.0, rate)).chain(changes).collect(), even: *arrivals == Arrivals::Constant }
            }
        };
        let mut traffic = Self { how, next: Timestamp::ZERO, chance };
        traffic.next = traffic.after(Timestamp::ZERO);
        traffic
    }

    /// Returns when the next request arrives, [`Timestamp::NEVER`] when none does.
    #[must_use]
    pub const fn next(&self) -> Timestamp {
        self.next
    }

    /// Takes the next request.
    pub fn take(&mut self) {
        if let How::Closed { clients, .. } = &mut self.how {
            clients.pop();
        }
        self.next = self.after(self.next);
    }

    /// Lets a client that has its answer ask again; open traffic does not care.
    pub fn answered(&mut self, now: Timestamp) {
        if let How::Closed { clients, think } = &mut self.how {
            clients.push(Reverse(now + *think));
            self.next = self.after(self.next);
        }
    }

    fn after(&mut self, now: Timestamp) -> Timestamp {
        match &self.how {
            How::Closed { clients, .. } => clients.peek().map_or(Timestamp::NEVER, |Reverse(at)| *at),
            How::Open { rates, even } => {
                // How much of the rate must pass until the next request: one request's worth, or a random amount.
                let first = now == Timestamp::ZERO;
                let mut worth = match even {
                    true if first => self.chance.unit(),
                    true => 1.0,
                    false => self.chance.exponential(),
                };
                let mut at = Duration::from_nanos(now.as_nanos()).as_secs_f64();
                for (index, (from, rate)) in rates.iter().enumerate() {
                    let until = rates.get(index + 1).map_or(f64::INFINITY, |next| next.0);
                    if until <= at {
                        continue;
                    }
                    let begin = at.max(*from);
                    let left = (until - begin) * rate;
                    if *rate > 0.0 && left >= worth {
                        return Timestamp::ZERO + Duration::try_from_secs_f64(begin + worth / rate).unwrap_or(Duration::MAX);
                    }
                    worth -= if *rate > 0.0 { left } else { 0.0 };
                    at = until;
                }
                Timestamp::NEVER
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::scenario::load;

    fn traffic(how: &str) -> Traffic {
        let text = format!(
            "title = \"t\"\nruns = 1\nlength = \"1s\"\ngates = [\"p95 < 1s\"]\ntraffic = {{ {how} }}\n[stable]\nlatency = {{ constant = \"1ms\" }}\n[canary]\nlatency = {{ constant = \"1ms\" }}\n"
        );
        let scenario = load("t", &text).unwrap().remove(0);
        Traffic::new(&scenario, scenario.traffic.rate.map_or(0.0, |rate| rate.0), 3)
    }

    fn until(traffic: &mut Traffic, seconds: u64) -> usize {
        let end = Timestamp::ZERO + Duration::from_secs(seconds);
        std::iter::from_fn(|| (traffic.next() < end).then(|| traffic.take())).count()
    }

    #[test]
    fn the_rate_is_what_was_asked_for_and_changes_when_it_should() {
        let mut poisson = traffic("rate = 100, change = [{ at = \"100s\", rate = 0 }, { at = \"200s\", rate = 10 }]");
        let counts = [until(&mut poisson, 100), until(&mut poisson, 200), until(&mut poisson, 300)];
        assert!((9_700..10_300).contains(&counts[0]) && counts[1] == 0 && (900..1_100).contains(&counts[2]), "{counts:?}");
        let mut even = traffic("rate = 100, arrivals = \"constant\", change = [{ at = \"10s\", rate = 0 }]");
        assert_eq!((until(&mut even, 10), even.next()), (1_000, Timestamp::NEVER));
    }

    #[test]
    fn clients_in_a_closed_loop_wait_for_their_answers() {
        let mut closed = traffic("arrivals = { closed = { clients = 2, think = \"1s\" } }");
        closed.take();
        closed.take();
        assert_eq!(closed.next(), Timestamp::NEVER);
        let now = Timestamp::ZERO + Duration::from_secs(5);
        closed.answered(now);
        assert_eq!(closed.next(), now + Duration::from_secs(1));
    }
}
