//! The unit of work of one attempt at a command: the streams that it read, and the events, claims and jobs to append atomically.

use std::any::Any;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use eventstore::{AskedJob, ClaimAct};
use kernel::{Aggregate, Caller, Event, IdSource, Refusal, Versions};
use uuid::Uuid;

use crate::cache::Baseline;
use crate::claim::{ClaimHasher, ClaimRequest};
use crate::history::{Found, Freshness, Histories, Undecodable};
use crate::snapshots::Form;
use crate::{ClaimKind, Request, Standing, SubjectsElsewhere, refused, time};

/// A command's unit of work: reads and changes aggregates, takes claims, and gives ids and the time.
///
/// Nothing is written while the command runs. If the command succeeds, all collected changes go into one append. If it refuses, they are
/// discarded.
pub struct Work<'a> {
    pub(crate) request: &'a Request,
    histories: &'a Histories,
    ids: &'a dyn IdSource,
    hasher: &'a ClaimHasher,
    subjects: &'a SubjectsElsewhere,
    pub(crate) service: &'static str,
    now: DateTime<Utc>,
    freshness: Freshness,
    /// The command looked up holders of claims, so another writer may take one of these claims before the append.
    pub(crate) claims_looked_up: bool,
    pub(crate) streams: Vec<Stream>,
    /// Indexes into `streams`, by aggregate type and id.
    indexes: HashMap<(&'static str, String), usize>,
    /// Aggregates that the command found absent and relies on being absent: the append requires version 0 of them.
    missing: BTreeSet<(&'static str, String)>,
    pub(crate) claims: Vec<ClaimRequest>,
    pub(crate) jobs: Vec<AskedJob>,
}

/// What an attempt uses of its executor.
pub(crate) struct Means<'a> {
    pub(crate) histories: &'a Histories,
    pub(crate) ids: &'a dyn IdSource,
    pub(crate) hasher: &'a ClaimHasher,
    pub(crate) subjects: &'a SubjectsElsewhere,
}

/// A stream that the attempt read or changed.
pub(crate) struct Stream {
    pub(crate) aggregate_type: &'static str,
    pub(crate) id: String,
    /// The version that the attempt found, which the append requires. 0: the stream does not exist yet.
    pub(crate) expected: u64,
    /// The state, including the attempt's own events.
    pub(crate) baseline: Baseline,
    /// The state is from the cache, so it may be stale.
    from_cache: bool,
    /// False if an event was skipped that could not be decoded (not counting events before an erasure).
    pub(crate) complete: bool,
    /// The snapshot format of its aggregate.
    pub(crate) form: Form,
    /// The command sent it an aggregate command, even if that produced no events.
    pub(crate) commanded: bool,
    /// The command depends on the state that was found: the append requires that version.
    relied_on: bool,
    /// The attempt creates it, so it must not exist yet.
    pub(crate) created: bool,
    pub(crate) events: Vec<PendingEvent>,
    /// The time of its events, if it differs from the request's other events.
    pub(crate) occurred_at: Option<DateTime<Utc>>,
}

impl Stream {
    /// Whether the stream is part of the append, if only to check its version.
    pub(crate) const fn is_required(&self) -> bool {
        self.commanded || self.relied_on
    }
}

/// An event without its id, time and metadata.
pub(crate) struct PendingEvent {
    pub(crate) event_type: &'static str,
    pub(crate) event_version: u32,
    pub(crate) payload: String,
}

impl<'a> Work<'a> {
    pub(crate) fn new(
        request: &'a Request,
        Means { histories, ids, hasher, subjects }: Means<'a>,
        service: &'static str,
        now: DateTime<Utc>,
        freshness: Freshness,
    ) -> Self {
        Self {
            request,
            histories,
            ids,
            hasher,
            subjects,
            service,
            now,
            freshness,
            claims_looked_up: false,
            streams: Vec::new(),
            indexes: HashMap::new(),
            missing: BTreeSet::new(),
            claims: Vec::new(),
            jobs: Vec::new(),
        }
    }

