//! `inopsio job`: background jobs, with their batches, queues and schedules.

mod batch;
mod queue;
mod rerun;
mod schedule;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use gateway::{DomainDefinition, job_names, jobs_of};
use jobs::{Job, JobNames, Jobs, Kinds, Line, Listing, Request, Settings, Sources, State, Wanted};
use kernel::{Caller, Refusal, Service, SystemClock, SystemIds};
use nats::Bus;
use serde_json::json;
use uuid::Uuid;

use crate::context::{Context, Whose, administrator};
use crate::lists::{self, Item, Scope};
use crate::output::{self, Format};
use crate::sink::Sink;

/// Manages background jobs
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists a tenant's jobs of all services, or those of all tenants, newest first
    #[command(after_help = "Examples:
  inopsio job list --tenant demo
  inopsio job list --state discarded
  inopsio job list --tenant demo --state discarded --format json")]
    List {
        #[command(flatten)]
        scope: Scope,
        /// Only jobs of this kind
        #[arg(long)]
        kind: Option<String>,
        /// Only jobs in this state: scheduled, available, retryable, running, completed, cancelled or discarded
        #[arg(long)]
        state: Option<String>,
        /// Only jobs of this queue
        #[arg(long)]
        queue: Option<String>,
        /// Only jobs of this batch
        #[arg(long)]
        batch: Option<Uuid>,
        /// Only jobs that this schedule created
        #[arg(long)]
        schedule: Option<Uuid>,
        /// Only jobs after this one in the list, that is, created before it
        #[arg(long, alias = "before")]
        after: Option<Uuid>,
        /// Maximum number of jobs
        #[arg(long, default_value_t = 50, value_parser = crate::number::rows)]
        limit: u32,
    },
    /// Creates a job
    #[command(after_help = "Examples:
  inopsio job create --tenant demo export_leads '{\"status\": [\"qualified\"]}'
  inopsio job create --tenant demo --at 2030-01-01T06:00:00Z export_leads")]
    Create {
        #[command(flatten)]
        whose: Whose,
        /// Earliest start time; now unless given
        #[arg(long, value_name = "TIME", value_parser = crate::time::parse)]
        at: Option<DateTime<Utc>>,
        /// The job's kind
        kind: String,
        /// The job's arguments, as JSON
        #[arg(default_value = "{}")]
        arguments: String,
    },
    /// Shows a job with its log
    #[command(after_help = "Example:\n  inopsio job show --tenant demo 0192f0c4-0000-7000-8000-000000000000")]
    Show {
        #[command(flatten)]
        whose: Whose,
        /// The job's id
        #[arg(value_parser = crate::context::uuid)]
        id: Uuid,
    },
    /// Shows a job's log
    #[command(after_help = "Examples:
  inopsio job log --tenant demo 0192f0c4-0000-7000-8000-000000000000
  inopsio job log --tenant demo --follow 0192f0c4-0000-7000-8000-000000000000")]
    Log {
        #[command(flatten)]
        whose: Whose,
        /// Follows the log until the job has finished
        #[arg(long)]
        follow: bool,
        /// The job's id
        #[arg(value_parser = crate::context::uuid)]
        id: Uuid,
    },
    /// Writes the output of a completed job
    #[command(
        after_help = "Example:\n  inopsio job output --tenant demo --output leads.csv 0192f0c4-0000-7000-8000-000000000000"
    )]
    Output {
        #[command(flatten)]
        whose: Whose,
        /// The file to write; standard output unless given
        #[arg(long, alias = "out", value_name = "FILE")]
        output: Option<PathBuf>,
        /// The job's id
        #[arg(value_parser = crate::context::uuid)]
        id: Uuid,
    },
    /// Manages schedules, which create jobs at recurring times
    #[command(subcommand)]
    Schedule(schedule::Command),
    /// Manages queues: pauses and limits
    #[command(subcommand)]
    Queue(queue::Command),
    /// Manages batches: jobs that are created together
    #[command(subcommand)]
    Batch(batch::Command),
    Rerun(rerun::Rerun),
    /// Cancels a job: a waiting one at once, a running one as soon as it notices the request
    #[command(after_help = "Example:\n  inopsio job cancel --tenant demo 0192f0c4-0000-7000-8000-000000000000")]
    Cancel {
        #[command(flatten)]
        whose: Whose,
        /// The job's id
        #[arg(value_parser = crate::context::uuid)]
        id: Uuid,
    },
    /// Retries a discarded or cancelled job from where it stopped
    #[command(after_help = "Example:\n  inopsio job retry --tenant demo 0192f0c4-0000-7000-8000-000000000000")]
    Retry {
        #[command(flatten)]
        whose: Whose,
        /// The job's id
        #[arg(value_parser = crate::context::uuid)]
        id: Uuid,
    },
}

