//! A share that goes back in steps: to half of it, to a quarter, to nothing.
//!
//! Each step is taken as soon as stable bears it, and by the clock at the latest: after one, two and three thirds of the time that the
//! operator allows. So a canary that is well carries part of the load while stable is scaled up and its caches fill, and whoever ended
//! the rollout knows when it is over.

use std::time::Duration;

use crate::domain::time::Timestamp;
use crate::domain::weight::Weight;

/// How many steps there are.
const STEPS: u16 = 3;

/// What is known of the way back when something happens to a rollout.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prospect {
    /// What is to be said of the stable version when everything goes back to it; `None` where it may well take it.
    pub sentence: Option<String>,
    /// Within which time a share goes back in steps, where people or clocks end the rollout; `None` where it goes back at once.
    pub within: Option<Duration>,
    /// Whether stable bears what it would get with the next step.
    pub bears: bool,
}

/// A share that goes back in steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recession {
    /// The share from which it goes down.
    pub from: Weight,
    /// When it began.
    pub began: Timestamp,
    /// After which time nothing is left of it.
    pub within: Duration,
    /// Who ended the rollout and why, one plain sentence.
    pub reason: String,
}

impl Recession {
    /// How long it may take, where nothing else is configured.
    pub const WITHIN: Duration = Duration::from_secs(30);
    /// The shortest and the longest time that may be configured.
    pub const BOUNDS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

    /// Returns the share after so many steps from this one: half of it, a quarter, nothing.
    #[must_use]
    pub fn share(from: Weight, steps: u16) -> Weight {
        match steps {
            0 => from,
            1 => from.halved(),
            2 => from.halved().halved(),
            _ => Weight::ZERO,
        }
    }

    /// Returns the share after the present one.
    #[must_use]
    pub fn next(&self, share: Weight) -> Weight {
        (1..STEPS).map(|steps| Self::share(self.from, steps)).find(|next| *next < share).unwrap_or(Weight::ZERO)
    }

    /// Returns the largest share that the clock still allows at `now`.
    #[must_use]
    pub fn most(&self, now: Timestamp) -> Weight {
        let gone = now.since(self.began);
        let due = (1..=STEPS).filter(|step| gone >= self.within * u32::from(*step) / u32::from(STEPS)).count();
        Self::share(self.from, u16::try_from(due).unwrap_or(STEPS))
    }

    /// Returns the share to go down to at `now`, `None` where the present one stays for now.
    #[must_use]
    pub fn falls_to(&self, now: Timestamp, share: Weight, bears: bool) -> Option<Weight> {
        let due = self.most(now);
        let next = if bears { self.next(share).min(due) } else { due };
        (next < share).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(text: &str) -> Weight {
        text.parse().unwrap()
    }

    fn recession(from: &str) -> Recession {
        let began = Timestamp::ZERO + Duration::from_secs(100);
        Recession { from: weight(from), began, within: Duration::from_secs(30), reason: "enough".to_owned() }
    }

    #[test]
    fn a_share_is_halved_twice_and_then_nothing() {
        let shares = |from: &str| -> Vec<String> {
            let recession = recession(from);
            let next = |share: &Weight| (*share > Weight::ZERO).then(|| recession.next(*share));
            std::iter::successors(Some(recession.from), next).map(|share| share.to_string()).collect()
        };
        assert_eq!(shares("100%"), ["100%", "50%", "25%", "0%"]);
        assert_eq!(shares("5%"), ["5%", "2.5%", "1.25%", "0%"]);
        assert_eq!(shares("0.03%"), ["0.03%", "0.01%", "0%"], "a quarter of it is no share any more");
        assert_eq!(shares("0.01%"), ["0.01%", "0%"]);
    }

    #[test]
    fn the_clock_takes_what_stable_is_not_seen_to_bear() {
        let recession = recession("80%");
        let at = |ms: u64| recession.began + Duration::from_millis(ms);
        let falls = |ms: u64, share: &str, bears: bool| recession.falls_to(at(ms), weight(share), bears).map(|to| to.to_string());
        assert_eq!(falls(0, "80%", false), None);
        assert_eq!(falls(0, "80%", true).as_deref(), Some("40%"));
        assert_eq!(falls(9_999, "80%", false), None);
        assert_eq!(falls(10_000, "80%", false).as_deref(), Some("40%"));
        assert_eq!(falls(10_000, "40%", false), None, "it is there already");
        assert_eq!(falls(10_000, "40%", true).as_deref(), Some("20%"));
        assert_eq!(falls(20_000, "80%", true).as_deref(), Some("20%"), "a tick that came late makes up for it");
        assert_eq!(falls(29_999, "20%", false), None);
        assert_eq!(falls(30_000, "20%", false).as_deref(), Some("0%"));
        assert_eq!(falls(90_000, "80%", false).as_deref(), Some("0%"));
    }
}
