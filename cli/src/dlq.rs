//! `inopsio dlq`: lists, retries, edits and discards dead letters, which are events that a consumer could not process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use deadletters::{Consumer, DeadLetters, Letter, LetterDetails, LetterId, Listing, Preview, Request, State};
use executor::{Executor, Settings};
use gateway::DomainDefinition;
use kernel::{Kind, Service, SystemClock, SystemIds};
use nats::Bus;
use serde_json::{Value, json};

use crate::context::{Context, Whose, administrator, given};
use crate::lists::{self, Item, Scope};
use crate::output::{self, Format};

/// How long to wait for a requested retry.
const PATIENCE: Duration = Duration::from_secs(10);

/// Manages dead letters: events that a read model, a saga or a webhook could not process
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists a tenant's dead letters, or those of all tenants, latest event of each service first
    #[command(after_help = "Examples:
  inopsio dlq list --tenant demo
  inopsio dlq list
  inopsio dlq list --tenant demo --consumer projection.leads --state discarded --format json")]
    List {
        #[command(flatten)]
        scope: Scope,
        /// Only dead letters of this consumer, such as projection.leads
        #[arg(long, value_parser = consumer)]
        consumer: Option<Consumer>,
        /// Only dead letters in this state: parked, applied or discarded
        #[arg(long, value_parser = state, default_value = "parked")]
        state: State,
        /// Maximum number of dead letters of each service
        #[arg(long, default_value_t = 50, value_parser = crate::number::rows)]
        limit: u32,
    },
    /// Shows a dead letter with its event, errors, attempts and decisions
    #[command(after_help = "Example:\n  inopsio dlq show --tenant demo projection.leads.1234")]
    Show {
        #[command(flatten)]
        whose: Whose,
        /// The dead letter's id
        #[arg(value_parser = letter)]
        id: LetterId,
    },
    /// Retries one dead letter, or all, at once, together with the events that wait behind it
    #[command(after_help = "Examples:
  inopsio dlq redrive --tenant demo projection.leads.1234
  inopsio dlq redrive --tenant demo --all --consumer projection.leads")]
    Redrive {
        #[command(flatten)]
        whose: Whose,
        /// The dead letter's id
        #[arg(value_parser = letter, required_unless_present = "all")]
        id: Option<LetterId>,
        /// All parked dead letters
        #[arg(long, conflicts_with = "id")]
        all: bool,
        /// With --all: only dead letters of this consumer
        #[arg(long, value_parser = consumer, requires = "all", conflicts_with = "id")]
        consumer: Option<Consumer>,
        /// The reason, kept among the dead letter's decisions
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Discards a dead letter: its consumer never sees the event, not even in a rebuild
    #[command(
        after_help = "Example:\n  inopsio dlq discard --tenant demo projection.leads.1234 --reason 'a test of long ago'"
    )]
    Discard {
        #[command(flatten)]
        whose: Whose,
        /// The dead letter's id
        #[arg(value_parser = letter)]
        id: LetterId,
        /// The reason, kept among the dead letter's decisions
        #[arg(long)]
        reason: String,
    },
    /// Replaces the payload that the consumer sees; the log does not change
    #[command(after_help = "Examples:
  inopsio dlq edit --tenant demo projection.leads.1234 --payload mended.json --preview
  inopsio dlq edit --tenant demo projection.leads.1234 --payload mended.json --reason 'misspelt by the import'")]
    Edit {
        #[command(flatten)]
        whose: Whose,
        /// The dead letter's id
        #[arg(value_parser = letter)]
        id: LetterId,
        /// A file with the new payload, a JSON object; with --preview, the current payload unless given
        #[arg(long, value_name = "FILE", required_unless_present = "preview")]
        payload: Option<PathBuf>,
        /// Only reports what would happen
        #[arg(long)]
        preview: bool,
        /// The reason, kept among the dead letter's decisions
        #[arg(long, required_unless_present = "preview")]
        reason: Option<String>,
    },
}