    /// Creates an aggregate with a new id.
    ///
    /// # Errors
    /// The aggregate's refusal; `header_invalid` if the request has an `If-Match`, because there is no version to match.
    pub fn create<A: Aggregate>(&mut self, id: impl Display, command: A::Command) -> Result<(), Refusal> {
        let index = self.begin::<A>(id.to_string())?;
        self.decide::<A>(index, command)
    }

    /// As [`create`](Self::create), for an event that happened at `occurred_at`, whatever time the request names.
    ///
    /// # Errors
    /// Also without the permission `<service>:history:backdate`, or for a time in the future.
    pub fn create_at<A: Aggregate>(
        &mut self,
        id: impl Display,
        occurred_at: DateTime<Utc>,
        command: A::Command,
    ) -> Result<(), Refusal> {
        time::may_backdate(self.caller(), self.service, occurred_at, self.now)?;
        let index = self.begin::<A>(id.to_string())?;
        self.streams[index].occurred_at = Some(kernel::to_micros(occurred_at));
        self.decide::<A>(index, command)
    }

    /// Sends a command to an aggregate that exists.
    ///
    /// # Errors
    /// `not_found` if it does not exist, `version_differs` if `If-Match` names another version, or the aggregate's refusal.
    pub async fn update<A: Aggregate>(&mut self, id: impl Display + Send, command: A::Command) -> Result<(), Refusal> {
        let id = id.to_string();
        let Some(index) = self.index::<A>(&id).await? else { return Err(not_found::<A>(&id)) };
        self.ask::<A>(index, command)
    }

    /// Sends a command to an aggregate, and creates the aggregate if needed. For aggregates of which a tenant has exactly one.
    ///
    /// # Errors
    /// As [`update`](Self::update), but for `not_found`.
    pub async fn upsert<A: Aggregate>(&mut self, id: impl Display + Send, command: A::Command) -> Result<(), Refusal> {
        let id = id.to_string();
        let index = match self.index::<A>(&id).await? {
            Some(index) => index,
            None => self.add_new::<A>(id),
        };
        self.ask::<A>(index, command)
    }

