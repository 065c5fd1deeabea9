//! The definition of a saga: its name and version, the events that start it, and its steps.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use kernel::{Aggregate, Backoff, Caller, RecordedEvent};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cache::{Lookup, StateCache};
use crate::{Fault, Next, StepContext};

/// A saga's definition. Each saga has a file of its own, with its parameters, the events that start it, and its steps.
///
/// A change of the steps is a new version. Instances finish on the version with which they started, so the old definition stays in the
/// service's list until it has no instances left. New instances start on the highest version.
#[derive(Clone)]
pub struct Definition {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    pub(crate) permissions: &'static [&'static str],
    pub(crate) starts_on: &'static [&'static str],
    pub(crate) start: Starter,
    pub(crate) wake_key: Option<fn(&RecordedEvent) -> Option<String>>,
    pub(crate) steps: Vec<Step>,
}

pub(crate) type Starter =
    Arc<dyn Fn(StartContext, RecordedEvent) -> BoxFuture<'static, Result<Option<Start<Value>>, Fault>> + Send + Sync>;
pub(crate) type Action = Arc<dyn Fn(StepContext) -> BoxFuture<'static, Result<Next, Fault>> + Send + Sync>;

/// The subject and the parameters of a new instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Start<P> {
    /// The subject of the saga, usually an aggregate's id. Events that wake the instance find it by this key.
    pub key: String,
    /// The parameters that its steps receive. No personal data.
    pub parameters: P,
}

/// What a saga can read when it decides whether an event starts it.
#[derive(Clone)]
pub struct StartContext {
    pub(crate) caller: Caller,
    pub(crate) executor: executor::Executor,
    pub(crate) cache: StateCache,
}

impl StartContext {
    /// An aggregate's state and version, at the time of the event or later.
    pub async fn load<A: Aggregate>(&self, id: &str) -> Result<Option<(Arc<A>, u64)>, Fault> {
        let tenant = self.caller.tenant();
        if let Lookup::Hit(known) = self.cache.get(tenant, id) {
            return Ok(known);
        }
        let found = self.executor.load::<A>(&self.caller, id).await?;
        self.cache.put(tenant, id, found.as_ref());
        Ok(found)
    }

    /// The tenant's id as text. It is also the id of aggregates of which each tenant has exactly one.
    pub fn tenant(&self) -> String {
        self.caller.tenant().to_string()
    }
}

/// A step: its action, its undo, its retry policy and its time limits.
#[derive(Clone)]
pub struct Step {
    pub(crate) name: &'static str,
    pub(crate) act: Action,
    pub(crate) undo: Option<Action>,
    pub(crate) is_pivot: bool,
    pub(crate) is_past_pivot: bool,
    pub(crate) retry: Retry,
    pub(crate) limits: Limits,
}

/// The pivot of a definition and the steps after it. Once one of them is begun, the saga can't be cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalSteps {
    /// Their names, in order.
    pub names: Vec<&'static str>,
    /// Whether the definition has no other steps, so that the saga can't be cancelled before it begins the first one either.
    pub are_all: bool,
}

/// The retry policy for temporary failures. A refusal is not temporary: it is never retried. It unwinds the saga, or parks it [past the
/// pivot](Step::pivot).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The number of attempts, including the first one.
    pub attempts: u32,
    /// The pauses between attempts.
    pub backoff: Backoff,
    /// What happens when all attempts have failed: park the saga for a person (true), or unwind it. A failing undo always parks.
    pub park: bool,
}

impl Default for Retry {
    fn default() -> Self {
        let backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_mins(5) };
        Self { attempts: 10, backoff, park: false }
    }
}

/// The time limits of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The time for one attempt, by the machine's monotonic clock. After it the attempt has failed.
    pub attempt: Duration,
    /// The time for the whole step since it was first begun, including waits and retries. A waiting step checks its condition one last time
    /// at the end of it; a failed step is not retried after it.
    pub whole: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { attempt: Duration::from_secs(30), whole: Duration::from_hours(24) }
    }
}

