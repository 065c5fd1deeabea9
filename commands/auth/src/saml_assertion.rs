//! What can be asked of an identity provider's assertion.

use auth_aggregates::{Account, AccountCommand, SamlAssertion, SamlAssertionId, SamlAssertionUsed, SamlSignIn};
use executor::{ClaimKind, Command, Work};
use kernel::{Refusal, TenantId, UserId};
use sha2::{Digest, Sha256};

use crate::grants::PROTOCOL;

/// Assertions by which sessions began: each begins one. (Those of before they had histories of their own are known by this alone.)
pub(crate) const SAML_ASSERTION: ClaimKind = ClaimKind {
    name: "auth.saml_connection.assertion",
    code: "saml_replayed",
    detail: "this assertion was already used for a sign-in; sign in again at the identity provider",
};

/// An identity provider vouches for somebody: what it says is used up, before anything comes of it. Refused when it was before:
/// `saml_replayed`.
#[derive(Clone, Debug)]
pub struct UseSamlAssertion {
    pub saml: SamlSignIn,
    /// The user of whom it speaks, if nobody has shown that their address is theirs: what whoever came in by it before has ends. Refused
    /// when they could come in again: `email_not_verified`.
    pub unshown: Option<UserId>,
}

impl Command for UseSamlAssertion {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let Self { saml, unshown } = self;
        let id = id_of(work.caller().tenant(), saml);
        if work.find::<SamlAssertion>(id).await?.is_some() {
            return Err(Refusal::conflict(SAML_ASSERTION.code, SAML_ASSERTION.detail));
        }
        if let Some(user) = unshown {
            let at = work.now();
            work.upsert::<Account>(user, AccountCommand::TakeOver { at }).await?;
        }
        work.absent(&SAML_ASSERTION, &saml.key(), id);
        let used = SamlAssertionUsed { connection: saml.connection, assertion: saml.assertion.clone() };
        work.create::<SamlAssertion>(id, used)
    }
}

/// Each assertion is one aggregate, so that of two at once one is first.
fn id_of(tenant: TenantId, saml: &SamlSignIn) -> SamlAssertionId {
    let hash = Sha256::new()
        .chain_update(b"inopsio saml assertion 1")
        .chain_update(tenant.uuid().as_bytes())
        .chain_update(saml.connection.uuid().as_bytes())
        .chain_update(&saml.assertion)
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    SamlAssertionId::new(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}
