//! The row formats of the parts. Times are microseconds since 1970, hashes are hexadecimal. Payload, metadata and answers are strings, so
//! that they are restored byte by byte. Tables beside the logs are stored as Postgres gives their rows, seals as in audit exports.

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use deadletters::backup::{StoredDecision, StoredLetter};
use deadletters::{Decided, DecisionKind};
use directory::Tenant;
use eventstore::backup::{StoredAnswer, StoredClaim, StoredEvent, StoredRow};
use eventstore::seals::Seal;
use kernel::{Position, RecordedEvent, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// The serialised form of a value as a line of a part.
pub trait Row: Serialize + for<'de> Deserialize<'de> + Send + 'static {
    /// The type of the value.
    type Of: Send + 'static;

    /// Converts a value to its line.
    fn of(value: &Self::Of) -> Result<Self>;

    /// Converts a line back to its value.
    fn read(self) -> Result<Self::Of>;
}

/// A line of `….events`.
#[derive(Debug, Serialize, Deserialize)]
pub struct EventRow {
    position: u64,
    tenant_id: Uuid,
    aggregate_type: String,
    aggregate_id: String,
    sequence: u64,
    event_id: Uuid,
    event_type: String,
    event_version: u32,
    occurred_at: i64,
    recorded_at: i64,
    payload: String,
    metadata: String,
    leaf_hash: String,
}

/// A line of `….seals`, in the same form as in a file of `inopsio audit export`. So the uncompressed part can be given to
/// `inopsio audit verify --known`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealRow {
    seal: Seal,
}

/// A line of `….commands`.
#[derive(Debug, Serialize, Deserialize)]
pub struct CommandRow {
    tenant_id: Uuid,
    command_id: String,
    request_hash: String,
    answer: String,
    first_position: u64,
    last_position: u64,
    recorded_at: i64,
}

/// A line of `….claims`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ClaimRow {
    tenant_id: Uuid,
    kind: String,
    key: String,
    holder: String,
}

/// A line of `….decisions`.
#[derive(Debug, Serialize, Deserialize)]
pub struct DecisionRow {
    tenant_id: Uuid,
    consumer: String,
    position: u64,
    nth: u32,
    kind: String,
    actor: String,
    reason: String,
    decided_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

/// A line of `….letters`.
#[derive(Debug, Serialize, Deserialize)]
pub struct LetterRow {
    tenant_id: Uuid,
    consumer: String,
    position: u64,
}

/// A line of `….webhooks.…` and `….jobs.…`: a row as a JSON object by column name, as Postgres writes it. Secrets are encrypted.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct BesideRow(Map<String, Value>);

/// A line of `directory`.
#[derive(Debug, Serialize, Deserialize)]
pub struct TenantRow {
    tenant_id: Uuid,
    slug: String,
    name: String,
    created_at: i64,
    /// The cell in which it lives, if that is not the one that was backed up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    elsewhere: Option<String>,
}

impl Row for EventRow {
    type Of = StoredEvent;

    fn of(StoredEvent { event, leaf_hash }: &StoredEvent) -> Result<Self> {
        Ok(Self {
            position: event.position.0,
            tenant_id: event.tenant.uuid(),
            aggregate_type: event.aggregate_type.clone(),
            aggregate_id: event.aggregate_id.clone(),
            sequence: event.sequence,
            event_id: event.event_id,
            event_type: event.event_type.clone(),
            event_version: event.event_version,
            occurred_at: event.occurred_at.timestamp_micros(),
            recorded_at: event.recorded_at.timestamp_micros(),
            payload: std::str::from_utf8(&event.payload)?.to_owned(),
            metadata: std::str::from_utf8(&event.metadata)?.to_owned(),
            leaf_hash: hex::encode(leaf_hash),
        })
    }

    fn read(self) -> Result<StoredEvent> {
        let leaf_hash = hash(&self.leaf_hash)?;
        let event = RecordedEvent {
            tenant: tenant(self.tenant_id),
            position: Position(self.position),
            event_id: self.event_id,
            aggregate_type: self.aggregate_type,
            aggregate_id: self.aggregate_id,
            sequence: self.sequence,
            event_type: self.event_type,
            event_version: self.event_version,
            payload: self.payload.into(),
            metadata: self.metadata.into(),
            occurred_at: time(self.occurred_at)?,
            recorded_at: time(self.recorded_at)?,
        };
        Ok(StoredEvent { event, leaf_hash })
    }
}

impl Row for SealRow {
    type Of = Seal;

