//! What a step works with, and what comes of it.

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

use crate::state::State;

/// What a step came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// It is done; its undo and later steps find this.
    Done(Value),
    /// A batch is done; the next turn, under command ids of its own, finds this.
    Continue(Value),
    /// Look again at this time, or when something is heard. Nothing may have been done in this turn.
    WaitUntil(DateTime<Utc>),
    /// The saga is complete: no further step is needed, because of this.
    End(&'static str),
}

impl Next {
    /// Done, with nothing to remember.
    pub const fn done() -> Self {
        Self::Done(Value::Null)
    }

    /// Done, and this is to be remembered.
    pub fn done_with(result: &impl Serialize) -> Result<Self, Fault> {
        value(result).map(Self::Done)
    }

    /// A batch is done, and this is where the next one begins.
    pub fn continue_from(progress: &impl Serialize) -> Result<Self, Fault> {
        value(progress).map(Self::Continue)
    }
}

fn value(value: &impl Serialize) -> Result<Value, Fault> {
    serde_json::to_value(value).map_err(|_| Fault::unreadable("what the step wants to remember can't be stored"))
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Stable, for programs.
    pub code: String,
    /// For people.
    pub reason: String,
    /// What is to be done about it.
    pub kind: FaultKind,
}

/// What is to be done about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It may pass: try again.
    Passing,
    /// It was refused and will be: take everything back, where there is a way back.
    Refused,
    /// Only a person can help.
    Broken,
}

impl Fault {
    /// A fault that may pass.
    pub fn passing(code: &str, reason: impl Into<String>) -> Self {
        Self { code: code.to_owned(), reason: reason.into(), kind: FaultKind::Passing }
    }

    /// A refusal.
    pub fn refused(code: &str, reason: impl Into<String>) -> Self {
        Self { code: code.to_owned(), reason: reason.into(), kind: FaultKind::Refused }
    }

    /// A saga's code panicked.
    pub(crate) fn panicked() -> Self {
        Self {
            code: "saga_step_panicked".to_owned(),
            reason: "the saga's code panicked; the server's log says more".to_owned(),
            kind: FaultKind::Broken,
        }
    }

    /// Something stored can't be read, or the other way round.
    pub(crate) fn unreadable(reason: &str) -> Self {
        Self { code: "saga_unreadable".to_owned(), reason: reason.to_owned(), kind: FaultKind::Broken }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let passing = matches!(refusal.kind(), Kind::Unavailable | Kind::Timeout | Kind::RateLimited | Kind::Internal)
            || refusal.code() == "changed_meanwhile";
        let kind = if passing { FaultKind::Passing } else { FaultKind::Refused };
        Self { code: refusal.code().to_owned(), reason: refusal.detail().to_owned(), kind }
    }
}

impl From<eventstore::Error> for Fault {
    fn from(error: eventstore::Error) -> Self {
        Self::passing("log_unavailable", error.to_string())
    }
}

/// What a step works with. Cheap to clone.
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
    pub(crate) executor: Executor,
    pub(crate) store: EventStore,
    /// Counts the commands of this turn: their ids differ by it.
    pub(crate) commands: AtomicU64,
}

impl StepContext {
    /// The instance's id.
    pub fn saga_id(&self) -> Uuid {
        self.inner.id
    }

    /// In whose world it acts.
    pub fn tenant(&self) -> TenantId {
        self.inner.caller.tenant()
    }

    /// The name in which the saga acts: the actor of its events.
    pub fn actor(&self) -> &str {
        self.inner.caller.subject()
    }

    /// The time.
    pub fn now(&self) -> DateTime<Utc> {
        self.inner.executor.now()
    }

    /// What the step's last batch left; none: this is its first turn. For an undo: what its own last batch left.
    pub fn progress<T: DeserializeOwned>(&self) -> Result<Option<T>, Fault> {
        let found = self.inner.state.current.as_ref().map(|current| &current.progress);
        read(found.filter(|progress| !progress.is_null()))
    }

    /// What a step that is done left; for its undo also what a step left that was under way. None: nothing.
    pub fn result_of<T: DeserializeOwned>(&self, step: &str) -> Result<Option<T>, Fault> {
        read(self.inner.state.result_of(step).filter(|result| !result.is_null()))
    }

    /// Carries out a command, once for this turn of this step: run again after a crash, the same command in the same place
    /// answers what it answered the first time, whatever is true by then. So what the step remembers has to come from the
    /// answer, not from what it read before.
    pub async fn execute<C: Command>(&self, command: &C) -> Result<C::Answer, Fault> {
        self.execute_at(None, command).await
    }

    /// As [`execute`](Self::execute), only if the first aggregate that it changes has this version: else refused with the
    /// code `version_differs`.
    pub async fn execute_at<C: Command>(&self, version: Option<u64>, command: &C) -> Result<C::Answer, Fault> {
        let inner = &*self.inner;
        let way = if inner.undo { "undo" } else { "do" };
        let id = format!("saga {} {} {} {way}", inner.id, inner.step, inner.turn);
        let part = inner.commands.fetch_add(1, Ordering::Relaxed);
        let request =
            Request { if_match: version.map(Versions::from), ..request(&inner.caller, &inner.state, Some(id)) };
        Ok(inner.executor.execute_part(&request, part, command).await?.answer)
    }

    /// Whether an event is what a step of this instance did, its undo not counted.
    pub fn did(&self, event: &RecordedEvent, step: &str) -> bool {
        let ours = format!("saga {} {step} ", self.inner.id);
        event
            .decode_metadata()
            .is_ok_and(|metadata| metadata.command_id.starts_with(&ours) && !metadata.command_id.contains(" undo"))
    }

    /// An aggregate's state and version, from the log; none: it does not exist.
    pub async fn load<A: Aggregate>(&self, id: impl std::fmt::Display) -> Result<Option<(Arc<A>, u64)>, Fault> {
        Ok(self.inner.executor.load::<A>(&self.inner.caller, &id.to_string()).await?)
    }

    /// The events of an aggregate.
    pub async fn history<A: Aggregate>(&self, id: impl std::fmt::Display) -> Result<Vec<RecordedEvent>, Fault> {
        Ok(self.inner.store.load(self.inner.caller.tenant(), A::TYPE, &id.to_string(), 0).await?)
    }

    /// Where the event that began the instance stands in the log now, of an aggregate that has it: positions are others once the tenant
    /// has moved to another cell, ids are not. None: the aggregate does not have it.
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
}

fn read<T: DeserializeOwned>(value: Option<&Value>) -> Result<Option<T>, Fault> {
    value
        .map(|value| {
            T::deserialize(value)
                .map_err(|_| Fault::unreadable("what a step remembered does not have the form that it expects"))
        })
        .transpose()
}

/// The circumstances of what a saga does: caused by the event that started it, with a hash that is the same for the same id.
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
