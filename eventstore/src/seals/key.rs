//! The key pair for seals: [`SealKey`] signs, and anybody can verify with [`SealedBy`], the public key.

use std::fmt;

use ed25519_compact::{KeyPair, PublicKey, Seed, Signature};
use sha2::{Digest, Sha256};

use super::Seal;

/// The prefix of an Ed25519 public key in DER form (RFC 8410): the algorithm, and the header of a bit string of 256 bits.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// An Ed25519 signing key, which `Debug` does not show.
#[derive(Clone)]
pub struct SealKey(KeyPair);

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKey({})", self.sealed_by().id())
    }
}

impl SealKey {
    /// Parses the seed of a key (RFC 8032): 64 hexadecimal digits. `None` if the text is invalid.
    pub fn parse(text: &str) -> Option<Self> {
        let mut seed = [0; 32];
        hex::decode_to_slice(text.trim(), &mut seed).ok()?;
        Some(Self(KeyPair::from_seed(Seed::new(seed))))
    }

    /// Its public key.
    pub fn sealed_by(&self) -> SealedBy {
        SealedBy(self.0.pk)
    }

    pub(super) fn sign(&self, statement: &[u8]) -> [u8; 64] {
        *self.0.sk.sign(statement, None)
    }
}

/// A public key with which seals are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedBy(PublicKey);

impl SealedBy {
    /// The first 16 hexadecimal digits of the key's SHA-256.
    pub fn id(&self) -> String {
        hex::encode(&Sha256::digest(*self.0)[..8])
    }

    /// Whether the seal has a valid signature of this key.
    pub fn has_signed(&self, seal: &Seal) -> bool {
        seal.key == self.id() && self.0.verify(seal.statement(), &Signature::new(seal.signature)).is_ok()
    }

    /// The key as PEM (RFC 8410), which OpenSSL can read.
    pub fn to_pem(&self) -> String {
        let der = [&SPKI[..], &self.0[..]].concat();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", base64(&der))
    }

    /// Parses the keys in a text: PEM blocks as [`to_pem`](Self::to_pem) writes them; other text between them is ignored. `None` if one is
    /// invalid, or there is none.
    pub fn parse(text: &str) -> Option<Vec<Self>> {
        let mut keys = Vec::new();
        for block in text.split("-----BEGIN PUBLIC KEY-----").skip(1) {
            let (body, _) = block.split_once("-----END PUBLIC KEY-----")?;
            let der = from_base64(&body.split_whitespace().collect::<String>())?;
            keys.push(Self(PublicKey::from_slice(der.strip_prefix(&SPKI)?).ok()?));
        }
        (!keys.is_empty()).then_some(keys)
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written_and_nothing_else_is() {
        let keys = ["11", "22"].map(|byte| SealKey::parse(&byte.repeat(32)).unwrap().sealed_by());
        let file = format!("of 2026\n{}of 2027\n{}", keys[0].to_pem(), keys[1].to_pem());
        assert_eq!(SealedBy::parse(&file), Some(keys.to_vec()));
        for wrong in ["", "11", &file.replace("MCow", "MCov"), &file.replace("-----END", "")] {
            assert_eq!(SealedBy::parse(wrong), None, "{wrong}");
        }
        for wrong in ["", "11", &"1g".repeat(32), &"11".repeat(33)] {
            assert!(SealKey::parse(wrong).is_none(), "{wrong}");
        }
    }
}
