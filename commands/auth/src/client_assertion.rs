//! The command that records the use of a client assertion (RFC 7523).

use auth_aggregates::{ClientAssertion, ClientAssertionId, ClientAssertionUsed};
use executor::{ClaimKind, Command, Work};
use kernel::{Refusal, TenantId};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::grants::PROTOCOL;

/// Claims on assertions that were used before each had a stream of its own. The holders are the grants that resulted.
pub(crate) const ASSERTION: ClaimKind = ClaimKind {
    name: "auth.client.assertion",
    code: "assertion_replayed",
    detail: "this client assertion was already used",
};

/// Records that a client authenticated with an assertion. Refused if the assertion was used before, for whatever request:
/// `assertion_replayed`.
#[derive(Clone, Debug)]
pub struct UseAssertion {
    /// The id of the client or machine.
    pub client: Uuid,
    /// The assertion's id (`jti`).
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

/// The stream of an assertion. Each assertion has its own, so that of two simultaneous uses only one succeeds.
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
