//! `inopsio job`: what is done while nobody waits for the answer; to look at, to cancel, to run again.

use std::sync::Arc;

use anyhow::{Result, bail};
use gateway::jobs_of;
use jobs::{Job, Jobs, Listing, Request, Settings, Sources, State};
use kernel::{Caller, Role, SystemClock, SystemIds};
use nats::Bus;
use serde_json::json;
use uuid::Uuid;

use crate::context::{self, Context};
use crate::output::{self, Format};

/// Looks after jobs: what is done while nobody waits for the answer
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists a tenant's jobs, the last one first
    #[command(after_help = "Examples:
  inopsio job list --tenant demo
  inopsio job list --tenant demo --state discarded --format json")]
    List {
        #[command(flatten)]
        whose: Whose,
        /// Only of this kind
        #[arg(long)]
        kind: Option<String>,
        /// Only those that are scheduled, available, retryable, running, completed, cancelled or discarded
        #[arg(long)]
        state: Option<String>,
        /// Only those that were asked for before this one
        #[arg(long)]
        before: Option<Uuid>,
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Shows a job with its log
    #[command(after_help = "Example:\n  inopsio job show --tenant demo 0192f0c4-0000-7000-8000-000000000000")]
    Show {
        #[command(flatten)]
        whose: Whose,
        /// Its id
        id: Uuid,
    },
    /// Cancels a job: one that waits at once, one that runs as soon as it notices
    #[command(after_help = "Example:\n  inopsio job cancel --tenant demo 0192f0c4-0000-7000-8000-000000000000")]
    Cancel {
        #[command(flatten)]
        whose: Whose,
        /// Its id
        id: Uuid,
    },
    /// Runs a discarded or cancelled job again, from where it was
    #[command(after_help = "Example:\n  inopsio job retry --tenant demo 0192f0c4-0000-7000-8000-000000000000")]
    Retry {
        #[command(flatten)]
        whose: Whose,
        /// Its id
        id: Uuid,
    },
}

/// Whose jobs.
#[derive(Debug, clap::Args)]
pub struct Whose {
    /// The tenant: its name or id
    #[arg(long)]
    tenant: String,
    /// The service whose they are
    #[arg(long, default_value = "crm")]
    service: String,
}

impl Command {
    /// Does it.
    pub async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::List { whose, kind, state, before, limit } => {
                let state = state.as_deref().map(named).transpose()?;
                let Open { jobs, request, .. } = Open::new(context, &whose).await?;
                list(context, &jobs.list(&request.caller, &Listing { kind, state, before, limit }).await?)
            }
            Self::Show { whose, id } => {
                let Open { jobs, request, .. } = Open::new(context, &whose).await?;
                let (job, log) = jobs.find(&request.caller, id).await?;
                output::print_json(&json!({ "job": job, "log": log }))
            }
            Self::Cancel { whose, id } => {
                let open = Open::new(context, &whose).await?;
                open.jobs.cancel(&open.request, id).await?;
                open.close().await;
                changed(context, id, "is cancelled; one that runs stops as soon as it notices")
            }
            Self::Retry { whose, id } => {
                let open = Open::new(context, &whose).await?;
                open.jobs.retry(&open.request, id).await?;
                open.close().await;
                changed(context, id, "runs again")
            }
        }
    }
}

/// What the commands work with.
struct Open {
    jobs: Jobs,
    request: Request,
    bus: Option<Bus>,
}

impl Open {
    async fn new(context: &Context, whose: &Whose) -> Result<Self> {
        let service = context::service(&whose.service)?;
        let part = context::part(service)?;
        let tenant = context.tenant(&whose.tenant).await?;
        // Runners hear of it at once when the bus is there, and within seconds when it is not.
        let bus = context.bus().await.ok();
        let sources = Sources { clock: Arc::new(SystemClock), ids: Arc::new(SystemIds) };
        let database = context.config.database(service);
        let jobs = Jobs::open(&database, bus.clone(), jobs_of(&part, &database), Settings::default(), sources);
        let request = Request {
            caller: Caller::new(tenant, "cli", &[Role::Admin], part.grants),
            command_id: None,
            request_hash: [0; 32],
        };
        Ok(Self { jobs, request, bus })
    }

    /// What was said on the bus is sent before the program ends.
    async fn close(self) {
        if let Some(bus) = self.bus
            && let Err(error) = bus.ping().await
        {
            tracing::debug!(%error, "runners may not have heard of it; they look by themselves");
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

fn list(context: &Context, found: &[Job]) -> Result<()> {
    if context.format == Format::Json {
        return output::print_json(&found);
    }
    let mut table = output::table(["id", "kind", "state", "attempt", "done", "due at", "asked for by", "why"]);
    for one in found {
        table.add_row([
            one.id.to_string(),
            one.kind.clone(),
            one.state.as_str().to_owned(),
            format!("{}/{}", one.attempt, one.max_attempts),
            one.total.map_or_else(|| one.done.to_string(), |total| format!("{}/{total}", one.done)),
            one.run_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            one.actor.clone(),
            one.code.clone().unwrap_or_default(),
        ]);
    }
    output::print(table)
}

fn changed(context: &Context, id: Uuid, what: &str) -> Result<()> {
    match context.format {
        Format::Json => output::print_json(&json!({ "id": id })),
        Format::Text => output::print(format!("{id} {what}")),
    }
}
