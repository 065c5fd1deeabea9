//! `inopsio job queue`: pauses and limits queues, for one tenant or for all.

use anyhow::{Context as _, Result};
use jobs::{Jobs, Limits, Queue, Rate, Request};
use kernel::Service;
use serde_json::json;

use super::{Open, kinds_of, only};
use crate::context::{self, Context, Whose};
use crate::output::{self, Format};

/// The commands on queues.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists a tenant's queues
    #[command(after_help = "Example:\n  inopsio job queue list --tenant demo")]
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Pauses a queue: no job starts; running jobs continue
    #[command(after_help = "Examples:
  inopsio job queue pause --tenant demo exports
  inopsio job queue pause --all-tenants --service user imports")]
    Pause {
        #[command(flatten)]
        of: Of,
    },
    /// Resumes a paused queue
    #[command(after_help = "Example:\n  inopsio job queue resume --tenant demo exports")]
    Resume {
        #[command(flatten)]
        of: Of,
    },
    /// Limits the throughput of a queue; a limit that is not given is removed
    #[command(after_help = "Examples:
  inopsio job queue limit --tenant demo --concurrency 1 imports
  inopsio job queue limit --all-tenants --rate 60/60 exports")]
    Limit {
        #[command(flatten)]
        of: Of,
        /// Maximum number of jobs that run at the same time
        #[arg(long, value_parser = crate::number::of(1..=jobs::MOST_TOGETHER))]
        concurrency: Option<u32>,
        /// Maximum number of jobs that start per number of seconds, spread evenly
        #[arg(long, value_name = "COUNT/SECONDS", value_parser = rate)]
        rate: Option<Rate>,
    },
}

/// A queue, of a tenant or of all tenants together.
#[derive(Debug, clap::Args)]
pub struct Of {
    /// The tenant: its name or id
    #[arg(long, required_unless_present = "all_tenants", conflicts_with = "all_tenants")]
    tenant: Option<String>,
    /// All tenants together
    #[arg(long)]
    all_tenants: bool,
    /// The service of the queue; needed if several services have a queue of this name
    #[arg(long)]
    service: Option<String>,
    /// The queue's name
    queue: String,
}

/// The change to make.
enum QueueChange {
    Pause,
    Resume,
    Limit(Limits),
}

impl Command {
    pub async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::List { whose } => {
                let found = Open::listed(context, &whose, async |jobs, caller| jobs.queues(caller).await).await?;
                list(context, &found)
            }
            Self::Pause { of } => change(context, of, QueueChange::Pause, "is paused").await,
            Self::Resume { of } => change(context, of, QueueChange::Resume, "is resumed").await,
            Self::Limit { of, concurrency, rate } => {
                let limited = concurrency.is_some() || rate.is_some();
                let what = if limited { "has new limits" } else { "has no limits now" };
                change(context, of, QueueChange::Limit(Limits { concurrency, rate }), what).await
            }
        }
    }
}

async fn change(context: &Context, of: Of, act: QueueChange, what: &str) -> Result<()> {
    let Of { tenant, service, queue, .. } = of;
    let named = service.as_deref().map(context::service).transpose()?;
    let domains =
        gateway::domains().into_iter().filter(|domain| named.is_none_or(|named| domain.service == named)).collect();
    let domain = only(domains, named.is_some(), &format!("a queue {queue:?}"), |domain| {
        let queues = kinds_of(context, domain).queues();
        (queues.contains(&queue.as_str()), queues)
    })?;
    if let Some(tenant) = tenant {
        let open = Open::new(context, &tenant, &domain).await?;
        of_a_tenant(&open.jobs, &open.request, &queue, act).await?;
        open.close().await;
    } else {
        let (jobs, bus) = Open::jobs(context, &domain).await;
        of_all(&jobs, &queue, act).await?;
        Open::flush(bus).await;
    }
    match context.format {
        Format::Json => output::print_json(&json!({ "queue": queue })),
        Format::Text => output::print(format!("{queue} {what}")),
    }
}

async fn of_a_tenant(jobs: &Jobs, request: &Request, queue: &str, act: QueueChange) -> Result<()> {
    match act {
        QueueChange::Pause => jobs.pause_queue(request, queue).await?,
        QueueChange::Resume => jobs.resume_queue(request, queue).await?,
        QueueChange::Limit(limits) => jobs.limit_queue(request, queue, limits).await?,
    };
    Ok(())
}

async fn of_all(jobs: &Jobs, queue: &str, act: QueueChange) -> Result<()> {
    match act {
        QueueChange::Pause => jobs.pause_queue_of_all(queue, "cli").await?,
        QueueChange::Resume => jobs.resume_queue_of_all(queue, "cli").await?,
        QueueChange::Limit(limits) => jobs.limit_queue_of_all(queue, limits, "cli").await?,
    }
    Ok(())
}

fn rate(text: &str) -> Result<Rate> {
    let numbers = text.split_once('/').and_then(|(count, seconds)| Some((count.parse().ok()?, seconds.parse().ok()?)));
    let (count, seconds) = numbers.context("allowed is <count>/<seconds>, such as 60/60")?;
    Ok(Rate { count, seconds })
}

fn list(context: &Context, found: &[(Service, Queue)]) -> Result<()> {
    if context.format == Format::Json {
        return output::print_json(&output::of_services(found)?);
    }
    let mut table =
        output::table(["service", "queue", "state", "waiting", "running", "concurrency", "rate", "changed by"]);
    for (service, one) in found {
        table.add_row([
            service.to_string(),
            one.name.clone(),
            if one.paused_at.is_some() { "paused" } else { "open" }.to_owned(),
            one.waiting.to_string(),
            one.running.to_string(),
            one.limits.concurrency.map_or_else(String::new, |count| count.to_string()),
            one.limits.rate.map_or_else(String::new, |rate| format!("{} per {} s", rate.count, rate.seconds)),
            one.changed_by.clone().unwrap_or_default(),
        ]);
    }
    output::print(table)
}
