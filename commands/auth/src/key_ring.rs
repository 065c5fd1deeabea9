//! What can be asked of a tenant's keys.

use auth_aggregates::{KeyRing, KeyRingCommand, KeyRingOpened, SamlDecryptionKeyAdded, SamlKeyAdded, SigningKeyAdded};
use executor::{Command, Work};
use kernel::Refusal;
use keys::Envelope;

use crate::grants::PROTOCOL;

/// Gives a tenant its keys; one that has them keeps them.
#[derive(Clone, Debug)]
pub struct OpenKeyRing {
    /// The tenant's key, and the first that signs.
    pub opened: KeyRingOpened,
    /// One of each algorithm, but of RSA: that is made when somebody needs it.
    pub signing: Vec<SigningKeyAdded>,
}

/// Takes a tenant's keys back that is not made after all; nothing happens when it has none.
#[derive(Clone, Copy, Debug)]
pub struct CloseKeyRing;

/// Puts the tenant's key into another envelope, if it has still the one from which it was taken.
#[derive(Clone, Debug)]
pub struct ResealKeyRing {
    /// The envelope from which it was taken.
    pub was: Envelope,
    /// The other one, with the same key in it.
    pub tenant_key: Envelope,
}

/// Publishes a further key, which signs from its time on.
#[derive(Clone, Debug)]
pub struct AddSigningKey(pub SigningKeyAdded);

/// Publishes the first key of an algorithm; where there is one, that stays the first.
#[derive(Clone, Debug)]
pub struct AddFirstSigningKey(pub SigningKeyAdded);

/// Gives a tenant a key that signs its requests to identity providers; one that has one keeps it.
#[derive(Clone, Debug)]
pub struct AddSamlKey(pub SamlKeyAdded);

/// Gives a tenant a key for which identity providers encrypt what they say; one that has one keeps it.
#[derive(Clone, Debug)]
pub struct AddSamlDecryptionKey(pub SamlDecryptionKeyAdded);

/// Takes a key out: what it signed is refused from now on.
#[derive(Clone, Debug)]
pub struct RetireSigningKey {
    /// Its id.
    pub kid: String,
}

impl Command for OpenKeyRing {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let tenant = work.caller().tenant();
        if work.find::<KeyRing>(tenant).await?.is_some_and(|ring| ring.tenant_key.is_some()) {
            return Ok(());
        }
        work.upsert::<KeyRing>(tenant, KeyRingCommand::Open(self.opened.clone())).await?;
        for key in &self.signing {
            work.upsert::<KeyRing>(tenant, KeyRingCommand::Add(key.clone())).await?;
        }
        Ok(())
    }
}

impl Command for CloseKeyRing {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let tenant = work.caller().tenant();
        work.upsert::<KeyRing>(tenant, KeyRingCommand::Close).await
    }
}

impl Command for ResealKeyRing {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let tenant = work.caller().tenant();
        let Self { was, tenant_key } = self.clone();
        work.upsert::<KeyRing>(tenant, KeyRingCommand::Reseal { was, tenant_key }).await
    }
}

impl Command for AddSigningKey {
    const PERMISSION: &'static str = "auth:key:write";
    /// Its id.
    type Answer = String;

    async fn run(&self, work: &mut Work<'_>) -> Result<String, Refusal> {
        let tenant = work.caller().tenant();
        work.upsert::<KeyRing>(tenant, KeyRingCommand::Add(self.0.clone())).await?;
        Ok(self.0.kid.clone())
    }
}

impl Command for AddFirstSigningKey {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let tenant = work.caller().tenant();
        work.upsert::<KeyRing>(tenant, KeyRingCommand::AddFirst(self.0.clone())).await
    }
}

impl Command for AddSamlKey {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let tenant = work.caller().tenant();
        work.upsert::<KeyRing>(tenant, KeyRingCommand::AddSaml(self.0.clone())).await
    }
}

impl Command for AddSamlDecryptionKey {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let tenant = work.caller().tenant();
        work.upsert::<KeyRing>(tenant, KeyRingCommand::AddSamlDecryption(self.0.clone())).await
    }
}

impl Command for RetireSigningKey {
    const PERMISSION: &'static str = "auth:key:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let (tenant, now) = (work.caller().tenant(), work.now());
        work.upsert::<KeyRing>(tenant, KeyRingCommand::Retire { kid: self.kid.clone(), now }).await
    }
}
