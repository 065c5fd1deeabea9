//! The executor: authorizes a command, runs it, and appends its events. Retries after version conflicts, and recognizes repeated requests.

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
use crate::history::{Freshness, Histories, Undecodable};
use crate::repetition::{self, Answer};
use crate::work::{Means, Stream, Work, already_exists, version_differs};
use crate::{Command, Done, Request, SubjectsElsewhere, prepare, refused, time};

/// How often a command is retried after a version conflict.
const RETRIES: u32 = 3;

/// Settings of the executor.
#[derive(Clone)]
pub struct Settings {
    /// Capacity of the cache of recent aggregates, in bytes of event payloads.
    pub cache_bytes: u64,
    /// A stream gets a snapshot each time it has grown by this many events, so that a load never reads many more than these. 0: never.
    pub snapshot_events: u64,
    /// The HMAC key for claimed values: a secret of the service that must never change.
    pub claim_key: [u8; 32],
}

impl Settings {
    /// Settings for a short-lived executor (1 MiB of cache, no snapshots) that takes no claims, so it does not need the claim key.
    pub const fn without_claims() -> Self {
        Self { cache_bytes: 1 << 20, snapshot_events: 0, claim_key: [0; 32] }
    }
}

/// Executes commands on the log of one service. Cheap to clone.
#[derive(Clone)]
pub struct Executor {
    inner: Arc<Inner>,
    /// Looks up users and machines, for commands that give something to one, or whose caller asked for them long ago.
    subjects: SubjectsElsewhere,
}

struct Inner {
    store: EventStore,
    histories: Histories,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    claims: ClaimHasher,
}

/// An aggregate's current state.
#[derive(Clone, Debug)]
pub struct Current<A> {
    /// Its state.
    pub state: Arc<A>,
    /// The stream's version: the number of its events.
    pub version: u64,
    /// When the first event happened.
    pub created_at: DateTime<Utc>,
    /// When the last event happened.
    pub changed_at: DateTime<Utc>,
}

/// The outcome of one attempt.
enum Attempt<T> {
    Done(Done<T>),
    /// The attempt used cached state that may be stale: try again with state from the log.
    Stale,
    /// A conflict with another writer, or the log may have lost what the attempt read. Carries the refusal to return when the retries are used
    /// up.
    Conflict(Refusal),
}

impl Executor {
    /// Creates an executor on a service's log. Must be called within a Tokio runtime, because it spawns the task that writes snapshots.
    /// Without [`with_subjects`](Self::with_subjects) it can look up nobody.
    pub fn new(store: EventStore, clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>, settings: Settings) -> Self {
        let histories = Histories::new(store.clone(), settings.cache_bytes, settings.snapshot_events);
        let claims = ClaimHasher::new(&settings.claim_key);
        let subjects = SubjectsElsewhere::unavailable();
        Self { inner: Arc::new(Inner { store, histories, clock, ids, claims }), subjects }
    }

    /// The same executor, whose commands look up users and machines with these ([`Work::can_sign_in`], [`Work::standing_of_caller`]).
    pub fn with_subjects(self, subjects: SubjectsElsewhere) -> Self {
        Self { subjects, ..self }
    }

    /// With what its commands look up users and machines.
    pub fn subjects(&self) -> &SubjectsElsewhere {
        &self.subjects
    }

    /// Executes a command exactly once: a repeated request (same command id) gets the stored answer.
    ///
    /// # Errors
    /// A refusal means that nothing was written, except `log_unavailable` and `log_failed`: after these the outcome is unknown, and the
    /// same request may be sent again under the same command id.
    pub async fn execute<C: Command>(&self, request: &Request, command: &C) -> Result<Done<C::Answer>, Refusal> {
        let span = tracing::info_span!("command", name = short_name::<C>(), tenant = %request.caller.tenant());
        self.authorize_and_run(request, None, command).instrument(span).await
    }

