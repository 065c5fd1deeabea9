//! The executor: authorize, run, append; again when somebody was faster; once, however often it is asked.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use eventstore::{EventStore, append};
use kernel::{Aggregate, Caller, Clock, IdSource, Refusal, TenantId};
use keys::{Context, DataKey, Sealed};
use tracing::Instrument;
use uuid::Uuid;

use crate::cache::{Baseline, StreamKey};
use crate::claim::ClaimHasher;
use crate::history::{Found, Freshness, Histories, Reading};
use crate::repetition::{self, Answer};
use crate::work::{Stream, Work, already_exists, version_differs};
use crate::{Command, Done, Request, prepare, refused, time};

/// How often a command is decided again because another writer was faster.
const RETRIES: u32 = 3;

/// How the executor is set up.
#[derive(Clone)]
pub struct Settings {
    /// How much the cache of recent aggregates may hold, in bytes of events.
    pub cache_bytes: u64,
    /// After how many events a stream gets a snapshot, so that loading it never reads many more than these; 0: never.
    pub snapshot_events: u64,
    /// The key under which claimed values are hashed: a service's secret, the same for ever.
    pub claim_key: [u8; 32],
}

impl Settings {
    /// For whoever stays only for a moment and takes no claim, so that the key that hashes them is not needed.
    pub const fn without_claims() -> Self {
        Self { cache_bytes: 1 << 20, snapshot_events: 0, claim_key: [0; 32] }
    }
}

/// Carries commands out. Cheap to clone.
#[derive(Clone)]
pub struct Executor {
    inner: Arc<Inner>,
}

struct Inner {
    store: EventStore,
    histories: Histories,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    claims: ClaimHasher,
}

/// An aggregate as it is now.
#[derive(Clone, Debug)]
pub struct Current<A> {
    /// Its state.
    pub state: Arc<A>,
    /// How many events made it.
    pub version: u64,
    /// When the last of them happened.
    pub changed_at: DateTime<Utc>,
}

/// What became of one attempt.
enum Attempt<T> {
    Done(Done<T>),
    /// It may have rested on a state that is not current any more.
    Stale,
    /// Another writer was faster; how it is refused when one always is.
    Conflict(Refusal),
}

impl Executor {
    /// An executor over a service's log. To be called within a runtime, where it keeps snapshots in the background.
    pub fn new(store: EventStore, clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>, settings: Settings) -> Self {
        let histories = Histories::new(store.clone(), settings.cache_bytes, settings.snapshot_events);
        let claims = ClaimHasher::new(&settings.claim_key);
        Self { inner: Arc::new(Inner { store, histories, clock, ids, claims }) }
    }

    /// Carries a command out, once: a request that was carried out before gets its first answer again.
    ///
    /// # Errors
    /// A refusal means that nothing was written; only `log_unavailable` and `log_failed` leave that open, and then the
    /// same request may be sent again under the same command id.
    pub async fn execute<C: Command>(&self, request: &Request, command: &C) -> Result<Done<C::Answer>, Refusal> {
        let span = tracing::info_span!("command", name = short_name::<C>(), tenant = %request.caller.tenant());
        self.authorized(request, None, command).instrument(span).await
    }

