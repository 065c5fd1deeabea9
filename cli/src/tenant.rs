//! `inopsio tenant`: creates, suspends, resumes, moves, deletes, undeletes and lists tenants.

use std::time::Duration;

use anyhow::Result;
use directory::moving::{Moved, MovedService, Mover};
use directory::place::DeletedHistory;
use directory::placements::DeletedTenant;
use directory::{Directory, Listed, Placements, Tenant};
use gateway::{Deletion, ProvisionError, Restored};
use kernel::SystemClock;
use serde::Serialize;

use crate::context::Context;
use crate::output::{self, Format};

/// After this time it is said what a new tenant waits for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Manages tenants
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Creates a tenant: reserves its name, checks databases and streams, and invites its first owner
    #[command(after_help = "Example:\n  inopsio tenant create acme --name 'Acme Inc.' --owner ada@acme.example")]
    Create {
        /// The tenant's short name: lower-case letters, digits and hyphens
        slug: String,
        /// The tenant's display name; the short name unless given
        #[arg(long)]
        name: Option<String>,
        /// E-mail address of the first owner, who is invited
        #[arg(long, value_name = "EMAIL")]
        owner: Option<String>,
    },
    /// Suspends a tenant: within a second, all of its callers are refused
    #[command(after_help = "Example:\n  inopsio tenant suspend acme --reason 'not paid'")]
    Suspend {
        /// The tenant: its short name or id
        tenant: String,
        /// The reason, for the record
        #[arg(long)]
        reason: String,
    },
    /// Resumes a suspended tenant
    #[command(after_help = "Example:\n  inopsio tenant resume acme")]
    Resume {
        /// The tenant: its short name or id
        tenant: String,
    },
    /// Moves a tenant to another cell while it is in use; its writes pause briefly at the end
    #[command(after_help = "Examples:
  inopsio tenant move acme --to east
  inopsio tenant move acme --undo
  inopsio tenant move acme --purge

The configuration file names the cells, each in a section [cells.<name>] with its urls, admin_url and nats_url. The tenant's history,
answers, claims, keys, sagas, jobs and webhooks are moved. Ids, times, bytes and hashes stay the same; positions are new. If a move was
interrupted, the same command continues it, and --undo takes it back as long as the tenant lives in its old cell. A move, or one that was
undone, leaves behind a copy that serves no requests. --purge deletes all of that copy but its events, whose positions have to stay dense.")]
    #[command(group(clap::ArgGroup::new("what").required(true).args(["to", "undo", "purge"])))]
    Move {
        /// The tenant: its short name or id
        tenant: String,
        /// The cell to move to
        #[arg(long, value_name = "CELL")]
        to: Option<String>,
        /// Undoes a move that has not yet passed its turning point
        #[arg(long)]
        undo: bool,
        /// Deletes the copy that an earlier move left behind, including one that was undone
        #[arg(long)]
        purge: bool,
    },
    /// Deletes a tenant: its callers are refused within a second, and its data is destroyed after a grace period, unless the deletion is
    /// undone before
    #[command(after_help = "Examples:
  inopsio tenant delete acme --reason 'contract ended'
  inopsio tenant delete acme --reason 'asked for it' --grace-days 0

When the time has come, the server's saga delete_tenant destroys the tenant's keys and with them all that is sealed; its claims, read
models, jobs, webhooks, dead letters and place in the directory. The bytes of its history stay, for the proof of the others'; what of them
is not personal can still be read by whoever has the database. `inopsio tenant list --deleted` tells of it ever after.")]
    Delete {
        /// The tenant: its short name or id
        tenant: String,
        /// The reason, for the record
        #[arg(long)]
        reason: String,
        /// Length of the grace period in days; until then the deletion can be undone
        #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = crate::number::of(0..=3_650_u32))]
        grace_days: u32,
    },
    /// Undoes a deletion before the grace period ends
    // The former name `restore` is a hidden alias: it reads like `inopsio restore`, which restores from a backup.
    #[command(alias = "restore", after_help = "Example:\n  inopsio tenant undelete acme")]
    Undelete {
        /// The tenant: its short name or id
        tenant: String,
    },
    /// Lists the tenants
    #[command(after_help = "Examples:\n  inopsio tenant list --format json\n  inopsio tenant list --deleted")]
    List {
        /// Lists deleted tenants instead: when each was deleted, and what its history was
        #[arg(long)]
        deleted: bool,
    },
}

