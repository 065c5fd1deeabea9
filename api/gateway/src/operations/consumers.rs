//! How far those are who follow a log and do not tell of themselves: sagas, webhooks, feeds. (Relays, projections and sealers do.)

use std::time::Duration;

use events_api::feed::RunningFeeds;
use serde::Serialize;

use crate::service::{Background, Running};

/// How often the gauges are set.
const OFTEN: Duration = Duration::from_secs(5);

/// The webhooks of a service.
#[derive(Debug, Serialize)]
pub struct Webhooks {
    service: &'static str,
    /// That are sent to.
    enabled: u64,
    /// Of which the last attempt failed. Their receivers are their tenants' matter.
    failing: u64,
    /// That are not sent to.
    disabled: u64,
    /// The most positions that one of those which do not fail is behind.
    lag_events: u64,
    /// The most that any is behind.
    longest_lag_events: u64,
    /// Aggregates of which an event was refused by a receiver: their tenants' matter, too.
    parked_aggregates: u64,
}

/// The feeds of a service in this process.
#[derive(Debug, Serialize)]
pub struct Feeds {
    service: &'static str,
    /// How many run.
    open: usize,
    /// The most positions that one of them is behind.
    lag_events: u64,
}

/// All of a service.
#[derive(Debug)]
pub struct Consumers {
    /// Its webhooks.
    pub webhooks: Webhooks,
    /// Its feeds.
    pub feeds: Feeds,
    /// How many events its sagas have not looked at; none: it has no sagas.
    pub sagas_lag: Option<u64>,
}

/// How they are doing in a service; an error when its database does not answer.
pub async fn ask(running: &Running, running_feeds: &RunningFeeds) -> Result<Consumers, String> {
    let service = running.runtime.service;
    let counts = running.webhooks.counts().await.map_err(|error| error.to_string())?;
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

/// Sets the gauges now and then, until it is told to stop.
pub fn observe(services: Vec<Running>, running_feeds: RunningFeeds, background: &Background) {
    metrics::describe_gauge!(
        "inopsio_webhook_lag_events",
        "Largest lag of a webhook in positions of the log, by state"
    );
    metrics::describe_gauge!("inopsio_webhooks", "Webhooks by state");
    metrics::describe_gauge!("inopsio_feed_lag_events", "Largest lag of a feed in positions of the log");
    metrics::describe_gauge!("inopsio_feeds", "Open feeds");
    metrics::describe_gauge!("inopsio_saga_lag_events", "Events of the log that sagas have not read yet");
    let shutdown = background.shutdown.clone();
    background.tasks.spawn(async move {
        let mut ticks = tokio::time::interval(OFTEN);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            for running in &services {
                if let Err(error) = set(running, &running_feeds).await {
                    tracing::debug!(service = %running.runtime.service, error, "the lag of consumers is not known now");
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
