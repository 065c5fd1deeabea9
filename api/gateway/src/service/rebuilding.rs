//! The job that rebuilds a read model, for operators without access to the command line.

use std::sync::Arc;
use std::time::Duration;

use config::Config;
use eventstore::{Database, EventStore};
use jobs::{Fault, Kind, Step, Work};
use projector::{Projection, Rebuilding};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;

use crate::domains::DomainDefinition;

/// The kind's name.
pub const REBUILD_READ_MODEL: &str = "rebuild_read_model";

/// The queue of these jobs.
pub const QUEUE: &str = "rebuilds";

/// The permission that a request for it needs, without the service's name.
const PERMISSION: &str = ":projection:rebuild";

/// How often the job reports its progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// The arguments of the job.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rebuild {
    /// Its name, such as `leads`.
    projection: Name,
}

impl jobs::Arguments for Rebuild {}

/// The name of a read model. Parsing checks only its form, because the service is not known then.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Name(String);

/// What a rebuild needs.
struct Means {
    /// The connection of an administrator; none: it is not configured.
    admin: Option<PgConnectOptions>,
    database: Database,
    store: EventStore,
    projections: Vec<Arc<dyn Projection>>,
}

/// The permission to rebuild a service's read models; none: the service has none for that, or no read models.
pub fn permission(domain: &DomainDefinition) -> Option<&'static str> {
    let mut permissions = domain.grants.iter().map(|grant| grant.permission);
    permissions.find(|name| name.ends_with(PERMISSION) && !domain.projections.is_empty())
}

/// The kind of jobs that rebuild a service's read models; none: there is no permission for that.
pub fn kind(config: &Config, domain: &DomainDefinition, store: &EventStore) -> Option<Kind> {
    let permission = permission(domain)?;
    let means = Arc::new(Means {
        admin: directory::admin_options(config).ok(),
        database: config.database(domain.service),
        store: store.clone(),
        projections: domain.projections.clone(),
    });
    let kind = Kind::new(REBUILD_READ_MODEL, move |work| rebuild(means.clone(), work))
        .queue(QUEUE)
        // A rebuild always starts from the first event, so a failing one should be examined before it is repeated many times.
        .attempts(2)
        .time_limit(Duration::from_hours(24))
        .offered::<Rebuild>(permission)
        .once_at_a_time()
        .of_operators(config.operators.tenant());
    Some(kind)
}

async fn rebuild(means: Arc<Means>, work: Work) -> Result<Value, Fault> {
    let Rebuild { projection: Name(name) } = work.arguments()?;
    let Some(projection) = means.projections.iter().find(|projection| projection.name() == name) else {
        let names: Vec<_> = means.projections.iter().map(|projection| projection.name()).collect();
        let reason = format!("there is no read model {name:?}; allowed: {}", names.join(", "));
        return Err(Fault::permanent("projection_unknown", reason));
    };
    let Some(admin) = &means.admin else {
        let reason = "the process that ran the job can't rebuild read models: postgres.admin_url is not set there";
        return Err(Fault::permanent("rebuild_not_possible", reason));
    };
    work.log(&format!("{name}: rebuilding from the first event, beside the live one")).await?;
    let (tell, told) = watch::channel(None::<Rebuilding>);
    let rebuilding = projector::rebuild(admin, &means.database, &means.store, projection.as_ref(), move |so_far| {
        tell.send_replace(Some(so_far));
    });
    tokio::pin!(rebuilding);
    let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
    let rebuilt = loop {
        tokio::select! {
            rebuilt = &mut rebuilding => break rebuilt.map_err(|error| Fault::failed("rebuild_failed", error))?,
            // The next rebuild drops the unfinished tables; the live tables are unchanged.
            () = work.cancelled() => return Err(Fault::Cancelled),
            _ = ticks.tick() => {}
        }
        let so_far = *told.borrow();
        if let Some(Rebuilding { position, head }) = so_far {
            report(&work, position.0, head.0.max(position.0)).await?;
        }
    };
    let position = rebuilt.position.0;
    match report(&work, position, position).await {
        // It was cancelled too late.
        Ok(()) | Err(Fault::Cancelled) => {}
        Err(fault) => return Err(fault),
    }
    Ok(json!({
        "projection": name,
        "position": position,
        "events": rebuilt.events,
        "parked_events": rebuilt.parked_events,
        "seconds": rebuilt.took.as_secs_f64(),
    }))
}

/// Reports progress. A rebuild does not give way to other jobs, because it would start again from the first event. Nor does it end because a
/// report can't be written: the next one may be.
async fn report(work: &Work, done: u64, total: u64) -> Result<(), Fault> {
    match work.report(Step { checkpoint: Value::Null, done, total: Some(total), part: None }).await {
        Err(Fault::Failed { code, reason }) => {
            tracing::debug!(job = %work.id(), code, reason, "how far a rebuild is could not be reported");
            Ok(())
        }
        reported => reported,
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let plain = (1..=63).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if plain { Ok(Self(name)) } else { Err(format!("{name:?} is not the name of a read model, such as leads")) }
    }
}

impl From<Name> for String {
    fn from(Name(name): Name) -> Self {
        name
    }
}
