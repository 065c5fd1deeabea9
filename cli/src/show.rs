//! `inopsio show`: shows an aggregate's state, now or in the past.

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use kernel::{AggregateType, Position, RecordedEvent, Service};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::context::{self, Context};
use crate::output::{self, Format};
use crate::selection::end_of;
use crate::time;

/// Shows an aggregate's state, now or as of a time or position, computed from its events
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  inopsio show --tenant demo crm.lead 0197a8a0-0000-7000-8000-000000000001
  inopsio show --tenant demo crm.lead 0197a8a0-0000-7000-8000-000000000001 --at 2026-03-01
  inopsio show --tenant demo crm.lead 0197a8a0-0000-7000-8000-000000000001 --position 1234 --format json

Times are RFC 3339 or a date (midnight UTC). With --at and --known-at (or --position), an event counts only if both hold. Personal data is
decrypted; of somebody who was erased, it can't be.")]
pub struct Show {
    /// The tenant: its name or id
    #[arg(long)]
    tenant: String,
    /// The aggregate's type, such as crm.lead
    aggregate_type: String,
    /// The aggregate's id
    #[arg(value_parser = crate::selection::id())]
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
    state: Value,
}

impl Show {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        let (service, aggregate) = find(&self.aggregate_type)?;
        let tenant = context.tenant_or_deleted(&self.tenant).await?;
        let store = context.store(service).await?;
        end_of(&store, self.position).await?;
        let events = store.load(tenant, aggregate.name, &self.aggregate_id, 0).await?;
        store.close().await;
        let Some(first) = events.first().cloned() else {
            bail!("the tenant {} has no {} with the id {}", self.tenant, aggregate.name, self.aggregate_id);
        };
        let events = self.until_then(events);
        let Some(last) = events.last() else {
            bail!(
                "the {} {} did not exist yet: its first event occurred at {}, and was recorded at {} as position {}",
                aggregate.name,
                self.aggregate_id,
                kernel::write_time(first.occurred_at),
                kernel::write_time(first.recorded_at),
                first.position
            );
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
    let mut table = output::table(["field", "value"]);
    table.add_row(["aggregate", &format!("{} {}", shown.aggregate_type, shown.aggregate_id)]);
    table.add_row(["version", &shown.version.to_string()]);
    table.add_row(["position", &shown.position.to_string()]);
    table.add_row(["last event", &shown.last_event]);
    table.add_row(["occurred at", &time(shown.occurred_at)]);
    table.add_row(["recorded at", &time(shown.recorded_at)]);
    for (field, value) in rows("", &shown.state) {
        table.add_row([field, value]);
    }
    output::print(table)
}

/// A state as rows for people: one for each value, also within objects, whose names are joined by points. What does not exist is empty.
fn rows(field: &str, value: &Value) -> Vec<(String, String)> {
    let text = match value {
        Value::Object(members) if is_sealed(members) => "(encrypted)".to_owned(),
        Value::Object(members) if !members.is_empty() => {
            let name = |member: &str| if field.is_empty() { member.to_owned() } else { format!("{field}.{member}") };
            return members.iter().flat_map(|(member, value)| rows(&name(member), value)).collect();
        }
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    vec![(field.to_owned(), text)]
}

/// Whether this stands for personal data that can't be decrypted, as that of somebody who was erased.
fn is_sealed(members: &Map<String, Value>) -> bool {
    members.len() == 1 && members.contains_key(kernel::personal::SEALED)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_value_of_a_state_has_a_row_of_its_own() {
        let state = json!({
            "status": "erased",
            "details": { "name": { "sealed": "" }, "company": "Analytical Engines", "address": { "street": "1 St" } },
            "roles": ["viewer"],
            "owner": null,
            "labels": {},
        });
        let rows = rows("", &state);
        for (field, value) in [
            ("status", "erased"),
            ("details.name", "(encrypted)"),
            ("details.company", "Analytical Engines"),
            ("details.address.street", "1 St"),
            ("roles", r#"["viewer"]"#),
            ("owner", ""),
            ("labels", "{}"),
        ] {
            assert!(rows.contains(&(field.to_owned(), value.to_owned())), "{field}: {rows:?}");
        }
        assert_eq!(rows.len(), 7);
    }
}