impl Command {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        let directory = Directory::open(&context.config);
        match self {
            Self::Create { slug, name, owner } => {
                let name = name.as_deref().unwrap_or(&slug);
                let tenant = made(context, Box::pin(gateway::provision(&context.config, &slug, name, owner))).await?;
                match context.format {
                    Format::Json => output::print_json(&tenant),
                    Format::Text => output::print(format!("{} is {}", tenant.slug, tenant.tenant_id)),
                }
            }
            Self::Suspend { tenant, reason } => {
                let tenant = directory.find_here(&tenant).await?;
                let changed = gateway::suspend(&context.config, &tenant, &reason).await?;
                let now = if changed {
                    "is suspended"
                } else {
                    "was already suspended; nothing changed, not even its reason"
                };
                told_with(context, &tenant, now, "changed", changed)
            }
            Self::Resume { tenant } => {
                let tenant = directory.find_here(&tenant).await?;
                let changed = gateway::resume(&context.config, &tenant).await?;
                let now = if changed { "can be used again" } else { "was not suspended; nothing changed" };
                told_with(context, &tenant, now, "changed", changed)
            }
            Self::Move { tenant, to: Some(to), .. } => relocate(context, &tenant, &to).await,
            Self::Move { tenant, undo: true, .. } => {
                let tenant = Mover::new(&context.config, gateway::holdings(), &SystemClock).undo(&tenant).await?;
                told(context, &tenant, "stays where it is; --purge deletes what was copied")
            }
            Self::Move { tenant, .. } => {
                let cell = Mover::new(&context.config, gateway::holdings(), &SystemClock).purge(&tenant).await?;
                let tenant = directory.find(&tenant).await?;
                told(context, &tenant, &format!("has nothing left in the cell {cell} but its encrypted history"))
            }
            Self::Delete { tenant, reason, grace_days } => {
                let Deletion { tenant, due_at, before } =
                    gateway::delete(&context.config, &tenant, &reason, grace_days).await?;
                let at = output::time(due_at);
                let until = if before {
                    format!(
                        "is already going to be deleted, at {at}; to change the time or the reason, undelete it first"
                    )
                } else {
                    format!("is shut out, and will be deleted at {at} unless that is undone before")
                };
                told_with(context, &tenant, &until, "due_at", due_at)
            }
            Self::Undelete { tenant } => {
                let Restored { tenant, suspended, changed } = gateway::restore(&context.config, &tenant).await?;
                let now = match (changed, suspended) {
                    (false, _) => "was not going to be deleted; nothing changed",
                    (true, true) => "will not be deleted, and is still suspended",
                    (true, false) => "can be used again",
                };
                told_with(context, &tenant, now, "changed", changed)
            }
            Self::List { deleted: true } => gone(context, &Placements::of(&directory).deleted().await?),
            Self::List { .. } => list(context, &directory.listed().await?),
        }
    }
}

async fn relocate(context: &Context, tenant: &str, to: &str) -> Result<()> {
    let json = context.format == Format::Json;
    let news = |line: &str| {
        if !json {
            output::tell(line);
        }
    };
    let moved = Mover::new(&context.config, gateway::holdings(), &SystemClock).go(tenant, to, &news).await?;
    if json {
        return output::print_json(&moved);
    }
    let mut table = output::table(["service", "events", "streams", "root in both cells"]);
    for MovedService { service, events, streams, root } in &moved.services {
        table.add_row([(*service).to_owned(), events.to_string(), streams.to_string(), root.clone()]);
    }
    output::print(table)?;
    let paused =
        moved.paused_seconds.map_or_else(String::new, |paused| format!("; its writes paused for {paused:.2} s"));
    let Moved { from, to, seconds, .. } = &moved;
    output::print(format!("{tenant} moved from {from} to {to} in {seconds:.1} s{paused}"))
}

fn told(context: &Context, tenant: &Tenant, what: &str) -> Result<()> {
    match context.format {
        Format::Json => output::print_json(&tenant),
        Format::Text => output::print(format!("{} {what}", tenant.slug)),
    }
}

fn told_with(context: &Context, tenant: &Tenant, what: &str, name: &str, value: impl Serialize) -> Result<()> {
    if context.format == Format::Text {
        return told(context, tenant, what);
    }
    let mut told = serde_json::to_value(tenant)?;
    told[name] = serde_json::to_value(value)?;
    output::print_json(&told)
}

/// Waits for a new tenant. If that takes long, it says so, and whether it is because of nats-server.
async fn made(context: &Context, made: impl Future<Output = Result<Tenant, ProvisionError>>) -> Result<Tenant> {
    let mut made = std::pin::pin!(made);
    let waiting = async {
        tokio::time::sleep(PATIENCE).await;
        let why = context.bus().await.err().map_or_else(String::new, |error| format!(": {error:#}"));
        output::tell(format!("the tenant's databases, streams and keys are not ready yet; waiting{why}"));
    };
    tokio::select! {
        made = &mut made => return Ok(made?),
        () = waiting => {}
    }
    Ok(made.await?)
}

fn gone(context: &Context, tenants: &[DeletedTenant]) -> Result<()> {
    if context.format == Format::Json {
        return output::print_json(&tenants);
    }
    let mut table = output::table(["tenant", "id", "deleted at", "service", "events", "root"]);
    for DeletedTenant { tenant_id, slug, deleted_at, services } in tenants {
        for DeletedHistory { service, events, root } in services {
            table.add_row([
                slug.clone(),
                tenant_id.to_string(),
                output::time(*deleted_at),
                service.clone(),
                events.to_string(),
                root.clone(),
            ]);
        }
    }
    output::print(table)
}

fn list(context: &Context, tenants: &[Listed]) -> Result<()> {
    if context.format == Format::Json {
        return output::print_json(&tenants);
    }
    let mut table = output::table(["tenant", "name", "status", "cell", "moving to", "id", "created at"]);
    for Listed { tenant, status, cell, moving_to } in tenants {
        table.add_row([
            tenant.slug.clone(),
            tenant.name.clone(),
            status.clone(),
            cell.clone().unwrap_or_default(),
            moving_to.clone().unwrap_or_default(),
            tenant.tenant_id.to_string(),
            output::time(tenant.created_at),
        ]);
    }
    output::print(table)
}
