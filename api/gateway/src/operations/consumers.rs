//! The lag of sagas, webhooks and feeds behind their service's log, for `/ready` and metrics. (Relays, projections and sealers report
//! their own.)

use std::sync::Arc;
use std::time::Duration;

use events_api::feed::RunningFeeds;
use serde::Serialize;

use crate::service::{Background, Running};

/// How often the gauges are set.
const METRICS_INTERVAL: Duration = Duration::from_secs(5);

/// The webhooks of a service.
#[derive(Debug, Serialize)]
pub struct Webhooks {
    service: &'static str,
    /// Webhooks that are enabled.
    enabled: u64,
    /// Webhooks whose last attempt failed. It is up to their tenants to fix the receivers.
    failing: u64,
    /// Webhooks that are disabled.
    disabled: u64,
    /// The largest lag, in positions, of a webhook that is neither failing nor of a suspended tenant.
    lag_events: u64,
    /// The largest lag, in positions, of any webhook of a tenant that is not suspended.
    longest_lag_events: u64,
    /// Aggregates with an event that a receiver refused, which is up to their tenants, too.
    parked_aggregates: u64,
}

/// The feeds of a service in this process.
#[derive(Debug, Serialize)]
pub struct Feeds {
    service: &'static str,
    /// The number of open feeds.
    open: usize,
    /// The largest lag of a feed, in positions.
    lag_events: u64,
}

/// The consumers of a service's log.
#[derive(Debug)]
pub struct Consumers {
    /// Its webhooks.
    pub webhooks: Webhooks,
    /// Its feeds.
    pub feeds: Feeds,
    /// The lag of its sagas in events; none: it has no sagas.
    pub sagas_lag: Option<u64>,
}

/// Determines the state of a service's consumers.
///
/// # Errors
/// When its database does not answer.
pub async fn ask(running: &Running, running_feeds: &RunningFeeds) -> Result<Consumers, String> {
    let service = running.runtime.service;
    let paused = |tenant| running.runtime.active_tenants.check(tenant).is_err();
    let counts = running.webhooks.counts(paused).await.map_err(|error| error.to_string())?;
    let head = running.runtime.store.head().await.map_err(|error| error.to_string())?;
    let webhooks = Webhooks {
        service: service.name(),
        enabled: counts.enabled,
        failing: counts.failing,
        disabled: counts.disabled,
        lag_events: counts.lag,
        longest_lag_events: counts.longest_lag,
        parked_aggregates: counts.parked,
    };
    let (open, last) = running_feeds.of(service);
    let lag_events = last.map_or(0, |last| head.0.saturating_sub(last.0));
    let sagas_lag = running.sagas_lag(head).await.map_err(|error| error.to_string())?;
    Ok(Consumers { webhooks, feeds: Feeds { service: service.name(), open, lag_events }, sagas_lag })
}

/// Spawns a task that regularly sets the gauges, until the shutdown.
pub fn observe(services: Vec<Running>, running_feeds: RunningFeeds, background: &Background) {
    let services: Arc<[Running]> = services.into();
    metrics::describe_gauge!(
        "inopsio_webhook_lag_events",
        "Largest lag of a webhook in positions of the log, by state"
    );
    metrics::describe_gauge!("inopsio_webhooks", "Webhooks by state");
    metrics::describe_gauge!("inopsio_feed_lag_events", "Largest lag of a feed in positions of the log");
    metrics::describe_gauge!("inopsio_feeds", "Open feeds");
    metrics::describe_gauge!("inopsio_saga_lag_events", "Events of the log that sagas have not read yet");
    background.spawn("lag of consumers", move |shutdown| {
        let (services, running_feeds) = (services.clone(), running_feeds.clone());
        async move {
            let mut ticks = tokio::time::interval(METRICS_INTERVAL);
            while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
                for running in &*services {
                    if let Err(error) = set(running, &running_feeds).await {
                        tracing::debug!(service = %running.runtime.service, error, "the lag of consumers is not known now");
                    }
                }
            }
        }
    });
}

async fn set(running: &Running, running_feeds: &RunningFeeds) -> Result<(), String> {
    let service = running.runtime.service.name();
    let Consumers { webhooks, feeds, sagas_lag } = ask(running, running_feeds).await?;
    for (state, count) in
        [("enabled", webhooks.enabled), ("failing", webhooks.failing), ("disabled", webhooks.disabled)]
    {
        metrics::gauge!("inopsio_webhooks", "service" => service, "state" => state).set(count as f64);
    }
    for (state, lag) in [("healthy", webhooks.lag_events), ("any", webhooks.longest_lag_events)] {
        metrics::gauge!("inopsio_webhook_lag_events", "service" => service, "state" => state).set(lag as f64);
    }
    metrics::gauge!("inopsio_dead_letters", "service" => service, "consumer" => "webhook", "name" => "all")
        .set(webhooks.parked_aggregates as f64);
    metrics::gauge!("inopsio_feeds", "service" => service).set(feeds.open as f64);
    metrics::gauge!("inopsio_feed_lag_events", "service" => service).set(feeds.lag_events as f64);
    if let Some(lag) = sagas_lag {
        metrics::gauge!("inopsio_saga_lag_events", "service" => service).set(lag as f64);
    }
    Ok(())
}