    /// An aggregate's state, including changes of this attempt. `None` if it does not exist.
    ///
    /// A stream that is only read is not checked by the append: another writer may change it before the command is stored. That writer may
    /// be another process, whose changes are not in this cache. A rule that spans aggregates must depend on something that the append
    /// checks: [`rely`](Self::rely), a [claim](Self::take), or a change of the aggregate itself.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn find<A: Aggregate>(&mut self, id: impl Display + Send) -> Result<Option<Arc<A>>, Refusal> {
        match self.index::<A>(&id.to_string()).await? {
            Some(index) => self.state(index).map(Some),
            None => Ok(None),
        }
    }

    /// As [`find`](Self::find), for a state on which the command depends, such as somebody's permissions. The append requires that the
    /// stream still has the version found here, or is still absent; otherwise the command runs again on the state in the log. This costs no
    /// extra read, and commands that rely on the same stream do not block each other.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn rely<A: Aggregate>(&mut self, id: impl Display + Send) -> Result<Option<Arc<A>>, Refusal> {
        let id = id.to_string();
        let Some(index) = self.index::<A>(&id).await? else {
            self.missing.insert((A::TYPE, id));
            return Ok(None);
        };
        self.streams[index].relied_on = true;
        self.state(index).map(Some)
    }

    /// An aggregate's state, including changes of this attempt. As with [`find`](Self::find), it may be stale.
    ///
    /// # Errors
    /// `not_found` when it does not exist.
    pub async fn read<A: Aggregate>(&mut self, id: impl Display + Send) -> Result<Arc<A>, Refusal> {
        let id = id.to_string();
        self.find(&id).await?.ok_or_else(|| not_found::<A>(&id))
    }

    /// Loads an aggregate and skips the events that can't be decoded, for changes that must be possible all the same, such as erasing
    /// somebody. Call it before any other access to the aggregate: this attempt then uses the same state throughout, and neither caches it
    /// nor takes a snapshot of it. Returns true if no relevant event was skipped. If false, do not base authorization on the state.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn load_lossy<A: Aggregate>(&mut self, id: impl Display + Send) -> Result<bool, Refusal> {
        let index = self.index_of::<A>(&id.to_string(), Undecodable::Skip).await?;
        Ok(index.is_none_or(|index| self.streams[index].complete))
    }

    /// Refuses if `If-Match` does not name the aggregate's version. For a command that may answer without sending the aggregate a command.
    ///
    /// # Errors
    /// `version_differs`; `not_found` when it does not exist.
    pub async fn matches<A: Aggregate>(&mut self, id: impl Display + Send) -> Result<(), Refusal> {
        let id = id.to_string();
        let Some(index) = self.index::<A>(&id).await? else { return Err(not_found::<A>(&id)) };
        let version = self.streams[index].expected;
        match &self.request.if_match {
            Some(wanted) if !wanted.contains(version) => Err(version_differs(wanted, version)),
            _ => Ok(()),
        }
    }

    /// Takes a claim for `holder`. The append is refused if another holder has it.
    pub fn take(&mut self, kind: &'static ClaimKind, value: &str, holder: impl Display) {
        self.claim(kind, value, &holder, ClaimAct::Take);
    }

    /// Releases a claim. Does nothing if `holder` does not have it.
    pub fn release(&mut self, kind: &'static ClaimKind, value: &str, holder: impl Display) {
        self.claim(kind, value, &holder, ClaimAct::Release);
    }

    /// Takes a claim if nobody has it; otherwise does nothing. Never refused.
    pub fn mark(&mut self, kind: &'static ClaimKind, value: &str, holder: impl Display) {
        self.claim(kind, value, &holder, ClaimAct::Mark);
    }

    /// Requires that nobody has a claim. The append is refused if somebody has it, `holder` included.
    pub fn absent(&mut self, kind: &'static ClaimKind, value: &str, holder: impl Display) {
        self.claim(kind, value, &holder, ClaimAct::Absent);
    }

    /// The current holders of claims of a kind, by value; values that nobody has claimed are left out. For a command that leaves out what
    /// is taken: if somebody takes one of the values before the append, the command runs again.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn holders<'v>(
        &mut self,
        kind: &'static ClaimKind,
        values: impl IntoIterator<Item = &'v str>,
    ) -> Result<HashMap<&'v str, String>, Refusal> {
        let tenant = self.request.caller.tenant();
        let keys: HashMap<[u8; 32], &str> =
            values.into_iter().map(|value| (self.hasher.hash(tenant, kind.name, value), value)).collect();
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        self.claims_looked_up = true;
        let held = self.histories.store().holders(tenant, kind.name, keys.keys().copied()).await;
        let held = held.map_err(|error| refused::by_the_log(&error))?;
        Ok(held.into_iter().filter_map(|(key, holder)| Some((*keys.get(&key)?, holder))).collect())
    }

    /// Enqueues a job in the transaction of the append, so that it exists if and only if the events do. Jobs are created by the crate
    /// `jobs` (`Kind::asked`); a worker is told by `Jobs::wake`, or finds the job by polling within seconds.
    pub fn enqueue(&mut self, job: AskedJob) {
        self.jobs.push(job);
    }

    fn claim(&mut self, kind: &'static ClaimKind, value: &str, holder: &dyn Display, act: ClaimAct) {
        self.claims.push(ClaimRequest { kind, value: value.to_owned(), holder: holder.to_string(), act });
    }

    /// Whether a user or a machine of the caller's tenant can sign in now, for a command that gives it something
    /// ([`SubjectsElsewhere::can_sign_in`]). Ask for each only once: it costs a query of another service's log. The append can't
    /// check the answer.
    ///
    /// # Errors
    /// If it can't be determined now.
    pub async fn can_sign_in(&self, subject: &str) -> Result<bool, Refusal> {
        self.subjects.can_sign_in(self.caller().tenant(), subject).await
    }

    /// What the caller may do now, for a command that runs much later than it was requested ([`SubjectsElsewhere::standing`]). It costs
    /// queries of other services' logs, and the append can't check the answer.
    ///
    /// # Errors
    /// If it can't be determined now.
    pub async fn standing_of_caller(&self) -> Result<Standing<&'static str>, Refusal> {
        self.subjects.standing(self.caller().tenant(), self.caller().subject()).await
    }

    /// A new identifier.
    pub fn new_id<I: From<Uuid>>(&self) -> I {
        self.ids.next().into()
    }

    /// The time of this attempt.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// The time at which the caller says the change happened; otherwise the time of this attempt. Events of a stream are never out of
    /// order: if the stream's last event is later than now (another machine's clock is ahead), new events get that event's time.
    pub fn occurred_at(&self) -> DateTime<Utc> {
        self.request.occurred_at.map_or(self.now, kernel::to_micros)
    }

    /// The caller.
    pub fn caller(&self) -> &Caller {
        &self.request.caller
    }

    /// The aggregates that must still be absent at the append, except those that the attempt creates itself.
    pub(crate) fn missing(&self) -> impl Iterator<Item = &(&'static str, String)> {
        self.missing.iter().filter(|missing| !self.indexes.contains_key(*missing))
    }

    /// Whether the attempt used a cached state that may be stale.
    pub(crate) fn rests_on_cache(&self) -> bool {
        self.streams.iter().any(|stream| stream.from_cache)
    }

    /// The log's epoch in which the oldest of the states was read that the attempt found. `None`: it found none.
    pub(crate) fn read_in(&self) -> Option<u64> {
        self.streams.iter().filter(|stream| stream.expected > 0).map(|stream| stream.baseline.epoch).min()
    }

    /// Whether there is nothing to write: no events, claims or jobs.
    pub(crate) fn changes_nothing(&self) -> bool {
        self.claims.is_empty() && self.jobs.is_empty() && self.streams.iter().all(|stream| stream.events.is_empty())
    }

    /// The stream whose version is the answer's ETag: the first that got a command, otherwise the first that was read.
    pub(crate) fn first(&self) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.commanded).or_else(|| self.streams.first())
    }

    fn begin<A: Aggregate>(&mut self, id: String) -> Result<usize, Refusal> {
        if self.request.if_match.is_some() && self.streams.iter().all(|stream| !stream.commanded) {
            return Err(Versions::of_something_new());
        }
        if self.indexes.contains_key(&(A::TYPE, id.clone())) {
            return Err(already_exists(A::TYPE, &id));
        }
        let index = self.add_new::<A>(id);
        let stream = &mut self.streams[index];
        (stream.commanded, stream.created) = (true, true);
        Ok(index)
    }

    fn ask<A: Aggregate>(&mut self, index: usize, command: A::Command) -> Result<(), Refusal> {
        let first = self.streams.iter().all(|stream| !stream.commanded);
        let stream = &mut self.streams[index];
        stream.commanded = true;
        if let (true, Some(wanted)) = (first, &self.request.if_match)
            && !wanted.contains(stream.expected)
        {
            return Err(version_differs(wanted, stream.expected));
        }
        self.decide::<A>(index, command)
    }

    fn decide<A: Aggregate>(&mut self, index: usize, command: A::Command) -> Result<(), Refusal> {
        let state = self.state::<A>(index)?;
        let events = state.decide(command).map_err(Into::into)?;
        if events.is_empty() {
            return Ok(());
        }
        let stream = &mut self.streams[index];
        let mut next = A::clone(&state);
        for event in events {
            // The state after the event tells whose personal data the event has (`Aggregate::person`).
            next.evolve(event.clone());
            let payload = to_marked_json(&next, &stream.id, &event).map_err(|error| refused::by_json(&error))?;
            stream.baseline.version += 1;
            stream.baseline.bytes += payload.len() as u64;
            stream.events.push(PendingEvent { event_type: event.name(), event_version: event.version(), payload });
        }
        stream.baseline.state = Arc::new(next);
        Ok(())
    }

    async fn index<A: Aggregate>(&mut self, id: &str) -> Result<Option<usize>, Refusal> {
        self.index_of::<A>(id, Undecodable::Fail).await
    }

    async fn index_of<A: Aggregate>(&mut self, id: &str, undecodable: Undecodable) -> Result<Option<usize>, Refusal> {
        if let Some(index) = self.indexes.get(&(A::TYPE, id.to_owned())) {
            return Ok(Some(*index));
        }
        let found = self.histories.find::<A>(self.request.caller.tenant(), id, self.freshness, undecodable).await?;
        Ok(found.map(|found| self.add::<A>(id.to_owned(), found)))
    }

    /// Adds a stream that does not exist yet.
    fn add_new<A: Aggregate>(&mut self, id: String) -> usize {
        let baseline = Baseline::without_events(Arc::new(A::default()), self.histories.store().epoch());
        self.add::<A>(id, Found { baseline, from_cache: false, complete: true })
    }

    fn add<A: Aggregate>(&mut self, id: String, Found { baseline, from_cache, complete }: Found) -> usize {
        let index = self.streams.len();
        self.indexes.insert((A::TYPE, id.clone()), index);
        self.streams.push(Stream {
            aggregate_type: A::TYPE,
            form: Form::of::<A>(),
            id,
            expected: baseline.version,
            baseline,
            from_cache,
            complete,
            commanded: false,
            relied_on: false,
            created: false,
            events: Vec::new(),
            occurred_at: None,
        });
        index
    }

    fn state<A: Aggregate>(&self, index: usize) -> Result<Arc<A>, Refusal> {
        let state: Arc<dyn Any + Send + Sync> = self.streams[index].baseline.state.clone();
        state.downcast().map_err(|_| {
            Refusal::internal("aggregate_type_twice", format!("two aggregates call themselves {}", A::TYPE))
        })
    }
}

