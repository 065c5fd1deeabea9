//! `inopsio webhook`: manages a tenant's webhooks, in the name of its administrator.

use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use gateway::SERVICES;
use kernel::{Position, SystemClock, SystemIds, TenantId};
use serde_json::{Value, json};
use uuid::Uuid;
use webhooks::{
    Change, Changed, Delivery, Endpoint, EndpointCommand, EndpointFields, Request, Sources, State, SystemRandomSource,
    Webhooks,
};

use crate::context::{self, Context};
use crate::output::{self, Format};

/// Manages a tenant's webhooks
#[derive(Debug, clap::Args)]
pub struct Webhook {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Lists the webhooks with their positions and lag
    #[command(after_help = "Example:\n  inopsio webhook list --tenant demo")]
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Creates a webhook and shows its secret, which is not shown again
    #[command(after_help = "Examples:
  inopsio webhook create --tenant demo --service crm https://hooks.example.com/inopsio
  inopsio webhook create --tenant demo http://127.0.0.1:9000 --event 'crm.lead.*' --after 0")]
    Create {
        #[command(flatten)]
        whose: Whose,
        /// The URL to which events are sent
        url: String,
        /// The service whose events are sent; that of the event types unless given
        #[arg(long, required_unless_present = "types")]
        service: Option<String>,
        /// Only events of this type, or of all types below a name (crm.lead.*); may be given several times
        #[arg(long = "event", alias = "type", value_name = "TYPE")]
        types: Vec<String>,
        /// What the webhook is for
        #[arg(long, default_value = "")]
        description: String,
        /// Sends events after this position, instead of new ones only
        #[arg(long, value_name = "POSITION", value_parser = crate::number::position)]
        after: Option<Position>,
    },
    /// Shows a webhook with its position and lag
    #[command(after_help = "Example:\n  inopsio webhook show --tenant demo 0197a8a0-0000-7000-8000-000000000001")]
    Show {
        #[command(flatten)]
        one: One,
    },
    /// Changes a webhook; what is not given stays as it is
    #[command(after_help = "Examples:
  inopsio webhook change --tenant demo 0197a8a0-0000-7000-8000-000000000001 --url https://hooks.example.com/new
  inopsio webhook change --tenant demo 0197a8a0-0000-7000-8000-000000000001 --event 'crm.lead.*' --event crm.account.created")]
    Change {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        changes: Changes,
    },
    /// Enables a webhook that is disabled or failing; it continues at its position
    #[command(after_help = "Example:\n  inopsio webhook enable --tenant demo 0197a8a0-0000-7000-8000-000000000001")]
    Enable {
        #[command(flatten)]
        one: One,
    },
    /// Disables a webhook: nothing is sent any more; its position is kept
    #[command(
        after_help = "Example:\n  inopsio webhook disable --tenant demo 0197a8a0-0000-7000-8000-000000000001 --reason maintenance"
    )]
    Disable {
        #[command(flatten)]
        one: One,
        /// The reason, kept among the changes of the webhook
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Gives a webhook a new secret; the previous one also signs for a while
    #[command(
        after_help = "Example:\n  inopsio webhook rotate-secret --tenant demo 0197a8a0-0000-7000-8000-000000000001"
    )]
    RotateSecret {
        #[command(flatten)]
        one: One,
        /// Number of hours for which the previous secret also signs
        #[arg(long, default_value_t = 24, value_parser = crate::number::of(0..=webhooks::LONGEST_OVERLAP))]
        overlap_hours: u32,
    },
    /// Delivers again all events after a position
    #[command(
        after_help = "Example:\n  inopsio webhook replay --tenant demo 0197a8a0-0000-7000-8000-000000000001 --after 1000"
    )]
    Replay {
        #[command(flatten)]
        one: One,
        /// The position
        #[arg(long, value_name = "POSITION", value_parser = crate::number::position)]
        after: Position,
    },
    /// Sends a test message now and reports the outcome
    #[command(after_help = "Example:\n  inopsio webhook ping --tenant demo 0197a8a0-0000-7000-8000-000000000001")]
    Ping {
        #[command(flatten)]
        one: One,
    },
    /// Shows deliveries and failed attempts of a webhook, latest first
    #[command(
        after_help = "Example:\n  inopsio webhook deliveries --tenant demo 0197a8a0-0000-7000-8000-000000000001 --limit 5"
    )]
    Deliveries {
        #[command(flatten)]
        one: One,
        /// Maximum number of deliveries
        #[arg(long, default_value_t = 20, value_parser = crate::number::rows)]
        limit: u32,
    },
    /// Shows who changed a webhook and how, latest first; also for a removed webhook
    #[command(after_help = "Example:\n  inopsio webhook changes --tenant demo 0197a8a0-0000-7000-8000-000000000001")]
    Changes {
        #[command(flatten)]
        one: One,
        /// Maximum number of changes
        #[arg(long, default_value_t = 20, value_parser = crate::number::rows)]
        limit: u32,
    },
    /// Removes a webhook
    #[command(after_help = "Example:\n  inopsio webhook remove --tenant demo 0197a8a0-0000-7000-8000-000000000001")]
    Remove {
        #[command(flatten)]
        one: One,
    },
}

