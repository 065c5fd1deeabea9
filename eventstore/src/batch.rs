//! [`Batch`]: appends that are committed together. Two appends in a batch never conflict with each other.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use chrono::{DateTime, Utc};
use kernel::{Leaf, LeafHash};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::Settings;
use crate::append::{Append, Appended, AskedJob, ClaimAct, Error};
use crate::sealing::StoredKey;

/// An append with more events is bulk: it is never in one batch with small ones.
const MAX_SMALL_EVENTS: usize = 50;

/// An append whose caller waits for the result.
pub(crate) struct PendingAppend {
    pub(crate) append: Append,
    /// Jobs to enqueue in the same transaction.
    pub(crate) jobs: Vec<AskedJob>,
    /// The [epoch](crate::EventStore::epoch) in which the states were read on which it was decided; `None`: it rests on none.
    pub(crate) read_in: Option<u64>,
    /// The keys under which something in it is encrypted.
    pub(crate) needed: Vec<StoredKey>,
    answer: oneshot::Sender<Result<Appended, Error>>,
    pub(crate) since: Instant,
    pub(crate) events: usize,
    bytes: usize,
    accesses: Vec<(Key, Access)>,
    /// Its share of the limit on waiting bytes; released when it is answered.
    permit: Option<OwnedSemaphorePermit>,
}

/// The hash of a stream, command id or claim. A collision only makes one append wait for the other unnecessarily.
type Key = u64;

/// How an append accesses a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// It changes the key, or depends on it not being changed.
    Exclusive,
    /// It marks a claim. Marks do not conflict with each other.
    Mark,
    /// It requires that a claim is absent. These do not conflict with each other.
    Absent,
    /// It requires a version of a stream to which it appends nothing. These do not conflict with each other: the stream of a role that many
    /// users get is an example.
    Version,
}

impl PendingAppend {
    /// An append that passed its validation.
    pub(crate) fn new(append: Append, jobs: Vec<AskedJob>, answer: oneshot::Sender<Result<Appended, Error>>) -> Self {
        let events = append.streams.iter().map(|stream| stream.events.len()).sum();
        let bytes = append.command.answer.len()
            + append
                .streams
                .iter()
                .flat_map(|stream| &stream.events)
                .map(|event| event.payload.len() + event.metadata.len())
                .sum::<usize>()
            + jobs.iter().map(|job| job.arguments.len()).sum::<usize>();
        let accesses = accesses(&append);
        Self {
            append,
            jobs,
            read_in: None,
            needed: Vec::new(),
            answer,
            since: Instant::now(),
            events,
            bytes,
            accesses,
            permit: None,
        }
    }

    /// The size of its payloads, metadata, jobs' arguments and answer, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Attaches its share of the limit on waiting bytes.
    pub(crate) fn hold(&mut self, permit: OwnedSemaphorePermit) {
        self.permit = Some(permit);
    }

    /// Whether writing it takes so long that small appends should not wait for it.
    pub(crate) const fn is_bulk(&self) -> bool {
        self.events > MAX_SMALL_EVENTS
    }

    /// Whether its caller has stopped waiting.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.answer.is_closed()
    }

    /// Sends the result to the caller, who may have stopped waiting.
    pub(crate) fn answer(self, answer: Result<Appended, Error>) {
        let _ = self.answer.send(answer);
    }
}

fn accesses(append: &Append) -> Vec<(Key, Access)> {
    fn key(parts: impl Hash) -> Key {
        let mut hasher = DefaultHasher::new();
        parts.hash(&mut hasher);
        hasher.finish()
    }
    let tenant = append.tenant;
    let mut keys = Vec::with_capacity(1 + append.streams.len() + append.claims.len());
    keys.push((key((tenant, "command", &append.command.id)), Access::Exclusive));
    for stream in &append.streams {
        let access = if stream.events.is_empty() { Access::Version } else { Access::Exclusive };
        keys.push((key((tenant, "stream", stream.aggregate_type, &stream.aggregate_id)), access));
    }
    for claim in &append.claims {
        let access = match claim.act {
            ClaimAct::Take | ClaimAct::Release => Access::Exclusive,
            ClaimAct::Mark => Access::Mark,
            ClaimAct::Absent => Access::Absent,
        };
        keys.push((key((tenant, "claim", claim.kind, claim.key)), access));
    }
    keys
}

/// Appends that are sent in one statement. No two of them access the same stream, command id or claim in conflicting ways.
pub(crate) struct Batch {
    pub(crate) recorded_at: DateTime<Utc>,
    pub(crate) appends: Vec<PendingAppend>,
    /// One leaf hash for each event, in the order of the appends, their streams and events.
    pub(crate) leaves: Vec<LeafHash>,
    events: usize,
    bytes: usize,
    accesses: std::collections::HashMap<Key, Access>,
}

