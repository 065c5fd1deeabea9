//! [`Batch`]: appends that are committed together. Two appends in a batch never conflict with each other.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use chrono::{DateTime, Utc};
use kernel::{Leaf, LeafHash};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::Settings;
use crate::append::{Append, Appended, AskedJob, ClaimAct, Error};

/// An append with more events is bulk: it is never in one batch with small ones.
const BULK: usize = 50;

/// An append whose caller waits for the result.
pub(crate) struct Waiting {
    pub(crate) append: Append,
    /// Jobs to enqueue in the same transaction.
    pub(crate) jobs: Vec<AskedJob>,
    answer: oneshot::Sender<Result<Appended, Error>>,
    pub(crate) since: Instant,
    pub(crate) events: usize,
    bytes: usize,
    touched: Vec<(Key, Touch)>,
    /// Its share of the limit on waiting bytes; released when it is answered.
    room: Option<OwnedSemaphorePermit>,
}

/// The hash of a stream, command id or claim. A collision only makes one append wait for the other unnecessarily.
type Key = u64;

/// How an append accesses a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Touch {
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

impl Waiting {
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
        let touched = touched(&append);
        Self { append, jobs, answer, since: Instant::now(), events, bytes, touched, room: None }
    }

    /// The size of its payloads, metadata, jobs' arguments and answer, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Attaches its share of the limit on waiting bytes.
    pub(crate) fn keep(&mut self, room: OwnedSemaphorePermit) {
        self.room = Some(room);
    }

    /// Whether writing it takes so long that small appends should not wait for it.
    pub(crate) const fn is_bulk(&self) -> bool {
        self.events > BULK
    }

    /// Whether its caller has stopped waiting.
    pub(crate) fn is_forsaken(&self) -> bool {
        self.answer.is_closed()
    }

    /// Sends the result to the caller, who may have stopped waiting.
    pub(crate) fn answer(self, answer: Result<Appended, Error>) {
        let _ = self.answer.send(answer);
    }
}

fn touched(append: &Append) -> Vec<(Key, Touch)> {
    fn key(parts: impl Hash) -> Key {
        let mut hasher = DefaultHasher::new();
        parts.hash(&mut hasher);
        hasher.finish()
    }
    let tenant = append.tenant;
    let mut keys = Vec::with_capacity(1 + append.streams.len() + append.claims.len());
    keys.push((key((tenant, "command", &append.command.id)), Touch::Exclusive));
    for stream in &append.streams {
        let touch = if stream.events.is_empty() { Touch::Version } else { Touch::Exclusive };
        keys.push((key((tenant, "stream", stream.aggregate_type, &stream.aggregate_id)), touch));
    }
    for claim in &append.claims {
        let touch = match claim.act {
            ClaimAct::Take | ClaimAct::Release => Touch::Exclusive,
            ClaimAct::Mark => Touch::Mark,
            ClaimAct::Absent => Touch::Absent,
        };
        keys.push((key((tenant, "claim", claim.kind, claim.key)), touch));
    }
    keys
}

/// Appends that are sent in one statement. No two of them access the same stream, command id or claim in conflicting ways.
pub(crate) struct Batch {
    pub(crate) recorded_at: DateTime<Utc>,
    pub(crate) appends: Vec<Waiting>,
    /// One leaf hash for each event, in the order of the appends, their streams and events.
    pub(crate) leaves: Vec<LeafHash>,
    events: usize,
    bytes: usize,
    touched: std::collections::HashMap<Key, Touch>,
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
            touched: std::collections::HashMap::new(),
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
    pub(crate) fn admits(&self, waiting: &Waiting, settings: &Settings) -> bool {
        self.appends.is_empty()
            || (self.appends[0].is_bulk() == waiting.is_bulk()
                && self.appends.len() < settings.batch_appends
                && self.events + waiting.events <= settings.batch_events
                && self.bytes + waiting.bytes <= settings.batch_bytes
                && !waiting.touched.iter().any(|(key, touch)| self.disturbs(*key, *touch)))
    }

    /// Whether a small append may join, as far as the limits are concerned.
    pub(crate) fn has_room(&self, settings: &Settings) -> bool {
        !self.appends.first().is_some_and(Waiting::is_bulk)
            && self.appends.len() < settings.batch_appends
            && self.events < settings.batch_events
            && self.bytes < settings.batch_bytes
    }

    fn disturbs(&self, key: Key, touch: Touch) -> bool {
        self.touched.get(&key).is_some_and(|here| *here != touch || touch == Touch::Exclusive)
    }

    /// Adds an append that [`admits`](Self::admits) allowed. Its leaf hashes are computed here, while another batch is in flight.
    pub(crate) fn push(&mut self, waiting: Waiting) {
        for stream in &waiting.append.streams {
            for (sequence, event) in (stream.expected + 1..).zip(&stream.events) {
                let leaf = Leaf {
                    tenant: waiting.append.tenant,
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
        self.events += waiting.events;
        self.bytes += waiting.bytes;
        self.touched.extend(waiting.touched.iter().copied());
        self.appends.push(waiting);
    }

    /// The same appends with another `recorded_at`.
    pub(crate) fn at(self, recorded_at: DateTime<Utc>) -> Self {
        Self::of(self.appends, recorded_at)
    }

    /// Splits off the appends that `taken` selects. Returns them and a batch of the rest.
    pub(crate) fn divide(self, taken: impl Fn(&Waiting) -> bool) -> (Vec<Waiting>, Self) {
        if !self.appends.iter().any(&taken) {
            return (Vec::new(), self);
        }
        let (taken, rest) = self.appends.into_iter().partition(taken);
        (taken, Self::of(rest, self.recorded_at))
    }

    /// Splits a batch of more than one append into two halves.
    pub(crate) fn halves(mut self) -> (Self, Self) {
        let rest = self.appends.split_off(self.appends.len() / 2);
        (Self::of(self.appends, self.recorded_at), Self::of(rest, self.recorded_at))
    }

    fn of(appends: Vec<Waiting>, recorded_at: DateTime<Utc>) -> Self {
        let mut batch = Self::new(recorded_at);
        for waiting in appends {
            batch.push(waiting);
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
    fn append(command: &str, expected: u64, events: usize) -> Waiting {
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
        Waiting::new(append, Vec::new(), oneshot::channel().0)
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
