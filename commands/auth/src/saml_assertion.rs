//! The command that records the use of a SAML assertion.

use auth_aggregates::{Account, AccountCommand, SamlAssertion, SamlAssertionId, SamlAssertionUsed, SamlSignIn};
use executor::{ClaimKind, Command, Work};
use kernel::{Refusal, TenantId, UserId};
use sha2::{Digest, Sha256};

use crate::grants::PROTOCOL;

/// Claims on assertions that began sessions: each begins at most one. (Assertions from before each had a stream of its own are known by
/// this claim only.)
pub(crate) const SAML_ASSERTION: ClaimKind = ClaimKind {
    name: "auth.saml_connection.assertion",
    code: "saml_replayed",
    detail: "this assertion was already used for a sign-in; sign in again at the identity provider",
};

/// Records that an assertion of an identity provider is used, before anything else is done with it. Refused if it was used before:
/// `saml_replayed`.
#[derive(Clone, Debug)]
pub struct UseSamlAssertion {
    pub saml: SamlSignIn,
    /// The user whom the assertion names, if their e-mail address is not verified: their existing sessions end, because somebody else may
    /// have used the account. Refused if somebody else could sign in again: `email_not_verified`.
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

/// The stream of an assertion. Each assertion has its own, so that of two simultaneous uses only one succeeds.
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