    /// Carries out what no request asked for, so that nobody repeats it: what a protocol or an operator does.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub async fn run<C: Command>(&self, caller: &Caller, command: &C) -> Result<Done<C::Answer>, Refusal> {
        self.execute(&self.unasked(caller, None), command).await
    }

    /// What stands for a request that nobody sent. With an id, of all processes that see that something is due one carries it out, and the
    /// others get its answer.
    pub fn unasked(&self, caller: &Caller, command_id: Option<String>) -> Request {
        let id = self.new_id();
        Request {
            caller: caller.clone(),
            command_id,
            request_hash: [0; 32],
            if_match: None,
            occurred_at: None,
            correlation_id: id,
            causation_id: id,
            traceparent: None,
        }
    }

    /// As [`execute`](Self::execute), for a request that is carried out in several commands: each is done once by itself,
    /// under an id that is derived from the request's and that no caller can send.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub async fn execute_part<C: Command>(
        &self,
        request: &Request,
        part: u64,
        command: &C,
    ) -> Result<Done<C::Answer>, Refusal> {
        let span = tracing::info_span!("command", name = short_name::<C>(), tenant = %request.caller.tenant(), part);
        self.authorized(request, Some(part), command).instrument(span).await
    }

    /// What a command would answer now, with nothing written. The append is not asked, so what it would refuse (claims that are
    /// taken) is not seen, but for what the command [looks up](Work::holders) by itself.
    ///
    /// # Errors
    /// What the command would be refused with.
    pub async fn rehearse<C: Command>(&self, request: &Request, command: &C) -> Result<C::Answer, Refusal> {
        request.caller.require(C::PERMISSION)?;
        let inner = &*self.inner;
        let (ids, claims) = (&*inner.ids, &inner.claims);
        let now = inner.clock.now();
        let mut work = Work::new(request, &inner.histories, ids, claims, service::<C>(), now, Freshness::Log);
        command.run(&mut work).await
    }

    /// Seals a key of a tenant's under the key that the tenant has in the log, which is destroyed with the tenant; made if it has none.
    ///
    /// # Errors
    /// `master_key_unavailable`; when the log does not answer.
    pub async fn seal_key(&self, context: Context<'_>, key: &DataKey) -> Result<Sealed, Refusal> {
        self.inner.store.seal_key(context, key).await.map_err(|error| refused::by_the_append(&error, []))
    }

    /// Opens what [`seal_key`](Self::seal_key) sealed.
    ///
    /// # Errors
    /// `master_key_unavailable`, `key_unusable`; when the log does not answer.
    pub async fn open_key(&self, context: Context<'_>, sealed: &Sealed) -> Result<DataKey, Refusal> {
        self.inner.store.open_key(context, sealed).await.map_err(|error| refused::by_the_log(&error))
    }

    async fn authorized<C: Command>(
        &self,
        request: &Request,
        part: Option<u64>,
        command: &C,
    ) -> Result<Done<C::Answer>, Refusal> {
        request.caller.require(C::PERMISSION)?;
        if let Some(occurred_at) = request.occurred_at {
            time::may_backdate(&request.caller, service::<C>(), occurred_at, self.inner.clock.now())?;
        }
        let id = if let Some(id) = &request.command_id {
            repetition::check_id(id)?;
            part.map_or_else(|| id.clone(), |part| repetition::part_id(id, part))
        } else {
            // An id all the same: it lets the log repeat a batch whose outcome it does not know.
            self.inner.ids.next().to_string()
        };
        match self.decided(request, &id, command).await {
            Err(refusal) if request.command_id.is_some() && repetition::may_follow_success(&refusal) => {
                repetition::look_up(&self.inner.store, request, &id).await?.ok_or(refusal)
            }
            outcome => outcome,
        }
    }

    /// What this request was answered before; none: it has no command id, or was not carried out yet.
    ///
    /// # Errors
    /// `idempotency_key_reused` when the id belongs to another request.
    pub async fn repeated<C: Command>(&self, request: &Request) -> Result<Option<Done<C::Answer>>, Refusal> {
        request.caller.require(C::PERMISSION)?;
        match &request.command_id {
            Some(id) => repetition::look_up(&self.inner.store, request, id).await,
            None => Ok(None),
        }
    }

    /// An aggregate's current state and version, from the log; none: unknown, or another tenant's.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn load<A: Aggregate>(&self, caller: &Caller, id: &str) -> Result<Option<(Arc<A>, u64)>, Refusal> {
        Ok(self.current::<A>(caller, id).await?.map(|Current { state, version, .. }| (state, version)))
    }

    /// As [`load`](Self::load), and when it last changed.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn current<A: Aggregate>(&self, caller: &Caller, id: &str) -> Result<Option<Current<A>>, Refusal> {
        let found = self.inner.histories.find::<A>(caller.tenant(), id, Freshness::Log, Reading::Whole).await?;
        Ok(found.and_then(|Found { baseline: Baseline { state, version, occurred_at, .. }, .. }| {
            Some(Current { state: state.downcast().ok()?, version, changed_at: occurred_at })
        }))
    }

    /// As [`load`](Self::load), by what can be read of its history, where something can't ([`Work::salvage`]); and whether all was read
    /// that matters.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn salvage<A: Aggregate>(&self, caller: &Caller, id: &str) -> Result<Option<(Arc<A>, bool)>, Refusal> {
        let found = self.inner.histories.find::<A>(caller.tenant(), id, Freshness::Log, Reading::Remains).await?;
        Ok(found.and_then(|found| Some((found.baseline.state.downcast().ok()?, found.whole))))
    }

    /// Whether people of another tenant write to this log lately: whoever writes in bulk may give way to them.
    pub fn others_write(&self, tenant: TenantId, lately: Duration) -> bool {
        self.inner.store.others_write(tenant, lately)
    }

    /// The time, from the executor's clock: for what is checked before a command runs.
    pub fn now(&self) -> DateTime<Utc> {
        self.inner.clock.now()
    }

    /// A new identifier, from the executor's source.
    pub fn new_id<I: From<Uuid>>(&self) -> I {
        self.inner.ids.next().into()
    }

    async fn decided<C: Command>(&self, request: &Request, id: &str, command: &C) -> Result<Done<C::Answer>, Refusal> {
        let mut freshness = Freshness::Any;
        let mut conflicts = 0;
        loop {
            match self.attempt(request, id, command, freshness).await? {
                Attempt::Done(done) => return Ok(done),
                Attempt::Stale => {}
                Attempt::Conflict(refusal) if conflicts == RETRIES => return Err(refusal),
                Attempt::Conflict(_) => conflicts += 1,
            }
            freshness = Freshness::Log;
        }
    }

    async fn attempt<C: Command>(
        &self,
        request: &Request,
        id: &str,
        command: &C,
        freshness: Freshness,
    ) -> Result<Attempt<C::Answer>, Refusal> {
        let inner = &*self.inner;
        let now = inner.clock.now();
        let (ids, claims) = (&*inner.ids, &inner.claims);
        let mut work = Work::new(request, &inner.histories, ids, claims, service::<C>(), now, freshness);
        let answer = match command.run(&mut work).await {
            Ok(answer) => answer,
            // Nothing is appended that could tell whether the state was current, so the log is asked.
            Err(_) if work.rests_on_cache() => return Ok(Attempt::Stale),
            Err(refusal) => return Err(refusal),
        };
        if work.changes_nothing() && work.rests_on_cache() {
            return Ok(Attempt::Stale);
        }
        let version = work.first().map_or(0, |stream| stream.baseline.version);
        if work.changes_nothing() && request.command_id.is_none() {
            // What the answer speaks of may have been written together with what was read: the head is after all of it.
            let position = inner.store.head().await.map_err(|error| refused::by_the_log(&error))?;
            return Ok(Attempt::Done(Done { answer, version, position, repeated: false }));
        }
        let stored = Answer { version, answer };
        let json = serde_json::to_string(&stored).map_err(|error| refused::by_json(&error))?;
        prepare::settle_times(&mut work)?;
        let append = prepare::append(&mut work, C::PERMISSION, id, json, &*inner.ids, &inner.claims)?;
        let jobs = std::mem::take(&mut work.jobs);
        match inner.store.append_with(append, jobs).instrument(tracing::info_span!("append")).await {
            Ok(append::Appended { answer: Some(first), last, .. }) => {
                repetition::first_answer(&first, last).map(Attempt::Done)
            }
            Ok(appended) => {
                self.keep(&work);
                Ok(Attempt::Done(Done { answer: stored.answer, version, position: appended.last, repeated: false }))
            }
            Err(error) => {
                self.forget(&work);
                failed(&work, &error)
            }
        }
    }

    /// What the attempt made true becomes the baseline of the next.
    fn keep(&self, work: &Work<'_>) {
        for stream in work.streams.iter().filter(|stream| !stream.events.is_empty()) {
            let key = key(work, stream.aggregate_type, &stream.id);
            if stream.whole {
                self.inner.histories.grown(key, stream.form, stream.expected, &stream.baseline);
            } else {
                self.inner.histories.drop_stale(&key);
            }
        }
    }

    fn forget(&self, work: &Work<'_>) {
        for stream in &work.streams {
            self.inner.histories.drop_stale(&key(work, stream.aggregate_type, &stream.id));
        }
    }
}

