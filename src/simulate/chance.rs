//! Where a run's chance comes from: one generator for each thing that happens by chance, all from the run's seed.
//!
//! Arrivals do not use up the numbers of the versions, nor the versions those of the split: what the traffic does is the same
//! whoever judges it, so that Portcullis and its peers see the same requests.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// What happens by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// When requests arrive.
    Arrivals = 1,
    /// How the stable version behaves.
    Stable = 2,
    /// How the canary behaves.
    Canary = 3,
    /// When both versions stall.
    Stalls = 4,
    /// What the data plane draws.
    Plane = 5,
    /// What operators, disks and processes do.
    Chaos = 6,
    /// What is drawn for a peer.
    Peer = 7,
}

/// A generator of random numbers. Its algorithm is fixed, so that a seed means the same run on every machine and version.
#[derive(Clone, Debug)]
pub struct Chance(Xoshiro256PlusPlus);

impl Chance {
    /// Makes the generator of one stream of a run.
    #[must_use]
    pub fn new(seed: u64, stream: Stream) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ ((stream as u64) << 56)))
    }

    /// Returns a number from 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        self.0.random()
    }

    /// Says whether something with this probability happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    /// Returns an exponentially distributed number with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// Returns a normally distributed number with mean 0 and variance 1 (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let (radius, angle) = ((2.0 * self.exponential()).sqrt(), std::f64::consts::TAU * self.unit());
        radius * angle.cos()
    }

    /// Returns a number between two bounds.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Returns a whole number from 0 to below `bound`, 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound < 2 { 0 } else { self.0.random_range(0..bound) }
    }

    /// Returns 32 random bits.
    pub fn word(&mut self) -> u32 {
        self.0.random()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_seed_differ_and_a_seed_repeats() {
        let first = |seed, stream| Chance::new(seed, stream).word();
        assert_eq!(first(7, Stream::Stable), first(7, Stream::Stable));
        assert_ne!(first(7, Stream::Stable), first(7, Stream::Canary));
        assert_ne!(first(7, Stream::Stable), first(8, Stream::Stable));
    }

    #[test]
    fn distributions_have_their_moments() {
        let mut chance = Chance::new(1, Stream::Plane);
        let n = 200_000;
        let normal: Vec<f64> = (0..n).map(|_| chance.normal()).collect();
        let mean = normal.iter().sum::<f64>() / f64::from(n);
        let variance = normal.iter().map(|x| x * x).sum::<f64>() / f64::from(n);
        let exponential = (0..n).map(|_| chance.exponential()).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02 && (exponential - 1.0).abs() < 0.01, "{mean} {variance} {exponential}");
    }
}
