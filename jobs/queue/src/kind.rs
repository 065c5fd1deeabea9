//! What can be asked for.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use kernel::{Caller, Checks, FieldError, Refusal, TenantId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Unique, Work};

/// Why an attempt ended without being done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It may go better later: it is tried again.
    #[error("{code}: {reason}")]
    Failed {
        /// For programs.
        code: String,
        /// For people.
        reason: String,
    },
    /// It will never go: it is not tried again.
    #[error("{code}: {reason}")]
    Hopeless {
        /// For programs.
        code: String,
        /// For people.
        reason: String,
    },
    /// It was cancelled, and the handler stopped.
    #[error("it was cancelled")]
    Cancelled,
    /// Others wait for its place, of whom less runs: it goes on from its last step when its turn comes. The attempt does not count.
    #[error("it gives way to others")]
    GaveWay,
    /// The job is somebody else's by now: nothing of this attempt is written any more.
    #[error("the lease was lost")]
    Lost,
}

impl Fault {
    /// See [`Fault::Failed`].
    pub fn failed(code: impl Into<String>, reason: impl ToString) -> Self {
        Self::Failed { code: code.into(), reason: reason.to_string() }
    }

    /// See [`Fault::Hopeless`].
    pub fn hopeless(code: impl Into<String>, reason: impl ToString) -> Self {
        Self::Hopeless { code: code.into(), reason: reason.to_string() }
    }
}

/// What people ask for a job with: an object. It refuses members that it does not know (`deny_unknown_fields`).
pub trait Arguments: Serialize + DeserializeOwned {
    /// Refuses values that are not allowed, and writes the others as they are kept. `at` is the JSON pointer to the arguments in the
    /// request, the same for whoever asks: an operation of their own, by name, in a schedule, in a batch.
    fn check(&mut self, _checks: &mut Checks, _at: &str) {}
}

/// Reads arguments that people sent, at this JSON pointer; what they are kept as.
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
    offer: Option<Offer>,
    once: bool,
    tenants: Tenants,
    pub(crate) handler: Handler,
}

/// Which tenants may have such jobs.
#[derive(Clone, Copy)]
enum Tenants {
    /// All of them.
    Any,
    /// The operators'; none: no tenant.
    Operators(Option<TenantId>),
}

/// Who may ask for it by name, and with what.
#[derive(Clone)]
struct Offer {
    permission: &'static str,
    check: Check,
}

/// A kind that a caller may ask for by name, with arguments that it takes.
pub struct Offered<'a> {
    pub(crate) kind: &'a Kind,
    pub(crate) arguments: Value,
}

impl Offered<'_> {
    /// Whether a second one with the same arguments is the first.
    pub(crate) fn unique(&self) -> Option<Unique> {
        self.kind.once.then(Unique::by_arguments)
    }
}

/// The most bytes of arguments that people send.
const LARGEST_ARGUMENTS: usize = 16 << 10;

impl Kind {
    /// A kind that is done by `handler`, which answers the job's result. A handler runs again after a crash, from its last
    /// [`Step`](crate::Step): what it does besides must bear that.
    pub fn new<F, R>(name: &'static str, handler: F) -> Self
    where
        F: Fn(Work) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Value, Fault>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |work| handler(work).boxed());
        let time_limit = Duration::from_hours(1);
        let (queue, tenants) = ("default", Tenants::Any);
        Self { name, attempts: 8, time_limit, output: None, queue, offer: None, once: false, tenants, handler }
    }

    /// How often it is begun at most; 8 unless said.
    #[must_use]
    pub fn attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    /// How long one attempt may take; an hour unless said.
    #[must_use]
    pub fn time_limit(self, time_limit: Duration) -> Self {
        Self { time_limit, ..self }
    }

    /// It makes a file of this media type, which needs this permission.
    #[must_use]
    pub fn output(self, media_type: &'static str, permission: &'static str) -> Self {
        Self { output: Some((media_type, permission)), ..self }
    }

    /// Its queue, which can be paused and limited by itself: `default` unless said.
    #[must_use]
    pub fn queue(self, queue: &'static str) -> Self {
        Self { queue, ..self }
    }

    /// Whoever has this permission may ask for it by name, in schedules and batches, with arguments that are a `T`.
    #[must_use]
    pub fn offered<T: Arguments>(self, permission: &'static str) -> Self {
        let check: Check = Arc::new(|arguments, at| {
            let refused =
                |detail: String| vec![FieldError { pointer: at.to_owned(), code: "arguments_invalid", detail }];
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

    /// Who asks for it by name while one with the same arguments is open gets that one.
    #[must_use]
    pub fn once_at_a_time(self) -> Self {
        Self { once: true, ..self }
    }

    /// Only this tenant may ask for it by name: it touches what is all tenants'. None: nobody may.
    #[must_use]
    pub fn of_operators(self, tenant: Option<TenantId>) -> Self {
        Self { tenants: Tenants::Operators(tenant), ..self }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// The kinds of a service, and what looking after its jobs needs.
#[derive(Clone)]
pub struct Kinds {
    pub(crate) read: &'static str,
    pub(crate) write: &'static str,
    all: Arc<[Kind]>,
}

impl Kinds {
    /// These kinds; `read` is the permission to see jobs, `write` that to cancel and retry them.
    pub fn new(read: &'static str, write: &'static str, kinds: Vec<Kind>) -> Self {
        Self { read, write, all: kinds.into() }
    }

    /// The kind with this name.
    pub fn find(&self, name: &str) -> Option<&Kind> {
        self.all.iter().find(|kind| kind.name == name)
    }

    /// The kind with this name, whether it can be asked for by name or not. An error says which there are.
    pub fn known(&self, name: &str) -> Result<&Kind, String> {
        self.find(name).ok_or_else(|| format!("there are no {name:?} jobs; allowed: {}", self.names().join(", ")))
    }

    /// The kind that a caller asks for by name; `pointer` is where the request has its arguments.
    ///
    /// # Errors
    /// `job_kind_unknown`; without the permission that it needs; when these are no arguments of it.
    pub fn ask(&self, caller: &Caller, name: &str, arguments: &Value, pointer: &str) -> Result<Offered<'_>, Refusal> {
        let offered = self.all.iter().filter_map(|kind| Some((kind, kind.offer.as_ref()?)));
        let Some((kind, offer)) = offered.clone().find(|(kind, _)| kind.name == name) else {
            let names: Vec<_> = offered.map(|(kind, _)| kind.name).collect();
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
            let pointer = pointer.to_owned();
            return Err(Refusal::fields(vec![FieldError { pointer, code: "arguments_too_large", detail }]));
        }
        let arguments = (offer.check)(arguments, pointer).map_err(Refusal::fields)?;
        Ok(Offered { kind, arguments })
    }

    /// The same kinds and one more.
    #[must_use]
    pub fn with(self, kind: Kind) -> Self {
        let all = self.all.iter().cloned().chain([kind]).collect();
        Self { all, ..self }
    }

    /// Their queues, each once.
    pub fn queues(&self) -> Vec<&'static str> {
        let mut queues: Vec<_> = self.all.iter().map(|kind| kind.queue).collect();
        queues.sort_unstable();
        queues.dedup();
        queues
    }

    /// Their names.
    pub fn names(&self) -> Vec<&'static str> {
        self.all.iter().map(|kind| kind.name).collect()
    }
}
