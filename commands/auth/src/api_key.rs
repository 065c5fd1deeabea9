//! The commands of API keys.

use auth_aggregates::{
    ApiKey, ApiKeyCommand, ApiKeyId, ApiKeyIssued, ApiKeyRefusal, ApiKeyRefused, Machine, MachineError,
};
use chrono::{DateTime, Utc};
use executor::{Command, Work};
use kernel::{Checks, MachineId, Refusal};

use crate::grants::PROTOCOL;
use crate::reach::Reach;
use crate::{lengths, values};

/// Creates an API key for a machine. Only the hash of its secret is passed in.
#[derive(Clone, Debug)]
pub struct IssueApiKey {
    /// The key's id. It is part of the key's text, so whoever generates the key chooses it.
    pub key: ApiKeyId,
    pub machine: MachineId,
    /// A description of the key's purpose.
    pub name: String,
    /// SHA-256, hexadecimal.
    pub secret_hash: String,
    pub scopes: Vec<String>,
    pub expires_at: Option<DateTime<Utc>>,
    pub reach: Reach,
}

/// Revokes a key.
#[derive(Clone, Debug)]
pub struct RevokeApiKey {
    pub key: ApiKeyId,
    pub reach: Reach,
}

/// Records that a key was used.
#[derive(Clone, Debug)]
pub struct NoteApiKeyUse {
    pub key: ApiKeyId,
}

/// Records a failed authentication with a key.
#[derive(Clone, Copy, Debug)]
pub struct NoteRefusedApiKey {
    pub key: ApiKeyId,
    pub reason: ApiKeyRefusal,
}

impl Command for IssueApiKey {
    const PERMISSION: &'static str = "auth:machine:write";
    type Answer = ApiKeyId;

    async fn run(&self, work: &mut Work<'_>) -> Result<ApiKeyId, Refusal> {
        let mut checks = Checks::default();
        let name = checks.line("/name", &self.name, lengths::NAME);
        let scopes = values::scopes(&mut checks, "/scopes", &self.scopes);
        if let Some(end) = self.expires_at.filter(|end| *end <= work.now()) {
            let end = kernel::write_time(end);
            checks.refuse("/expires_at", "past", format!("{end} is in the past; a time in the future is required"));
        }
        checks.finish()?;
        self.reach.over_machine(work, self.machine, &scopes).await?;
        match work.rely::<Machine>(self.machine).await? {
            Some(machine) if machine.active => {}
            // A deactivated machine gets no new keys: they would become valid when it is reactivated.
            Some(_) => return Err(MachineError::Deactivated.into()),
            None => {
                let detail = format!("there is no machine {}", self.machine);
                return Err(Refusal::reference("/machine", "not_found", detail));
            }
        }
        let (machine, secret_hash) = (self.machine, self.secret_hash.clone());
        let issued = ApiKeyIssued { machine, name, secret_hash, scopes, expires_at: self.expires_at };
        work.create::<ApiKey>(self.key, ApiKeyCommand::Issue(issued))?;
        Ok(self.key)
    }
}

impl Command for RevokeApiKey {
    const PERMISSION: &'static str = "auth:machine:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let key = work.read::<ApiKey>(self.key).await?;
        if let Some(issued) = &key.issued {
            self.reach.over_machine(work, issued.machine, &issued.scopes).await?;
        }
        work.update::<ApiKey>(self.key, ApiKeyCommand::Revoke).await
    }
}

impl Command for NoteApiKeyUse {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let at = work.now();
        work.update::<ApiKey>(self.key, ApiKeyCommand::NoteUse { at }).await
    }
}

impl Command for NoteRefusedApiKey {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let refused = ApiKeyRefused { reason: self.reason, at: work.now() };
        work.update::<ApiKey>(self.key, ApiKeyCommand::NoteRefusal(refused)).await
    }
}
