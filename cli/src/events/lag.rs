//! `inopsio events lag`: the position and lag of each consumer of the log.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use coordinator::{Instances, Sagas};
use directory::Directory;
use eventstore::{Database, EventStore, seals};
use executor::Executor;
use kernel::{EventType, Position, Service, SystemClock, SystemIds};
use projector::ReadModels;
use serde::Serialize;
use serde_json::Value;
use webhooks::{Sources, SystemRandomSource, Webhooks};

use crate::context::{self, Context};
use crate::failure;
use crate::output::{self, Format};

/// A consumer of a log.
#[derive(Debug, Serialize)]
struct Consumer {
    service: &'static str,
    /// `relay`, `projection`, `sagas`, `sealer`, `webhooks` or `feeds`.
    kind: &'static str,
    name: String,
    /// Number of events that it has not processed yet; none if that is unknown.
    lag_events: Option<u64>,
    state: String,
    /// Why its lag is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Prints the consumers of these services.
pub async fn run(context: &Context, services: Vec<Service>) -> Result<()> {
    let ready = ready_document(context).await;
    let mut all = Vec::new();
    for service in services {
        all.extend(consumers(context, service).await?);
        all.extend(feeds(ready.as_ref(), service));
    }
    if context.format == Format::Json {
        return output::print_json(&all);
    }
    let mut table = output::table(["service", "consumer", "name", "lag", "state"]);
    // The same one for each service, if nats-server does not answer.
    let mut reasons = BTreeSet::new();
    for consumer in all {
        reasons.extend(consumer.reason);
        table.add_row([
            consumer.service.to_owned(),
            consumer.kind.to_owned(),
            consumer.name,
            consumer.lag_events.map_or_else(|| "?".to_owned(), |lag| lag.to_string()),
            consumer.state,
        ]);
    }
    output::print(table)?;
    reasons.iter().try_for_each(|reason| output::print(format!("unknown: {reason}")))
}

async fn consumers(context: &Context, service: Service) -> Result<Vec<Consumer>> {
    let (domain, database) = (context::domain(service)?, context.config.database(service));
    let store = context.store(service).await?;
    let head = store.head().await?;
    let sagas = match &domain.sagas {
        Some(sagas) => Some(saga_position(&database, sagas, &store).await?),
        None => None,
    };
    store.close().await;

    let mut all = vec![relay(context, service, head).await];
    for status in ReadModels::new(&database, &domain.projections, None).status().await? {
        all.push(Consumer {
            service: service.name(),
            kind: "projection",
            name: match status.partition.of() {
                1 => status.name.to_owned(),
                _ => format!("{} {}", status.name, status.partition),
            },
            lag_events: Some(status.lag),
            state: status.state.as_str().to_owned(),
            reason: None,
        });
    }
    all.extend(sagas.map(|position| Consumer {
        service: service.name(),
        kind: "sagas",
        name: "all".to_owned(),
        lag_events: Some(head.0.saturating_sub(position.0)),
        state: "follow".to_owned(),
        reason: None,
    }));
    if context.config.seal_key().is_some() {
        all.push(Consumer {
            service: service.name(),
            kind: "sealer",
            name: "heads".to_owned(),
            lag_events: Some(seals::unsealed(&database).await?),
            state: "follows".to_owned(),
            reason: None,
        });
    }
    all.push(endpoints(context, service, &database, (domain.event_types)()).await?);
    Ok(all)
}

/// The relay. Its progress is the end of the stream. NATS is asked for it, because the relay may run in another process.
async fn relay(context: &Context, service: Service, head: Position) -> Consumer {
    let stream = async { anyhow::Ok(context.bus().await?.stream_state(service).await?) };
    let (lag_events, state, reason) = match stream.await {
        Ok(state) => {
            let last = state.map_or(Position::START, |state| Position(state.last));
            (Some(head.0.saturating_sub(last.0)), "follows", None)
        }
        Err(error) => (None, "unknown", Some(failure::reasons(&error))),
    };
    let name = format!("EVENTS_{}", service.name().to_uppercase());
    Consumer { service: service.name(), kind: "relay", name, lag_events, state: state.to_owned(), reason }
}

/// The endpoints of webhooks, all of them together.
async fn endpoints(
    context: &Context,
    service: Service,
    database: &Database,
    types: Vec<EventType>,
) -> Result<Consumer> {
    let bus = nats::Bus::connect(&context.config.bus_settings()).await?;
    let sources =
        Sources { clock: Arc::new(SystemClock), ids: Arc::new(SystemIds), random: Arc::new(SystemRandomSource) };
    let webhooks = Webhooks::open(database, bus, types.into(), context.config.webhooks.settings(), sources)
        .map_err(|error| anyhow::anyhow!(error))?;
    let suspended = Directory::open(&context.config).suspended().await?;
    let counts = webhooks.counts(|tenant| suspended.contains(&tenant)).await?;
    Ok(Consumer {
        service: service.name(),
        kind: "webhooks",
        name: format!("{} enabled", counts.enabled),
        lag_events: Some(counts.lag),
        state: format!("{} failing (lag up to {}), {} disabled", counts.failing, counts.longest_lag, counts.disabled),
        reason: None,
    })
}

/// The position up to which a service's sagas have read its log.
async fn saga_position(database: &Database, sagas: &Sagas, store: &EventStore) -> Result<Position> {
    let settings = executor::Settings::without_claims();
    let executor = Executor::new(store.clone(), Arc::new(SystemClock), Arc::new(SystemIds), settings);
    Ok(Instances::new(database, sagas.clone(), sagas.repository(executor)).position().await?)
}

/// The `/ready` document of the configured server; none if it is not running. It has the feeds, which only the serving process knows.
async fn ready_document(context: &Context) -> Option<Value> {
    let http = &context.config.http;
    let url = format!("http://{}/ready", http.address());
    let client = reqwest::Client::builder().timeout(Duration::from_secs(3)).no_proxy().build().ok()?;
    client.get(url).send().await.ok()?.json().await.ok()
}

fn feeds(ready: Option<&Value>, service: Service) -> Option<Consumer> {
    let feeds = ready?["feeds"].as_array()?.iter().find(|feeds| feeds["service"] == service.name())?;
    Some(Consumer {
        service: service.name(),
        kind: "feeds",
        name: format!("{} open", feeds["open"]),
        lag_events: feeds["lag_events"].as_u64(),
        state: "follow".to_owned(),
        reason: None,
    })
}