/// The changes to a webhook.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Changes {
    /// The new URL to which events are sent
    #[arg(long)]
    url: Option<String>,
    /// The new event types: only events of this type, or of all types below a name (crm.lead.*); may be given several times
    #[arg(long = "event", value_name = "TYPE")]
    types: Vec<String>,
    /// Events of all types
    #[arg(long, conflicts_with = "types")]
    all_events: bool,
    /// What the webhook is for
    #[arg(long)]
    description: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Whose {
    /// The tenant: its name or id
    #[arg(long)]
    tenant: String,
}

/// One webhook, and whose it is.
#[derive(Debug, clap::Args)]
struct One {
    #[command(flatten)]
    whose: Whose,
    /// The webhook's id
    #[arg(value_parser = crate::context::uuid)]
    id: Uuid,
}

impl Webhook {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        let homes = open(context).await?;
        match self.command {
            Command::List { whose } => list(context, &homes, context.tenant(&whose.tenant).await?).await,
            Command::Create { whose, url, service, types, description, after } => {
                // An event type begins with the name of its service.
                let of_types = || types.first().and_then(|name| name.split('.').next()).unwrap_or_default();
                let service = context::service(service.as_deref().unwrap_or_else(of_types))?;
                let home = homes.iter().find(|home| home.service() == service).context("the service is not here")?;
                let fields = EndpointFields { url, types, description };
                let tenant = context.tenant(&whose.tenant).await?;
                changed(
                    context,
                    home.carry_out(&request(tenant), EndpointCommand::Create { fields, after }).await?.changed,
                )
            }
            Command::Show { one } => {
                let (home, _, endpoint) = found(context, &homes, &one).await?;
                output::print_json(&as_json(home.service().name(), &endpoint))
            }
            Command::Change { one, changes } => change(context, &homes, &one, changes).await,
            Command::Enable { one } => act(context, &homes, &one, |id| EndpointCommand::Enable { id }).await,
            Command::Disable { one, reason } => {
                act(context, &homes, &one, |id| EndpointCommand::Disable { id, reason }).await
            }
            Command::RotateSecret { one, overlap_hours } => {
                act(context, &homes, &one, |id| EndpointCommand::RotateSecret { id, overlap_hours }).await
            }
            Command::Replay { one, after } => {
                act(context, &homes, &one, |id| EndpointCommand::Replay { id, after }).await
            }
            Command::Remove { one } => act(context, &homes, &one, |id| EndpointCommand::Remove { id }).await,
            Command::Ping { one } => {
                let (home, tenant, _) = found(context, &homes, &one).await?;
                ping(context, home, tenant, one.id).await
            }
            Command::Deliveries { one, limit } => {
                let (home, tenant, _) = found(context, &homes, &one).await?;
                deliveries(context, &home.deliveries(tenant, one.id, None, limit).await?)
            }
            Command::Changes { one, limit } => {
                let tenant = context.tenant(&one.whose.tenant).await?;
                for home in &homes {
                    let found = home.changes(tenant, one.id, None, limit).await?;
                    if !found.is_empty() {
                        return changes(context, &found);
                    }
                }
                Err(unknown(one.id))
            }
        }
    }
}

