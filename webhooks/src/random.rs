//! The source of randomness, which is injected.

use rand::RngCore;

/// A source of random bytes, for secrets and jitter.
pub trait RandomSource: Send + Sync + 'static {
    /// Fills a buffer with cryptographically secure random bytes.
    fn fill(&self, bytes: &mut [u8]);

    /// A random number from 0 to 1.
    fn unit(&self) -> f64 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
    }
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandomSource;

impl RandomSource for SystemRandomSource {
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}
