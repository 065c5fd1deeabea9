//! [`Subject`]: the data subject of personal values, and the claim that stores its key.

use kernel::{RecordedEvent, TenantId};
use keys::Context;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A data subject: the stream whose key encrypts its personal data.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Subject {
    pub(super) tenant: TenantId,
    /// `type/id`.
    pub(super) name: String,
}

impl Subject {
    pub(super) fn new(tenant: TenantId, aggregate_type: &str, aggregate_id: &str) -> Self {
        Self { tenant, name: format!("{aggregate_type}/{aggregate_id}") }
    }

    pub(super) fn of(event: &RecordedEvent) -> Self {
        Self::new(event.tenant, &event.aggregate_type, &event.aggregate_id)
    }

    /// The data subject with this name in the same tenant.
    pub(super) fn named(&self, name: &str) -> Self {
        Self { tenant: self.tenant, name: name.to_owned() }
    }

    /// The key of the claim that stores the encryption key. UUIDv7 ids are in order of time, and so are these claim keys: new ones are
    /// adjacent in the index.
    pub(super) fn claim(&self) -> [u8; 32] {
        let Some((aggregate_type, id)) = self.name.split_once('/').and_then(|(of, id)| Some((of, uuid(id)?))) else {
            return self.former_claim();
        };
        let mut claim: [u8; 32] = Sha256::digest(aggregate_type.as_bytes()).into();
        claim[16..].copy_from_slice(id.as_bytes());
        claim
    }

    /// The claim key of the first version of this program. Encryption keys of that time are still stored under it.
    pub(super) fn former_claim(&self) -> [u8; 32] {
        Sha256::digest(self.name.as_bytes()).into()
    }

    pub(super) fn context<'a>(&'a self, purpose: &'a str) -> Context<'a> {
        Context { tenant: self.tenant, purpose, subject: &self.name }
    }
}

/// Parses an id in its canonical text form only, so that an id has only one claim key.
fn uuid(text: &str) -> Option<Uuid> {
    let plain = text.len() == 36 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    Uuid::try_parse(text).ok().filter(|_| plain)
}
