//! Submitting and viewing a service's jobs.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use eventstore::{AskedJob, Database, PoolUse, Role};
pub use kernel::IdempotentRequest as Request;
use kernel::{Caller, Clock, IdSource, Refusal, Service, TenantId};
use nats::Bus;
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::enqueue::{Entry, insert};
use crate::forgetting::{FORGOTTEN, FORGOTTEN_REASON};
use crate::leases::Leases;
use crate::wakes::Wakes;
use crate::{Job, JobNames, Kind, Kinds, Line, NewJob, Settings, State, Wanted, idempotency, input};

/// Database connections for requests and lists.
const CONNECTIONS: u32 = 4;

/// The jobs of a service. Cheap to clone.
#[derive(Clone)]
pub struct Jobs {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) service: Service,
    pub(crate) queue: PgPool,
    pub(crate) work: PgPool,
    pub(crate) bus: Option<Bus>,
    pub(crate) kinds: Kinds,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) wakes: Wakes,
    /// The leases of the jobs that run in this process.
    pub(crate) leases: Leases,
}

impl Inner {
    /// Whether the process runs as many jobs as it may.
    pub(crate) fn is_full(&self) -> bool {
        self.leases.count() >= self.settings.concurrency
    }
}

/// The injected sources of time and ids.
#[derive(Clone)]
pub struct Sources {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of ids.
    pub ids: Arc<dyn IdSource>,
}

/// The answer to an accepted request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The job, batch or schedule that the request created or changed.
    pub id: Uuid,
    /// Whether the same request (by its id) was accepted before; then nothing was changed now.
    pub repeated: bool,
}

/// The result of checking a request's idempotency key.
pub(crate) enum Opened {
    /// A new request: the transaction in which it has to be carried out.
    New(Transaction<'static, Postgres>),
    /// A repeated request, and its first answer.
    Repeated(Submitted),
}

/// The filter and the page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Only jobs of this kind.
    pub kind: Option<String>,
    /// Only jobs in this state.
    pub state: Option<State>,
    /// Only jobs of this queue.
    pub queue: Option<String>,
    /// Only jobs of this batch.
    pub batch: Option<Uuid>,
    /// Only jobs of this schedule.
    pub schedule: Option<Uuid>,
    /// Only jobs that were submitted before this one: the last one of the previous page.
    pub before: Option<Uuid>,
    /// The maximum number of jobs.
    pub limit: u32,
}

