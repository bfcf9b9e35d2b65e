//! Pauses during which nothing is answered: those of a garbage collector, or stalls of something both versions use.

use std::time::Duration;

use crate::domain::time::Timestamp;
use crate::simulate::chance::Chance;
use crate::simulate::scenario::Pauses;

/// The pauses of one run, made as time goes on.
#[derive(Clone, Debug)]
pub struct Schedule {
    spec: Pauses,
    chance: Chance,
    /// When the period of the next pause begins, in seconds.
    period: f64,
    from: Timestamp,
    to: Timestamp,
}

impl Schedule {
    /// Makes the pauses of one run.
    #[must_use]
    pub fn new(spec: &Pauses, mut chance: Chance) -> Self {
        // The first pause comes anywhere within the first period.
        let period = -spec.every.secs() * if spec.random { 0.0 } else { chance.unit() };
        let mut schedule = Self { spec: spec.clone(), chance, period, from: Timestamp::ZERO, to: Timestamp::ZERO };
        schedule.go_on();
        schedule
    }

    /// Returns how long a request that begins at `at` waits; `at` never goes back.
    pub fn wait(&mut self, at: Timestamp) -> Duration {
        while at >= self.to {
            self.go_on();
        }
        if at >= self.from { self.to.since(at) } else { Duration::ZERO }
    }

    fn go_on(&mut self) {
        let every = self.spec.every.secs();
        self.period += if self.spec.random { every * self.chance.exponential() } else { every };
        let seconds = |s: f64| Timestamp::ZERO + Duration::try_from_secs_f64(s).unwrap_or(Duration::MAX);
        // Pauses at random moments may follow each other closely but never overlap.
        self.from = seconds(self.period.max(0.0)).max(self.to);
        let length = self.chance.between(self.spec.from.secs(), self.spec.to.secs());
        self.to = self.from + Duration::try_from_secs_f64(length.max(1e-6)).unwrap_or(Duration::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::chance::Stream;

    #[test]
    fn pauses_take_the_share_of_time_they_should() {
        for random in [false, true] {
            let spec = Pauses { from: "200ms".parse().unwrap(), to: "1.5s".parse().unwrap(), every: "30s".parse().unwrap(), random };
            let mut schedule = Schedule::new(&spec, Chance::new(2, Stream::Canary));
            let (mut waiting, mut longest) = (0_u32, Duration::ZERO);
            for n in 0..1_000_000_u64 {
                let wait = schedule.wait(Timestamp::ZERO + Duration::from_millis(10 * n));
                waiting += u32::from(!wait.is_zero());
                longest = longest.max(wait);
            }
            let share = f64::from(waiting) / 1e6;
            assert!((share - 0.85 / 30.0).abs() < 0.004 && longest <= Duration::from_millis(1_500), "{random}: {share} {longest:?}");
        }
    }
}
