//! What can be asked for.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use serde_json::Value;

use crate::Work;

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

type Handler = Arc<dyn Fn(Work) -> BoxFuture<'static, Result<Value, Fault>> + Send + Sync>;

/// A kind of job.
#[derive(Clone)]
pub struct Kind {
    pub(crate) name: &'static str,
    pub(crate) attempts: u32,
    pub(crate) time_limit: Duration,
    pub(crate) output: Option<(&'static str, &'static str)>,
    pub(crate) handler: Handler,
}

impl Kind {
    /// A kind that is done by `handler`, which answers the job's result. A handler runs again after a crash, from its last
    /// [`Step`](crate::Step): what it does besides must bear that.
    pub fn new<F, R>(name: &'static str, handler: F) -> Self
    where
        F: Fn(Work) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Value, Fault>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |work| handler(work).boxed());
        Self { name, attempts: 8, time_limit: Duration::from_hours(1), output: None, handler }
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

    /// Their names.
    pub fn names(&self) -> Vec<&'static str> {
        self.all.iter().map(|kind| kind.name).collect()
    }
}
