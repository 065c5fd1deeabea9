//! Randomness, injected.

use rand::RngCore;

/// Where random bytes come from: secrets, and how long to wait.
pub trait RandomSource: Send + Sync + 'static {
    /// Fills these bytes so that nobody can guess them.
    fn fill(&self, bytes: &mut [u8]);

    /// A number from 0 to 1.
    fn unit(&self) -> f64 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
    }
}

/// The machine's own randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandomSource;

impl RandomSource for SystemRandomSource {
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}