    /// Executes a command that no client request asked for, such as one of a protocol or an operator. It has no command id, so it can't be
    /// repeated.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub async fn run<C: Command>(&self, caller: &Caller, command: &C) -> Result<Done<C::Answer>, Refusal> {
        self.execute(&self.internal_request(caller, None), command).await
    }

    /// Creates a request for a command that no client asked for. If several processes find the same work due and use the same command id,
    /// one of them carries it out, and the others get its answer.
    pub fn internal_request(&self, caller: &Caller, command_id: Option<String>) -> Request {
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

    /// As [`execute`](Self::execute), for a request that is carried out as several commands. Each part is executed exactly once, under an
    /// id that is derived from the request's id and that no client can send.
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
        self.authorize_and_run(request, Some(part), command).instrument(span).await
    }

    /// Dry run: returns what the command would answer now, and writes nothing. The append's checks do not run, so a taken claim is noticed
    /// only if the command [looks it up](Work::holders) itself.
    ///
    /// # Errors
    /// The refusal that the command would get.
    pub async fn dry_run<C: Command>(&self, request: &Request, command: &C) -> Result<C::Answer, Refusal> {
        request.caller.require(C::PERMISSION)?;
        command.run(&mut self.work::<C>(request, Freshness::Log)).await
    }

    /// Encrypts a tenant's key under the tenant's own key in the log, which is destroyed with the tenant. Creates that key if there is
    /// none.
    ///
    /// # Errors
    /// `master_key_unavailable`; when the log does not answer.
    pub async fn seal_key(&self, context: Context<'_>, key: &DataKey) -> Result<Sealed, Refusal> {
        self.inner.store.seal_key(context, key).await.map_err(|error| refused::by_the_append(&error, []))
    }

    /// Decrypts a key that [`seal_key`](Self::seal_key) encrypted.
    ///
    /// # Errors
    /// `master_key_unavailable`, `key_unusable`; when the log does not answer.
    pub async fn open_key(&self, context: Context<'_>, sealed: &Sealed) -> Result<DataKey, Refusal> {
        self.inner.store.open_key(context, sealed).await.map_err(|error| refused::by_the_log(&error))
    }

    async fn authorize_and_run<C: Command>(
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
            // The log needs an id in any case, to retry a batch whose outcome is unknown.
            self.inner.ids.next().to_string()
        };
        match self.run_with_retries(request, &id, command).await {
            Err(refusal) if request.command_id.is_some() && repetition::may_be_repetition(&refusal) => {
                repetition::look_up(&self.inner.store, request, &id).await?.ok_or(refusal)
            }
            outcome => outcome,
        }
    }

    /// The stored answer, if this request was carried out before. `None` if it has no command id or was not carried out yet.
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

    /// An aggregate's current state and version, from the log. `None` if it does not exist or belongs to another tenant.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn load<A: Aggregate>(&self, caller: &Caller, id: &str) -> Result<Option<(Arc<A>, u64)>, Refusal> {
        let found = self.found::<A>(caller, id).await?;
        Ok(found.and_then(|Baseline { state, version, .. }| Some((state.downcast().ok()?, version))))
    }

    /// As [`load`](Self::load), with the times of the first and the last event.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn current<A: Aggregate>(&self, caller: &Caller, id: &str) -> Result<Option<Current<A>>, Refusal> {
        let Some(Baseline { state, version, began_at, occurred_at, .. }) = self.found::<A>(caller, id).await? else {
            return Ok(None);
        };
        let began_at = if began_at.is_some() {
            began_at
        } else {
            let began_at = self.inner.store.began_at(caller.tenant(), A::TYPE, id).await;
            began_at.map_err(|error| refused::by_the_log(&error))?
        };
        // A stream without a first event is gone.
        let current = began_at.zip(state.downcast().ok());
        Ok(current.map(|(created_at, state)| Current { state, version, created_at, changed_at: occurred_at }))
    }

    /// An aggregate as of the end of the log.
    async fn found<A: Aggregate>(&self, caller: &Caller, id: &str) -> Result<Option<Baseline>, Refusal> {
        let found = self.inner.histories.find::<A>(caller.tenant(), id, Freshness::Log, Undecodable::Fail).await?;
        Ok(found.map(|found| found.baseline))
    }

    /// As [`load`](Self::load), but skips events that can't be decoded (see [`Work::load_lossy`]). The flag is true if no relevant event
    /// was skipped.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn load_lossy<A: Aggregate>(&self, caller: &Caller, id: &str) -> Result<Option<(Arc<A>, bool)>, Refusal> {
        let found = self.inner.histories.find::<A>(caller.tenant(), id, Freshness::Log, Undecodable::Skip).await?;
        Ok(found.and_then(|found| Some((found.baseline.state.downcast().ok()?, found.complete))))
    }

    /// Whether another tenant requested a small append from this process within the time `recent`, so that bulk writers can give way.
    pub fn other_tenants_queued_within(&self, tenant: TenantId, recent: Duration) -> bool {
        self.inner.store.others_queued_within(tenant, recent)
    }

    /// The current time of the executor's clock, for checks before a command runs.
    pub fn now(&self) -> DateTime<Utc> {
        self.inner.clock.now()
    }

    /// A new identifier from the executor's id source.
    pub fn new_id<I: From<Uuid>>(&self) -> I {
        self.inner.ids.next().into()
    }

    /// The work of an attempt at a command, which begins now.
    fn work<'a, C: Command>(&'a self, request: &'a Request, freshness: Freshness) -> Work<'a> {
        let Inner { histories, clock, ids, claims, .. } = &*self.inner;
        let means = Means { histories, ids: &**ids, hasher: claims, subjects: &self.subjects };
        Work::new(request, means, service::<C>(), clock.now(), freshness)
    }

    async fn run_with_retries<C: Command>(
        &self,
        request: &Request,
        id: &str,
        command: &C,
    ) -> Result<Done<C::Answer>, Refusal> {
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
        let mut work = self.work::<C>(request, freshness);
        let answer = match command.run(&mut work).await {
            Ok(answer) => answer,
            // No append will verify the version of the cached state, so the log must be read before the refusal is final.
            Err(_) if work.rests_on_cache() => return Ok(Attempt::Stale),
            Err(refusal) => return Err(refusal),
        };
        if work.changes_nothing() && work.rests_on_cache() {
            return Ok(Attempt::Stale);
        }
        let version = work.first().map_or(0, |stream| stream.baseline.version);
        if work.changes_nothing() && request.command_id.is_none() {
            // The append that wrote the state just read may have written other streams too. The head is after all of them.
            let position = inner.store.head().await.map_err(|error| refused::by_the_log(&error))?;
            return Ok(Attempt::Done(Done { answer, version, position, repeated: false }));
        }
        let stored = Answer { version, answer };
        let json = serde_json::to_string(&stored).map_err(|error| refused::by_json(&error))?;
        prepare::settle_times(&mut work)?;
        let append = prepare::append(&mut work, C::PERMISSION, id, json, &*inner.ids, &inner.claims)?;
        let (jobs, read_in) = (std::mem::take(&mut work.jobs), work.read_in());
        match inner.store.append_with(append, jobs, read_in).instrument(tracing::info_span!("append")).await {
            Ok(append::Appended { answer: Some(first), last, .. }) => {
                repetition::first_answer(&first, last).map(Attempt::Done)
            }
            Ok(appended) => {
                self.cache_changes(&work);
                Ok(Attempt::Done(Done { answer: stored.answer, version, position: appended.last, repeated: false }))
            }
            Err(error) => {
                self.drop_cached(&work, &error);
                append_failed(&work, &error)
            }
        }
    }

    /// Puts the new states of the changed streams into the cache.
    fn cache_changes(&self, work: &Work<'_>) {
        for stream in work.streams.iter().filter(|stream| !stream.events.is_empty()) {
            let key = key(work, stream.aggregate_type, &stream.id);
            if stream.complete {
                self.inner.histories.appended(key, stream.form, stream.expected, &stream.baseline);
            } else {
                self.inner.histories.drop_stale(&key);
            }
        }
    }

    fn drop_cached(&self, work: &Work<'_>, error: &append::Error) {
        if let append::Error::VersionConflict { aggregate_type, aggregate_id, expected, actual } = error
            && actual < expected
        {
            // Streams only grow, so the log was set back: it was restored, or a server took over that lacked its end.
            tracing::warn!(
                aggregate_type,
                aggregate_id,
                expected,
                actual,
                "the log lost events since this process read them; no cached state is used any more"
            );
            self.inner.store.end_epoch();
        }
        for stream in &work.streams {
            self.inner.histories.drop_stale(&key(work, stream.aggregate_type, &stream.id));
        }
    }
}

