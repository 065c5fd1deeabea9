//! A tenant's key ring, loaded and ready for use.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use auth_aggregates::{Algorithm, KeyRing, SamlDecryptionKeyAdded, SamlKeyAdded, SigningKeyAdded};
use chrono::{DateTime, Utc};
use kernel::{Refusal, TenantId};
use keys::{Context, DataKey, Envelope, Random};
use saml::{Certificate, DecryptionKey, SigningKey};
use serde_json::{Value, json};

use super::refused;
use super::signature::{NotAKey, PublicKey, SecretKey};

/// A tenant's key ring.
pub struct Ring {
    envelope: Envelope,
    /// The tenant's data key, opened when it is first needed.
    opened: OnceLock<DataKey>,
    state: KeyRing,
    keys: Vec<RingKey>,
    loaded_at: DateTime<Utc>,
    /// The key that signs SAML requests, opened when it is first needed.
    saml: OnceLock<Arc<SigningKey>>,
    /// The key that decrypts SAML messages, opened when it is first needed.
    saml_decryption: OnceLock<Arc<DecryptionKey>>,
    /// Whether the age of its keys was checked, by algorithm.
    age_checked: [AtomicBool; 3],
}

/// A signing key: its public part and, once needed, its private one.
pub struct RingKey {
    /// Its key id.
    pub kid: String,
    /// The public key.
    pub public: PublicKey,
    /// The private key, opened when it is first needed.
    secret: OnceLock<Arc<SecretKey>>,
}

impl Ring {
    pub(super) fn new(state: &KeyRing, loaded_at: DateTime<Utc>) -> Result<Self, Refusal> {
        let envelope = state.tenant_key.clone().ok_or_else(|| unusable(NotAKey))?;
        let key = |added: &SigningKeyAdded| {
            let public = PublicKey::of(&added.public).map_err(unusable)?;
            Ok(RingKey { kid: added.kid.clone(), public, secret: OnceLock::new() })
        };
        let keys = state.keys.iter().map(key).collect::<Result<_, Refusal>>()?;
        Ok(Self {
            envelope,
            opened: OnceLock::new(),
            state: state.clone(),
            keys,
            loaded_at,
            saml: OnceLock::new(),
            saml_decryption: OnceLock::new(),
            age_checked: Default::default(),
        })
    }

    pub(super) const fn loaded_at(&self) -> DateTime<Utc> {
        self.loaded_at
    }

    pub(super) const fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    pub(super) fn opened(&self) -> Option<DataKey> {
        self.opened.get().cloned()
    }

    pub(super) fn keep(&self, key: DataKey) {
        // If a concurrent request has set it first: it is the same key.
        drop(self.opened.set(key));
    }

    /// Whether there is a key of an algorithm.
    pub(super) fn has(&self, algorithm: Algorithm) -> bool {
        self.state.has(algorithm)
    }

    /// The key with this id.
    pub fn find(&self, kid: &str) -> Option<&RingKey> {
        self.keys.iter().find(|key| key.kid == kid)
    }

