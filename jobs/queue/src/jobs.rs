//! A service's jobs, for those who ask for them and look after them.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use eventstore::{AskedJob, Database, PoolUse, Role};
pub use kernel::IdempotentRequest as Request;
use kernel::{Caller, Clock, IdSource, Refusal, Service, TenantId};
use nats::Bus;
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::enqueue::{Entry, enter};
use crate::leases::Leases;
use crate::wakes::Wakes;
use crate::work::{FORGOTTEN, FORGOTTEN_REASON, INPUT_FORGOTTEN, INPUT_FORGOTTEN_REASON};
use crate::{Job, Kind, Kinds, Line, NewJob, Settings, State, Wanted, input, once};

/// Connections of those who ask and look.
const CONNECTIONS: u32 = 4;

/// A service's jobs. Cheap to clone.
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
    /// Of those that run in this process.
    pub(crate) leases: Leases,
}

impl Inner {
    /// Whether all places of the process are taken.
    pub(crate) fn is_full(&self) -> bool {
        self.leases.count() >= self.settings.concurrency
    }
}

/// What is injected.
#[derive(Clone)]
pub struct Sources {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn IdSource>,
}

/// A request that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The job that it is about.
    pub id: Uuid,
    /// It was carried out before, under the same id.
    pub repeated: bool,
}

/// What becomes of a request.
pub(crate) enum Opened {
    /// It was not carried out before: in here it is.
    New(Transaction<'static, Postgres>),
    /// It was.
    Repeated(Submitted),
}

/// Which jobs are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only those that stand so.
    pub state: Option<State>,
    /// Only those of this queue.
    pub queue: Option<String>,
    /// Only those of this batch.
    pub batch: Option<Uuid>,
    /// Only those of this schedule.
    pub schedule: Option<Uuid>,
    /// Only those that were asked for before this one: where the last list ended.
    pub before: Option<Uuid>,
    /// At most so many.
    pub limit: u32,
}

impl Jobs {
    /// The jobs of a service; connects when first used. Without a bus the runners of other processes look by themselves.
    pub fn open(database: &Database, bus: Option<Bus>, kinds: Kinds, settings: Settings, sources: Sources) -> Self {
        // Each that runs may take a step while another is claimed and the leases are renewed.
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

    /// Whose they are.
    pub fn service(&self) -> Service {
        self.inner.service
    }

    /// What can be asked for.
    pub fn kinds(&self) -> &Kinds {
        &self.inner.kinds
    }

    /// How much of its pools is in use.
    pub fn pools(&self) -> [PoolUse; 2] {
        [PoolUse::of("jobs", &self.inner.queue), PoolUse::of("work", &self.inner.work)]
    }

    /// Tells all runners that something may be due.
    pub async fn wake(&self) {
        self.inner.wakes.due(self.inner.bus.as_ref(), self.inner.service).await;
    }

    /// Asks for a job, once a request; who may is the caller's to check. When it is the same as one that is there
    /// ([`Unique`](crate::Unique)), that one is the answer.
    ///
    /// # Errors
    /// `job_kind_unknown`, `idempotency_key_reused`, `jobs_unavailable`; nothing was written then.
    pub async fn submit(&self, request: &Request, kind: &str, job: &NewJob) -> Result<Submitted, Refusal> {
        self.submit_with(request, kind, job, &[]).await
    }

    /// Asks for a job by name, not before `run_at`: see [`Kind::offered`](crate::Kind::offered).
    ///
    /// # Errors
    /// Without the permission to change jobs, or to ask for this kind; `job_kind_unknown`; when arguments are refused; as for
    /// [`submit`](Self::submit). Nothing was written then.
    pub async fn ask(
        &self,
        request: &Request,
        wanted: &Wanted,
        run_at: Option<DateTime<Utc>>,
    ) -> Result<Submitted, Refusal> {
        let caller = &request.caller;
        caller.require(self.inner.kinds.write)?;
        let offered = self.inner.kinds.ask(caller, &wanted.kind, &wanted.arguments, "/arguments")?;
        let unique = offered.unique();
        let job = NewJob { arguments: offered.arguments, actor: caller.subject().to_owned(), run_at, unique };
        self.submit(request, &wanted.kind, &job).await
    }

    /// As [`submit`](Self::submit), for a job that works on a file, which is kept until the job is completed, or removed.
    ///
    /// # Errors
    /// As there.
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
        let enqueued = enter(&mut transaction, tenant, &entry).await.map_err(unavailable)?;
        if enqueued.made {
            input::keep(&mut transaction, tenant, id, file).await.map_err(unavailable)?;
        } else {
            once::correct(&mut transaction, tenant, request, enqueued.id).await?;
        }
        transaction.commit().await.map_err(unavailable)?;
        self.wake().await;
        Ok(Submitted { id: enqueued.id, repeated: false })
    }

