//! What can be asked of a client's assertion.

use auth_aggregates::{ClientAssertion, ClientAssertionId, ClientAssertionUsed};
use executor::{ClaimKind, Command, Work};
use kernel::{Refusal, TenantId};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::grants::PROTOCOL;

/// Assertions that were used before they had histories of their own; held by the grants that came of them.
pub(crate) const ASSERTION: ClaimKind = ClaimKind {
    name: "auth.client.assertion",
    code: "assertion_replayed",
    detail: "this client assertion was already used",
};

/// A client showed who it is by an assertion. Refused when it did before, whatever for: `assertion_replayed`.
#[derive(Clone, Debug)]
pub struct UseAssertion {
    /// The client, or the machine.
    pub client: Uuid,
    /// The assertion's own id.
    pub jti: String,
}

impl Command for UseAssertion {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let id = id_of(work.caller().tenant(), self.client, &self.jti);
        if work.find::<ClientAssertion>(id).await?.is_some() {
            return Err(Refusal::conflict(ASSERTION.code, ASSERTION.detail));
        }
        work.absent(&ASSERTION, &format!("{}:{}", self.client, self.jti), id);
        work.create::<ClientAssertion>(id, ClientAssertionUsed { client: self.client, jti: self.jti.clone() })
    }
}

/// Each assertion is one aggregate, so that of two at once one is first.
fn id_of(tenant: TenantId, client: Uuid, jti: &str) -> ClientAssertionId {
    let hash = Sha256::new()
        .chain_update(b"inopsio client assertion 1")
        .chain_update(tenant.uuid().as_bytes())
        .chain_update(client.as_bytes())
        .chain_update(jti)
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    ClientAssertionId::new(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}