impl Command {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::List { scope, kind, state, queue, batch, schedule, after, limit } => {
                let state = state.as_deref().map(named).transpose()?;
                let domains = scope.services(|_| true, JOBS)?;
                let listing = Listing { kind, state, queue, batch, schedule, before: after, limit };
                let names = domains.iter().map(|domain| job_names(domain, &kinds_of(context, domain)));
                names.collect::<JobNames>().check(&listing)?;
                // Ids sort by creation time.
                let by_id = |job: &Job| job.id;
                let tenants = scope.tenants(context).await?;
                let mut found = Vec::new();
                for domain in domains {
                    let (jobs, _) = Open::jobs(context, &domain).await;
                    let listed = lists::of_service(
                        domain.service,
                        &tenants,
                        limit,
                        async |caller| jobs.list(caller, &listing).await,
                        by_id,
                    );
                    found.extend(listed.await?);
                }
                lists::first(&mut found, limit, by_id);
                list(context, &scope, &found)
            }
            Self::Create { whose, at, kind, arguments } => {
                let wanted = Wanted { arguments: schedule::json(&arguments)?, kind };
                let open = Open::of_kinds(context, &whose, &[&wanted.kind]).await?;
                let done = open.jobs.submit_by_name(&open.request, &wanted, at).await?;
                open.close().await;
                changed(context, done.id, "was created")
            }
            Self::Show { whose, id } => {
                let (open, (job, log)) = Open::job(context, &whose, id).await?;
                output::print_json(&json!({ "service": open.jobs.service().name(), "job": job, "log": log }))
            }
            Self::Log { whose, follow, id } => log(context, &Open::job(context, &whose, id).await?.0, id, follow).await,
            Self::Output { whose, output, id } => write(&Open::job(context, &whose, id).await?.0, id, output).await,
            Self::Schedule(schedule) => schedule.run(context).await,
            Self::Queue(queue) => queue.run(context).await,
            Self::Batch(batch) => batch.run(context).await,
            Self::Rerun(rerun) => rerun.run(context).await,
            Self::Cancel { whose, id } => {
                let (open, _) = Open::job(context, &whose, id).await?;
                open.jobs.cancel(&open.request, id).await?;
                open.close().await;
                changed(context, id, "is cancelled; if it is running, it stops as soon as it notices")
            }
            Self::Retry { whose, id } => {
                let (open, _) = Open::job(context, &whose, id).await?;
                open.jobs.retry(&open.request, id).await?;
                open.close().await;
                changed(context, id, "is retried")
            }
        }
    }
}

/// What is listed, in messages.
const JOBS: &str = "jobs";

fn services(whose: &Whose) -> Result<Vec<DomainDefinition>> {
    whose.services(|_| true, JOBS)
}

fn kinds_of(context: &Context, domain: &DomainDefinition) -> Kinds {
    jobs_of(domain, &context.config.database(domain.service))
}

/// A client for a service's jobs, with a request in the name of the tenant's administrator.
struct Open {
    jobs: Jobs,
    request: Request,
    bus: Option<Bus>,
}

impl Open {
    async fn new(context: &Context, tenant: &str, domain: &DomainDefinition) -> Result<Self> {
        let tenant = context.tenant(tenant).await?;
        let (jobs, bus) = Self::jobs(context, domain).await;
        let request = Request { caller: administrator(tenant), command_id: None, request_hash: [0; 32] };
        Ok(Self { jobs, request, bus })
    }

    /// Opens the service that has this job. Returns the job and its log too.
    async fn job(context: &Context, whose: &Whose, id: Uuid) -> Result<(Self, (Job, Vec<Line>))> {
        Self::having(context, whose, &format!("job {id}"), async |jobs, caller| jobs.find(caller, id).await).await
    }

    /// Opens the first service in which `find` finds an object. Returns the object too; `what` names it in errors.
    async fn having<T>(
        context: &Context,
        whose: &Whose,
        what: &str,
        find: impl AsyncFn(&Jobs, &Caller) -> Result<T, Refusal>,
    ) -> Result<(Self, T)> {
        for domain in services(whose)? {
            let open = Self::new(context, &whose.tenant, &domain).await?;
            match find(&open.jobs, &open.request.caller).await {
                Ok(found) => return Ok((open, found)),
                Err(refusal) if refusal.kind() == kernel::Kind::NotFound => {}
                Err(refusal) => return Err(refusal.into()),
            }
        }
        bail!("there is no {what}")
    }

    /// Calls `list` for each selected service. Returns the items with their service.
    async fn listed<T>(
        context: &Context,
        whose: &Whose,
        list: impl AsyncFn(&Jobs, &Caller) -> Result<Vec<T>, Refusal>,
    ) -> Result<Vec<(Service, T)>> {
        let mut found = Vec::new();
        for domain in services(whose)? {
            let open = Self::new(context, &whose.tenant, &domain).await?;
            let listed = list(&open.jobs, &open.request.caller).await?;
            found.extend(listed.into_iter().map(|one| (domain.service, one)));
        }
        Ok(found)
    }

