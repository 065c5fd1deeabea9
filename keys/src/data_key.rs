//! Data keys: they encrypt values (AES-256-GCM) and authenticate them (HMAC).

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::{Context, Error, Random, Sealed};

/// Length of a nonce, in bytes.
const NONCE: usize = 12;

/// A key of 256 bits. It is not shown by `Debug`, and its memory is overwritten when it is dropped.
#[derive(Clone)]
pub struct DataKey([u8; 32]);

impl Drop for DataKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey(…)")
    }
}

impl DataKey {
    /// Generates a new key.
    ///
    /// # Errors
    /// [`Error::CanNotSeal`] if there is no randomness.
    pub fn generate(random: &dyn Random) -> Result<Self, Error> {
        let mut key = Self([0; 32]);
        random.fill(&mut key.0)?;
        Ok(key)
    }

    /// Makes a key from its bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the key, for a master key to wrap.
    pub const fn reveal(&self) -> &[u8; 32] {
        &self.0
    }

    /// Encrypts a value for a context.
    ///
    /// # Errors
    /// [`Error::CanNotSeal`] if there is no randomness.
    pub fn seal(&self, context: Context<'_>, value: &[u8], random: &dyn Random) -> Result<Sealed, Error> {
        self.encrypt(&context.bytes(), value, random).map(|bytes| Sealed::new(&bytes))
    }

    /// Decrypts a value that was sealed for this context.
    ///
    /// # Errors
    /// [`Error::DoesNotOpen`].
    pub fn open(&self, context: Context<'_>, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.decrypt(&context.bytes(), &sealed.bytes()?)
    }

    /// A message authentication code (HMAC-SHA-256) of a value in a context, which proves later that the value comes from us.
    pub fn mac(&self, context: Context<'_>, value: &[u8]) -> [u8; 32] {
        self.hmac(context, value).finalize().into_bytes().into()
    }

    /// Whether `mac` is the authentication code of a value in a context, compared in constant time.
    pub fn verifies(&self, context: Context<'_>, value: &[u8], mac: &[u8]) -> bool {
        self.hmac(context, value).verify_slice(mac).is_ok()
    }

    fn hmac(&self, context: Context<'_>, value: &[u8]) -> Hmac<Sha256> {
        // HMAC takes a key of one block (64 bytes) as it is; it would itself pad a shorter one with zeros.
        let mut block = Zeroizing::new([0; 64]);
        block[..32].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&(*block).into());
        let context = context.bytes();
        mac.update(&(context.len() as u64).to_be_bytes());
        mac.update(&context);
        mac.update(value);
        mac
    }

    /// Encrypts to the nonce followed by the ciphertext.
    pub(crate) fn encrypt(&self, context: &[u8], value: &[u8], random: &dyn Random) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE];
        random.fill(&mut nonce)?;
        let payload = Payload { msg: value, aad: context };
        let ciphertext = self
            .cipher()
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| Error::CanNotSeal("the value is too long"))?;
        Ok([&nonce[..], &ciphertext].concat())
    }

    pub(crate) fn decrypt(&self, context: &[u8], bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE>().ok_or(Error::DoesNotOpen)?;
        let payload = Payload { msg: ciphertext, aad: context };
        let value = self.cipher().decrypt(&Nonce::from(*nonce), payload).map_err(|_| Error::DoesNotOpen)?;
        Ok(Zeroizing::new(value))
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&self.0.into())
    }
}

#[cfg(test)]
mod tests {
    use kernel::TenantId;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::SystemRandom;

    #[expect(clippy::disallowed_methods, reason = "a test's tenants")]
    fn context(tenant: u128) -> Context<'static> {
        Context { tenant: TenantId::vouched(Uuid::from_u128(tenant)), purpose: "auth.signing_key", subject: "k1" }
    }

    fn key() -> DataKey {
        DataKey::generate(&SystemRandom).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_in_its_context_under_its_key_and_nowhere_else() {
        let (key, context) = (key(), context(1));
        let sealed = key.seal(context, b"a secret", &SystemRandom).unwrap();
        assert_eq!(key.open(context, &sealed).unwrap().as_slice(), b"a secret");
        let elsewhere = [
            self::context(2),
            Context { purpose: "auth.totp", ..context },
            Context { subject: "k2", ..context },
            // The same characters, divided differently between purpose and subject.
            Context { purpose: "auth.signing_keyk", subject: "1", ..context },
        ];
        for other in elsewhere {
            assert_eq!(key.open(other, &sealed).unwrap_err(), Error::DoesNotOpen, "{other:?}");
        }
        assert_eq!(self::key().open(context, &sealed).unwrap_err(), Error::DoesNotOpen);
    }

    #[test]
    fn the_same_value_is_never_sealed_to_the_same_text() {
        let key = key();
        let seal = || key.seal(context(1), b"a secret", &SystemRandom).unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn a_key_shows_nothing_of_itself() {
        assert_eq!(format!("{:?}", DataKey::new([7; 32])), "DataKey(…)");
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_noticed(
            value in prop::collection::vec(any::<u8>(), 0..100),
            at in any::<prop::sample::Index>(),
            by in 1..=255_u8,
        ) {
            let key = key();
            let mut bytes = key.seal(context(1), &value, &SystemRandom).unwrap().bytes().unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= by;
            prop_assert_eq!(key.open(context(1), &Sealed::new(&bytes)).unwrap_err(), Error::DoesNotOpen);
        }
    }
}
