//! A tenant's keys as a SAML service provider: the one that signs its messages, and the one to which identity providers encrypt.

use std::sync::Arc;

use auth_commands::{AddSamlDecryptionKey, AddSamlKey, protocol};
use kernel::{Refusal, TenantId};
use saml::{Certificate, DecryptionKey, SigningKey};

use super::{Authority, KnownTenant, make, not_written, ring};

impl Authority {
    /// The key that signs a tenant's SAML messages, with its certificate; created if there is none yet.
    ///
    /// # Errors
    /// As [`ring_or_open`](Self::ring_or_open).
    pub async fn saml_key(&self, tenant: &KnownTenant) -> Result<(Arc<SigningKey>, Certificate), Refusal> {
        let ring = self.ring_or_open(tenant.id).await?;
        let key = self.tenant_key(tenant.id, &ring).await?;
        if let Some(found) = ring.saml(tenant.id, &key)? {
            return Ok(found);
        }
        let (parts, known, now, sealing) = (self.parts.clone(), tenant.clone(), self.now(), key.clone());
        let making = move || ring::new_saml_key(known.id, &known.slug, now, &sealing, &*parts.random);
        let added = make(making).await?;
        self.run(&protocol(tenant.id, "auth"), &AddSamlKey(added)).await?;
        // If a concurrent request has added one first, that one is used.
        let ring = self.load(tenant.id).await?.ok_or_else(not_written)?;
        ring.saml(tenant.id, &key)?.ok_or_else(not_written)
    }

    /// The certificate to which identity providers encrypt; created if there is none yet.
    ///
    /// # Errors
    /// As [`ring_or_open`](Self::ring_or_open).
    pub async fn saml_encryption(&self, tenant: &KnownTenant) -> Result<Certificate, Refusal> {
        let ring = self.ring_or_open(tenant.id).await?;
        let key = self.tenant_key(tenant.id, &ring).await?;
        if let Some((_, certificate)) = ring.saml_decryption(tenant.id, &key)? {
            return Ok(certificate);
        }
        let (parts, known, now, sealing) = (self.parts.clone(), tenant.clone(), self.now(), key.clone());
        let making = move || ring::new_saml_decryption_key(known.id, &known.slug, now, &sealing, &*parts.random);
        let added = make(making).await?;
        self.run(&protocol(tenant.id, "auth"), &AddSamlDecryptionKey(added)).await?;
        // If a concurrent request has added one first, that one is used.
        let ring = self.load(tenant.id).await?.ok_or_else(not_written)?;
        ring.saml_decryption(tenant.id, &key)?.map(|(_, certificate)| certificate).ok_or_else(not_written)
    }

    /// The key that decrypts SAML messages to a tenant; none: no certificate for encryption was published yet.
    ///
    /// # Errors
    /// When the log can't be read, or the key can't be opened.
    pub async fn saml_decryption(&self, tenant: TenantId) -> Result<Option<Arc<DecryptionKey>>, Refusal> {
        let Some(ring) = self.ring(tenant).await? else { return Ok(None) };
        let key = self.tenant_key(tenant, &ring).await?;
        Ok(ring.saml_decryption(tenant, &key)?.map(|(key, _)| key))
    }
}
