//! Where randomness comes from: injected, like time.

use rand::TryRngCore;
use rand::rngs::OsRng;

use crate::Error;

/// A source of randomness that nobody can foresee.
pub trait Random: Send + Sync + 'static {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// [`Error::CanNotSeal`] when there is none.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Error>;
}

/// The system's.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Error> {
        OsRng.try_fill_bytes(bytes).map_err(|_| Error::CanNotSeal("the system gives no randomness"))
    }
}