    fn of(seal: &Seal) -> Result<Self> {
        Ok(Self { seal: seal.clone() })
    }

    fn read(self) -> Result<Seal> {
        Ok(self.seal)
    }
}

impl Row for CommandRow {
    type Of = StoredAnswer;

    fn of(command: &StoredAnswer) -> Result<Self> {
        Ok(Self {
            tenant_id: command.tenant.uuid(),
            command_id: command.command_id.clone(),
            request_hash: hex::encode(command.request_hash),
            answer: command.answer.clone(),
            first_position: command.first.0,
            last_position: command.last.0,
            recorded_at: command.recorded_at.timestamp_micros(),
        })
    }

    fn read(self) -> Result<StoredAnswer> {
        Ok(StoredAnswer {
            tenant: tenant(self.tenant_id),
            command_id: self.command_id,
            request_hash: hash(&self.request_hash)?,
            answer: self.answer,
            first: Position(self.first_position),
            last: Position(self.last_position),
            recorded_at: time(self.recorded_at)?,
        })
    }
}

impl Row for ClaimRow {
    type Of = StoredClaim;

    fn of(claim: &StoredClaim) -> Result<Self> {
        Ok(Self {
            tenant_id: claim.tenant.uuid(),
            kind: claim.kind.clone(),
            key: hex::encode(claim.key),
            holder: claim.holder.clone(),
        })
    }

    fn read(self) -> Result<StoredClaim> {
        Ok(StoredClaim { tenant: tenant(self.tenant_id), kind: self.kind, key: hash(&self.key)?, holder: self.holder })
    }
}

impl Row for DecisionRow {
    type Of = StoredDecision;

    fn of(decision: &StoredDecision) -> Result<Self> {
        let decided = &decision.decided;
        Ok(Self {
            tenant_id: decision.tenant.uuid(),
            consumer: decision.consumer.clone(),
            position: decision.position.0,
            nth: decision.nth,
            kind: decided.kind.as_str().to_owned(),
            actor: decided.actor.clone(),
            reason: decided.reason.clone(),
            decided_at: decided.decided_at.timestamp_micros(),
            before: decided.before.clone(),
            after: decided.after.clone(),
        })
    }

    fn read(self) -> Result<StoredDecision> {
        let decided = Decided {
            kind: self.kind.parse::<DecisionKind>().map_err(anyhow::Error::msg)?,
            actor: self.actor,
            reason: self.reason,
            decided_at: time(self.decided_at)?,
            before: self.before,
            after: self.after,
        };
        Ok(StoredDecision {
            tenant: tenant(self.tenant_id),
            consumer: self.consumer,
            position: Position(self.position),
            nth: self.nth,
            decided,
        })
    }
}

impl Row for LetterRow {
    type Of = StoredLetter;

    fn of(StoredLetter { tenant, consumer, position }: &StoredLetter) -> Result<Self> {
        Ok(Self { tenant_id: tenant.uuid(), consumer: consumer.clone(), position: position.0 })
    }

    fn read(self) -> Result<StoredLetter> {
        let (tenant, position) = (tenant(self.tenant_id), Position(self.position));
        Ok(StoredLetter { tenant, consumer: self.consumer, position })
    }
}

impl Row for BesideRow {
    type Of = StoredRow;

    fn of(row: &StoredRow) -> Result<Self> {
        Ok(Self(row.columns.clone()))
    }

    fn read(self) -> Result<StoredRow> {
        Ok(StoredRow::read(self.0)?)
    }
}

impl Row for TenantRow {
    type Of = (Tenant, Option<String>);

    fn of((tenant, elsewhere): &Self::Of) -> Result<Self> {
        Ok(Self {
            tenant_id: tenant.tenant_id.uuid(),
            slug: tenant.slug.clone(),
            name: tenant.name.clone(),
            created_at: tenant.created_at.timestamp_micros(),
            elsewhere: elsewhere.clone(),
        })
    }

    fn read(self) -> Result<Self::Of> {
        let tenant = Tenant {
            tenant_id: tenant(self.tenant_id),
            slug: self.slug,
            name: self.name,
            created_at: time(self.created_at)?,
        };
        Ok((tenant, self.elsewhere))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the backup was taken from a log, where only authenticated callers wrote"
)]
fn tenant(id: Uuid) -> TenantId {
    TenantId::vouched(id)
}

fn time(micros: i64) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros).with_context(|| format!("{micros} is not a time"))
}

fn hash(text: &str) -> Result<[u8; 32]> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash).with_context(|| format!("{text:?} is not a hash"))?;
    Ok(hash)
}
