//! The manifest of a backup: `manifest.json`.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use eventstore::sealing::wrapped_by;
use gateway::Config;
use kernel::Position;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::MANIFEST;

/// The format version that this program writes. It changes when the layout of the folder or of its rows changes.
pub const VERSION: u32 = 6;

/// The oldest format version that this program reads. Version 2 added decisions about dead letters, 3 copied tenants, 4 the sagas'
/// progress, 5 what people set up beside the logs (webhooks, say) and the names of the master keys, 6 seals and jobs.
pub const OLDEST: u32 = 1;

/// The whole manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always `inopsio-backup`.
    pub format: String,
    /// Format version: [`VERSION`].
    pub version: u32,
    /// Name and version of the program that wrote the backup.
    pub program: String,
    /// The time of the snapshot.
    pub taken_at: DateTime<Utc>,
    /// A fingerprint of the key under which claims were hashed ([`eventstore::claim_key_mark`]); none if it is not known: nothing
    /// was appended since the logs keep it, and no key was configured.
    pub claim_key_mark: Option<String>,
    /// A fingerprint of the then current master key ([`master_key_mark`]). Only versions 2 to 4 have it; later ones name all master keys in
    /// [`ServicePart::master_keys`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_key_mark: Option<String>,
    /// The key that encrypts the secrets in this backup, wrapped by the master key; none if there are no secrets or no master key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets_key: Option<String>,
    /// The list of tenants.
    pub directory: Part,
    /// The log of each service.
    pub services: Vec<ServicePart>,
}

/// The log of one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePart {
    /// The service's name.
    pub service: String,
    /// Position of the last event. The log has the positions from 1 to here.
    pub position: Position,
    /// Time of the last write to the log; none if it is empty.
    pub recorded_at: Option<DateTime<Utc>>,
    /// The events, in position order.
    pub events: Part,
    /// The seals of the tenants' histories, in the order of the events that they cover; none if nothing is sealed, if seals were left out,
    /// or before version 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seals: Option<Part>,
    /// The ids of the keys that signed the seals; none before version 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal_keys: Option<Vec<String>>,
    /// The stored commands with their answers, by tenant and command id.
    pub commands: Part,
    /// The claims, by tenant, kind and key.
    pub claims: Part,
    /// People's decisions about dead letters, by tenant, consumer, position and number; none in version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decisions: Option<Part>,
    /// Counts and tree root of each tenant, by id.
    pub tenants: Vec<TenantPart>,
    /// Tenants whose history was copied from another tenant's, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<CopyPart>,
    /// The position up to which sagas have read the log; none if the service has no sagas, or before version 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sagas: Option<SagasPart>,
    /// The names of the master keys that wrap the tenants' keys; none before version 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_keys: Option<Vec<String>>,
    /// Tables beside the log: what people set up, and open work. Empty tables are left out; none before version 5.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<BesidePart>,
    /// Dead letters of webhooks: events that wait because a receiver refused them, by tenant, consumer and position; none if there are none,
    /// or before version 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letters: Option<Part>,
}

impl ServicePart {
    /// Number of rows of a table beside the log.
    pub fn rows_of(&self, table: &str) -> u64 {
        self.beside.iter().find(|beside| beside.table == table).map_or(0, |beside| beside.part.rows)
    }
}

/// The rows of a table that is stored beside a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BesidePart {
    /// The table's name with its schema: `webhooks.endpoints`.
    pub table: String,
    /// The file with its rows.
    #[serde(flatten)]
    pub part: Part,
}

/// How far a log was read for events that start sagas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SagasPart {
    /// All events up to this position were read, except [`but`](Self::but).
    pub looked_up_to: Position,
    /// Ranges of events that were skipped, by tenant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub but: Vec<PassedOverPart>,
    /// Dead letters of sagas: events of which it could not be decided whether they start a saga.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<LetterPart>,
}

/// A dead letter of a saga.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterPart {
    /// The event's tenant.
    pub tenant_id: Uuid,
    /// The saga's consumer name: `saga.follow_up_lead`.
    pub consumer: String,
    /// The event's position.
    pub position: Position,
}

/// A range of a tenant's events that was skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOverPart {
    /// The tenant.
    pub tenant_id: Uuid,
    /// The position before the first event of the range.
    pub after: Position,
    /// The position of the last event of the range.
    pub to: Position,
}

/// A tenant whose history up to a position was copied from another tenant. Consumers with side effects, such as sagas, must not act on the
/// copied events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyPart {
    /// The tenant.
    pub tenant_id: Uuid,
    /// Position of the last copied event.
    pub position: Position,
}

/// Counts of one tenant's rows in one log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantPart {
    /// The tenant.
    pub tenant_id: Uuid,
    /// Number of events.
    pub events: u64,
    /// Root of the Merkle tree (RFC 6962) over the events' leaf hashes, hexadecimal.
    pub root: String,
    /// Number of stored commands.
    pub commands: u64,
    /// Number of claims.
    pub claims: u64,
    /// Number of decisions about dead letters.
    #[serde(default)]
    pub decisions: u64,
    /// Number of seals.
    #[serde(default)]
    pub seals: u64,
}

/// A file of the backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The file's name.
    pub file: String,
    /// Number of lines, uncompressed.
    pub rows: u64,
    /// Length in bytes, compressed.
    pub bytes: u64,
    /// SHA-256 of the compressed file, hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// All files that the manifest names.
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

    /// The text of `SHA256SUMS`. `digest` is the manifest's own SHA-256.
    pub fn sums(&self, digest: &str) -> String {
        let parts = self.parts().map(|part| format!("{}  {}\n", part.sha256, part.file));
        std::iter::once(format!("{digest}  {MANIFEST}\n")).chain(parts).collect()
    }

    /// Number of events in all logs.
    pub fn events(&self) -> u64 {
        self.services.iter().map(|log| log.events.rows).sum()
    }

    /// Number of seals in all logs.
    pub fn seals(&self) -> u64 {
        self.services.iter().filter_map(|log| log.seals.as_ref()).map(|part| part.rows).sum()
    }

    /// Number of rows in all files.
    pub fn rows(&self) -> u64 {
        self.parts().map(|part| part.rows).sum()
    }

    /// Total size of all files in bytes, compressed.
    pub fn bytes(&self) -> u64 {
        self.parts().map(|part| part.bytes).sum()
    }
}

/// A fingerprint of a master key, given as 64 hexadecimal digits or as its place in Vault. None if it is empty.
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
    /// The names of the master keys that are needed to open the encrypted data in the backup. Empty before version 5, which did not record
    /// them.
    pub fn master_keys(&self) -> BTreeSet<String> {
        let of_tenants = self.services.iter().filter_map(|log| log.master_keys.as_ref()).flatten().cloned();
        of_tenants.chain(self.secrets_key.as_deref().map(wrapped_by)).collect()
    }

    /// The ids of the keys that signed its seals. Empty before version 6, which had no seals.
    pub fn seal_keys(&self) -> BTreeSet<String> {
        self.services.iter().filter_map(|log| log.seal_keys.as_ref()).flatten().cloned().collect()
    }

    /// The needed master keys that a configuration does not have.
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