    /// The key that signs now.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn signer(
        &self,
        tenant: TenantId,
        algorithm: Algorithm,
        now: DateTime<Utc>,
        tenant_key: &DataKey,
    ) -> Result<Arc<SecretKey>, Refusal> {
        let added = self.state.signs(algorithm, now).ok_or_else(|| unusable(NotAKey))?;
        let key = self.find(&added.kid).ok_or_else(|| unusable(NotAKey))?;
        if let Some(secret) = key.secret.get() {
            return Ok(secret.clone());
        }
        let private = tenant_key.open(context(tenant, &added.kid), &added.private).map_err(refused)?;
        let secret = Arc::new(SecretKey::of(algorithm, &private, &key.kid).map_err(unusable)?);
        Ok(key.secret.get_or_init(|| secret).clone())
    }

    /// Whether this is the first call for an algorithm: the age of its keys is checked once for each time that the ring is loaded.
    pub(super) fn is_first_age_check(&self, algorithm: Algorithm) -> bool {
        let [eddsa, es256, rs256] = &self.age_checked;
        let age_checked = match algorithm {
            Algorithm::EdDSA => eddsa,
            Algorithm::ES256 => es256,
            Algorithm::RS256 => rs256,
        };
        !age_checked.swap(true, Ordering::Relaxed)
    }

    /// The id of the newest key of an algorithm, if it has been signing since `since` or longer.
    pub(super) fn due_for_rotation(&self, algorithm: Algorithm, since: DateTime<Utc>) -> Option<String> {
        let newest = self.of(algorithm).next_back()?;
        (newest.signs_from <= since).then(|| newest.kid.clone())
    }

    /// The ids of an algorithm's keys whose successor has been signing since `since` or longer.
    pub(super) fn outlived(&self, algorithm: Algorithm, since: DateTime<Utc>) -> Vec<String> {
        let followed = self.of(algorithm).zip(self.of(algorithm).skip(1));
        followed.filter(|(_, next)| next.signs_from <= since).map(|(key, _)| key.kid.clone()).collect()
    }

    fn of(&self, algorithm: Algorithm) -> impl DoubleEndedIterator<Item = &SigningKeyAdded> {
        self.state.keys.iter().filter(move |key| key.algorithm == algorithm)
    }

    /// The key that signs the tenant's SAML messages, with its certificate; none: it was not created yet.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn saml(
        &self,
        tenant: TenantId,
        tenant_key: &DataKey,
    ) -> Result<Option<(Arc<SigningKey>, Certificate)>, Refusal> {
        let Some(added) = &self.state.saml else { return Ok(None) };
        let certificate = Certificate::from_base64(&added.certificate).map_err(|_| unusable(NotAKey))?;
        if let Some(key) = self.saml.get() {
            return Ok(Some((key.clone(), certificate)));
        }
        let pkcs8 = tenant_key.open(saml_context(tenant), &added.private).map_err(refused)?;
        let key = Arc::new(SigningKey::from_pkcs8(&pkcs8).map_err(|_| unusable(NotAKey))?);
        Ok(Some((self.saml.get_or_init(|| key).clone(), certificate)))
    }

    /// The key that decrypts the SAML messages to the tenant, with its certificate; none: it was not created yet.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn saml_decryption(
        &self,
        tenant: TenantId,
        tenant_key: &DataKey,
    ) -> Result<Option<(Arc<DecryptionKey>, Certificate)>, Refusal> {
        let Some(added) = &self.state.saml_decryption else { return Ok(None) };
        let certificate = Certificate::from_base64(&added.certificate).map_err(|_| unusable(NotAKey))?;
        if let Some(key) = self.saml_decryption.get() {
            return Ok(Some((key.clone(), certificate)));
        }
        let pkcs8 = tenant_key.open(saml_decryption_context(tenant), &added.private).map_err(refused)?;
        let key = Arc::new(DecryptionKey::from_pkcs8(&pkcs8).map_err(|_| unusable(NotAKey))?);
        Ok(Some((self.saml_decryption.get_or_init(|| key).clone(), certificate)))
    }

    /// The JSON Web Key Set (RFC 7517): all keys that sign now, will sign, or have signed and are not retired.
    pub fn key_set(&self) -> Value {
        let keys = self.state.keys.iter().map(|key| {
            let mut jwk = json!(key.public);
            jwk["use"] = "sig".into();
            jwk["alg"] = key.algorithm.as_str().into();
            jwk
        });
        json!({ "keys": keys.collect::<Vec<_>>() })
    }
}

/// Generates a signing key of a tenant, sealed.
pub(super) fn new_key(
    tenant: TenantId,
    algorithm: Algorithm,
    signs_from: DateTime<Utc>,
    tenant_key: &DataKey,
    random: &dyn Random,
) -> Result<SigningKeyAdded, Refusal> {
    let made = SecretKey::generate(algorithm).map_err(unusable)?;
    let public = made.public;
    let kid = public.kid.clone().unwrap_or_default();
    let private = tenant_key.seal(context(tenant, &kid), &made.private, random).map_err(refused)?;
    Ok(SigningKeyAdded { kid, algorithm, public, private, signs_from })
}

/// Generates a tenant's key for signing SAML messages, sealed.
pub(super) fn new_saml_key(
    tenant: TenantId,
    name: &str,
    now: DateTime<Utc>,
    tenant_key: &DataKey,
    random: &dyn Random,
) -> Result<SamlKeyAdded, Refusal> {
    let made = SigningKey::generate(name, now).map_err(|_| unusable(NotAKey))?;
    let private = tenant_key.seal(saml_context(tenant), &made.private, random).map_err(refused)?;
    Ok(SamlKeyAdded { certificate: made.certificate.to_base64(), private })
}

/// Generates a tenant's key for decrypting SAML messages, sealed.
pub(super) fn new_saml_decryption_key(
    tenant: TenantId,
    name: &str,
    now: DateTime<Utc>,
    tenant_key: &DataKey,
    random: &dyn Random,
) -> Result<SamlDecryptionKeyAdded, Refusal> {
    let made = SigningKey::generate(name, now).map_err(|_| unusable(NotAKey))?;
    let private = tenant_key.seal(saml_decryption_context(tenant), &made.private, random).map_err(refused)?;
    Ok(SamlDecryptionKeyAdded { certificate: made.certificate.to_base64(), private })
}

const fn saml_decryption_context(tenant: TenantId) -> Context<'static> {
    Context { tenant, purpose: "auth.saml_decryption_key", subject: "" }
}

const fn saml_context(tenant: TenantId) -> Context<'static> {
    Context { tenant, purpose: "auth.saml_key", subject: "" }
}

fn context(tenant: TenantId, kid: &str) -> Context<'_> {
    Context { tenant, purpose: "auth.signing_key", subject: kid }
}

fn unusable(error: NotAKey) -> Refusal {
    tracing::error!(%error, "a tenant's signing key can't be used");
    Refusal::internal("key_unusable", "a key of this tenant can't be used; see the server's log for the reason")
}
