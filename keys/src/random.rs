//! Where randomness comes from: injected, like time.

use rand::RngCore;

use crate::Error;

/// A source of randomness that nobody can foresee.
pub trait Random: Send + Sync + 'static {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// [`Error::CanNotSeal`] when there is none.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Error>;
}

/// The system's, by a generator of each thread's own (ChaCha, seeded by the system, and anew after every 64 KiB): a person's key, and
/// each value under it, would be a call of the system otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Error> {
        rand::rng().fill_bytes(bytes);
        Ok(())
    }
}
