//! What the tests of the statistics share: exact expectations by enumeration, and seeded chance.
#![cfg(test)]

/// Returns E\[f(K)\] for K the number of heads in `n` throws of a coin that shows them with probability `p`.
pub(super) fn binomial_mean(n: u64, p: f64, f: impl Fn(u64) -> f64) -> f64 {
    let mut weight = (1.0 - p).powi(i32::try_from(n).unwrap());
    let mut mean = 0.0;
    for k in 0..=n {
        mean += weight * f(k);
        weight *= (n - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
    }
    mean
}

/// Calls `f` with every sequence of `length` throws and its probability under a coin of probability `p`.
pub(super) fn every_sequence(length: u32, p: f64, mut f: impl FnMut(&[bool], f64)) {
    for bits in 0..1_u32 << length {
        let throws: Vec<bool> = (0..length).map(|i| bits >> i & 1 == 1).collect();
        let heads = i32::try_from(bits.count_ones()).unwrap();
        f(&throws, p.powi(heads) * (1.0 - p).powi(i32::try_from(length).unwrap() - heads));
    }
}

/// Marsaglia's xorshift64* of a seed: chance that replays, without a crate for it in the domain.
pub(super) struct Chance(u64);

impl Chance {
    /// Begins the sequence of a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Returns the next number, from 0 to below 1.
    pub(super) fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Throws a coin that shows heads with probability `p`.
    pub(super) fn heads(&mut self, p: f64) -> bool {
        self.next() < p
    }
}
