//! Who is asked by a webhook before a rollout begins, goes on or is promoted, and who is told of its end.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::gate::Inconclusive;

/// On what occasion somebody is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Occasion {
    /// Before the canary gets its first share.
    Start,
    /// Before it gets the next one.
    Raise,
    /// Before it owns the traffic.
    Promotion,
    /// After the end, whatever that is; nobody waits for the answer.
    End,
}

/// One webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// What it is called in messages.
    pub name: String,
    /// When it is asked.
    pub occasion: Occasion,
    /// Where, with http or https.
    pub url: String,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How often it is asked again after an answer that is no 2xx, or none.
    pub retries: u16,
    /// What it is told beside the rollout.
    pub metadata: BTreeMap<String, String>,
}

impl Webhook {
    /// Returns the pause before attempt number `attempt`, counted from 0: half a second before the second, and twice as long before
    /// each further one, up to 16 s.
    #[must_use]
    pub fn pause(attempt: u16) -> Duration {
        match attempt {
            0 => Duration::ZERO,
            _ => Duration::from_millis(500) * 2_u32.pow(u32::from(attempt - 1).min(5)),
        }
    }

    /// Returns how long it may take with all its attempts.
    #[must_use]
    pub fn patience(&self) -> Duration {
        (0..=self.retries).map(|attempt| self.timeout + Self::pause(attempt)).sum()
    }
}

/// What a rollout knows of its webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consulting {
    /// Whether somebody is asked before it begins.
    pub start: bool,
    /// Whether somebody is asked before each raise.
    pub raise: bool,
    /// Whether somebody is asked before the promotion.
    pub promotion: bool,
    /// Whether somebody is told of its end.
    pub end: bool,
    /// How long an answer may take; without one by then it counts as a refusal.
    pub patience: Duration,
    /// What happens after a refusal.
    pub then: Inconclusive,
}

impl Consulting {
    /// How much longer than all attempts together an answer may take.
    const MARGIN: Duration = Duration::from_secs(5);

    /// Sums up webhooks; `None` where there are none.
    #[must_use]
    pub fn of(webhooks: &[Webhook], then: Inconclusive) -> Option<Self> {
        let asked = |occasion| webhooks.iter().any(|webhook| webhook.occasion == occasion);
        let patience = |occasion| webhooks.iter().filter(|webhook| webhook.occasion == occasion).map(Webhook::patience).sum::<Duration>();
        let longest = [Occasion::Start, Occasion::Raise, Occasion::Promotion].into_iter().map(patience).max().unwrap_or_default();
        (!webhooks.is_empty()).then(|| Self {
            start: asked(Occasion::Start),
            raise: asked(Occasion::Raise),
            promotion: asked(Occasion::Promotion),
            end: asked(Occasion::End),
            patience: longest + Self::MARGIN,
            then,
        })
    }

    /// Says whether somebody is asked on an occasion.
    #[must_use]
    pub const fn asks(&self, occasion: Occasion) -> bool {
        match occasion {
            Occasion::Start => self.start,
            Occasion::Raise => self.raise,
            Occasion::Promotion => self.promotion,
            Occasion::End => self.end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patience_is_that_of_the_occasion_that_takes_longest() {
        let hook = |occasion, seconds, retries| Webhook {
            name: "gate".to_owned(),
            occasion,
            url: "http://127.0.0.1:1/".to_owned(),
            timeout: Duration::from_secs(seconds),
            retries,
            metadata: BTreeMap::new(),
        };
        assert_eq!(hook(Occasion::Start, 10, 2).patience(), Duration::from_millis(31_500));
        let hooks = [hook(Occasion::Raise, 10, 0), hook(Occasion::Raise, 10, 1), hook(Occasion::Start, 25, 0), hook(Occasion::End, 90, 9)];
        let consulting = Consulting::of(&hooks, Inconclusive::Hold).unwrap();
        assert_eq!(consulting.patience, Duration::from_millis(35_500));
        let asked = [Occasion::Start, Occasion::Raise, Occasion::Promotion, Occasion::End].map(|occasion| consulting.asks(occasion));
        assert_eq!((asked, Consulting::of(&[], Inconclusive::Hold)), ([true, true, false, true], None));
    }
}
