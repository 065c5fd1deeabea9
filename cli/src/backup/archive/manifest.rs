//! What a backup says of itself.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use eventstore::sealing::wrapped_by;
use gateway::Config;
use kernel::Position;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::MANIFEST;

/// The form that this program writes. Another number: another form of the folder or of its rows.
pub const VERSION: u32 = 6;

/// The oldest form that it reads: without decisions about dead letters, which came with 2, without copies, which came with 3, without
/// what sagas had looked at, which came with 4, without what people set up beside the logs and which master keys are needed, which
/// came with 5, and without seals and jobs, which came with 6.
pub const OLDEST: u32 = 1;

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// `inopsio-backup`.
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The program that wrote it.
    pub program: String,
    /// When the moment was that it holds.
    pub taken_at: DateTime<Utc>,
    /// Tells whether claims were hashed under another key ([`claim_key_mark`]); none: no key was configured.
    pub claim_key_mark: Option<String>,
    /// The same of the key that wrapped new keys then ([`master_key_mark`]): of versions 2 to 4, which did not say by which all were
    /// wrapped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_key_mark: Option<String>,
    /// The key under which secrets in it are sealed, as the master key wrapped it; none: there are none, or there is no master key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets_key: Option<String>,
    /// The tenants.
    pub directory: Part,
    /// Each service's log.
    pub services: Vec<ServicePart>,
}

/// The log of one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePart {
    /// Its name.
    pub service: String,
    /// Position of its last event; positions are 1 to here.
    pub position: Position,
    /// When it was written last; none: never.
    pub recorded_at: Option<DateTime<Utc>>,
    /// Its events, by position.
    pub events: Part,
    /// The seals of its tenants' histories, each where the events by position come to it; none: nothing is sealed, they were left out, or
    /// it is of a version before 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seals: Option<Part>,
    /// The ids of the keys that signed them; none: of a version before 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal_keys: Option<Vec<String>>,
    /// Its commands with their answers, by tenant and id.
    pub commands: Part,
    /// Its claims, by tenant, kind and key.
    pub claims: Part,
    /// What people decided about dead letters, by tenant, consumer, position and number; none: version 1 had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decisions: Option<Part>,
    /// What each tenant has in it, by id.
    pub tenants: Vec<TenantPart>,
    /// Whose history in it is a copy of another tenant's, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<CopyPart>,
    /// Up to where it was looked at for sagas; none: the service has none, or it is of a version before 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sagas: Option<SagasPart>,
    /// The names of the master keys that wrapped its tenants' keys; none: versions before 5 did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_keys: Option<Vec<String>>,
    /// What people set up beside it, and what of that is open, by table; a table without rows is left out, as all are before version 5.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<BesidePart>,
    /// Events that wait for webhooks, because a receiver refused them, by tenant, consumer and position; none: none waits, or it is of a
    /// version before 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letters: Option<Part>,
}

impl ServicePart {
    /// How many rows of a table that stands beside it it has.
    pub fn rows_of(&self, table: &str) -> u64 {
        self.beside.iter().find(|beside| beside.table == table).map_or(0, |beside| beside.part.rows)
    }
}

/// The rows of a table that stands beside a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BesidePart {
    /// With its schema: `webhooks.endpoints`.
    pub table: String,
    /// Its file.
    #[serde(flatten)]
    pub part: Part,
}

/// Up to where a log was looked at for what begins sagas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SagasPart {
    /// All events up to here.
    pub looked_up_to: Position,
    /// But for these, by tenant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub but: Vec<PassedOverPart>,
    /// Events that wait for a saga, because it could not be said whether they begin it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<LetterPart>,
}

/// An event that waits for a saga.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterPart {
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Who it waits for: `saga.follow_up_lead`.
    pub consumer: String,
    /// Where it stands.
    pub position: Position,
}

/// A tenant's events after a position and up to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOverPart {
    /// Whose.
    pub tenant_id: Uuid,
    /// The position before the first.
    pub after: Position,
    /// That of the last.
    pub to: Position,
}

/// A tenant whose history, as far as it is another's, nobody is to act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyPart {
    /// Whose.
    pub tenant_id: Uuid,
    /// Up to where.
    pub position: Position,
}

