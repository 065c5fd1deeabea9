//! Master keys: they wrap (encrypt) data keys.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::{Context, DataKey, Error, Random, Wrapped};

/// The results for several keys, in the order of the keys.
pub type Each<T> = Vec<Result<T, Error>>;

/// A key that wraps data keys, in this process or in another system.
#[async_trait]
pub trait MasterKey: Send + Sync {
    /// Its name, which precedes every key that it wrapped. The name reveals nothing of the key, contains no dot, and is never `v1` (the
    /// prefix of [`Sealed`](crate::Sealed)).
    fn name(&self) -> &str;

    /// Whether it unwraps the keys that the master key of this name wrapped.
    fn unwraps(&self, name: &str) -> bool {
        name == self.name()
    }

    /// Wraps a data key for a context.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::CanNotSeal`].
    async fn wrap(&self, context: Context<'_>, key: &DataKey) -> Result<Wrapped, Error>;

    /// Unwraps a data key that was wrapped for this context.
    ///
    /// # Errors
    /// [`Error::OtherMaster`], [`Error::DoesNotOpen`], [`Error::Unavailable`].
    async fn unwrap(&self, context: Context<'_>, wrapped: &Wrapped) -> Result<DataKey, Error>;

    /// Wraps several data keys; a remote implementation does it in one request.
    async fn wrap_all(&self, keys: &[(Context<'_>, &DataKey)]) -> Each<Wrapped> {
        let mut each = Vec::with_capacity(keys.len());
        for (context, key) in keys {
            each.push(self.wrap(*context, key).await);
        }
        each
    }

    /// Unwraps several data keys.
    async fn unwrap_all(&self, wrapped: &[(Context<'_>, &Wrapped)]) -> Each<DataKey> {
        let mut each = Vec::with_capacity(wrapped.len());
        for (context, wrapped) in wrapped {
            each.push(self.unwrap(*context, wrapped).await);
        }
        each
    }

    /// Wraps again the keys that this master key would wrap differently now: those of one of its older versions or, in a
    /// [`Succession`](crate::Succession), of the former master key. `None` for the others. A master key without versions returns `None` for
    /// all.
    async fn renewed(&self, wrapped: &[(Context<'_>, &Wrapped)]) -> Each<Option<Wrapped>> {
        wrapped.iter().map(|(_, wrapped)| wrapped.by(self.name()).map(|_| None)).collect()
    }
}

/// Unwraps keys with one master key and wraps them with another one (or the same).
pub async fn rewrap(from: &dyn MasterKey, to: &dyn MasterKey, wrapped: &[(Context<'_>, &Wrapped)]) -> Each<Wrapped> {
    let opened = from.unwrap_all(wrapped).await;
    let found = wrapped.iter().zip(&opened);
    let keys: Vec<_> = found.filter_map(|((context, _), key)| Some((*context, key.as_ref().ok()?))).collect();
    let mut anew = to.wrap_all(&keys).await.into_iter();
    let mut next = || anew.next().unwrap_or(Err(Error::DoesNotOpen));
    opened.iter().map(|key| key.as_ref().map_err(Clone::clone).and_then(|_| next())).collect()
}

/// A master key in this process, read from the environment or a file.
pub struct LocalMasterKey {
    key: DataKey,
    name: String,
    random: Box<dyn Random>,
}

impl LocalMasterKey {
    /// Parses a master key: 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::NotAKey`].
    pub fn parse(text: &str, random: impl Random) -> Result<Self, Error> {
        let mut key = [0; 32];
        hex::decode_to_slice(text.trim(), &mut key).map_err(|_| Error::NotAKey)?;
        // A hash identifies the key without revealing it.
        let digest = Sha256::new_with_prefix("inopsio master key").chain_update(key).finalize();
        let name = format!("local-{}", hex::encode(&digest[..6]));
        Ok(Self { key: DataKey::new(key), name, random: Box::new(random) })
    }
}

impl std::fmt::Debug for LocalMasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalMasterKey({})", self.name)
    }
}

#[async_trait]
impl MasterKey for LocalMasterKey {
    fn name(&self) -> &str {
        &self.name
    }

    async fn wrap(&self, context: Context<'_>, key: &DataKey) -> Result<Wrapped, Error> {
        let bytes = self.key.encrypt(&context.bytes(), key.reveal(), &*self.random)?;
        Ok(Wrapped::new(&self.name, &URL_SAFE_NO_PAD.encode(bytes)))
    }

    async fn unwrap(&self, context: Context<'_>, wrapped: &Wrapped) -> Result<DataKey, Error> {
        let bytes = URL_SAFE_NO_PAD.decode(wrapped.by(&self.name)?).map_err(|_| Error::DoesNotOpen)?;
        let key = self.key.decrypt(&context.bytes(), &bytes)?;
        key.as_slice().try_into().map(DataKey::new).map_err(|_| Error::DoesNotOpen)
    }
}

#[cfg(test)]
mod tests {
    use kernel::TenantId;
    use uuid::Uuid;

    use super::*;
    use crate::SystemRandom;

    #[expect(clippy::disallowed_methods, reason = "a test's tenants")]
    fn context(tenant: u128) -> Context<'static> {
        Context { tenant: TenantId::vouched(Uuid::from_u128(tenant)), purpose: "tenant", subject: "" }
    }

    fn master(digit: &str) -> LocalMasterKey {
        LocalMasterKey::parse(&digit.repeat(64), SystemRandom).unwrap()
    }

    #[tokio::test]
    async fn a_wrapped_key_comes_back_for_its_tenant_from_its_master_only() {
        let key = DataKey::new([9; 32]);
        let wrapped = master("a").wrap(context(1), &key).await.unwrap();
        assert_eq!(master("a").unwrap(context(1), &wrapped).await.unwrap().reveal(), key.reveal());
        assert_eq!(master("a").unwrap(context(2), &wrapped).await.unwrap_err(), Error::DoesNotOpen);
        let error = master("b").unwrap(context(1), &wrapped).await.unwrap_err();
        assert!(matches!(error, Error::OtherMaster { .. }), "{error}");
        assert!(!error.to_string().contains("aaaa"), "{error}");
    }

    #[test]
    fn a_master_key_is_64_hexadecimal_digits() {
        for text in ["", "abc", &"g".repeat(64), &"a".repeat(63), &"a".repeat(66)] {
            assert_eq!(LocalMasterKey::parse(text, SystemRandom).unwrap_err(), Error::NotAKey, "{text:?}");
        }
        assert_eq!(format!("{:?}", master("a")).len(), "LocalMasterKey(local-0123456789ab)".len());
    }
}