    /// Opens the one service in which jobs of these kinds can be created by name.
    async fn of_kinds(context: &Context, whose: &Whose, kinds: &[&str]) -> Result<Self> {
        if kinds.contains(&gateway::REBUILD_READ_MODEL) {
            bail!("read models are rebuilt with `inopsio projection rebuild`, or by operators over REST");
        }
        let what = format!("{} jobs that can be created by name", kinds.join(" and "));
        let domain = only(services(whose)?, whose.service.is_some(), &what, |domain| {
            let offered = kinds_of(context, domain).offered();
            (kinds.iter().all(|kind| offered.contains(kind)), offered)
        })?;
        Self::new(context, &whose.tenant, &domain).await
    }

    /// A service's jobs, and the connection to NATS that notifies workers of changes at once; without it they poll within seconds.
    async fn jobs(context: &Context, domain: &DomainDefinition) -> (Jobs, Option<Bus>) {
        let bus = context.bus().await.ok();
        let sources = Sources { clock: Arc::new(SystemClock), ids: Arc::new(SystemIds) };
        let database = context.config.database(domain.service);
        let kinds = jobs_of(domain, &database);
        (Jobs::open(&database, bus.clone(), kinds, Settings::default(), sources), bus)
    }

    async fn close(self) {
        Self::flush(self.bus).await;
    }

    /// Flushes notifications to NATS before the program ends.
    async fn flush(bus: Option<Bus>) {
        if let Some(bus) = bus
            && let Err(error) = bus.ping().await
        {
            tracing::debug!(%error, "runners may not have heard of it; they look by themselves");
        }
    }
}

/// The one service for which `has` is true; `has` also returns the names that the service knows, for the error message. A service that was
/// named with `--service` is returned unchecked: it gives a better error itself.
fn only(
    domains: Vec<DomainDefinition>,
    named: bool,
    what: &str,
    has: impl Fn(&DomainDefinition) -> (bool, Vec<&'static str>),
) -> Result<DomainDefinition> {
    let (mut having, mut names) = (Vec::new(), BTreeSet::new());
    for domain in domains {
        let (found, known) = has(&domain);
        names.extend(known);
        if found || named {
            having.push(domain);
        }
    }
    match having.len() {
        0 => bail!("no service has {what}; allowed: {}", names.into_iter().collect::<Vec<_>>().join(", ")),
        1 => Ok(having.remove(0)),
        _ => {
            let services: Vec<_> = having.iter().map(|domain| domain.service.name()).collect();
            bail!("several services have {what}; say which with --service: {}", services.join(", "))
        }
    }
}

fn named(state: &str) -> Result<State> {
    let Some(found) = State::named(state) else {
        let allowed = State::ALL.map(State::as_str).join(", ");
        bail!("there is no state {state:?}; allowed: {allowed}");
    };
    Ok(found)
}

/// Polling interval of a followed log.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Number of log lines per page.
const LINES: u32 = 200;

async fn log(context: &Context, open: &Open, id: Uuid, follow: bool) -> Result<()> {
    let mut read = 0;
    loop {
        let (job, lines) = open.jobs.log(&open.request.caller, id, read, LINES).await?;
        let some = u32::try_from(lines.len()).unwrap_or(u32::MAX);
        for line in &lines {
            match context.format {
                Format::Json => output::print_json(line)?,
                Format::Text => {
                    let at = line.at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
                    output::print(format!("{at} [{}] {}", line.attempt, line.message))?;
                }
            }
        }
        read += some;
        if some < LINES && (!follow || job.finished_at.is_some()) {
            return Ok(());
        }
        if some < LINES {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

async fn write(open: &Open, id: Uuid, out: Option<PathBuf>) -> Result<()> {
    let (_, parts) = open.jobs.output(&open.request.caller, id).await?;
    let mut sink = Sink::open(out.as_deref())?;
    for part in 1..=parts {
        sink.buffer.extend(open.jobs.part(open.request.caller.tenant(), id, part).await?);
        sink.write_if_full()?;
    }
    sink.finish()
}

fn list(context: &Context, scope: &Scope, found: &[Item<Job>]) -> Result<()> {
    let columns = ["id", "kind", "queue", "state", "attempt", "done", "due at", "requester", "reason"];
    lists::print(context, scope, found, columns, |one| {
        [
            one.id.to_string(),
            one.kind.clone(),
            one.queue.clone(),
            one.state.as_str().to_owned(),
            format!("{}/{}", one.attempt, one.max_attempts),
            one.total.map_or_else(|| one.done.to_string(), |total| format!("{}/{total}", one.done)),
            output::time(one.run_at),
            one.actor.clone(),
            one.code.clone().unwrap_or_default(),
        ]
    })
}

fn changed(context: &Context, id: Uuid, what: &str) -> Result<()> {
    match context.format {
        Format::Json => output::print_json(&json!({ "id": id })),
        Format::Text => output::print(format!("{id} {what}")),
    }
}
