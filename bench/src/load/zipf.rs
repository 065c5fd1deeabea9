//! An uneven distribution of tenants: the nth is chosen with a probability proportional to 1/n (Zipf's law with exponent 1).

use std::sync::Arc;

/// Tokens of different tenants with a Zipf distribution.
#[derive(Clone, Debug)]
pub struct Zipf {
    tokens: Vec<Arc<str>>,
    /// The cumulative probability of the tenants up to and including each one.
    until: Vec<f64>,
}

impl Zipf {
    /// The first token has the highest probability. `tokens` must not be empty.
    pub fn new(tokens: Vec<Arc<str>>) -> Self {
        let all: f64 = (1..=tokens.len()).map(|rank| 1.0 / rank as f64).sum();
        let mut sum = 0.0;
        let until = (1..=tokens.len()).map(|rank| {
            sum += 1.0 / rank as f64;
            sum / all
        });
        Self { until: until.collect(), tokens }
    }

    /// Chooses a token. The same number chooses the same one.
    pub fn choose(&self, number: u64) -> Arc<str> {
        let at = spread(number);
        let chosen = self.until.partition_point(|until| *until <= at).min(self.tokens.len() - 1);
        self.tokens[chosen].clone()
    }
}

/// Maps consecutive numbers to pseudo-random numbers from 0 to 1 (SplitMix64).
fn spread(number: u64) -> f64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_chosen_twice_as_often_as_the_second_and_nobody_never() {
        let zipf = Zipf::new(["a", "b", "c"].map(Arc::from).to_vec());
        let mut counts = [0_u32; 3];
        for number in 0..11_000 {
            counts[["a", "b", "c"].iter().position(|token| **token == *zipf.choose(number)).unwrap()] += 1;
        }
        // Probabilities 6/11, 3/11 and 2/11.
        for (count, expected) in counts.iter().zip([6_000, 3_000, 2_000]) {
            assert!(count.abs_diff(expected) < 300, "{counts:?}");
        }
    }
}