/// Opens the webhooks of every service.
async fn open(context: &Context) -> Result<Vec<Webhooks>> {
    let mut bus = context.config.bus_settings();
    // Connect to NATS in the background: without it changes are made too, and other processes notice them a little later.
    bus.connect_later = true;
    let bus = nats::Bus::connect(&bus).await?;
    let sources =
        Sources { clock: Arc::new(SystemClock), ids: Arc::new(SystemIds), random: Arc::new(SystemRandomSource) };
    SERVICES
        .iter()
        .map(|service| {
            let (database, types) = (context.config.database(*service), (context::domain(*service)?.event_types)());
            let settings = context.config.webhooks.settings();
            Webhooks::open(&database, bus.clone(), types.into(), settings, sources.clone())
                .map_err(|error| anyhow!(error))
        })
        .collect()
}

/// A request in the name of the tenant's administrator.
fn request(tenant: TenantId) -> Request {
    Request { caller: context::administrator(tenant), command_id: None, request_hash: [0; 32], if_match: None }
}

/// Finds a webhook. Returns its service's webhooks, the tenant and the webhook.
async fn found<'h>(context: &Context, homes: &'h [Webhooks], one: &One) -> Result<(&'h Webhooks, TenantId, Endpoint)> {
    let tenant = context.tenant(&one.whose.tenant).await?;
    for home in homes {
        if let Some(endpoint) = home.find(tenant, one.id).await? {
            return Ok((home, tenant, endpoint));
        }
    }
    Err(unknown(one.id))
}

fn unknown(id: Uuid) -> anyhow::Error {
    anyhow!("there is no webhook {id}; `inopsio webhook list` shows the tenant's webhooks")
}

async fn act(
    context: &Context,
    homes: &[Webhooks],
    one: &One,
    act: impl FnOnce(Uuid) -> EndpointCommand,
) -> Result<()> {
    let (home, tenant, _) = found(context, homes, one).await?;
    changed(context, home.carry_out(&request(tenant), act(one.id)).await?.changed)
}

async fn change(context: &Context, homes: &[Webhooks], one: &One, changes: Changes) -> Result<()> {
    let (home, tenant, endpoint) = found(context, homes, one).await?;
    let Changes { url, types, all_events, description } = changes;
    let fields = EndpointFields {
        url: url.unwrap_or(endpoint.url),
        types: if all_events || !types.is_empty() { types } else { endpoint.types.as_slice().to_vec() },
        description: description.unwrap_or(endpoint.description),
    };
    // With `if_match`, so that a concurrent change is not overwritten.
    let request = Request { if_match: Some(endpoint.version.into()), ..request(tenant) };
    changed(context, home.carry_out(&request, EndpointCommand::Change { id: one.id, fields }).await?.changed)
}

fn changed(context: &Context, changed: Changed) -> Result<()> {
    match (context.format, &changed.secret) {
        (Format::Json, _) => output::print_json(&changed),
        (Format::Text, Some(secret)) => {
            output::print(format!("{} (version {})\nsecret, shown this once: {secret}", changed.id, changed.version))
        }
        (Format::Text, None) => output::print(format!("{} (version {})", changed.id, changed.version)),
    }
}

