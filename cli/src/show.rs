//! `inopsio show`: shows an aggregate's state, now or in the past.

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use kernel::{AggregateType, Position, RecordedEvent, Service};
use serde::Serialize;

use crate::context::{self, Context};
use crate::output::{self, Format};
use crate::time;

/// Shows an aggregate's state, now or as of a time or position, computed from its events
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  inopsio show --tenant demo crm.lead 0197a8a0-0000-7000-8000-000000000001
  inopsio show --tenant demo crm.lead 0197a8a0-0000-7000-8000-000000000001 --at 2026-03-01
  inopsio show --tenant demo crm.lead 0197a8a0-0000-7000-8000-000000000001 --position 1234 --format json

Times are RFC 3339 or a date (midnight UTC).")]
pub struct Show {
    /// The tenant: its name or id
    #[arg(long)]
    tenant: String,
    /// The aggregate's type, such as crm.lead
    aggregate_type: String,
    /// The aggregate's id
    aggregate_id: String,
    /// The state at this time: with the events that had occurred by then
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    at: Option<DateTime<Utc>>,
    /// The state as it was known at this time: with the events that had been recorded by then
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    known_at: Option<DateTime<Utc>>,
    /// The state at this position of the log
    #[arg(long, value_name = "POSITION", value_parser = crate::number::position)]
    position: Option<Position>,
}

/// An aggregate's state as of a time or position.
#[derive(Debug, Serialize)]
struct Shown {
    aggregate_type: String,
    aggregate_id: String,
    /// Number of its events.
    version: u64,
    /// Position of its last event.
    position: Position,
    last_event: String,
    occurred_at: DateTime<Utc>,
    recorded_at: DateTime<Utc>,
    state: serde_json::Value,
}

impl Show {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        let (service, aggregate) = find(&self.aggregate_type)?;
        let tenant = context.tenant_or_deleted(&self.tenant).await?;
        let store = context.store(service).await?;
        let events = store.load(tenant, aggregate.name, &self.aggregate_id, 0).await?;
        store.close().await;
        if events.is_empty() {
            bail!("the tenant {} has no {} with the id {}", self.tenant, aggregate.name, self.aggregate_id);
        }
        let events = self.until_then(events);
        let Some(last) = events.last() else {
            bail!("the {} {} did not exist yet", aggregate.name, self.aggregate_id);
        };
        let shown = Shown {
            aggregate_type: last.aggregate_type.clone(),
            aggregate_id: last.aggregate_id.clone(),
            version: last.sequence,
            position: last.position,
            last_event: last.event_type.clone(),
            occurred_at: last.occurred_at,
            recorded_at: last.recorded_at,
            state: (aggregate.state)(&events)?,
        };
        match context.format {
            Format::Json => output::print_json(&shown),
            Format::Text => print(&shown),
        }
    }

    /// The events up to the requested time and position. Times do not go back within a stream, so these are its first events.
    fn until_then(&self, events: Vec<RecordedEvent>) -> Vec<RecordedEvent> {
        let counts = |event: &RecordedEvent| {
            self.at.is_none_or(|at| event.occurred_at <= at)
                && self.known_at.is_none_or(|at| event.recorded_at <= at)
                && self.position.is_none_or(|position| event.position <= position)
        };
        events.into_iter().take_while(counts).collect()
    }
}

/// The aggregate type with this name, and its service.
fn find(name: &str) -> Result<(Service, AggregateType)> {
    let service = name.split_once('.').map_or(name, |(service, _)| service);
    let service = context::service(service)
        .with_context(|| format!("{name:?} is not an aggregate type: those look like crm.lead"))?;
    let aggregates = context::domain(service)?.aggregates;
    let names: Vec<_> = aggregates.iter().map(|aggregate| aggregate.name).collect();
    let Some(aggregate) = aggregates.iter().find(|aggregate| aggregate.name == name) else {
        bail!("there is no aggregate type {name:?}; allowed: {}", names.join(", "));
    };
    Ok((service, *aggregate))
}

fn print(shown: &Shown) -> Result<()> {
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let mut table = output::table(["", ""]);
    table.add_row(["aggregate", &format!("{} {}", shown.aggregate_type, shown.aggregate_id)]);
    table.add_row(["version", &shown.version.to_string()]);
    table.add_row(["position", &shown.position.to_string()]);
    table.add_row(["last event", &shown.last_event]);
    table.add_row(["occurred at", &time(shown.occurred_at)]);
    table.add_row(["recorded at", &time(shown.recorded_at)]);
    if let Some(state) = shown.state.as_object() {
        for (field, value) in state {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            table.add_row([field, &value]);
        }
    }
    output::print(table)
}
