//! RSA signing keys, for verifiers that support nothing newer (ADR 27, 37). `ring` signs, in constant time; the crate `rsa` only generates
//! the key, once, when no attacker can measure it.

use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rsa::pkcs8::EncodePrivateKey as _;
use rsa::rand_core::OsRng;
use zeroize::Zeroizing;

use crate::Error;

/// Length of the modulus, in bits.
const BITS: usize = 2048;

/// A private key that signs with RSA (PKCS #1 v1.5) and SHA-256.
pub struct RsaKey(RsaKeyPair);

impl std::fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RsaKey(…)")
    }
}

impl RsaKey {
    /// Generates a key of 2,048 bits, as PKCS #8, DER, which the caller has to seal. Takes a considerable part of a second of CPU time.
    ///
    /// # Errors
    /// [`Error::Rsa`], if there is no randomness.
    pub fn generate() -> Result<Zeroizing<Vec<u8>>, Error> {
        let made = rsa::RsaPrivateKey::new(&mut OsRng, BITS).map_err(|_| Error::Rsa)?;
        let private = made.to_pkcs8_der().map_err(|_| Error::Rsa)?;
        Ok(Zeroizing::new(private.as_bytes().to_vec()))
    }

    /// Reads a private key in PKCS #8, DER.
    ///
    /// # Errors
    /// [`Error::Rsa`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, Error> {
        RsaKeyPair::from_pkcs8(der).map(Self).map_err(|_| Error::Rsa)
    }

    /// Signs a message.
    ///
    /// # Errors
    /// [`Error::Rsa`], if there is no randomness.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).map_err(|_| Error::Rsa)?;
        Ok(signature)
    }

    /// The public key, as PKCS #1, DER.
    pub fn public_der(&self) -> &[u8] {
        self.0.public().as_ref()
    }

    /// The public key's modulus and exponent, most significant byte first.
    pub fn public(&self) -> (Vec<u8>, Vec<u8>) {
        let PublicKeyComponents { n, e } = PublicKeyComponents::from(self.0.public());
        (n, e)
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};

    use super::*;

    #[test]
    fn what_a_key_signs_its_public_part_verifies_and_nothing_else() {
        let key = RsaKey::from_pkcs8(&RsaKey::generate().unwrap()).unwrap();
        let signature = key.sign(b"message").unwrap();
        let (n, e) = key.public();
        assert_eq!((n.len() * 8, e.as_slice()), (BITS, &[1, 0, 1][..]));
        let verify =
            |message| RsaPublicKeyComponents { n: &n, e: &e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, &signature);
        assert!(verify(b"message").is_ok() && verify(b"another").is_err());
        let der = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_der());
        assert!(der.verify(b"message", &signature).is_ok());
        assert_eq!(format!("{key:?}"), "RsaKey(…)");
        assert_eq!(RsaKey::from_pkcs8(b"no key").unwrap_err(), Error::Rsa);
    }
}
