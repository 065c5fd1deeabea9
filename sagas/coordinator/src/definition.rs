//! What a saga is: its name and version, what starts it, its steps.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use kernel::{Aggregate, Caller, RecordedEvent};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::known::{Known, Memory};
use crate::{Fault, Next, StepContext};

/// A saga: a file with its parameters, what starts it, and its steps.
///
/// A change of the steps is a new version. Instances finish on the version with which they began, so the old definition stays
/// in the service's list until none of its instances is left; new ones begin on the highest version.
#[derive(Clone)]
pub struct Definition {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    pub(crate) permissions: &'static [&'static str],
    pub(crate) starts_on: &'static [&'static str],
    pub(crate) start: Starter,
    pub(crate) hear: Option<fn(&RecordedEvent) -> Option<String>>,
    pub(crate) steps: Vec<Step>,
}

pub(crate) type Starter =
    Arc<dyn Fn(StartContext, RecordedEvent) -> BoxFuture<'static, Result<Option<Start<Value>>, Fault>> + Send + Sync>;
pub(crate) type Action = Arc<dyn Fn(StepContext) -> BoxFuture<'static, Result<Next, Fault>> + Send + Sync>;

/// What a new instance begins with.
#[derive(Clone, Debug, PartialEq)]
pub struct Start<P> {
    /// What it is about: usually an aggregate's id. Events that it hears find it by this.
    pub key: String,
    /// What it works with. No personal data.
    pub parameters: P,
}

/// What a saga may look at when it decides whether an event starts it.
#[derive(Clone)]
pub struct StartContext {
    pub(crate) caller: Caller,
    pub(crate) executor: executor::Executor,
    pub(crate) known: Known,
}

impl StartContext {
    /// An aggregate's state and version, as they were at the event or later.
    pub async fn load<A: Aggregate>(&self, id: &str) -> Result<Option<(Arc<A>, u64)>, Fault> {
        let tenant = self.caller.tenant();
        if let Memory::Known(known) = self.known.get(tenant, id) {
            return Ok(known);
        }
        let found = self.executor.load::<A>(&self.caller, id).await?;
        self.known.put(tenant, id, found.as_ref());
        Ok(found)
    }

    /// The tenant's id as text: the id of aggregates of which a tenant has exactly one.
    pub fn tenant(&self) -> String {
        self.caller.tenant().to_string()
    }
}

/// One step: what it does, how it is undone, how patient it is.
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

/// What happens when a step fails for reasons that may pass. A refusal is none: it is final, and the saga unwinds, or is parked
/// [past its pivot](Step::pivot).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often it is tried, the first time included.
    pub attempts: u32,
    /// The pause after the first failure; each further one is twice as long.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// When all attempts failed: park the saga for a person instead of unwinding it. (A failing undo always parks.)
    pub park: bool,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 10, first: Duration::from_secs(1), longest: Duration::from_mins(5), park: false }
    }
}

impl Retry {
    /// The pause after the `failures`th failure in a row, from 1.
    pub fn pause(&self, failures: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(self.longest)
    }
}

/// How long a step may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One attempt, by the machine's own measure of time. Then it counts as failed.
    pub attempt: Duration,
    /// The step as a whole from its first beginning, waiting and retries included. What waits looks a last time then; what fails is not
    /// tried again after it.
    pub whole: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { attempt: Duration::from_secs(30), whole: Duration::from_hours(24) }
    }
}

impl Step {
    /// A step without undo: nothing is left of it that another would see, or it can't be taken back.
    pub fn new<P, F, Fut>(name: &'static str, act: F) -> Self
    where
        P: DeserializeOwned + Send + 'static,
        F: Fn(StepContext, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Next, Fault>> + Send + 'static,
    {
        let (retry, limits) = (Retry::default(), Limits::default());
        Self { name, act: action(act), undo: None, is_pivot: false, is_past_pivot: false, retry, limits }
    }

    /// How it is undone. It must bear that there is nothing, or only a part, to be undone: it also runs for a step of which
    /// nobody knows how far it came.
    #[must_use]
    pub fn undo<P, F, Fut>(self, undo: F) -> Self
    where
        P: DeserializeOwned + Send + 'static,
        F: Fn(StepContext, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Next, Fault>> + Send + 'static,
    {
        Self { undo: Some(action(undo)), ..self }
    }

    /// From this step on there is no way back, and what was begun has to be brought to its end: once it is begun, nobody can cancel the
    /// saga; and a later step that is refused, or has used up its attempts or its time, parks it for a person.
    #[must_use]
    pub fn pivot(self) -> Self {
        Self { is_pivot: true, ..self }
    }

    /// How it is retried, and its undo too.
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// How long it may take, and its undo too.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it can be undone.
    pub fn has_undo(&self) -> bool {
        self.undo.is_some()
    }

    /// Whether it comes after a [pivot](Self::pivot).
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

/// Steps, in their order.
pub fn steps(steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
    steps.into_iter().collect()
}

impl Definition {
    /// A saga of this name (`verb_noun`) and version, which may use these permissions and no others.
    ///
    /// `start` is asked about every event of the types `starts_on`; asked about the same event again, the first instance stays.
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
        Self { name, version, permissions, starts_on, start, hear: None, steps }
    }

    /// Which events wake a waiting instance: those for which `hear` gives its key.
    #[must_use]
    pub fn hears(self, hear: fn(&RecordedEvent) -> Option<String>) -> Self {
        Self { hear: Some(hear), ..self }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Its steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The same with another version: for tests of what happens to running instances when a definition changes.
    #[must_use]
    pub fn at_version(self, version: u32) -> Self {
        Self { version, ..self }
    }

    /// The steps from which there is no way back.
    pub(crate) fn final_steps(&self) -> Vec<&'static str> {
        self.steps.iter().filter(|step| step.is_pivot || step.is_past_pivot).map(|step| step.name).collect()
    }

    pub(crate) fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }
}
