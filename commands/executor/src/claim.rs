//! Claims: what may stand only once in a tenant, taken in the same append as the events that need it.

use eventstore::ClaimAct;
use hmac::{Hmac, Mac};
use kernel::TenantId;
use sha2::Sha256;

/// A kind of claim, and what it means when one is in the way.
#[derive(Debug, PartialEq, Eq)]
pub struct ClaimKind {
    /// Its name in the log, for example `crm.contact.email`.
    pub name: &'static str,
    /// The refusal's stable code when the claim is in the way, for example `contact_email_taken`.
    pub code: &'static str,
    /// What was wrong and what is allowed, for people.
    pub detail: &'static str,
}

/// What an attempt wants done with a claim.
pub(crate) struct Wanted {
    pub(crate) kind: &'static ClaimKind,
    pub(crate) value: String,
    pub(crate) holder: String,
    pub(crate) act: ClaimAct,
}

/// Hashes claimed values under a key: the log keeps no e-mail address in the clear, and nobody without the key can try
/// addresses against it.
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