/// Serializes an event or a state of an aggregate as JSON in which personal data is marked, so that the log encrypts it. `state` tells
/// whose data it is.
pub(crate) fn to_marked_json<A: Aggregate>(
    state: &A,
    id: &str,
    value: &impl serde::Serialize,
) -> serde_json::Result<String> {
    let write = || serde_json::to_string(value);
    if !A::SEALED {
        return write();
    }
    match state.person(id) {
        Some(person) => kernel::personal::marked_of(&person, write),
        None => kernel::personal::marked(write),
    }
}

/// The refusal `not_found`, for an id that never existed in the caller's tenant (it may exist in another).
pub fn not_found<A: Aggregate>(id: &str) -> Refusal {
    Refusal::absent(A::TYPE, id)
}

/// An aggregate's name for people: its type without the service.
pub fn named<A: Aggregate>() -> &'static str {
    A::TYPE.rsplit('.').next().unwrap_or(A::TYPE)
}

pub(crate) fn already_exists(aggregate_type: &str, id: &str) -> Refusal {
    Refusal::conflict("already_exists", format!("{aggregate_type} {id} is there already"))
}

pub(crate) fn version_differs(wanted: &Versions, actual: u64) -> Refusal {
    Refusal::precondition_failed(
        "version_differs",
        format!("If-Match names {wanted}, the current version is {actual}; read it again, then decide"),
    )
    .with("version", actual)
}
