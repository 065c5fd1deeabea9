//! Kinds of jobs: their handlers, arguments and limits, and who may submit them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use kernel::{Caller, Checks, FieldError, Refusal, TenantId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Unique, Work};

/// Why an attempt ended without completing the job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A temporary failure: it is retried after a pause.
    #[error("{code}: {reason}")]
    Failed {
        /// An error code, for programs.
        code: String,
        /// A sentence, for people.
        reason: String,
    },
    /// A permanent failure: it is not retried.
    #[error("{code}: {reason}")]
    Permanent {
        /// An error code, for programs.
        code: String,
        /// A sentence, for people.
        reason: String,
    },
    /// The job was cancelled, and the handler stopped; or what a person did elsewhere ends it, which the handler has to log.
    #[error("it was cancelled")]
    Cancelled,
    /// The job gave up its slot to a tenant with fewer running jobs, or because its tenant is suspended. It continues from its last step in a
    /// later turn. The attempt does not count.
    #[error("it gives way to others")]
    GaveWay,
    /// The lease was lost, so the job may run in another process. This attempt writes nothing more.
    #[error("the lease was lost")]
    Lost,
}

impl Fault {
    /// Creates a [`Fault::Failed`].
    pub fn failed(code: impl Into<String>, reason: impl ToString) -> Self {
        Self::Failed { code: code.into(), reason: reason.to_string() }
    }

    /// Creates a [`Fault::Permanent`].
    pub fn permanent(code: impl Into<String>, reason: impl ToString) -> Self {
        Self::Permanent { code: code.into(), reason: reason.to_string() }
    }
}

/// The arguments that people submit with a job: a JSON object. Implementations refuse unknown members (`deny_unknown_fields`).
pub trait Arguments: Serialize + DeserializeOwned {
    /// Refuses invalid values, and normalizes the others. `at` is the JSON pointer to the arguments in the request. The same check applies
    /// to all ways of submitting: an operation of their own, by name, in a schedule, in a batch.
    fn check(&mut self, _checks: &mut Checks, _at: &str) {}
}

/// Parses and checks submitted arguments, which are at this JSON pointer; returns the normalized form that is stored.
type Check = Arc<dyn Fn(&Value, &str) -> Result<Value, Vec<FieldError>> + Send + Sync>;

type Handler = Arc<dyn Fn(Work) -> BoxFuture<'static, Result<Value, Fault>> + Send + Sync>;

/// A kind of job.
#[derive(Clone)]
pub struct Kind {
    pub(crate) name: &'static str,
    pub(crate) attempts: u32,
    pub(crate) time_limit: Duration,
    pub(crate) output: Option<(&'static str, &'static str)>,
    pub(crate) queue: &'static str,
    guard: Option<&'static str>,
    offer: Option<Offer>,
    once: bool,
    pub(crate) even_if_suspended: bool,
    tenants: Tenants,
    pub(crate) handler: Handler,
}

/// Which tenants may submit a kind by name.
#[derive(Clone, Copy)]
enum Tenants {
    /// Any tenant.
    Any,
    /// Only the operators' tenant; `None`: no tenant at all.
    Operators(Option<TenantId>),
}

/// The permission and the arguments of a kind that can be submitted by name.
#[derive(Clone)]
struct Offer {
    permission: &'static str,
    check: Check,
}

/// A kind that a caller may submit by name, with checked arguments.
pub struct Offered<'a> {
    pub(crate) kind: &'a Kind,
    pub(crate) arguments: Value,
}

impl Offered<'_> {
    /// Whether a submission with the same arguments returns the open job.
    pub(crate) fn unique(&self) -> Option<Unique> {
        self.kind.once.then(Unique::by_arguments)
    }
}

/// The maximum size of submitted arguments, in bytes.
const LARGEST_ARGUMENTS: usize = 16 << 10;