impl Batch {
    /// An empty batch with this `recorded_at` for its events.
    pub(crate) fn new(recorded_at: DateTime<Utc>) -> Self {
        Self {
            recorded_at,
            appends: Vec::new(),
            leaves: Vec::new(),
            events: 0,
            bytes: 0,
            accesses: std::collections::HashMap::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.appends.is_empty()
    }

    /// The number of events.
    pub(crate) fn events(&self) -> usize {
        self.events
    }

    /// The size of payloads, metadata, jobs' arguments and answers, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether an append may join. An empty batch admits any.
    pub(crate) fn admits(&self, pending: &PendingAppend, settings: &Settings) -> bool {
        self.appends.is_empty()
            || (self.appends[0].is_bulk() == pending.is_bulk()
                && self.appends.len() < settings.batch_appends
                && self.events + pending.events <= settings.batch_events
                && self.bytes + pending.bytes <= settings.batch_bytes
                && !pending.accesses.iter().any(|(key, access)| self.conflicts(*key, *access)))
    }

    /// Whether a small append may join, as far as the limits are concerned.
    pub(crate) fn has_room(&self, settings: &Settings) -> bool {
        !self.appends.first().is_some_and(PendingAppend::is_bulk)
            && self.appends.len() < settings.batch_appends
            && self.events < settings.batch_events
            && self.bytes < settings.batch_bytes
    }

    fn conflicts(&self, key: Key, access: Access) -> bool {
        self.accesses.get(&key).is_some_and(|here| *here != access || access == Access::Exclusive)
    }

    /// Adds an append that [`admits`](Self::admits) allowed. Its leaf hashes are computed here, while another batch is in flight.
    pub(crate) fn push(&mut self, pending: PendingAppend) {
        for stream in &pending.append.streams {
            for (sequence, event) in (stream.expected + 1..).zip(&stream.events) {
                let leaf = Leaf {
                    tenant: pending.append.tenant,
                    aggregate_type: stream.aggregate_type,
                    aggregate_id: &stream.aggregate_id,
                    sequence,
                    event_id: event.event_id,
                    event_type: event.event_type,
                    event_version: event.event_version,
                    occurred_at: kernel::to_micros(event.occurred_at),
                    recorded_at: self.recorded_at,
                    payload: event.payload.as_bytes(),
                    metadata: event.metadata.as_bytes(),
                };
                self.leaves.push(leaf.hash());
            }
        }
        self.events += pending.events;
        self.bytes += pending.bytes;
        self.accesses.extend(pending.accesses.iter().copied());
        self.appends.push(pending);
    }

    /// The same appends with another `recorded_at`.
    pub(crate) fn with_recorded_at(self, recorded_at: DateTime<Utc>) -> Self {
        Self::of(self.appends, recorded_at)
    }

    /// Splits off the appends that `taken` selects, by their place too. Returns them and a batch of the rest.
    pub(crate) fn split_off(self, taken: impl Fn(usize, &PendingAppend) -> bool) -> (Vec<PendingAppend>, Self) {
        let places: Vec<bool> = self.appends.iter().enumerate().map(|(place, pending)| taken(place, pending)).collect();
        if !places.contains(&true) {
            return (Vec::new(), self);
        }
        let (mut split, mut rest) = (Vec::new(), Vec::new());
        for (pending, taken) in self.appends.into_iter().zip(places) {
            if taken { &mut split } else { &mut rest }.push(pending);
        }
        (split, Self::of(rest, self.recorded_at))
    }

    /// Splits a batch of more than one append into two halves.
    pub(crate) fn split_in_half(mut self) -> (Self, Self) {
        let rest = self.appends.split_off(self.appends.len() / 2);
        (Self::of(self.appends, self.recorded_at), Self::of(rest, self.recorded_at))
    }

    fn of(appends: Vec<PendingAppend>, recorded_at: DateTime<Utc>) -> Self {
        let mut batch = Self::new(recorded_at);
        for pending in appends {
            batch.push(pending);
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::append::{CommandRecord, NewEvent, StreamAppend};

    /// An append that requires a role to be at a version, or adds an event to it.
    #[expect(clippy::disallowed_methods, reason = "a test's tenant")]
    fn append(command: &str, expected: u64, events: usize) -> PendingAppend {
        let event = NewEvent {
            event_id: Uuid::nil(),
            event_type: "demo.role.changed",
            event_version: 1,
            payload: "{}".to_owned(),
            metadata: "{}".into(),
            occurred_at: DateTime::UNIX_EPOCH,
        };
        let append = Append {
            tenant: kernel::TenantId::vouched(Uuid::from_u128(1)),
            command: CommandRecord { id: command.to_owned(), request_hash: [0; 32], answer: "{}".to_owned() },
            streams: vec![StreamAppend {
                aggregate_type: "demo.role",
                aggregate_id: "sales".to_owned(),
                expected,
                events: vec![event; events],
            }],
            claims: Vec::new(),
        };
        PendingAppend::new(append, Vec::new(), oneshot::channel().0)
    }

    #[test]
    fn those_who_only_require_a_version_share_a_batch_and_who_changes_the_stream_waits_for_the_next() {
        let settings = Settings::default();
        let mut batch = Batch::new(DateTime::UNIX_EPOCH);
        batch.push(append("one", 3, 0));
        assert!(batch.admits(&append("two", 3, 0), &settings), "both require it");
        assert!(batch.admits(&append("two", 2, 0), &settings), "one of them in vain");
        assert!(!batch.admits(&append("two", 3, 1), &settings), "it would be another version");
        let mut batch = Batch::new(DateTime::UNIX_EPOCH);
        batch.push(append("one", 3, 1));
        assert!(!batch.admits(&append("two", 3, 0), &settings), "it is another version");
        assert!(!batch.admits(&append("two", 4, 1), &settings));
    }
}
