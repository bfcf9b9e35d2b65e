//! Keeps an alarm that is raised on every tick from being told on every tick.

use std::collections::HashMap;
use std::time::Duration;

use crate::domain::time::Timestamp;

/// How long the same alarm is not repeated.
const PAUSE: Duration = Duration::from_secs(10);

/// The alarms of the last ten seconds.
#[derive(Debug, Default)]
pub struct Quiet {
    told: HashMap<String, Timestamp>,
}

impl Quiet {
    /// Says whether an alarm is to be told now: it was not told within the last ten seconds.
    pub fn admits(&mut self, sentence: &str, now: Timestamp) -> bool {
        self.told.retain(|_, at| now.since(*at) < PAUSE);
        if self.told.contains_key(sentence) {
            return false;
        }
        self.told.insert(sentence.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_that_goes_on_is_told_every_ten_seconds() {
        let (mut quiet, tick) = (Quiet::default(), Duration::from_millis(100));
        let mut now = Timestamp::ZERO;
        let mut told = 0;
        for _ in 0..350 {
            told += u32::from(quiet.admits("the disk is full", now));
            now = now + tick;
        }
        assert_eq!(told, 4, "at 0, 10, 20 and 30 s");
        assert!(quiet.admits("something else", now));
        assert_eq!(quiet.told.len(), 2);
        assert!(quiet.admits("the end", now + PAUSE));
        assert_eq!(quiet.told.len(), 1, "what is over is forgotten");
    }
}