impl Command {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::List { scope, consumer, state, limit } => {
                list(context, &scope, &Listing { consumer, state, after: None, limit }).await
            }
            Self::Show { whose, id } => {
                let open = Open::with(context, &whose, &id).await?;
                show(open.dead_letters.service(), &open.dead_letters.find(&open.request.caller, &id).await?)
            }
            Self::Redrive { whose, id: Some(id), reason, .. } => {
                let open = Open::with(context, &whose, &id).await?;
                let before = open.letter(&id).await?;
                open.dead_letters.redrive(&open.request, &id, &reason).await?;
                open.outcome(context, &id, &before).await
            }
            Self::Redrive { whose, id: None, consumer, reason, .. } => {
                redrive_all(context, &whose, consumer.as_ref(), &reason).await
            }
            Self::Discard { whose, id, reason } => {
                let reason = given(&reason)?;
                let open = Open::with(context, &whose, &id).await?;
                let before = open.letter(&id).await?;
                open.dead_letters.discard(&open.request, &id, reason).await?;
                open.outcome(context, &id, &before).await
            }
            Self::Edit { whose, id, payload, preview, reason } => {
                let payload = payload.map(read).transpose()?;
                let open = Open::with(context, &whose, &id).await?;
                if preview {
                    let found = open.dead_letters.preview(&open.request.caller, &id, payload.as_ref()).await?;
                    return previewed(&found);
                }
                let (Some(payload), Some(reason)) = (payload, reason) else {
                    bail!("--payload and --reason are needed")
                };
                let before = open.letter(&id).await?;
                open.dead_letters.edit(&open.request, &id, &payload, given(&reason)?).await?;
                open.outcome(context, &id, &before).await
            }
        }
    }
}

/// What is listed, in messages.
const DEAD_LETTERS: &str = "dead letters";

fn services(whose: &Whose) -> Result<Vec<DomainDefinition>> {
    whose.services(|_| true, DEAD_LETTERS)
}

/// Lists the dead letters of all services and tenants of the scope.
async fn list(context: &Context, scope: &Scope, listing: &Listing) -> Result<()> {
    let domains = scope.services(|_| true, DEAD_LETTERS)?;
    if let Some(consumer) = &listing.consumer {
        known(consumer, &domains)?;
    }
    let tenants = scope.tenants(context).await?;
    let mut found = Vec::new();
    for domain in domains {
        let (dead_letters, _) = Open::dead_letters(context, &domain).await?;
        let listed = lists::of_service(
            domain.service,
            &tenants,
            listing.limit,
            async |caller| dead_letters.list(caller, listing).await,
            |one: &Letter| one.id.position,
        );
        found.extend(listed.await?);
    }
    print_list(context, scope, &found)
}

/// Redrives all dead letters of a tenant, or those of one consumer.
async fn redrive_all(context: &Context, whose: &Whose, consumer: Option<&Consumer>, reason: &str) -> Result<()> {
    let domains = services(whose)?;
    if let Some(consumer) = consumer {
        known(consumer, &domains)?;
    }
    let mut letters = 0;
    for domain in domains {
        let open = Open::new(context, &whose.tenant, &domain).await?;
        letters += open.dead_letters.redrive_all(&open.request, consumer, reason).await?.letters;
        open.close().await;
    }
    match context.format {
        Format::Json => output::print_json(&json!({ "letters": letters })),
        Format::Text => output::print(format!("{letters} dead letters are retried now")),
    }
}

/// A client for the dead letters of a service, with a request in the name of the tenant's administrator.
struct Open {
    dead_letters: DeadLetters,
    request: Request,
    bus: Option<Bus>,
}

impl Open {
    /// Opens the service that has this dead letter.
    async fn with(context: &Context, whose: &Whose, id: &LetterId) -> Result<Self> {
        for domain in services(whose)? {
            let open = Self::new(context, &whose.tenant, &domain).await?;
            match open.dead_letters.find(&open.request.caller, id).await {
                Ok(_) => return Ok(open),
                Err(refusal) if refusal.kind() == Kind::NotFound => {}
                Err(refusal) => return Err(refusal.into()),
            }
        }
        bail!("there is no dead letter {id}")
    }

    async fn new(context: &Context, tenant: &str, domain: &DomainDefinition) -> Result<Self> {
        let tenant = context.tenant(tenant).await?;
        let (dead_letters, bus) = Self::dead_letters(context, domain).await?;
        let request = Request { caller: administrator(tenant), command_id: None, request_hash: [0; 32] };
        Ok(Self { dead_letters, request, bus })
    }

    /// The dead letters of a service, whosever they are, and the connection to NATS.
    async fn dead_letters(context: &Context, domain: &DomainDefinition) -> Result<(DeadLetters, Option<Bus>)> {
        let service = domain.service;
        let store = context.store(service).await?;
        // With NATS, consumers are notified at once; without it, they poll within a second.
        let bus = context.bus().await.ok();
        let settings = Settings::without_claims();
        let executor = Executor::new(store.clone(), Arc::new(SystemClock), Arc::new(SystemIds), settings);
        let dead_letters =
            gateway::dead_letters_of(domain, &context.config.database(service), store, executor, bus.clone())
                .with_context(|| format!("the service {service} has no permissions for dead letters"))?;
        Ok((dead_letters, bus))
    }

