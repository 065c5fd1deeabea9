//! RSA keys for decryption with OAEP. `ring` has no RSA decryption, so this uses the crate `rsa`, whose timing depends on its input
//! (RUSTSEC-2023-0071). Therefore each decryption is blinded, so that an attacker does not know the actual input. And such a key is used
//! for nothing else: whoever found it out could decrypt what was sent about a few people, but not sign anything.

use rsa::pkcs8::DecodePrivateKey as _;
use rsa::rand_core::OsRng;
use rsa::{Oaep, RsaPrivateKey};
use sha1::Sha1;
use sha2::digest::DynDigest;
use sha2::{Digest as _, Sha256, Sha512};
use zeroize::Zeroizing;

use crate::Error;

/// The hash function of OAEP. (OAEP does not depend on collision resistance, so SHA-1 is as safe as the others.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OaepHash {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl OaepHash {
    fn digest(self) -> Box<dyn DynDigest + Send + Sync> {
        match self {
            Self::Sha1 => Box::new(Sha1::new()),
            Self::Sha256 => Box::new(Sha256::new()),
            Self::Sha512 => Box::new(Sha512::new()),
        }
    }
}

/// A private key that decrypts RSA-OAEP.
pub struct OaepKey(RsaPrivateKey);

impl std::fmt::Debug for OaepKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OaepKey(…)")
    }
}

impl OaepKey {
    /// Reads a private key in PKCS #8, DER.
    ///
    /// # Errors
    /// [`Error::Rsa`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, Error> {
        RsaPrivateKey::from_pkcs8_der(der).map(Self).map_err(|_| Error::Rsa)
    }

    /// Decrypts. `hash` is the hash function of the message, `mask` that of the mask (MGF1); the label is empty.
    ///
    /// # Errors
    /// [`Error::DoesNotOpen`], for every kind of failure.
    pub fn open(&self, hash: OaepHash, mask: OaepHash, encrypted: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let padding = Oaep { digest: hash.digest(), mgf_digest: mask.digest(), label: None };
        let opened = self.0.decrypt_blinded(&mut OsRng, padding, encrypted);
        opened.map(Zeroizing::new).map_err(|_| Error::DoesNotOpen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RsaKey;

    #[test]
    fn what_was_encrypted_for_a_key_it_opens_and_no_other_does() {
        let (pkcs8, other) = (RsaKey::generate().unwrap(), RsaKey::generate().unwrap());
        let (key, other) = (OaepKey::from_pkcs8(&pkcs8).unwrap(), OaepKey::from_pkcs8(&other).unwrap());
        let public = RsaPrivateKey::from_pkcs8_der(&pkcs8).unwrap().to_public_key();
        let all = [OaepHash::Sha1, OaepHash::Sha256, OaepHash::Sha512];
        for (hash, mask) in all.into_iter().flat_map(|hash| all.map(|mask| (hash, mask))) {
            let padding = Oaep { digest: hash.digest(), mgf_digest: mask.digest(), label: None };
            let mut encrypted = public.encrypt(&mut OsRng, padding, b"a key").unwrap();
            assert_eq!(key.open(hash, mask, &encrypted).unwrap().as_slice(), b"a key");
            assert_eq!(other.open(hash, mask, &encrypted).unwrap_err(), Error::DoesNotOpen);
            encrypted[100] ^= 1;
            assert_eq!(key.open(hash, mask, &encrypted).unwrap_err(), Error::DoesNotOpen);
        }
        for nothing in [&[][..], &[0; 255], &[0xff; 256], &[0; 257]] {
            assert_eq!(key.open(OaepHash::Sha1, OaepHash::Sha1, nothing).unwrap_err(), Error::DoesNotOpen);
        }
        assert_eq!(format!("{key:?}"), "OaepKey(…)");
        assert_eq!(OaepKey::from_pkcs8(b"no key").unwrap_err(), Error::Rsa);
    }
}
