//! Appends that go to the database together.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use chrono::{DateTime, Utc};
use kernel::{Leaf, LeafHash};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::Settings;
use crate::append::{Append, Appended, AskedJob, ClaimAct, Error};

/// An append of more events is bulk: it is not in one batch with small ones.
const BULK: usize = 50;

/// An append whose caller waits for the answer.
pub(crate) struct Waiting {
    pub(crate) append: Append,
    /// Asked for in the same transaction.
    pub(crate) jobs: Vec<AskedJob>,
    answer: oneshot::Sender<Result<Appended, Error>>,
    pub(crate) since: Instant,
    pub(crate) events: usize,
    bytes: usize,
    touched: Vec<(Key, Touch)>,
    /// Its place among the bytes that may wait: given back when it is answered.
    room: Option<OwnedSemaphorePermit>,
}

/// A stream, command id or claim, hashed: two that collide only wait for each other without need.
type Key = u64;

/// How an append touches a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Touch {
    /// Changes it, or depends on its not being changed.
    Exclusive,
    /// Marks a claim; marks do not disturb each other.
    Mark,
    /// Requires that a claim is absent; neither do these.
    Absent,
    /// Requires that a stream is at a version, and adds nothing to it; nor do these: a role that many are given is one.
    Version,
}

impl Waiting {
    /// An append that passed its checks.
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

    /// How many bytes of payload, metadata and answer it has.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps its place among the bytes that may wait until it is answered.
    pub(crate) fn keep(&mut self, room: OwnedSemaphorePermit) {
        self.room = Some(room);
    }

    /// Whether it takes so long to write that others should not have to wait for it.
    pub(crate) const fn is_bulk(&self) -> bool {
        self.events > BULK
    }

    /// Whether its caller has gone.
    pub(crate) fn is_forsaken(&self) -> bool {
        self.answer.is_closed()
    }

    /// Answers its caller, who may have gone.
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

/// Appends of one statement. No two of them touch the same stream, command id or claim in ways that disturb each other.
pub(crate) struct Batch {
    pub(crate) recorded_at: DateTime<Utc>,
    pub(crate) appends: Vec<Waiting>,
    /// One a event, in the order of the appends, their streams and events.
    pub(crate) leaves: Vec<LeafHash>,
    events: usize,
    bytes: usize,
    touched: std::collections::HashMap<Key, Touch>,
}

impl Batch {
    /// An empty batch, whose events will have been recorded at this time.
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

    /// The bytes of payloads, metadata and answers.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether an append may join. An empty batch takes any.
    pub(crate) fn admits(&self, waiting: &Waiting, settings: &Settings) -> bool {
        self.appends.is_empty()
            || (self.appends[0].is_bulk() == waiting.is_bulk()
                && self.appends.len() < settings.batch_appends
                && self.events + waiting.events <= settings.batch_events
                && self.bytes + waiting.bytes <= settings.batch_bytes
                && !waiting.touched.iter().any(|(key, touch)| self.disturbs(*key, *touch)))
    }

    /// Whether a small append may join, unless others of the batch disturb it.
    pub(crate) fn has_room(&self, settings: &Settings) -> bool {
        !self.appends.first().is_some_and(Waiting::is_bulk)
            && self.appends.len() < settings.batch_appends
            && self.events < settings.batch_events
            && self.bytes < settings.batch_bytes
    }

    fn disturbs(&self, key: Key, touch: Touch) -> bool {
        self.touched.get(&key).is_some_and(|here| *here != touch || touch == Touch::Exclusive)
    }

    /// Adds an append that [`admits`](Self::admits) let in. Its leaves are hashed here, while another batch is in flight.
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

    /// The same appends, recorded at another time.
    pub(crate) fn at(self, recorded_at: DateTime<Utc>) -> Self {
        Self::of(self.appends, recorded_at)
    }

    /// Those appends that are to be taken out, and a batch of the rest.
    pub(crate) fn divide(self, taken: impl Fn(&Waiting) -> bool) -> (Vec<Waiting>, Self) {
        if !self.appends.iter().any(&taken) {
            return (Vec::new(), self);
        }
        let (taken, rest) = self.appends.into_iter().partition(taken);
        (taken, Self::of(rest, self.recorded_at))
    }

    /// Two halves of a batch that has more than one append.
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