/// What one tenant has in one log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantPart {
    /// Whose.
    pub tenant_id: Uuid,
    /// How many events.
    pub events: u64,
    /// Root of the Merkle tree (RFC 6962) over the events' leaf hashes, hexadecimal.
    pub root: String,
    /// How many commands.
    pub commands: u64,
    /// How many claims.
    pub claims: u64,
    /// How many decisions about dead letters.
    #[serde(default)]
    pub decisions: u64,
    /// How many seals its history has.
    #[serde(default)]
    pub seals: u64,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name.
    pub file: String,
    /// Its lines, when it is unpacked.
    pub rows: u64,
    /// Its length as it is.
    pub bytes: u64,
    /// SHA-256 of it as it is, hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// All files that it names.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        let services = self.services.iter().flat_map(|log| {
            let beside = log.beside.iter().map(|beside| &beside.part);
            [&log.events, &log.commands, &log.claims]
                .into_iter()
                .chain(&log.decisions)
                .chain(&log.seals)
                .chain(beside)
                .chain(&log.letters)
        });
        std::iter::once(&self.directory).chain(services)
    }

    /// What `SHA256SUMS` says, when the manifest itself has this SHA-256.
    pub fn sums(&self, digest: &str) -> String {
        let parts = self.parts().map(|part| format!("{}  {}\n", part.sha256, part.file));
        std::iter::once(format!("{digest}  {MANIFEST}\n")).chain(parts).collect()
    }

    /// How many events it has.
    pub fn events(&self) -> u64 {
        self.services.iter().map(|log| log.events.rows).sum()
    }

    /// How many seals it has.
    pub fn seals(&self) -> u64 {
        self.services.iter().filter_map(|log| log.seals.as_ref()).map(|part| part.rows).sum()
    }

    /// How many rows it has.
    pub fn rows(&self) -> u64 {
        self.parts().map(|part| part.rows).sum()
    }

    /// How many bytes it takes.
    pub fn bytes(&self) -> u64 {
        self.parts().map(|part| part.bytes).sum()
    }
}

/// Tells claim keys apart without telling anything of them: they are 256 random bits.
pub fn claim_key_mark(key: &[u8; 32]) -> String {
    mark(b"inopsio.claim-key.1", key)
}

/// The same of a master key: of 64 hexadecimal digits, or of where it is in Vault.
pub fn master_key_mark(key: &str) -> Option<String> {
    let mut bytes = [0; 32];
    let key = key.trim();
    match hex::decode_to_slice(key, &mut bytes) {
        Ok(()) => Some(mark(b"inopsio.master-key.1", &bytes)),
        Err(_) if key.is_empty() => None,
        Err(_) => Some(mark(b"inopsio.master-key.vault.1", key.as_bytes())),
    }
}

impl Manifest {
    /// The names of the master keys without which what is sealed in it does not open. Empty also before version 5, which did not say.
    pub fn master_keys(&self) -> BTreeSet<String> {
        let of_tenants = self.services.iter().filter_map(|log| log.master_keys.as_ref()).flatten().cloned();
        of_tenants.chain(self.secrets_key.as_deref().map(wrapped_by)).collect()
    }

    /// The ids of the keys that signed its seals. Empty also before version 6, which had none.
    pub fn seal_keys(&self) -> BTreeSet<String> {
        self.services.iter().filter_map(|log| log.seal_keys.as_ref()).flatten().cloned().collect()
    }

    /// Those of the master keys that a configuration does not have.
    pub fn lacks(&self, config: &Config) -> Vec<String> {
        let here = config.master_key_names();
        let mut lacking: Vec<_> = self.master_keys().into_iter().filter(|name| !here.contains(name)).collect();
        let keys = [&config.auth.master_key, &config.auth.former_master_key];
        let marks: Vec<_> = keys.into_iter().filter_map(|key| master_key_mark(key.reveal())).collect();
        let unknown = self.master_key_mark.iter().filter(|mark| !marks.contains(*mark));
        lacking.extend(unknown.map(|mark| format!("the one with the mark {mark}")));
        lacking
    }
}

fn mark(purpose: &[u8], key: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(purpose);
    hasher.update(key);
    hex::encode(&hasher.finalize()[..8])
}