/// What an append that was not done means for the command.
fn failed<T>(work: &Work<'_>, error: &append::Error) -> Result<Attempt<T>, Refusal> {
    let refusal = || refused::by_the_append(error, work.claims.iter().map(|wanted| wanted.kind));
    match error {
        append::Error::VersionConflict { aggregate_type, aggregate_id, actual, .. } => {
            let is_it = |stream: &&Stream| stream.aggregate_type == aggregate_type && stream.id == *aggregate_id;
            if work.streams.iter().find(is_it).is_some_and(|stream| stream.begun) {
                return Err(already_exists(aggregate_type, aggregate_id));
            }
            match &work.request.if_match {
                Some(wanted) if !wanted.contains(*actual) && work.first().as_ref().is_some_and(is_it) => {
                    Err(version_differs(wanted, *actual))
                }
                _ => Ok(Attempt::Conflict(refusal())),
            }
        }
        // With the current state the aggregates may have a better answer.
        append::Error::ClaimTaken { .. } if work.rests_on_cache() => Ok(Attempt::Stale),
        // It was looked at who has what, and somebody was faster.
        append::Error::ClaimTaken { .. } if work.looked => Ok(Attempt::Conflict(refusal())),
        _ => Err(refusal()),
    }
}

fn key(work: &Work<'_>, aggregate_type: &'static str, id: &str) -> StreamKey {
    StreamKey { tenant: work.caller().tenant(), aggregate_type, id: id.to_owned() }
}

/// The service whose command it is: the first part of its permission.
fn service<C: Command>() -> &'static str {
    C::PERMISSION.split(':').next().unwrap_or_default()
}

/// The command's own name, for traces.
fn short_name<C>() -> &'static str {
    std::any::type_name::<C>().rsplit("::").next().unwrap_or_default()
}