impl Jobs {
    /// The jobs of a service. Connects when first used. Without a bus, runners of other processes find new jobs only by polling.
    pub fn open(database: &Database, bus: Option<Bus>, kinds: Kinds, settings: Settings, sources: Sources) -> Self {
        // Each running job may write a step, while another job is claimed and the leases are renewed.
        let workers = u32::try_from(settings.concurrency).unwrap_or(u32::MAX).saturating_add(2);
        let inner = Inner {
            service: database.service,
            queue: database.pool(Role::Queue, CONNECTIONS),
            work: database.pool(Role::Work, workers),
            bus,
            kinds,
            settings,
            clock: sources.clock,
            ids: sources.ids,
            wakes: Wakes::default(),
            leases: Leases::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The service to which the jobs belong.
    pub fn service(&self) -> Service {
        self.inner.service
    }

    /// The kinds of jobs that can be submitted.
    pub fn kinds(&self) -> &Kinds {
        &self.inner.kinds
    }

    /// The usage of the two connection pools.
    pub fn pools(&self) -> [PoolUse; 2] {
        [PoolUse::of("jobs", &self.inner.queue), PoolUse::of("work", &self.inner.work)]
    }

    /// Tells the runners of all processes that a job may be due.
    pub async fn wake(&self) {
        self.inner.wakes.due(self.inner.bus.as_ref(), self.inner.service).await;
    }

    /// Submits a job, once per request. The caller has to check permissions. If an equal job exists ([`Unique`](crate::Unique)), returns
    /// that one.
    ///
    /// # Errors
    /// `job_kind_unknown`, `idempotency_key_reused`, `tenant_moving`, `jobs_unavailable`. Nothing was written then.
    pub async fn submit(&self, request: &Request, kind: &str, job: &NewJob) -> Result<Submitted, Refusal> {
        self.submit_with(request, kind, job, &[]).await
    }

    /// Submits a job by its kind's name, to run no earlier than `run_at`: see [`Kind::offered`](crate::Kind::offered).
    ///
    /// # Errors
    /// The permission to change jobs, or to submit this kind, is missing; `job_kind_unknown`; invalid arguments; as for
    /// [`submit`](Self::submit). Nothing was written then.
    pub async fn submit_by_name(
        &self,
        request: &Request,
        wanted: &Wanted,
        run_at: Option<DateTime<Utc>>,
    ) -> Result<Submitted, Refusal> {
        let caller = &request.caller;
        caller.require(self.inner.kinds.write)?;
        let offered = self.inner.kinds.resolve(caller, &wanted.kind, &wanted.arguments, "/arguments")?;
        let unique = offered.unique();
        let job = NewJob { arguments: offered.arguments, actor: caller.subject().to_owned(), run_at, unique };
        self.submit(request, &wanted.kind, &job).await
    }

    /// Like [`submit`](Self::submit), for a job with an input file. The file is kept until the job is completed, or removed.
    ///
    /// # Errors
    /// As for [`submit`](Self::submit).
    pub async fn submit_with(
        &self,
        request: &Request,
        kind: &str,
        job: &NewJob,
        file: &[u8],
    ) -> Result<Submitted, Refusal> {
        let inner = &*self.inner;
        let found = self.kind(kind)?;
        let (tenant, id, now) = (request.caller.tenant(), inner.ids.next(), inner.clock.now());
        let mut transaction = match self.open_request(request, id).await? {
            Opened::New(transaction) => transaction,
            Opened::Repeated(first) => return Ok(first),
        };
        let inputs = i32::try_from(file.len().div_ceil(input::PART)).unwrap_or(i32::MAX);
        let entry = Entry { inputs, ..Entry::new(id, found, job, now) };
        let enqueued = insert(&mut transaction, tenant, &entry).await.map_err(unavailable)?;
        if enqueued.made {
            input::keep(&mut transaction, tenant, id, file).await.map_err(unavailable)?;
        } else {
            idempotency::redirect(&mut transaction, tenant, request, enqueued.id).await?;
        }
        transaction.commit().await.map_err(unavailable)?;
        self.wake().await;
        Ok(Submitted { id: enqueued.id, repeated: false })
    }

    /// A job that an append is to submit in its own transaction (`executor::Work::enqueue`). The caller has to check permissions, and to
    /// call [`wake`](Self::wake) afterwards.
    ///
    /// # Errors
    /// `job_kind_unknown`.
    pub fn asked(&self, kind: &str, job: &NewJob) -> Result<AskedJob, Refusal> {
        Ok(self.kind(kind)?.asked(job, self.inner.ids.next(), self.inner.clock.now()))
    }

    fn kind(&self, name: &str) -> Result<&Kind, Refusal> {
        let kinds = &self.inner.kinds;
        kinds.find(name).ok_or_else(|| Refusal::invalid("job_kind_unknown", JobNames::from(kinds).no_kind(name)))
    }

    /// Opens a transaction for a request that may be carried out only once. `target` is the id of what it creates or changes.
    pub(crate) async fn open_request(&self, request: &Request, target: Uuid) -> Result<Opened, Refusal> {
        let tenant = request.caller.tenant();
        let mut transaction = self.begin(tenant).await?;
        Ok(match idempotency::record(&mut transaction, tenant, request, target).await? {
            Some(id) => Opened::Repeated(Submitted { id, repeated: true }),
            None => Opened::New(transaction),
        })
    }

    /// The jobs of the caller's tenant, newest first.
    ///
    /// # Errors
    /// The permission to view jobs is missing; the database does not answer.
    pub async fn list(&self, caller: &Caller, listing: &Listing) -> Result<Vec<Job>, Refusal> {
        caller.require(self.inner.kinds.read)?;
        let mut transaction = self.begin(caller.tenant()).await?;
        Job::list(&mut transaction, caller.tenant(), listing).await.map_err(unavailable)
    }

    /// A job with its log, oldest line first.
    ///
    /// # Errors
    /// The permission to view jobs is missing; `not_found`; the database does not answer.
    pub async fn find(&self, caller: &Caller, id: Uuid) -> Result<(Job, Vec<Line>), Refusal> {
        self.log(caller, id, 0, u32::MAX).await
    }

    /// A job with a page of its log: the lines after number `after`, at most `limit`.
    ///
    /// # Errors
    /// As for [`find`](Self::find).
    pub async fn log(&self, caller: &Caller, id: Uuid, after: u32, limit: u32) -> Result<(Job, Vec<Line>), Refusal> {
        caller.require(self.inner.kinds.read)?;
        let mut transaction = self.begin(caller.tenant()).await?;
        let job = self.row(&mut transaction, caller.tenant(), id).await?;
        let lines = Line::lists(&mut transaction, caller.tenant(), &[(id, after, limit)]).await.map_err(unavailable)?;
        Ok((job, lines.into_iter().flatten().collect()))
    }

    /// The media type of a job's output file, and the number of its parts.
    ///
    /// # Errors
    /// `not_found`; a permission is missing (to view jobs, or the one for the output); `job_not_completed`; `job_without_output`;
    /// `job_output_forgotten`.
    pub async fn output(&self, caller: &Caller, id: Uuid) -> Result<(&'static str, u32), Refusal> {
        caller.require(self.inner.kinds.read)?;
        let mut transaction = self.begin(caller.tenant()).await?;
        let job = self.row(&mut transaction, caller.tenant(), id).await?;
        let Some((media_type, permission)) = self.inner.kinds.find(&job.kind).and_then(|kind| kind.output) else {
            return Err(Refusal::not_found("job_without_output", format!("{} jobs have no output file", job.kind)));
        };
        caller.require(permission)?;
        if job.state != State::Completed {
            let detail = format!("the job is {}; its output is available once it is completed", job.state.as_str());
            return Err(Refusal::conflict("job_not_completed", detail).with("state", job.state.as_str()));
        }
        if job.code.as_deref() == Some(FORGOTTEN) {
            return Err(Refusal::not_found(FORGOTTEN, FORGOTTEN_REASON));
        }
        Ok((media_type, job.parts))
    }

    /// One part of a job's output file, from 1. Does not check permissions: call [`output`](Self::output) first.
    pub async fn part(&self, tenant: TenantId, id: Uuid, part: u32) -> Result<Vec<u8>, Refusal> {
        let mut transaction = self.begin(tenant).await?;
        let bytes =
            sqlx::query_scalar("SELECT bytes FROM jobs.parts WHERE tenant_id = $1 AND job_id = $2 AND part = $3")
                .bind(tenant.uuid())
                .bind(id)
                .bind(part.cast_signed())
                .fetch_optional(&mut *transaction)
                .await
                .map_err(unavailable)?;
        bytes.ok_or_else(|| unknown(id))
    }

    pub(crate) async fn row(
        &self,
        transaction: &mut Transaction<'static, Postgres>,
        tenant: TenantId,
        id: Uuid,
    ) -> Result<Job, Refusal> {
        let found = Job::find(transaction, tenant, id).await.map_err(unavailable)?;
        found.ok_or_else(|| unknown(id))
    }

    /// Opens a transaction for one tenant, in which [`enqueue`](crate::enqueue) may be called.
    ///
    /// # Errors
    /// `jobs_unavailable`: the database does not answer.
    pub async fn begin(&self, tenant: TenantId) -> Result<Transaction<'static, Postgres>, Refusal> {
        eventstore::database::begin_as(&self.inner.queue, tenant).await.map_err(unavailable)
    }
}

fn unknown(id: Uuid) -> Refusal {
    Refusal::absent("job", id)
}

pub(crate) fn unavailable(error: sqlx::Error) -> Refusal {
    if let Some(refusal) = eventstore::refused_as_moving(&error) {
        return refusal;
    }
    tracing::warn!(%error, "jobs can't be read or changed");
    Refusal::unavailable("jobs_unavailable", "the jobs' database does not answer; try again")
}