impl Kind {
    /// A kind whose jobs `handler` executes; it returns the job's result. After a crash the handler runs again, from its last
    /// [`Step`](crate::Step), so anything it does between steps must be safe to repeat.
    pub fn new<F, R>(name: &'static str, handler: F) -> Self
    where
        F: Fn(Work) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Value, Fault>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |work| handler(work).boxed());
        let time_limit = Duration::from_hours(1);
        let (queue, tenants) = ("default", Tenants::Any);
        Self {
            name,
            attempts: 8,
            time_limit,
            output: None,
            queue,
            guard: None,
            offer: None,
            once: false,
            even_if_suspended: false,
            tenants,
            handler,
        }
    }

    /// The maximum number of attempts; the default is 8.
    #[must_use]
    pub fn attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    /// The time limit of one attempt; the default is one hour.
    #[must_use]
    pub fn time_limit(self, time_limit: Duration) -> Self {
        Self { time_limit, ..self }
    }

    /// Jobs of this kind create a file of this media type. Downloading it needs this permission.
    #[must_use]
    pub fn output(self, media_type: &'static str, permission: &'static str) -> Self {
        Self { output: Some((media_type, permission)), ..self }
    }

    /// Cancelling or retrying such a job, and pausing or limiting its queue, also needs this permission: the one with which somebody decided
    /// what the job carries out.
    #[must_use]
    pub fn guarded(self, permission: &'static str) -> Self {
        Self { guard: Some(permission), ..self }
    }

    /// The queue, which can be paused and limited by itself; the default is `default`.
    #[must_use]
    pub fn queue(self, queue: &'static str) -> Self {
        Self { queue, ..self }
    }

    /// Lets callers with this permission submit the kind by name, in schedules and in batches, with arguments of type `T`.
    #[must_use]
    pub fn offered<T: Arguments>(self, permission: &'static str) -> Self {
        let check: Check = Arc::new(|arguments, at| {
            let refused = |detail: String| vec![FieldError::new(at, "arguments_invalid", detail)];
            if !arguments.is_object() {
                return Err(refused("allowed is an object, such as {}".to_owned()));
            }
            let mut read = T::deserialize(arguments).map_err(|error| refused(error.to_string()))?;
            let mut checks = Checks::default();
            read.check(&mut checks, at);
            if !checks.ok() {
                return Err(checks.into_errors());
            }
            serde_json::to_value(&read).map_err(|error| refused(error.to_string()))
        });
        Self { offer: Some(Offer { permission, check }), ..self }
    }

    /// While a job with the same arguments is open, a submission by name returns that one.
    #[must_use]
    pub fn once_at_a_time(self) -> Self {
        Self { once: true, ..self }
    }

    /// Jobs of this kind are executed for suspended tenants, too: those that are owed to others, such as the removal of what was stored about
    /// a person.
    #[must_use]
    pub fn even_if_suspended(self) -> Self {
        Self { even_if_suspended: true, ..self }
    }

    /// Only this tenant may submit it by name, because it affects all tenants. `None`: nobody may.
    #[must_use]
    pub fn of_operators(self, tenant: Option<TenantId>) -> Self {
        Self { tenants: Tenants::Operators(tenant), ..self }
    }

    /// The kind's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The permission that cancelling such a job needs, besides that to change jobs.
    pub(crate) fn to_cancel(&self) -> Option<&'static str> {
        self.guard
    }

    /// The permission that retrying such a job needs, besides that to change jobs: a retry does again what it was submitted for.
    pub(crate) fn to_retry(&self) -> Option<&'static str> {
        let to_submit = self.offer.as_ref().map(|offer| offer.permission);
        self.guard.or(to_submit).or(self.output.map(|(_, permission)| permission))
    }
}

/// The kinds of a service, and the permissions for its jobs.
#[derive(Clone)]
pub struct Kinds {
    pub(crate) read: &'static str,
    pub(crate) write: &'static str,
    all: Arc<[Kind]>,
}

impl Kinds {
    /// Collects these kinds. `read` is the permission to view jobs, `write` the permission to cancel and retry them.
    pub fn new(read: &'static str, write: &'static str, kinds: Vec<Kind>) -> Self {
        Self { read, write, all: kinds.into() }
    }

    /// The kind with this name.
    pub fn find(&self, name: &str) -> Option<&Kind> {
        self.all.iter().find(|kind| kind.name == name)
    }

    /// The kind that a caller submits by name, with its checked arguments. `pointer` is the JSON pointer to the arguments in the request.
    ///
    /// # Errors
    /// `job_kind_unknown`; the permission is missing; the arguments are invalid.
    pub fn resolve(
        &self,
        caller: &Caller,
        name: &str,
        arguments: &Value,
        pointer: &str,
    ) -> Result<Offered<'_>, Refusal> {
        let Some((kind, offer)) = self.find(name).and_then(|kind| Some((kind, kind.offer.as_ref()?))) else {
            let names = self.offered();
            let detail = if names.is_empty() {
                format!("{name:?} jobs can't be requested by name; no kind can here")
            } else {
                format!("{name:?} jobs can't be requested by name; allowed: {}", names.join(", "))
            };
            return Err(Refusal::invalid("job_kind_unknown", detail));
        };
        caller.require(offer.permission)?;
        if let Tenants::Operators(tenant) = kind.tenants
            && tenant != Some(caller.tenant())
        {
            let detail = format!("{name} jobs affect all tenants: only operators may request them (operators.tenant)");
            return Err(Refusal::forbidden("operators_only", detail));
        }
        let bytes = arguments.to_string().len();
        if bytes > LARGEST_ARGUMENTS {
            let detail = format!("it has {bytes} bytes; allowed are {LARGEST_ARGUMENTS}");
            return Err(Refusal::field(pointer, "arguments_too_large", detail));
        }
        let arguments = (offer.check)(arguments, pointer).map_err(Refusal::fields)?;
        Ok(Offered { kind, arguments })
    }

    /// The permissions that pausing or limiting a queue needs, besides that to change jobs: a job that does not start is as good as
    /// cancelled.
    pub(crate) fn to_hold_up(&self, queue: &str) -> impl Iterator<Item = &'static str> {
        self.all.iter().filter(move |kind| kind.queue == queue).filter_map(Kind::to_cancel)
    }

    /// The same kinds and one more.
    #[must_use]
    pub fn with(self, kind: Kind) -> Self {
        let all = self.all.iter().cloned().chain([kind]).collect();
        Self { all, ..self }
    }

    /// The queues of these kinds, without duplicates.
    pub fn queues(&self) -> Vec<&'static str> {
        let mut queues: Vec<_> = self.all.iter().map(|kind| kind.queue).collect();
        queues.sort_unstable();
        queues.dedup();
        queues
    }

    /// The names of those that can be submitted by name.
    pub fn offered(&self) -> Vec<&'static str> {
        self.all.iter().filter(|kind| kind.offer.is_some()).map(|kind| kind.name).collect()
    }

    /// The names of those that are executed for suspended tenants, too.
    pub(crate) fn even_if_suspended(&self) -> Vec<&'static str> {
        self.all.iter().filter(|kind| kind.even_if_suspended).map(|kind| kind.name).collect()
    }

    /// Their names.
    pub fn names(&self) -> Vec<&'static str> {
        self.all.iter().map(|kind| kind.name).collect()
    }
}