async fn list(context: &Context, homes: &[Webhooks], tenant: TenantId) -> Result<()> {
    let mut all = Vec::new();
    for home in homes {
        let found = home.list(tenant).await?;
        all.extend(found.into_iter().map(|endpoint| (home.service(), endpoint)));
    }
    if context.format == Format::Json {
        let all: Vec<Value> = all.iter().map(|(service, endpoint)| as_json(service.name(), endpoint)).collect();
        return output::print_json(&all);
    }
    let mut table = output::table(["id", "service", "url", "types", "state", "position", "lag", "delivered"]);
    for (service, endpoint) in all {
        let state = match &endpoint.state {
            State::Disabled { reason } if !reason.is_empty() => format!("disabled: {reason}"),
            state => state.as_str().to_owned(),
        };
        table.add_row([
            endpoint.id.to_string(),
            service.to_string(),
            endpoint.url.clone(),
            endpoint.types.to_string(),
            state,
            endpoint.position.to_string(),
            endpoint.lag().to_string(),
            endpoint.delivered.to_string(),
        ]);
    }
    output::print(table)
}

fn as_json(service: &str, endpoint: &Endpoint) -> Value {
    json!({
        "id": endpoint.id,
        "version": endpoint.version,
        "service": service,
        "url": endpoint.url,
        "types": endpoint.types.as_slice(),
        "description": endpoint.description,
        "state": endpoint.state.as_str(),
        "disabled_reason": match &endpoint.state {
            State::Disabled { reason } => Some(reason),
            State::Enabled | State::Failing => None,
        },
        "position": endpoint.position,
        "lag": endpoint.lag(),
        "attempts": endpoint.attempts,
        "failing_since": endpoint.failing_since,
        "next_attempt_at": endpoint.next_attempt_at,
        "delivered": endpoint.delivered,
        "former_secret_until": endpoint.former_secret_until,
        "created_at": endpoint.created_at,
        "changed_at": endpoint.changed_at,
    })
}

async fn ping(context: &Context, home: &Webhooks, tenant: TenantId, id: Uuid) -> Result<()> {
    let outcome = home.ping(tenant, id).await?;
    let status = outcome.status.map_or_else(String::new, |status| format!(" ({status})"));
    let said = outcome.error.clone().unwrap_or_else(|| "delivered".to_owned());
    match context.format {
        Format::Json => output::print_json(&json!({
            "delivered": outcome.delivered(), "status": outcome.status, "error": outcome.error,
            "duration_ms": outcome.duration.as_millis(),
        }))?,
        Format::Text => output::print(format!("{said}{status} in {} ms", outcome.duration.as_millis()))?,
    }
    if outcome.delivered() { Ok(()) } else { bail!("the webhook did not take the message") }
}

fn deliveries(context: &Context, deliveries: &[Delivery]) -> Result<()> {
    if context.format == Format::Json {
        let all: Vec<Value> = deliveries
            .iter()
            .map(|one| {
                json!({
                    "id": one.id, "webhook_id": one.message_id, "event_type": one.event_type, "position": one.position,
                    "attempt": one.attempt, "sent_at": one.sent_at, "duration_ms": one.duration_ms, "status": one.status,
                    "error": one.error, "response": one.response,
                })
            })
            .collect();
        return output::print_json(&all);
    }
    let mut table = output::table(["sent at", "type", "position", "attempt", "status", "ms", "outcome"]);
    for one in deliveries {
        table.add_row([
            one.sent_at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            one.event_type.clone(),
            one.position.map_or_else(String::new, |position| position.to_string()),
            one.attempt.to_string(),
            one.status.map_or_else(String::new, |status| status.to_string()),
            one.duration_ms.to_string(),
            one.error.clone().unwrap_or_else(|| "delivered".to_owned()),
        ]);
    }
    output::print(table)
}

fn changes(context: &Context, changes: &[Change]) -> Result<()> {
    if context.format == Format::Json {
        let all = changes.iter().map(|one| {
            json!({
                "version": one.version, "actor": one.actor, "changed_at": one.changed_at, "change": one.change,
                "detail": one.detail,
            })
        });
        return output::print_json(&all.collect::<Vec<_>>());
    }
    let mut table = output::table(["changed at", "version", "who", "change", "details"]);
    for one in changes {
        table.add_row([
            output::time(one.changed_at),
            one.version.to_string(),
            one.actor.clone(),
            one.change.clone(),
            one.detail.to_string(),
        ]);
    }
    output::print(table)
}
