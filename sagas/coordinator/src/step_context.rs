//! The context in which a step runs, and its outcomes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use eventstore::{EventSlice, EventStore};
use executor::{Command, Executor, Request};
use kernel::{Aggregate, Caller, Kind, Position, RecordedEvent, Refusal, TenantId, Versions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::fenced::Fenced;
use crate::repository::Repository;
use crate::state::State;

/// The successful outcome of a step's turn.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// The step is done. Its undo and later steps can read this result.
    Done(Value),
    /// A batch is done. The next turn has command ids of its own, and can read this progress.
    Continue(Value),
    /// Run the step again at this time, or when an event wakes the instance. Only allowed if nothing was done in this attempt. If an
    /// earlier attempt of the turn may have done something, the step runs again in a turn of its own.
    WaitUntil(DateTime<Utc>),
    /// The saga is complete without further steps, for this reason.
    End(&'static str),
}

impl Next {
    /// Done, without a result.
    pub const fn done() -> Self {
        Self::Done(Value::Null)
    }

    /// Done, with a result.
    pub fn done_with(result: &impl Serialize) -> Result<Self, Fault> {
        value(result).map(Self::Done)
    }

    /// A batch is done; the next turn continues from this progress.
    pub fn continue_from(progress: &impl Serialize) -> Result<Self, Fault> {
        value(progress).map(Self::Continue)
    }
}

fn value(value: &impl Serialize) -> Result<Value, Fault> {
    serde_json::to_value(value).map_err(|_| Fault::unreadable("what the step wants to remember can't be stored"))
}

/// The failure of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// A stable code, for programs.
    pub code: String,
    /// A sentence, for people.
    pub reason: String,
    /// How the coordinator reacts.
    pub kind: FaultKind,
}

/// How the coordinator reacts to a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Temporary: retry.
    Transient,
    /// Nobody can help soon, but somebody may later: try again at this time, or when an event wakes the instance, however often that was,
    /// within the step's time limit. Only allowed if nothing was done in this attempt, as for [`Next::WaitUntil`].
    Postponed(DateTime<Utc>),
    /// Refused for good: unwind the saga, or park it past the pivot.
    Refused,
    /// Park the saga: only a person can help.
    Broken,
}

impl Fault {
    /// A temporary fault.
    pub fn transient(code: &str, reason: impl Into<String>) -> Self {
        Self { code: code.to_owned(), reason: reason.into(), kind: FaultKind::Transient }
    }

    /// A fault that may be gone at this time, or when an event wakes the instance: the step is tried again then.
    pub fn postponed(code: &str, reason: impl Into<String>, until: DateTime<Utc>) -> Self {
        Self { code: code.to_owned(), reason: reason.into(), kind: FaultKind::Postponed(until) }
    }

    /// A refusal.
    pub fn refused(code: &str, reason: impl Into<String>) -> Self {
        Self { code: code.to_owned(), reason: reason.into(), kind: FaultKind::Refused }
    }

    /// A fault that needs a person: the saga is parked until they resume or cancel it.
    pub fn parked(code: &str, reason: impl Into<String>) -> Self {
        Self { code: code.to_owned(), reason: reason.into(), kind: FaultKind::Broken }
    }

    /// The saga's code panicked.
    pub(crate) fn panicked() -> Self {
        Self::parked("saga_step_panicked", "the saga's code panicked; the server's log says more")
    }

    /// A stored value can't be read, or a value can't be stored.
    pub(crate) fn unreadable(reason: &str) -> Self {
        Self::parked("saga_unreadable", reason)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let transient =
            matches!(refusal.kind(), Kind::Unavailable | Kind::Timeout | Kind::RateLimited | Kind::Internal)
                || refusal.code() == "changed_meanwhile";
        let kind = if transient { FaultKind::Transient } else { FaultKind::Refused };
        Self { code: refusal.code().to_owned(), reason: refusal.detail().to_owned(), kind }
    }
}

impl From<eventstore::Error> for Fault {
    fn from(error: eventstore::Error) -> Self {
        Self::transient("log_unavailable", error.to_string())
    }
}

/// What a step works with: its parameters, results of earlier steps, commands and reads. Cheap to clone.
#[derive(Clone)]
pub struct StepContext {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) id: Uuid,
    pub(crate) state: State,
    pub(crate) step: &'static str,
    pub(crate) undo: bool,
    pub(crate) turn: u32,
    pub(crate) caller: Caller,
    pub(crate) repository: Arc<dyn Repository>,
    pub(crate) store: EventStore,
    /// The number of commands executed in this turn; it is part of their ids.
    pub(crate) commands: AtomicU64,
}

impl StepContext {
    /// The instance's id.
    pub fn saga_id(&self) -> Uuid {
        self.inner.id
    }

    /// The beginning of the command ids of the instance, which no client can send.
    pub fn reserved_id(&self) -> String {
        executor::reserved_for_saga(self.inner.id)
    }

    /// The tenant of the instance.
    pub fn tenant(&self) -> TenantId {
        self.inner.caller.tenant()
    }

    /// The actor that is recorded in the events of the saga's commands.
    pub fn actor(&self) -> &str {
        self.inner.caller.subject()
    }

