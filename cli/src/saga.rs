//! `inopsio saga`: lists, shows, resumes and cancels sagas.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use coordinator::{Instances, Listed, Listing, State, Status};
use eventstore::EventStore;
use executor::{Executor, Request, Settings};
use gateway::DomainDefinition;
use kernel::{Kind, Service, SystemClock, SystemIds};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::context::{Context, Whose, administrator, given};
use crate::lists::{self, Item, Scope};
use crate::output::{self, Format};

/// Manages sagas: processes of several steps that can be undone
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists a tenant's sagas, or those of all tenants, newest first in each service
    #[command(after_help = "Examples:
  inopsio saga list --tenant demo
  inopsio saga list --state stuck
  inopsio saga list --tenant demo --state stuck --format json")]
    List {
        #[command(flatten)]
        scope: Scope,
        /// Only sagas of this name
        #[arg(long)]
        saga: Option<String>,
        /// Only sagas in this state: running, unwinding, stuck, completed or compensated
        #[arg(long, alias = "status")]
        state: Option<String>,
        /// Only sagas about this id
        #[arg(long)]
        key: Option<String>,
        /// Maximum number of sagas of each service
        #[arg(long, default_value_t = 50, value_parser = crate::number::rows)]
        limit: u32,
    },
    /// Shows a saga with its steps
    #[command(after_help = "Example:\n  inopsio saga show --tenant demo 0192f0c4-0000-8000-8000-000000000000")]
    Show {
        #[command(flatten)]
        whose: Whose,
        /// The saga's id
        #[arg(value_parser = crate::context::uuid)]
        id: Uuid,
    },
    /// Resumes a stuck saga where it stopped
    #[command(after_help = "Example:\n  inopsio saga resume --tenant demo 0192f0c4-0000-8000-8000-000000000000")]
    Resume {
        #[command(flatten)]
        whose: Whose,
        /// The saga's id
        #[arg(value_parser = crate::context::uuid)]
        id: Uuid,
    },
    /// Cancels a saga: its completed steps are undone in reverse order
    #[command(
        after_help = "Example:\n  inopsio saga cancel --tenant demo 0192f0c4-0000-8000-8000-000000000000 --reason 'not needed'"
    )]
    Cancel {
        #[command(flatten)]
        whose: Whose,
        /// The saga's id
        #[arg(value_parser = crate::context::uuid)]
        id: Uuid,
        /// The reason, kept in the saga's history
        #[arg(long)]
        reason: String,
    },
    /// Lists the saga definitions of this program
    #[command(after_help = "Example:\n  inopsio saga definitions")]
    Definitions,
}

impl Command {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::List { scope, saga, state, key, limit } => {
                let status = state.as_deref().map(named).transpose()?;
                let domains = scope.services(has_sagas, SAGAS)?;
                if let Some(saga) = saga.as_deref() {
                    known(saga, &domains)?;
                }
                let listing = Listing { saga, status, key, after: None, limit };
                let tenants = scope.tenants_and_deleted(context).await?;
                let mut found = Vec::new();
                for domain in domains {
                    let (instances, _, store) = Open::instances(context, &domain).await?;
                    let listed = lists::of_service(
                        domain.service,
                        &tenants,
                        limit,
                        async |caller| instances.list(caller, &listing).await,
                        |one: &Listed| (one.started_at, one.id),
                    );
                    let listed = listed.await;
                    store.close().await;
                    found.extend(listed?);
                }
                list(context, &scope, &found)
            }
            Self::Show { whose, id } => {
                let open = Open::with(context, &whose, id).await?;
                let (service, found) = (open.store.service(), open.instances.find(&open.request.caller, id).await);
                open.close().await;
                output::print_json(&shown(service, id, &found?)?)
            }
            Self::Resume { whose, id } => {
                let open = Open::with(context, &whose, id).await?;
                let done = open.instances.resume(&open.request, id).await?;
                open.close().await;
                changed(context, id, "was resumed", done.position.0)
            }
            Self::Cancel { whose, id, reason } => {
                given(&reason)?;
                let open = Open::with(context, &whose, id).await?;
                let done = open.instances.cancel(&open.request, id, reason).await?;
                open.close().await;
                changed(context, id, "is being undone", done.position.0)
            }
            Self::Definitions => definitions(context),
        }
    }
}

/// Checks that a saga definition of this name exists.
fn known(saga: &str, domains: &[DomainDefinition]) -> Result<()> {
    let definitions = domains.iter().flat_map(|domain| domain.sagas.iter().flat_map(coordinator::Sagas::definitions));
    let names: BTreeSet<_> = definitions.map(coordinator::Definition::name).collect();
    if names.contains(saga) {
        return Ok(());
    }
    bail!("there are no sagas {saga:?}; allowed: {}", names.into_iter().collect::<Vec<_>>().join(", "))
}

/// What is listed, in messages.
const SAGAS: &str = "sagas";

