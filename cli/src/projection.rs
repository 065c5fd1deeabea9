//! `inopsio projection`: shows the state of read models, rebuilds them, and compares them with the log.

mod drift;

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use eventstore::EventStore;
use gateway::{Config, Migrated};
use kernel::{Service, SystemClock};
use projector::{Projection, ProjectionStatus, ReadModels};
use serde_json::json;

use crate::context::{self, Context};
use crate::output::{self, Format};
use crate::progress;

/// Manages read models (projections)
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Shows the position, lag and parked events of each projection
    #[command(after_help = "Example:\n  inopsio projection status --format json")]
    Status {
        /// Only this service, such as crm; all unless given
        #[arg(long)]
        service: Option<String>,
    },
    /// Rebuilds a projection from the log, beside the live one, and then replaces it
    #[command(after_help = "Examples:\n  inopsio projection rebuild leads\n  inopsio projection rebuild --all")]
    #[command(group(clap::ArgGroup::new("which").required(true).args(["names", "all"])))]
    Rebuild {
        /// Names of the projections
        names: Vec<String>,
        /// All projections
        #[arg(long)]
        all: bool,
        /// Only this service, such as crm; all unless given
        #[arg(long)]
        service: Option<String>,
    },
    /// Compares each row of the read models with the log, as of one position, while the system keeps running
    #[command(after_help = "Examples:
  inopsio projection drift
  inopsio projection drift leads --values --format json

It builds each projection beside the live tables and needs as much disk space as they use. The exit code is 0 only if no
row differs; `inopsio projection rebuild` mends what does.")]
    Drift {
        /// Names of the projections; all unless given
        names: Vec<String>,
        /// Only this service, such as crm; all unless given
        #[arg(long)]
        service: Option<String>,
        /// Number of differing rows shown per projection
        #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = crate::number::of(0..=1_000_000_usize))]
        limit: usize,
        /// Also shows the contents of columns, which may be personal data
        #[arg(long)]
        values: bool,
    },
}

impl Command {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Status { service } => status(context, context::services(service.as_deref())?).await,
            Self::Rebuild { names, all, service } => {
                rebuild(context, choose(&context::services(service.as_deref())?, &names, all)?).await
            }
            Self::Drift { names, service, limit, values } => {
                let chosen = choose(&context::services(service.as_deref())?, &names, names.is_empty())?;
                drift::drift(context, chosen, limit, values).await
            }
        }
    }
}

async fn status(context: &Context, services: Vec<Service>) -> Result<()> {
    let mut found = Vec::new();
    for service in services {
        let domain = context::domain(service)?;
        let read_models = ReadModels::new(&context.config.database(service), &domain.projections, None);
        let statuses = read_models.status().await.with_context(|| context.reachable())?;
        found.extend(statuses.into_iter().map(|status| (service, status)));
    }
    if context.format == Format::Json {
        return output::print_json(
            &found.iter().map(|(service, status)| as_json(*service, status)).collect::<Vec<_>>(),
        );
    }
    let mut table = output::table([
        "service",
        "projection",
        "partition",
        "version",
        "state",
        "position",
        "lag",
        "parked events",
        "parked aggregates",
    ]);
    for (service, status) in found {
        table.add_row([
            service.to_string(),
            status.name.to_string(),
            // As `events lag` does: what is not divided has no number.
            if status.partition.of() == 1 { String::new() } else { status.partition.to_string() },
            status.version.to_string(),
            status.state.as_str().to_owned(),
            status.position.to_string(),
            status.lag.to_string(),
            counted(status.parked_events),
            counted(status.parked_aggregates),
        ]);
    }
    output::print(table)
}

/// A number that is shown only if there is something to see.
fn counted(number: u64) -> String {
    if number == 0 { String::new() } else { number.to_string() }
}

fn as_json(service: Service, status: &ProjectionStatus) -> serde_json::Value {
    json!({
        "service": service.name(),
        "projection": status.name,
        "partition": status.partition.number(),
        "partitions": status.partition.of(),
        "version": status.version,
        "state": status.state.as_str(),
        "position": status.position,
        "lag": status.lag,
        "parked_events": status.parked_events,
        "parked_aggregates": status.parked_aggregates,
    })
}

/// The selected projections of each service.
type Chosen = Vec<(Service, Vec<Arc<dyn Projection>>)>;

fn choose(services: &[Service], names: &[String], all: bool) -> Result<Chosen> {
    let mut parts = Vec::new();
    for service in services {
        parts.push((*service, context::domain(*service)?.projections));
    }
    let known: Vec<_> = parts.iter().flat_map(|(_, projections)| projections.iter().map(|one| one.name())).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no projection {unknown:?}; allowed: {}", known.join(", "));
    }
    for (_, projections) in &mut parts {
        projections.retain(|projection| all || names.iter().any(|name| name == projection.name()));
    }
    parts.retain(|(_, projections)| !projections.is_empty());
    Ok(parts)
}

/// Rebuilds the read models that `migrate` found to be of another program version. Used by `inopsio dev` at its start.
pub async fn renew(config: &Config, migrated: &[Migrated]) -> Result<()> {
    let admin = directory::admin_options(config)?;
    for Migrated { service, needs_rebuild, .. } in migrated.iter().filter(|one| !one.needs_rebuild.is_empty()) {
        tracing::info!(%service, names = needs_rebuild.join(", "), "another version of the program made these read models: building them anew");
        let service = context::service(service)?;
        let database = config.database(service);
        let store = EventStore::open(&database, config.log_settings(), Arc::new(SystemClock)).await?;
        for projection in choose(&[service], needs_rebuild, false)?.into_iter().flat_map(|(_, projections)| projections)
        {
            projector::rebuild(&admin, &database, &store, projection.as_ref(), |_| {}).await?;
        }
        store.close().await;
    }
    Ok(())
}

async fn rebuild(context: &Context, chosen: Chosen) -> Result<()> {
    let admin = directory::admin_options(&context.config)?;
    let mut done = Vec::new();
    for (service, projections) in chosen {
        let database = context.config.database(service);
        let store = context.store(service).await?;
        for projection in projections {
            let bar = progress::bar(0, "positions");
            let rebuilt = projector::rebuild(&admin, &database, &store, projection.as_ref(), |so_far| {
                bar.set_length(so_far.head.0);
                bar.set_position(so_far.position.0);
            })
            .await?;
            bar.finish_and_clear();
            if context.format == Format::Text {
                output::print(format!(
                    "{}: {} events in {:.1} s, now at position {}, {} parked",
                    projection.name(),
                    rebuilt.events,
                    rebuilt.took.as_secs_f64(),
                    rebuilt.position,
                    rebuilt.parked_events,
                ))?;
            }
            done.push(json!({
                "service": service.name(),
                "projection": projection.name(),
                "position": rebuilt.position,
                "events": rebuilt.events,
                "parked_events": rebuilt.parked_events,
                "seconds": rebuilt.took.as_secs_f64(),
            }));
        }
        store.close().await;
    }
    if context.format == Format::Json { output::print_json(&done) } else { Ok(()) }
}