    async fn letter(&self, id: &LetterId) -> Result<Letter> {
        Ok(self.dead_letters.find(&self.request.caller, id).await?.letter)
    }

    /// Waits for the retry and prints its outcome.
    async fn outcome(self, context: &Context, id: &LetterId, before: &Letter) -> Result<()> {
        let began = Instant::now();
        let mut letter = self.letter(id).await?;
        while letter.attempts == before.attempts && began.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(50)).await;
            letter = self.letter(id).await?;
        }
        self.close().await;
        if context.format == Format::Json {
            return output::print_json(&letter);
        }
        output::print(match letter.state {
            State::Parked if letter.attempts == before.attempts => {
                format!("the retry of {id} was requested, but no consumer has made it yet: is `inopsio serve` running?")
            }
            State::Parked => format!("{id} still fails: {}", letter.errors.join(": ")),
            state => format!("{id} is {}", state.as_str()),
        })
    }

    /// Flushes notifications to NATS before the program ends.
    async fn close(self) {
        if let Some(bus) = self.bus
            && let Err(error) = bus.ping().await
        {
            tracing::debug!(%error, "consumers may not have heard of it; they look by themselves");
        }
    }
}

/// Checks that such a consumer exists. Any webhook id is accepted, because webhooks belong to the tenant and may have been removed.
fn known(consumer: &Consumer, domains: &[DomainDefinition]) -> Result<()> {
    let projections =
        domains.iter().flat_map(|domain| domain.projections.iter().map(|one| format!("projection.{}", one.name())));
    let definitions = domains.iter().flat_map(|domain| domain.sagas.iter().flat_map(coordinator::Sagas::definitions));
    let sagas = definitions.map(|definition| format!("saga.{}", definition.name()));
    let mut names: Vec<_> = projections.chain(sagas).collect();
    let webhook = consumer.as_str().strip_prefix("webhook.").is_some_and(|id| id.parse::<uuid::Uuid>().is_ok());
    if webhook || names.iter().any(|name| name == consumer.as_str()) {
        return Ok(());
    }
    names.sort();
    names.dedup();
    bail!("there is no consumer {:?}; allowed: {}, webhook.<id>", consumer.as_str(), names.join(", "))
}

fn consumer(text: &str) -> Result<Consumer, String> {
    text.parse()
}

fn letter(text: &str) -> Result<LetterId, String> {
    text.parse()
}

fn state(text: &str) -> Result<State, String> {
    let found = State::LISTED.into_iter().find(|state| state.as_str() == text);
    found.ok_or_else(|| format!("allowed: {}", State::LISTED.map(State::as_str).join(", ")))
}

fn read(file: PathBuf) -> Result<Value> {
    let text = std::fs::read(&file).with_context(|| format!("can't read {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", file.display()))
}

fn print_list(context: &Context, scope: &Scope, found: &[Item<Letter>]) -> Result<()> {
    let columns = ["id", "event", "aggregate", "state", "attempts", "waiting", "next retry at", "reason"];
    lists::print(context, scope, found, columns, |one| {
        [
            one.id.to_string(),
            one.event_type.clone(),
            format!("{} {}", one.aggregate_type, one.aggregate_id),
            one.state.as_str().to_owned(),
            one.attempts.to_string(),
            one.waiting.to_string(),
            one.next_attempt_at.map(output::time).unwrap_or_default(),
            one.errors.first().cloned().unwrap_or_default(),
        ]
    })
}

fn show(service: Service, shown: &LetterDetails) -> Result<()> {
    let event = &shown.event;
    output::print_json(&json!({
        "service": service.name(),
        "letter": shown.letter,
        "event": {
            "id": event.event_id, "sequence": event.sequence, "version": event.event_version,
            "payload": value(&event.payload), "metadata": value(&event.metadata),
            "occurred_at": event.occurred_at, "recorded_at": event.recorded_at,
        },
        "attempts": shown.attempts,
        "decisions": shown.decisions,
    }))
}

fn previewed(preview: &Preview) -> Result<()> {
    let errors = preview.why_not();
    output::print_json(&json!({
        "applies": errors.is_none(),
        "errors": errors.unwrap_or_default(),
        "before": value(preview.before.as_bytes()),
        "after": value(preview.after.as_bytes()),
        "today": preview.current_events.clone().unwrap_or_default(),
        "taken": preview.dry_run.as_ref().map(|dry_run| dry_run.taken),
        "stops_at": preview.dry_run.as_ref().and_then(|dry_run| dry_run.failed.as_ref()).map(|(at, _)| at.0),
    }))
}

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}
