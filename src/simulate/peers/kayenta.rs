//! Kayenta (a69573be): at the end of each interval a Mann-Whitney test of the per-minute values of both versions; the canary is
//! bad when the lower end of the 98 % interval of the shift exceeds a quarter of the Hodges-Lehmann estimate.

use crate::domain::outcome::Role;
use crate::simulate::peers::stream::Completion;

/// The two-sided 98 % point of the normal distribution.
const Z: f64 = 2.326_347_874;
/// The tolerance of Kayenta's classifier.
const TOLERANCE: f64 = 0.25;

/// The per-minute values of both versions.
#[derive(Debug, Default)]
pub struct Kayenta {
    /// What completes in the minute that is open and those after it, in milliseconds.
    minutes: std::collections::BTreeMap<u64, [Vec<f64>; 2]>,
    series: [Vec<f64>; 2],
}

/// One minute in nanoseconds.
const MINUTE: u64 = 60_000_000_000;

impl Kayenta {
    /// Takes in a completion.
    pub fn add(&mut self, role: Role, completion: &Completion) {
        let [stable, canary] = self.minutes.entry(completion.at.as_nanos() / MINUTE).or_default();
        let side = if role == Role::Canary { canary } else { stable };
        side.push(completion.latency.as_secs_f64() * 1e3);
    }

    /// Closes every minute that ended before `now` (in nanoseconds): of each version the value at `quantile`.
    pub fn close(&mut self, now: u64, quantile: f64) {
        while let Some(entry) = self.minutes.first_entry().filter(|entry| (entry.key() + 1) * MINUTE <= now) {
            for (series, mut values) in self.series.iter_mut().zip(entry.remove()) {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count is a count")]
                let rank = ((values.len() as f64 * quantile).ceil() as usize).clamp(1, values.len().max(1)) - 1;
                if !values.is_empty() {
                    let (_, value, _) = values.select_nth_unstable_by(rank, f64::total_cmp);
                    series.push(*value);
                }
            }
        }
    }

    /// Judges the series and begins new ones; `None` without values of one version.
    pub fn is_high(&mut self) -> Option<bool> {
        let [stable, canary] = std::mem::take(&mut self.series);
        let (lower, estimate) = shift(&stable, &canary)?;
        Some(lower > TOLERANCE * estimate.abs())
    }
}

/// Returns the lower end of the 98 % interval of the shift from the first to the second series, and the Hodges-Lehmann
/// estimate of it, by the normal approximation of the Mann-Whitney statistic.
fn shift(from: &[f64], to: &[f64]) -> Option<(f64, f64)> {
    let mut differences: Vec<f64> = to.iter().flat_map(|t| from.iter().map(move |f| t - f)).collect();
    differences.sort_by(f64::total_cmp);
    let (n, m) = (from.len() as f64, to.len() as f64);
    let rank = n * m / 2.0 - Z * (n * m * (n + m + 1.0) / 12.0).sqrt();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is cut at 0 and below the number of differences")]
    let rank = rank.max(0.0) as usize;
    Some((*differences.get(rank)?, crate::simulate::expect::median(&differences)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shift_is_that_of_mann_whitney() {
        let from: Vec<f64> = (0..60).map(f64::from).collect();
        let to: Vec<f64> = from.iter().map(|x| x + 1_000.0).collect();
        let (lower, estimate) = shift(&from, &to).unwrap();
        assert!((estimate - 1_000.0).abs() < 1e-9 && (980.0..1_000.0).contains(&lower), "{lower} {estimate}");
        let (lower, estimate) = shift(&from, &from).unwrap();
        assert!(estimate == 0.0 && lower < 0.0);
        assert_eq!(shift(&[], &to), None);
    }

    #[test]
    fn a_minute_gives_one_value_of_each_version() {
        let mut kayenta = Kayenta::default();
        for n in 0..120_u64 {
            let at = crate::domain::time::Timestamp::from_nanos(n * 1_000_000_000);
            for (role, ms) in [(Role::Stable, 100), (Role::Canary, 1_100)] {
                kayenta.add(role, &Completion { at, latency: std::time::Duration::from_millis(ms), fails: false });
            }
        }
        kayenta.close(MINUTE, 0.95);
        assert_eq!(kayenta.series, [vec![100.0], vec![1_100.0]]);
        kayenta.close(2 * MINUTE, 0.95);
        assert_eq!(kayenta.is_high(), Some(true));
        assert_eq!(kayenta.is_high(), None, "the series begin again");
    }
}
