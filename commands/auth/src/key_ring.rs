//! The commands of a tenant's key ring.

use auth_aggregates::{KeyRing, KeyRingCommand, KeyRingOpened, SamlDecryptionKeyAdded, SamlKeyAdded, SigningKeyAdded};
use executor::{Command, Work};
use kernel::Refusal;
use keys::Envelope;

use crate::grants::PROTOCOL;
use crate::reach::Reach;

/// Creates a tenant's keys. Changes nothing if the tenant has keys.
#[derive(Clone, Debug)]
pub struct OpenKeyRing {
    /// The tenant key and the first signing key.
    pub opened: KeyRingOpened,
    /// One signing key for each algorithm except RSA, whose key is generated on demand.
    pub signing: Vec<SigningKeyAdded>,
}

/// Removes the keys of a tenant whose creation failed. Changes nothing if it has none.
#[derive(Clone, Copy, Debug)]
pub struct CloseKeyRing;

/// Replaces the envelope of the tenant key, unless it was replaced in the meantime.
#[derive(Clone, Debug)]
pub struct ResealKeyRing {
    /// The envelope that is replaced.
    pub was: Envelope,
    /// The new envelope, with the same key.
    pub tenant_key: Envelope,
}

/// Publishes another signing key, which signs from its start time on.
#[derive(Clone, Debug)]
pub struct AddSigningKey(pub SigningKeyAdded);

/// Publishes the first signing key of an algorithm. Changes nothing if there is one.
#[derive(Clone, Debug)]
pub struct AddFirstSigningKey(pub SigningKeyAdded);

/// Adds the key that signs a tenant's requests to identity providers. Changes nothing if there is one.
#[derive(Clone, Debug)]
pub struct AddSamlKey(pub SamlKeyAdded);

/// Adds the key for which identity providers encrypt assertions. Changes nothing if there is one.
#[derive(Clone, Debug)]
pub struct AddSamlDecryptionKey(pub SamlDecryptionKeyAdded);

/// Retires a signing key: tokens that it signed are refused from now on, whoever has them. So this needs all permissions of administrators.
#[derive(Clone, Debug)]
pub struct RetireSigningKey {
    /// The key's id.
    pub kid: String,
    pub reach: Reach,
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
        self.reach.over_anybody(work.caller()).await?;
        let (tenant, now) = (work.caller().tenant(), work.now());
        work.upsert::<KeyRing>(tenant, KeyRingCommand::Retire { kid: self.kid.clone(), now }).await
    }
}