impl Step {
    /// A step without undo: it leaves nothing that others see, or it can't be undone.
    pub fn new<P, F, Fut>(name: &'static str, act: F) -> Self
    where
        P: DeserializeOwned + Send + 'static,
        F: Fn(StepContext, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Next, Fault>> + Send + 'static,
    {
        let (retry, limits) = (Retry::default(), Limits::default());
        Self { name, act: action(act), undo: None, is_pivot: false, is_past_pivot: false, retry, limits }
    }

    /// Sets the undo. It must work when there is nothing, or only a part, to undo, because it also runs for an interrupted step, whose
    /// progress is unknown.
    #[must_use]
    pub fn undo<P, F, Fut>(self, undo: F) -> Self
    where
        P: DeserializeOwned + Send + 'static,
        F: Fn(StepContext, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Next, Fault>> + Send + 'static,
    {
        Self { undo: Some(action(undo)), ..self }
    }

    /// Marks this step as the pivot, the point of no return. Once it is begun, nobody can cancel the saga. If a later step is refused, or
    /// has used up its attempts or its time, the saga is parked for a person instead of unwound.
    #[must_use]
    pub fn pivot(self) -> Self {
        Self { is_pivot: true, ..self }
    }

    /// Sets the retry policy of the step and of its undo.
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// Sets the time limits of the step and of its undo.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The step's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether the step has an undo.
    pub fn has_undo(&self) -> bool {
        self.undo.is_some()
    }

    /// Whether the step comes after the [pivot](Self::pivot).
    pub fn is_past_pivot(&self) -> bool {
        self.is_past_pivot
    }
}

fn action<P, F, Fut>(act: F) -> Action
where
    P: DeserializeOwned + Send + 'static,
    F: Fn(StepContext, P) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Next, Fault>> + Send + 'static,
{
    let act = Arc::new(act);
    Arc::new(move |context| {
        let act = act.clone();
        async move {
            let parameters = serde_json::from_value(context.parameters().clone()).map_err(|_| {
                Fault::unreadable("the saga's parameters do not have the form that its definition says")
            })?;
            act(context, parameters).await
        }
        .boxed()
    })
}

/// A list of steps, in this order.
pub fn steps(steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
    steps.into_iter().collect()
}

impl Definition {
    /// Defines a saga with this name (`verb_noun`) and version. It has these permissions and no others.
    ///
    /// `start` is called for each event of the types in `starts_on`. If it is called again for the same event, the first instance stays.
    pub fn new<P, F, Fut>(
        name: &'static str,
        version: u32,
        permissions: &'static [&'static str],
        starts_on: &'static [&'static str],
        start: F,
        mut steps: Vec<Step>,
    ) -> Self
    where
        P: Serialize + 'static,
        F: Fn(StartContext, RecordedEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<Start<P>>, Fault>> + Send + 'static,
    {
        let start: Starter = Arc::new(move |context, event| {
            let begun = start(context, event);
            async move {
                let Some(Start { key, parameters }) = begun.await? else { return Ok(None) };
                let parameters = serde_json::to_value(parameters)
                    .map_err(|_| Fault::unreadable("the saga's parameters can't be stored"))?;
                Ok(Some(Start { key, parameters }))
            }
            .boxed()
        });
        let pivot = steps.iter().position(|step| step.is_pivot).unwrap_or(steps.len());
        for step in steps.iter_mut().skip(pivot + 1) {
            step.is_past_pivot = true;
        }
        Self { name, version, permissions, starts_on, start, wake_key: None, steps }
    }

    /// Sets which events wake a waiting instance: those for which this function returns the instance's key.
    #[must_use]
    pub fn wakes_on(self, wake_key: fn(&RecordedEvent) -> Option<String>) -> Self {
        Self { wake_key: Some(wake_key), ..self }
    }

    /// The saga's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The version of the definition.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The steps, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The same definition with another version, for tests of running instances whose definition changes.
    #[must_use]
    pub fn at_version(self, version: u32) -> Self {
        Self { version, ..self }
    }

    /// The steps from which there is no way back.
    pub(crate) fn final_steps(&self) -> FinalSteps {
        let last = self.steps.iter().filter(|step| step.is_pivot || step.is_past_pivot);
        let names: Vec<_> = last.map(|step| step.name).collect();
        FinalSteps { are_all: names.len() == self.steps.len(), names }
    }

    pub(crate) fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }
}
