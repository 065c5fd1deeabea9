//! A random generator (SplitMix64) whose numbers are the same on every machine and in every release.

/// A random generator. The same seed and purpose give the same numbers.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// A generator for one purpose. Each purpose has its own sequence, so a change in one does not change the others' data.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mixed = purpose.bytes().fold(seed, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self(mixed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound` - 1; 0 if `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        // Multiply and take the upper half: maps the 64-bit number to the range evenly and without a division.
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// A number in the range, both ends included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1).max(1) as usize) as i64
    }

    /// True with a probability of `percent` %.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// A random item.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// A random item, with a probability proportional to its weight.
    pub fn weighted<T: Copy>(&mut self, items: &[(T, usize)]) -> T {
        let mut left = self.below(items.iter().map(|(_, weight)| weight).sum());
        for (item, weight) in items {
            if left < *weight {
                return *item;
            }
            left -= weight;
        }
        items[items.len() - 1].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_draws_for_ever() {
        let mut dice = Dice::new(1, "leads");
        let draws: Vec<_> = (0..6).map(|_| dice.below(1000)).collect();
        assert_eq!(draws, FIRST_DRAWS);
        assert_ne!((0..6).map(|_| Dice::new(1, "deals").below(1000)).collect::<Vec<_>>(), FIRST_DRAWS);
    }

    #[test]
    fn weights_are_kept() {
        let mut dice = Dice::new(2, "weights");
        let heavy = (0..10_000).filter(|_| dice.weighted(&[(true, 3), (false, 1)])).count();
        assert!((7_200..7_800).contains(&heavy), "{heavy}");
    }

    const FIRST_DRAWS: [usize; 6] = [357, 635, 607, 850, 748, 246];
}
