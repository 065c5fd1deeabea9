//! The source of randomness, which is injected like time.

use rand::RngCore;

use crate::Error;

/// A cryptographically secure source of randomness.
pub trait Random: Send + Sync + 'static {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// [`Error::CanNotSeal`] if there is no randomness.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Error>;
}

/// A generator of each thread's own (ChaCha, seeded by the operating system and reseeded after every 64 KiB). Asking the operating system
/// directly would cost a system call for each person's key and each value encrypted under it.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Error> {
        rand::rng().fill_bytes(bytes);
        Ok(())
    }
}