fn has_sagas(domain: &DomainDefinition) -> bool {
    domain.sagas.is_some()
}

fn services(whose: &Whose) -> Result<Vec<DomainDefinition>> {
    whose.services(has_sagas, SAGAS)
}

/// A client for the sagas of a service, with a request in the name of the tenant's administrator.
struct Open {
    instances: Instances,
    request: Request,
    store: EventStore,
}

impl Open {
    /// Opens the service that has this saga.
    async fn with(context: &Context, whose: &Whose, id: Uuid) -> Result<Self> {
        for domain in services(whose)? {
            let open = Self::new(context, &whose.tenant, &domain).await?;
            match open.instances.find(&open.request.caller, id).await {
                Ok(_) => return Ok(open),
                Err(refusal) => {
                    open.close().await;
                    if refusal.kind() != Kind::NotFound {
                        return Err(refusal.into());
                    }
                }
            }
        }
        bail!("there is no saga {id}")
    }

    async fn new(context: &Context, tenant: &str, domain: &DomainDefinition) -> Result<Self> {
        let tenant = context.tenant_or_deleted(tenant).await?;
        let (instances, executor, store) = Self::instances(context, domain).await?;
        let request = executor.internal_request(&administrator(tenant), None);
        Ok(Self { instances, request, store })
    }

    /// The sagas of a service, whosever they are.
    async fn instances(context: &Context, domain: &DomainDefinition) -> Result<(Instances, Executor, EventStore)> {
        let service = domain.service;
        let sagas = domain.sagas.as_ref().with_context(|| format!("the service {service} has no sagas"))?;
        let store = context.store(service).await?;
        let settings = Settings::without_claims();
        let executor = Executor::new(store.clone(), Arc::new(SystemClock), Arc::new(SystemIds), settings);
        let repository = sagas.repository(executor.clone());
        Ok((Instances::new(&context.config.database(service), sagas.clone(), repository), executor, store))
    }

    async fn close(self) {
        self.store.close().await;
    }
}

fn named(state: &str) -> Result<Status> {
    let Some(found) = Status::named(state) else {
        let allowed = Status::ALL.map(Status::as_str).join(", ");
        bail!("there is no state {state:?}; allowed: {allowed}");
    };
    Ok(found)
}

/// A saga with the API's field names: its status as `state`, the reason as `code` and `reason`. The serialised state has other names.
fn shown(service: Service, id: Uuid, found: &State) -> Result<Value> {
    let mut shown = json!({ "service": service.name(), "id": id, "state": found.status });
    let (code, reason) = found.why.clone().unzip();
    if let (Some(members), Value::Object(mut stored)) = (shown.as_object_mut(), serde_json::to_value(found)?) {
        stored.retain(|name, _| name != "status" && name != "why");
        members.extend(stored);
        members.insert("code".to_owned(), code.into());
        members.insert("reason".to_owned(), reason.into());
    }
    Ok(shown)
}

fn list(context: &Context, scope: &Scope, found: &[Item<Listed>]) -> Result<()> {
    let columns = ["id", "saga", "about", "state", "step", "attempt", "continues at", "reason"];
    lists::print(context, scope, found, columns, |one| {
        let step = one
            .step
            .as_deref()
            .map_or_else(String::new, |step| if one.undo { format!("undo {step}") } else { step.to_owned() });
        [
            one.id.to_string(),
            format!("{} v{}", one.saga, one.definition),
            one.key.clone(),
            one.status.as_str().to_owned(),
            step,
            one.attempt.to_string(),
            one.wake_at.map(output::time).unwrap_or_default(),
            one.code.clone().unwrap_or_default(),
        ]
    })
}

fn changed(context: &Context, id: Uuid, what: &str, position: u64) -> Result<()> {
    match context.format {
        Format::Json => output::print_json(&json!({ "id": id, "position": position })),
        Format::Text => output::print(format!("{id} {what} (position {position})")),
    }
}

fn definitions(context: &Context) -> Result<()> {
    let mut rows = Vec::new();
    for domain in gateway::domains() {
        for definition in domain.sagas.iter().flat_map(coordinator::Sagas::definitions) {
            let steps: Vec<_> = definition
                .steps()
                .iter()
                .map(|step| format!("{}{}", step.name(), if step.has_undo() { "" } else { " (no undo)" }))
                .collect();
            rows.push((domain.service.to_string(), definition.name(), definition.version(), steps));
        }
    }
    if context.format == Format::Json {
        let rows = rows.into_iter().map(|(service, saga, version, steps)| {
            json!({ "service": service, "saga": saga, "version": version, "steps": steps })
        });
        return output::print_json(&rows.collect::<Vec<_>>());
    }
    let mut table = output::table(["service", "saga", "version", "steps"]);
    for (service, saga, version, steps) in rows {
        table.add_row([service, saga.to_owned(), version.to_string(), steps.join(", ")]);
    }
    output::print(table)
}
