//! Claims: values that must be unique within a tenant, reserved in the same append as the events that need them.

use eventstore::ClaimAct;
use hmac::{Hmac, Mac};
use kernel::TenantId;
use sha2::Sha256;

/// A kind of claim, and the refusal when another holder has it.
#[derive(Debug, PartialEq, Eq)]
pub struct ClaimKind {
    /// Its name in the log, for example `crm.contact.email`.
    pub name: &'static str,
    /// The stable code of the refusal, for example `contact_email_taken`.
    pub code: &'static str,
    /// The refusal's text for people: what was wrong and what is allowed.
    pub detail: &'static str,
}

/// A change of a claim, or a check of it, that an attempt requests.
pub(crate) struct ClaimRequest {
    pub(crate) kind: &'static ClaimKind,
    pub(crate) value: String,
    pub(crate) holder: String,
    pub(crate) act: ClaimAct,
}

/// Hashes claimed values with a keyed hash (HMAC-SHA-256): the log has no e-mail address in clear text, and nobody without the key can find
/// addresses by trying.
pub(crate) struct ClaimHasher(Hmac<Sha256>);

impl ClaimHasher {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        // A key as long as the block is taken as it is; padding a shorter one with zeros is what HMAC itself does.
        let mut block = [0; 64];
        block[..32].copy_from_slice(key);
        Self(Hmac::new(&block.into()))
    }

    pub(crate) fn hash(&self, tenant: TenantId, kind: &str, value: &str) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(tenant.uuid().as_bytes());
        // The length in front keeps ("ab", "c") and ("a", "bc") apart.
        mac.update(&(kind.len() as u64).to_be_bytes());
        mac.update(kind.as_bytes());
        mac.update(value.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test's tenants")]
    fn tenant(number: u128) -> TenantId {
        TenantId::vouched(Uuid::from_u128(number))
    }

    #[test]
    fn a_claim_depends_on_key_tenant_kind_and_value() {
        let hasher = ClaimHasher::new(&[7; 32]);
        let first = hasher.hash(tenant(1), "ab", "c");
        assert_eq!(first, ClaimHasher::new(&[7; 32]).hash(tenant(1), "ab", "c"));
        for other in [
            ClaimHasher::new(&[8; 32]).hash(tenant(1), "ab", "c"),
            hasher.hash(tenant(2), "ab", "c"),
            hasher.hash(tenant(1), "a", "bc"),
            hasher.hash(tenant(1), "ab", "C"),
        ] {
            assert_ne!(first, other);
        }
    }
}
