//! One attempt at a command: what it read and what it wants to become true, all together or not at all.

use std::any::Any;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use eventstore::{AskedJob, ClaimAct};
use kernel::{Aggregate, Caller, Event, IdSource, Refusal, Versions};
use uuid::Uuid;

use crate::cache::Baseline;
use crate::claim::{ClaimHasher, Wanted};
use crate::history::{Found, Freshness, Histories, Reading};
use crate::snapshots::Form;
use crate::{ClaimKind, Request, refused, time};

/// What a command works with: aggregates to read and change, claims to take, identifiers, the time.
///
/// Nothing is written while it runs. What it collected goes into one append when the command answers, and is forgotten
/// when it refuses.
pub struct Work<'a> {
    pub(crate) request: &'a Request,
    histories: &'a Histories,
    ids: &'a dyn IdSource,
    hasher: &'a ClaimHasher,
    pub(crate) service: &'static str,
    now: DateTime<Utc>,
    freshness: Freshness,
    /// It was asked who has claims: somebody may take one of them before the append.
    pub(crate) looked: bool,
    pub(crate) streams: Vec<Stream>,
    places: HashMap<(&'static str, String), usize>,
    /// Aggregates that must not come to be before the append: that they are not there is what the command rests on.
    missing: BTreeSet<(&'static str, String)>,
    pub(crate) claims: Vec<Wanted>,
    pub(crate) jobs: Vec<AskedJob>,
}

/// A stream that the attempt read or changed.
pub(crate) struct Stream {
    pub(crate) aggregate_type: &'static str,
    pub(crate) id: String,
    /// The version that the attempt found; 0: none.
    pub(crate) expected: u64,
    /// The state with the attempt's own events.
    pub(crate) baseline: Baseline,
    /// The log has not vouched for what was found.
    from_cache: bool,
    /// Whether all of its history that matters could be read.
    pub(crate) whole: bool,
    /// How its state is written.
    pub(crate) form: Form,
    /// The command asked it for something, be it in vain.
    pub(crate) asked: bool,
    /// The command rests on its being as it was found.
    relied_on: bool,
    /// It must not be there yet.
    pub(crate) begun: bool,
    pub(crate) events: Vec<Pending>,
    /// When its events happened, if not when the request's other events did.
    pub(crate) occurred_at: Option<DateTime<Utc>>,
}

impl Stream {
    /// Whether the append is about it, if only to require that it is as it was found.
    pub(crate) const fn is_required(&self) -> bool {
        self.asked || self.relied_on
    }
}

/// An event without its circumstances.
pub(crate) struct Pending {
    pub(crate) event_type: &'static str,
    pub(crate) event_version: u32,
    pub(crate) payload: String,
}

impl<'a> Work<'a> {
    pub(crate) fn new(
        request: &'a Request,
        histories: &'a Histories,
        ids: &'a dyn IdSource,
        hasher: &'a ClaimHasher,
        service: &'static str,
        now: DateTime<Utc>,
        freshness: Freshness,
    ) -> Self {
        Self {
            request,
            histories,
            ids,
            hasher,
            service,
            now,
            freshness,
            looked: false,
            streams: Vec::new(),
            places: HashMap::new(),
            missing: BTreeSet::new(),
            claims: Vec::new(),
            jobs: Vec::new(),
        }
    }

    /// Begins an aggregate that nobody knows yet.
    ///
    /// # Errors
    /// What the aggregate says; `header_invalid` when the request has an `If-Match`: nothing is there to match.
    pub fn create<A: Aggregate>(&mut self, id: impl Display, command: A::Command) -> Result<(), Refusal> {
        let place = self.begin::<A>(id.to_string())?;
        self.decide::<A>(place, command)
    }

    /// As [`create`](Self::create), for something that happened at `occurred_at` whatever the rest of the request says.
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
        let place = self.begin::<A>(id.to_string())?;
        self.streams[place].occurred_at = Some(kernel::to_micros(occurred_at));
        self.decide::<A>(place, command)
    }

    /// Asks an aggregate that exists for something.
    ///
    /// # Errors
    /// `not_found` when it does not exist, `version_differs` when `If-Match` names another version, or what the aggregate
    /// says.
    pub async fn update<A: Aggregate>(&mut self, id: impl Display + Send, command: A::Command) -> Result<(), Refusal> {
        let id = id.to_string();
        let Some(place) = self.place::<A>(&id).await? else { return Err(not_found::<A>(&id)) };
        self.ask::<A>(place, command)
    }

    /// Asks an aggregate for something, be it the first thing ever: for aggregates of which a tenant has exactly one.
    ///
    /// # Errors
    /// As [`update`](Self::update), but for `not_found`.
    pub async fn upsert<A: Aggregate>(&mut self, id: impl Display + Send, command: A::Command) -> Result<(), Refusal> {
        let id = id.to_string();
        let place = match self.place::<A>(&id).await? {
            Some(place) => place,
            None => self.add::<A>(id, nothing::<A>(self.now)),
        };
        self.ask::<A>(place, command)
    }

    /// An aggregate's state, changes of this attempt included; none: it does not exist.
    ///
    /// What is only read is not part of the append: another writer (also of another process, whose changes the cache here
    /// does not know yet) may have changed it when the command is stored. A rule that spans aggregates must rest on
    /// something that the append checks: [`rely`](Self::rely), a [claim](Self::take), or a change of the aggregate itself.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn find<A: Aggregate>(&mut self, id: impl Display + Send) -> Result<Option<Arc<A>>, Refusal> {
        match self.place::<A>(&id.to_string()).await? {
            Some(place) => self.state(place).map(Some),
            None => Ok(None),
        }
    }

    /// As [`find`](Self::find), for what the command rests on, such as what somebody may do: the append requires that it is just as it
    /// was found here, or still is not there. When it is not so, the command runs again, on what the log has. Costs no read; those
    /// who rely on the same do not wait for each other.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn rely<A: Aggregate>(&mut self, id: impl Display + Send) -> Result<Option<Arc<A>>, Refusal> {
        let id = id.to_string();
        let Some(place) = self.place::<A>(&id).await? else {
            self.missing.insert((A::TYPE, id));
            return Ok(None);
        };
        self.streams[place].relied_on = true;
        self.state(place).map(Some)
    }

    /// An aggregate's state, changes of this attempt included; as [`find`](Self::find), perhaps not the latest.
    ///
    /// # Errors
    /// `not_found` when it does not exist.
    pub async fn read<A: Aggregate>(&mut self, id: impl Display + Send) -> Result<Arc<A>, Refusal> {
        let id = id.to_string();
        self.find(&id).await?.ok_or_else(|| not_found::<A>(&id))
    }

    /// Looks at an aggregate by what can be read of its history, where something can't: for what has to be done all the same, such as
    /// erasing somebody. To be called before anything else is asked of it, which then gets the same state in this attempt; nothing of it
    /// is kept. Whether all was read that matters; what decides who may must not rest on the rest.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn salvage<A: Aggregate>(&mut self, id: impl Display + Send) -> Result<bool, Refusal> {
        let place = self.place_of::<A>(&id.to_string(), Reading::Remains).await?;
        Ok(place.is_none_or(|place| self.streams[place].whole))
    }

    /// Refuses when `If-Match` names another version of an aggregate than it has: for a command that may answer without asking it for
    /// anything.
    ///
    /// # Errors
    /// `version_differs`; `not_found` when it does not exist.
    pub async fn matches<A: Aggregate>(&mut self, id: impl Display + Send) -> Result<(), Refusal> {
        let id = id.to_string();
        let Some(place) = self.place::<A>(&id).await? else { return Err(not_found::<A>(&id)) };
        let version = self.streams[place].expected;
        match &self.request.if_match {
            Some(wanted) if !wanted.contains(version) => Err(version_differs(wanted, version)),
            _ => Ok(()),
        }
    }

    /// Takes a claim for `holder`: refused when another holder has it.
    pub fn take(&mut self, kind: &'static ClaimKind, value: &str, holder: impl Display) {
        self.claim(kind, value, &holder, ClaimAct::Take);
    }

    /// Gives a claim back; nothing happens when `holder` does not have it.
    pub fn release(&mut self, kind: &'static ClaimKind, value: &str, holder: impl Display) {
        self.claim(kind, value, &holder, ClaimAct::Release);
    }

    /// Notes a claim, if it is not noted yet. Never refused.
    pub fn mark(&mut self, kind: &'static ClaimKind, value: &str, holder: impl Display) {
        self.claim(kind, value, &holder, ClaimAct::Mark);
    }

    /// Requires that nobody has a claim: refused when somebody does. `holder` is who asks.
    pub fn absent(&mut self, kind: &'static ClaimKind, value: &str, holder: impl Display) {
        self.claim(kind, value, &holder, ClaimAct::Absent);
    }

    /// Who has claims of a kind now, by value; values that nobody has claimed are left out. For a command that goes on without what is
    /// taken: should somebody take one of them before the append, the command runs again.
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
        self.looked = true;
        let held = self.histories.store().holders(tenant, kind.name, keys.keys().copied()).await;
        let held = held.map_err(|error| refused::by_the_log(&error))?;
        Ok(held.into_iter().filter_map(|(key, holder)| Some((*keys.get(&key)?, holder))).collect())
    }

    /// Asks for a job in the append's transaction: it is there when what the command says is, and not if it is not. Jobs are made by
    /// the crate `jobs` (`Kind::asked`); whoever runs them hears of it from `Jobs::wake`, or looks by itself within seconds.
    pub fn enqueue(&mut self, job: AskedJob) {
        self.jobs.push(job);
    }

    fn claim(&mut self, kind: &'static ClaimKind, value: &str, holder: &dyn Display, act: ClaimAct) {
        self.claims.push(Wanted { kind, value: value.to_owned(), holder: holder.to_string(), act });
    }

    /// A new identifier.
    pub fn new_id<I: From<Uuid>>(&self) -> I {
        self.ids.next().into()
    }

    /// The time of this attempt.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// When the caller says that it happened; without that, now. The events of a stream are never told out of order: if
    /// its last one happened later than now (another machine's clock is ahead), they get that one's time.
    pub fn occurred_at(&self) -> DateTime<Utc> {
        self.request.occurred_at.map_or(self.now, kernel::to_micros)
    }

    /// Who asks.
    pub fn caller(&self) -> &Caller {
        &self.request.caller
    }

    /// What must not come to be before the append, but by the attempt itself.
    pub(crate) fn missing(&self) -> impl Iterator<Item = &(&'static str, String)> {
        self.missing.iter().filter(|missing| !self.places.contains_key(*missing))
    }

    /// Whether the attempt rests on something that the log has not vouched for.
    pub(crate) fn rests_on_cache(&self) -> bool {
        self.streams.iter().any(|stream| stream.from_cache)
    }

    /// Whether there is nothing to write.
    pub(crate) fn changes_nothing(&self) -> bool {
        self.claims.is_empty() && self.jobs.is_empty() && self.streams.iter().all(|stream| stream.events.is_empty())
    }

    /// The stream that the answer's version is about: the first that was asked for something, else the first read.
    pub(crate) fn first(&self) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.asked).or_else(|| self.streams.first())
    }

    fn begin<A: Aggregate>(&mut self, id: String) -> Result<usize, Refusal> {
        if self.request.if_match.is_some() && self.streams.iter().all(|stream| !stream.asked) {
            return Err(Versions::of_something_new());
        }
        if self.places.contains_key(&(A::TYPE, id.clone())) {
            return Err(already_exists(A::TYPE, &id));
        }
        let place = self.add::<A>(id, nothing::<A>(self.now));
        let stream = &mut self.streams[place];
        (stream.asked, stream.begun) = (true, true);
        Ok(place)
    }

    fn ask<A: Aggregate>(&mut self, place: usize, command: A::Command) -> Result<(), Refusal> {
        let first = self.streams.iter().all(|stream| !stream.asked);
        let stream = &mut self.streams[place];
        stream.asked = true;
        if let (true, Some(wanted)) = (first, &self.request.if_match)
            && !wanted.contains(stream.expected)
        {
            return Err(version_differs(wanted, stream.expected));
        }
        self.decide::<A>(place, command)
    }

    fn decide<A: Aggregate>(&mut self, place: usize, command: A::Command) -> Result<(), Refusal> {
        let state = self.state::<A>(place)?;
        let events = state.decide(command).map_err(Into::into)?;
        if events.is_empty() {
            return Ok(());
        }
        let stream = &mut self.streams[place];
        let mut next = A::clone(&state);
        for event in events {
            // Whose it is, the state after it says.
            next.evolve(event.clone());
            let payload = written(&next, &stream.id, &event).map_err(|error| refused::by_json(&error))?;
            stream.baseline.version += 1;
            stream.baseline.bytes += payload.len() as u64;
            stream.events.push(Pending { event_type: event.name(), event_version: event.version(), payload });
        }
        stream.baseline.state = Arc::new(next);
        Ok(())
    }

    async fn place<A: Aggregate>(&mut self, id: &str) -> Result<Option<usize>, Refusal> {
        self.place_of::<A>(id, Reading::Whole).await
    }

    async fn place_of<A: Aggregate>(&mut self, id: &str, reading: Reading) -> Result<Option<usize>, Refusal> {
        if let Some(place) = self.places.get(&(A::TYPE, id.to_owned())) {
            return Ok(Some(*place));
        }
        let found = self.histories.find::<A>(self.request.caller.tenant(), id, self.freshness, reading).await?;
        Ok(found.map(|found| self.add::<A>(id.to_owned(), found)))
    }

    fn add<A: Aggregate>(&mut self, id: String, Found { baseline, from_cache, whole }: Found) -> usize {
        let place = self.streams.len();
        self.places.insert((A::TYPE, id.clone()), place);
        self.streams.push(Stream {
            aggregate_type: A::TYPE,
            form: Form::of::<A>(),
            id,
            expected: baseline.version,
            baseline,
            from_cache,
            whole,
            asked: false,
            relied_on: false,
            begun: false,
            events: Vec::new(),
            occurred_at: None,
        });
        place
    }

    fn state<A: Aggregate>(&self, place: usize) -> Result<Arc<A>, Refusal> {
        let state: Arc<dyn Any + Send + Sync> = self.streams[place].baseline.state.clone();
        state.downcast().map_err(|_| {
            Refusal::internal("aggregate_type_twice", format!("two aggregates call themselves {}", A::TYPE))
        })
    }
}

/// What belongs to an aggregate in this state, as the log takes it: with what it has to seal marked.
pub(crate) fn written<A: Aggregate>(state: &A, id: &str, value: &impl serde::Serialize) -> serde_json::Result<String> {
    let write = || serde_json::to_string(value);
    if !A::SEALED {
        return write();
    }
    match state.person(id) {
        Some(person) => kernel::personal::marked_of(&person, write),
        None => kernel::personal::marked(write),
    }
}

fn nothing<A: Aggregate>(now: DateTime<Utc>) -> Found {
    // Nothing happened yet; when something does, it gets its own time.
    let occurred_at = DateTime::UNIX_EPOCH.min(now);
    let baseline = Baseline { state: Arc::new(A::default()), version: 0, occurred_at, bytes: 0 };
    Found { baseline, from_cache: false, whole: true }
}

/// The refusal of an id that names nothing of the caller's tenant: never made, or another tenant's.
pub fn not_found<A: Aggregate>(id: &str) -> Refusal {
    Refusal::not_found("not_found", format!("there is no {} {id}", named::<A>())).with("resource", A::TYPE)
}

/// What people call an aggregate: its type without the service.
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
