//! Draws latencies from a model.

use std::time::Duration;

use crate::domain::time::Timestamp;
use crate::simulate::chance::Chance;
use crate::simulate::scenario::Latency;

/// A model with what it remembers from one request to the next.
#[derive(Clone, Debug)]
pub struct Sampler {
    model: Latency,
    /// The logarithm of an autoregressive model in standard deviations, and when that was.
    state: Option<(f64, Timestamp)>,
    inner: Option<Box<(Self, Self)>>,
}

impl Sampler {
    /// Makes a sampler that remembers nothing yet.
    #[must_use]
    pub fn new(model: &Latency) -> Self {
        let inner = match model {
            Latency::Bimodal { fast, slow, .. } => Some(Box::new((Self::new(fast), Self::new(slow)))),
            _ => None,
        };
        Self { model: model.clone(), state: None, inner }
    }

    /// Draws the latency of a request that begins at `at`, which is never before the one drawn last.
    pub fn next(&mut self, at: Timestamp, chance: &mut Chance) -> Duration {
        let seconds = match &self.model {
            Latency::Constant(span) => return span.0,
            Latency::Uniform { from, to } => chance.between(from.secs(), to.secs()),
            Latency::Lognormal { median, sigma } => median.secs() * (sigma.0 * chance.normal()).exp(),
            Latency::Pareto { scale, shape } => scale.secs() * (1.0 - chance.unit()).powf(-1.0 / shape.0),
            Latency::Bimodal { share, .. } => {
                let slow = chance.happens(share.0);
                return match &mut self.inner {
                    Some(both) if slow => both.1.next(at, chance),
                    Some(both) => both.0.next(at, chance),
                    None => Duration::ZERO,
                };
            }
            Latency::Autoregressive { median, sigma, correlation } => {
                let fresh = chance.normal();
                let level = match self.state {
                    Some((before, then)) if correlation.secs() > 0.0 => {
                        let kept = (-at.since(then).as_secs_f64() / correlation.secs()).exp();
                        kept * before + (1.0 - kept * kept).sqrt() * fresh
                    }
                    _ => fresh,
                };
                self.state = Some((level, at));
                median.secs() * (sigma.0 * level).exp()
            }
        };
        // A tail without an end may leave what a duration can hold.
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(u64::from(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::chance::Stream;

    fn model(text: &str) -> Latency {
        #[derive(serde::Deserialize)]
        struct Whole {
            latency: Latency,
        }
        toml::from_str::<Whole>(&format!("latency = {{ {text} }}")).unwrap().latency
    }

    /// The share of 100 000 requests, a millisecond apart, that take longer than a second.
    fn over(text: &str) -> f64 {
        let (mut sampler, mut chance) = (Sampler::new(&model(text)), Chance::new(5, Stream::Canary));
        let slow = (0..100_000_u32).filter(|n| {
            let at = Timestamp::ZERO + Duration::from_millis((*n).into());
            sampler.next(at, &mut chance) > Duration::from_secs(1)
        });
        slow.count() as f64 / 1e5
    }

    #[test]
    fn each_model_has_the_tail_it_should_have() {
        for (text, expected, within) in [
            ("constant = \"1s\"", 0.0, 0.0),
            ("uniform = { from = \"0s\", to = \"2s\" }", 0.5, 0.01),
            // P(Z > ln(1 / 0.25) / 0.843) = P(Z > 1.645)
            ("lognormal = { median = \"250ms\", sigma = 0.8428 }", 0.05, 0.003),
            ("pareto = { scale = \"53.6ms\", shape = 1.1 }", 0.04, 0.003),
            ("bimodal = { fast = { constant = \"1ms\" }, slow = { constant = \"2s\" }, share = 0.2 }", 0.2, 0.01),
            // Correlated, so that the share of a hundred seconds wanders more.
            ("autoregressive = { median = \"250ms\", sigma = 0.8428, correlation = \"200ms\" }", 0.05, 0.02),
        ] {
            let share = over(text);
            assert!((share - expected).abs() <= within, "{text}: {share}");
        }
    }

    #[test]
    fn what_is_autoregressive_remembers() {
        let text = "autoregressive = { median = \"250ms\", sigma = 1.0, correlation = \"1s\" }";
        let (mut sampler, mut chance) = (Sampler::new(&model(text)), Chance::new(5, Stream::Canary));
        let logs: Vec<f64> = (0..100_000_u64)
            .map(|n| sampler.next(Timestamp::ZERO + Duration::from_millis(100 * n), &mut chance).as_secs_f64().ln() - 0.25_f64.ln())
            .collect();
        let correlation = logs.windows(11).map(|w| w[0] * w[10]).sum::<f64>() / logs.len() as f64;
        assert!((correlation - (-1.0_f64).exp()).abs() < 0.05, "{correlation}");
    }
}
