//! The text form of API keys: tenant, key id and secret.

use auth_aggregates::ApiKeyId;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::{Refusal, TenantId};
use keys::Random;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

/// The prefix of each key, so that people and secret scanners recognize it.
const PREFIX: &str = "ink_";

const SECRET: usize = 32;

/// An API key, as a machine sends it.
pub struct ApiKeyText {
    /// The tenant in the key. It is not trustworthy before the secret was compared.
    pub tenant: Uuid,
    /// The id of the key.
    pub key: ApiKeyId,
    secret: Zeroizing<[u8; SECRET]>,
}

impl ApiKeyText {
    /// Generates a key with a random secret.
    ///
    /// # Errors
    /// When the source of randomness fails.
    pub fn generate(tenant: TenantId, key: ApiKeyId, random: &dyn Random) -> Result<Self, Refusal> {
        let mut secret = Zeroizing::new([0; SECRET]);
        random.fill(&mut *secret).map_err(super::refused)?;
        Ok(Self { tenant: tenant.uuid(), key, secret })
    }

    /// Whether a bearer token has the prefix of an API key.
    pub fn is_one(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// Parses an API key; none: it is malformed.
    pub fn read(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?);
        let (tenant, rest) = bytes.split_first_chunk::<16>()?;
        let (key, secret) = rest.split_first_chunk::<16>()?;
        let secret = Zeroizing::new(<[u8; SECRET]>::try_from(secret).ok()?);
        Some(Self { tenant: Uuid::from_bytes(*tenant), key: ApiKeyId::new(Uuid::from_bytes(*key)), secret })
    }

    /// The text, which is shown only once.
    pub fn write(&self) -> Zeroizing<String> {
        let bytes = [&self.tenant.as_bytes()[..], self.key.uuid().as_bytes(), &*self.secret].concat();
        Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(Zeroizing::new(bytes))))
    }

    /// The stored hash of its secret: SHA-256, hexadecimal.
    pub fn secret_hash(&self) -> String {
        hex::encode(Sha256::digest(*self.secret))
    }
}

#[cfg(test)]
mod tests {
    use keys::SystemRandom;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test's tenant")]
    fn a_key_is_read_as_it_was_written() {
        let tenant = TenantId::vouched(Uuid::from_u128(5));
        let key = ApiKeyText::generate(tenant, ApiKeyId::new(Uuid::from_u128(6)), &SystemRandom).unwrap();
        let read = ApiKeyText::read(&key.write()).unwrap();
        assert_eq!((read.tenant, read.key, read.secret_hash()), (key.tenant, key.key, key.secret_hash()));
        for other in ["", "ink_", "ink_AAAA", &key.write()[4..], &format!("{}A", *key.write())] {
            assert!(ApiKeyText::read(other).is_none(), "{other}");
        }
    }
}