    /// A job for an append to ask for, in its transaction (`executor::Work::enqueue`); who may is the caller's to check. Afterwards
    /// [`wake`](Self::wake) tells the runners.
    ///
    /// # Errors
    /// `job_kind_unknown`.
    pub fn asked(&self, kind: &str, job: &NewJob) -> Result<AskedJob, Refusal> {
        Ok(self.kind(kind)?.asked(job, self.inner.ids.next(), self.inner.clock.now()))
    }

    fn kind(&self, name: &str) -> Result<&Kind, Refusal> {
        self.inner.kinds.known(name).map_err(|detail| Refusal::invalid("job_kind_unknown", detail))
    }

    /// A transaction for a request that is carried out once; `target` is what it makes or changes.
    pub(crate) async fn open_request(&self, request: &Request, target: Uuid) -> Result<Opened, Refusal> {
        let tenant = request.caller.tenant();
        let mut transaction = self.begin(tenant).await?;
        Ok(match once::take(&mut transaction, tenant, request, target).await? {
            Some(id) => Opened::Repeated(Submitted { id, repeated: true }),
            None => Opened::New(transaction),
        })
    }

    /// The jobs of the caller's tenant, the last one first.
    ///
    /// # Errors
    /// Without the permission to see jobs; when the database does not answer.
    pub async fn list(&self, caller: &Caller, listing: &Listing) -> Result<Vec<Job>, Refusal> {
        caller.require(self.inner.kinds.read)?;
        let mut transaction = self.begin(caller.tenant()).await?;
        Job::list(&mut transaction, caller.tenant(), listing).await.map_err(unavailable)
    }

    /// A job with its log, the first line first.
    ///
    /// # Errors
    /// Without the permission to see jobs; `not_found`; when the database does not answer.
    pub async fn find(&self, caller: &Caller, id: Uuid) -> Result<(Job, Vec<Line>), Refusal> {
        self.log(caller, id, 0, u32::MAX).await
    }

    /// A job with some lines of its log: after so many, and at most so many.
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

    /// What kind of file a job has made, and in how many parts.
    ///
    /// # Errors
    /// `not_found`; without the permission that its kind asks for; `job_not_completed`; `job_without_output`; `job_output_forgotten`.
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

    /// One part of a job's file, from 1. Ask [`output`](Self::output) first: that is where it is refused.
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

    /// Cancels a job: one that waits at once; one that runs is asked to stop, and is `running` until it has.
    ///
    /// # Errors
    /// Without the permission; `not_found`; `job_over`: there is nothing to cancel. Nothing was written then.
    pub async fn cancel(&self, request: &Request, id: Uuid) -> Result<Submitted, Refusal> {
        let changed = self.act(request, id, Act::Cancel).await?;
        self.wake_cancelled().await;
        Ok(changed)
    }

    /// Runs a discarded or cancelled job again, at once, with all its attempts, from where it was.
    ///
    /// # Errors
    /// Without the permission; `not_found`; `job_not_retryable`; `job_input_forgotten`; `job_open`: another one with its key is open. Nothing was written
    /// then.
    pub async fn retry(&self, request: &Request, id: Uuid) -> Result<Submitted, Refusal> {
        let changed = self.act(request, id, Act::Retry).await?;
        self.wake().await;
        Ok(changed)
    }

    /// Tells all runners that something that runs may be to stop, and that something may be due: what a batch waited for.
    pub(crate) async fn wake_cancelled(&self) {
        self.inner.wakes.stop(self.inner.bus.as_ref(), self.inner.service).await;
        self.wake().await;
    }