/// Maps a failed append to a retry or to a refusal.
fn append_failed<T>(work: &Work<'_>, error: &append::Error) -> Result<Attempt<T>, Refusal> {
    let refusal = || refused::by_the_append(error, work.claims.iter().map(|claim| claim.kind));
    match error {
        append::Error::VersionConflict { aggregate_type, aggregate_id, actual, .. } => {
            let is_conflicting =
                |stream: &&Stream| stream.aggregate_type == aggregate_type && stream.id == *aggregate_id;
            if work.streams.iter().find(is_conflicting).is_some_and(|stream| stream.created) {
                return Err(already_exists(aggregate_type, aggregate_id));
            }
            match &work.request.if_match {
                Some(wanted) if !wanted.contains(*actual) && work.first().as_ref().is_some_and(is_conflicting) => {
                    Err(version_differs(wanted, *actual))
                }
                _ => Ok(Attempt::Conflict(refusal())),
            }
        }
        append::Error::Outdated => Ok(Attempt::Conflict(refusal())),
        // With the current state, the aggregates may decide otherwise or give a more specific refusal.
        append::Error::ClaimTaken { .. } if work.rests_on_cache() => Ok(Attempt::Stale),
        // The command looked up claims, and another writer took one before the append.
        append::Error::ClaimTaken { .. } if work.claims_looked_up => Ok(Attempt::Conflict(refusal())),
        _ => Err(refusal()),
    }
}

fn key(work: &Work<'_>, aggregate_type: &'static str, id: &str) -> StreamKey {
    StreamKey { tenant: work.caller().tenant(), aggregate_type, id: id.to_owned() }
}

/// The command's service: the first part of its permission.
fn service<C: Command>() -> &'static str {
    C::PERMISSION.split(':').next().unwrap_or_default()
}

/// The command's type name without its path, for traces. If the type has a parameter, as a command that wraps another, that one's name.
fn short_name<C>() -> &'static str {
    std::any::type_name::<C>().rsplit("::").next().unwrap_or_default().trim_end_matches('>')
}