    /// The current time, by the executor's clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.executor().now()
    }

    /// The progress that the last batch of this step (or of this undo) returned; `None` in the first turn.
    pub fn progress<T: DeserializeOwned>(&self) -> Result<Option<T>, Fault> {
        let found = self.inner.state.current.as_ref().map(|current| &current.progress);
        read(found.filter(|progress| !progress.is_null()))
    }

    /// The result of a step that is done. The undo of an interrupted step gets the progress of its last batch. `None`: it left nothing.
    pub fn result_of<T: DeserializeOwned>(&self, step: &str) -> Result<Option<T>, Fault> {
        read(self.inner.state.result_of(step).filter(|result| !result.is_null()))
    }

    /// Executes a command, once per turn of a step. If the step runs again after a crash, the same command in the same place returns its
    /// first answer, whatever has changed since. So a step must take what it needs to remember from the answer, not from what it read
    /// before.
    ///
    /// Refused with the code `saga_moved_on` if another coordinator has taken over, or a person has cancelled the saga. The step's outcome
    /// is not written then, so it may end in any way.
    pub async fn execute<C: Command>(&self, command: &C) -> Result<C::Answer, Fault> {
        self.execute_at(None, command).await
    }

    /// As [`execute`](Self::execute), but only if the first aggregate that the command changes has this version; otherwise refused with the
    /// code `version_differs`.
    pub async fn execute_at<C: Command>(&self, version: Option<u64>, command: &C) -> Result<C::Answer, Fault> {
        let inner = &*self.inner;
        let way = if inner.undo { "undo" } else { "do" };
        let id = format!("{} {} {} {way}", self.reserved_id(), inner.step, inner.turn);
        let part = inner.commands.fetch_add(1, Ordering::Relaxed);
        let request =
            Request { if_match: version.map(Versions::from), ..request(&inner.caller, &inner.state, Some(id)) };
        let fenced = Fenced { command, repository: &*inner.repository, saga: inner.id, version: inner.state.version };
        Ok(self.executor().execute_part(&request, part, &fenced).await?.answer)
    }

    /// Whether an event was caused by this step of this instance. Events of its undo do not count.
    pub fn did(&self, event: &RecordedEvent, step: &str) -> bool {
        let ours = format!("{} {step} ", self.reserved_id());
        event
            .decode_metadata()
            .is_ok_and(|metadata| metadata.command_id.starts_with(&ours) && !metadata.command_id.contains(" undo"))
    }

    /// An aggregate's state and version, from the log; `None` if it does not exist.
    pub async fn load<A: Aggregate>(&self, id: impl std::fmt::Display) -> Result<Option<(Arc<A>, u64)>, Fault> {
        Ok(self.executor().load::<A>(&self.inner.caller, &id.to_string()).await?)
    }

    /// Whether a user or a machine of the tenant can sign in now, so that it sees what the saga gives it.
    pub async fn can_sign_in(&self, subject: &str) -> Result<bool, Fault> {
        Ok(self.executor().subjects().can_sign_in(self.tenant(), subject).await?)
    }

    /// The events of an aggregate.
    pub async fn history<A: Aggregate>(&self, id: impl std::fmt::Display) -> Result<Vec<RecordedEvent>, Fault> {
        Ok(self.inner.store.load(self.inner.caller.tenant(), A::TYPE, &id.to_string(), 0).await?)
    }

    /// The current position of the event that started the instance, if it is an event of this aggregate; otherwise `None`. Positions change
    /// when a tenant moves to another cell, but ids don't.
    pub async fn began_at<A: Aggregate>(&self, id: impl std::fmt::Display) -> Result<Option<Position>, Fault> {
        let trigger = self.inner.state.trigger;
        let events = self.history::<A>(id).await?;
        Ok(events.iter().find(|event| event.event_id == trigger).map(|event| event.position))
    }

    /// The tenant's events after a position and up to another, inclusive, at most `limit`, fewer if they are large. When there are no more
    /// of them, the slice reaches up to the end.
    pub async fn events(&self, after: Position, to: Position, limit: u32) -> Result<EventSlice, Fault> {
        Ok(self.inner.store.tenant_after(self.inner.caller.tenant(), after, to, limit).await?)
    }

    pub(crate) fn parameters(&self) -> &Value {
        &self.inner.state.parameters
    }

    fn executor(&self) -> &Executor {
        self.inner.repository.executor()
    }
}

fn read<T: DeserializeOwned>(value: Option<&Value>) -> Result<Option<T>, Fault> {
    value
        .map(|value| {
            T::deserialize(value)
                .map_err(|_| Fault::unreadable("what a step remembered does not have the form that it expects"))
        })
        .transpose()
}

/// The request of a saga's command: its cause is the event that started the saga, and its hash depends only on the command id.
pub(crate) fn request(caller: &Caller, state: &State, command_id: Option<String>) -> Request {
    let request_hash = command_id.as_ref().map_or([0; 32], |id| Sha256::digest(id.as_bytes()).into());
    Request {
        caller: caller.clone(),
        command_id,
        request_hash,
        if_match: None,
        occurred_at: None,
        correlation_id: state.correlation,
        causation_id: state.trigger,
        traceparent: None,
    }
}