    async fn act(&self, request: &Request, id: Uuid, act: Act) -> Result<Submitted, Refusal> {
        request.caller.require(self.inner.kinds.write)?;
        let (tenant, now) = (request.caller.tenant(), self.inner.clock.now());
        let mut transaction = match self.open_request(request, id).await? {
            Opened::New(transaction) => transaction,
            Opened::Repeated(first) => return Ok(first),
        };
        let done = sqlx::query(act.statement())
            .bind(tenant.uuid())
            .bind(id)
            .bind(now)
            .bind(format!("{} by {}", act.done(), request.caller.subject()))
            .execute(&mut *transaction)
            .await;
        let done = match done {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                return Err(Refusal::conflict(
                    "job_open",
                    "another open job of this kind is the same; cancel that one first",
                ));
            }
            done => done.map_err(unavailable)?,
        };
        if done.rows_affected() == 0 {
            let job = self.row(&mut transaction, tenant, id).await?;
            return Err(act.refused(job.state));
        }
        transaction.commit().await.map_err(unavailable)?;
        Ok(Submitted { id, repeated: false })
    }

    async fn row(
        &self,
        transaction: &mut Transaction<'static, Postgres>,
        tenant: TenantId,
        id: Uuid,
    ) -> Result<Job, Refusal> {
        let found = Job::find(transaction, tenant, id).await.map_err(unavailable)?;
        found.ok_or_else(|| unknown(id))
    }

    /// A transaction as one tenant, in which [`enqueue`](crate::enqueue) may be called.
    ///
    /// # Errors
    /// `jobs_unavailable`: the database does not answer.
    pub async fn begin(&self, tenant: TenantId) -> Result<Transaction<'static, Postgres>, Refusal> {
        eventstore::database::begin_as(&self.inner.queue, tenant).await.map_err(unavailable)
    }
}

/// Cancels those jobs of a tenant (`$1`) that are not over and meet a further condition (of `$2`): those that wait at once; those that run
/// are asked to stop. Each gets a line (`$4`) at that time (`$3`).
macro_rules! cancel {
    ($condition:literal) => {
        concat!(
            "WITH j AS (
                 UPDATE jobs.jobs
                 SET cancel_requested_at = $3, log_lines = log_lines + 1,
                     state = CASE state WHEN 'waiting' THEN 'cancelled' ELSE state END,
                     finished_at = CASE state WHEN 'waiting' THEN clock_timestamp() END
                 WHERE tenant_id = $1 AND ",
            $condition,
            " AND cancel_requested_at IS NULL AND state IN ('waiting', 'running')
                 RETURNING job_id, log_lines, attempt)
             INSERT INTO jobs.lines (tenant_id, job_id, line, at, attempt, message)
             SELECT $1, job_id, log_lines, $3, attempt, $4 FROM j"
        )
    };
}

/// Cancels the jobs of a batch, `$2`.
pub(crate) const CANCEL_BATCH: &str = cancel!("batch_id = $2");

/// What people do with a job.
#[derive(Clone, Copy)]
enum Act {
    Cancel,
    Retry,
}

impl Act {
    /// Changes the job and writes a line; `$1` tenant, `$2` job, `$3` time, `$4` the line.
    const fn statement(self) -> &'static str {
        match self {
            Self::Cancel => cancel!("job_id = $2"),
            Self::Retry => {
                "WITH j AS (
                     UPDATE jobs.jobs
                     SET cancel_requested_at = NULL, log_lines = log_lines + 1, state = 'waiting', finished_at = NULL,
                         run_at = clock_timestamp(), attempt = 0, code = NULL, reason = NULL
                     WHERE tenant_id = $1 AND job_id = $2 AND state IN ('discarded', 'cancelled') AND NOT input_forgotten
                     RETURNING log_lines, attempt)
                 INSERT INTO jobs.lines (tenant_id, job_id, line, at, attempt, message)
                 SELECT $1, $2, log_lines, $3, attempt, $4 FROM j"
            }
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Cancel => "cancelled",
            Self::Retry => "retried",
        }
    }

    fn refused(self, state: State) -> Refusal {
        let found = state.as_str();
        let refusal = match (self, state) {
            (Self::Cancel, State::Running) => Refusal::conflict("job_stopping", "the job is already being cancelled"),
            (Self::Cancel, _) => {
                Refusal::conflict("job_over", format!("the job is {found}; there is nothing to cancel"))
            }
            (Self::Retry, State::Discarded | State::Cancelled) => {
                Refusal::conflict(INPUT_FORGOTTEN, INPUT_FORGOTTEN_REASON)
            }
            (Self::Retry, _) => Refusal::conflict(
                "job_not_retryable",
                format!("the job is {found}; only discarded and cancelled jobs can be retried"),
            ),
        };
        refusal.with("state", found)
    }
}

fn unknown(id: Uuid) -> Refusal {
    Refusal::not_found("not_found", format!("there is no job {id}")).with("resource", "job")
}

pub(crate) fn unavailable(error: sqlx::Error) -> Refusal {
    tracing::warn!(%error, "jobs can't be read or changed");
    Refusal::unavailable("jobs_unavailable", "the jobs' database does not answer; try again")
}
