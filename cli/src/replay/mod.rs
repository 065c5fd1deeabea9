//! `inopsio replay`: prints a tenant's history. It fails if a line is missing, so that an incomplete history is never taken for a whole one.

pub mod ndjson;

use std::path::PathBuf;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use eventstore::{EventStore, ReplayFilter};
use futures::StreamExt;
use kernel::{Position, Service, TenantId};

use crate::context::{self, Context};
use crate::selection::{check_id, check_one_log, check_span, check_types, end_of};
use crate::sink::Sink;
use crate::{output, progress, time};

/// Prints a tenant's events in log order, one JSON object per line; ends with "N of N" on stderr
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  inopsio replay --tenant demo > history.ndjson
  inopsio replay --tenant demo --aggregate crm.lead --id 0197a8a0-0000-7000-8000-000000000001
  inopsio replay --tenant demo --event crm.lead.qualified --occurred-from 2026-01-01 --occurred-until 2026-04-01
  inopsio replay --tenant demo --service crm --after 1000 --to 2000 --output part.ndjson
  inopsio replay --tenant demo --service user --open > people.ndjson

Times are RFC 3339 or a date (midnight UTC). `from` includes, `until` excludes. The exit code is not 0 if a line is missing.")]
pub struct Replay {
    /// The tenant: its name or id
    #[arg(long)]
    tenant: String,
    /// Only this service, such as crm; all unless given
    #[arg(long)]
    service: Option<String>,
    /// Only aggregates of this type, such as crm.lead
    #[arg(long = "aggregate", value_name = "TYPE")]
    aggregate_type: Option<String>,
    /// Only the aggregate with this id
    #[arg(long = "id", value_name = "ID", value_parser = crate::selection::id())]
    aggregate_id: Option<String>,
    /// Only events of this type, such as crm.lead.qualified
    #[arg(long = "event", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only events recorded at this time or later
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    recorded_from: Option<DateTime<Utc>>,
    /// Only events recorded before this time
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    recorded_until: Option<DateTime<Utc>>,
    /// Only events that occurred at this time or later
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    occurred_from: Option<DateTime<Utc>>,
    /// Only events that occurred before this time
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    occurred_until: Option<DateTime<Utc>>,
    /// Only events after this position of the service's log
    #[arg(long, value_name = "POSITION", default_value = "0", value_parser = crate::number::position)]
    after: Position,
    /// Only events up to this position of the service's log; its current end unless given
    #[arg(long, value_name = "POSITION", value_parser = crate::number::position)]
    to: Option<Position>,
    /// Writes to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Decrypts personal data, which needs the master key; by default it is printed as stored and hashed: encrypted
    #[arg(long)]
    open: bool,
}

impl Replay {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        let tenant = context.tenant_or_deleted(&self.tenant).await?;
        let services = context::services(self.service.as_deref())?;
        check_types(&services, self.aggregate_type.as_deref(), self.event_type.as_deref())?;
        self.check_stretch(&services)?;
        let (mut written, mut total) = (0, 0);
        // Check all that is asked for before anything is written.
        let mut asked = Vec::new();
        for service in services {
            let store = context.store(service).await?;
            let mut filter = self.filter();
            // The log grows meanwhile, so fix its end once for the count and for the events.
            let head = end_of(&store, [Some(self.after), self.to].into_iter().flatten()).await?;
            filter.to = Some(filter.to.map_or(head, |to| to.min(head)));
            let count = store.count(tenant, &filter).await?;
            total += count;
            asked.push((store, Wanted { tenant, filter, count, open: self.open }));
        }
        if let Some(id) = &self.aggregate_id {
            let stores: Vec<_> = asked.iter().map(|(store, _)| store).collect();
            check_id((self.tenant.as_str(), tenant), &stores, self.aggregate_type.as_deref(), id).await?;
        }
        let mut sink = Sink::open(self.output.as_deref())?;
        for (store, wanted) in asked {
            let outcome = copy(&store, wanted, &mut sink, &mut written).await;
            store.close().await;
            if let Err(error) = outcome {
                output::tell(format!("{written} of {total}"));
                return Err(error);
            }
        }
        // Before the count, which would otherwise tell of events that nobody got.
        sink.flush()?;
        output::tell(format!("{written} of {total}"));
        if written != total {
            bail!("the replay is not complete: {written} events of {total}");
        }
        sink.finish()
    }

    /// Refuses empty ranges, which would print an empty history, and positions without a single service whose log they are of.
    fn check_stretch(&self, services: &[Service]) -> Result<()> {
        check_span("recorded", self.recorded_from, self.recorded_until)?;
        check_span("occurred", self.occurred_from, self.occurred_until)?;
        if self.to.is_some_and(|to| to <= self.after) {
            bail!("--to is not beyond --after");
        }
        if self.after > Position::START || self.to.is_some() {
            check_one_log(services, "--after and --to are positions")?;
        }
        Ok(())
    }

    fn filter(&self) -> ReplayFilter {
        ReplayFilter {
            aggregate_type: self.aggregate_type.clone(),
            aggregate_id: self.aggregate_id.clone(),
            event_type: self.event_type.clone(),
            recorded_from: self.recorded_from,
            recorded_until: self.recorded_until,
            occurred_from: self.occurred_from,
            occurred_until: self.occurred_until,
            after: self.after,
            to: self.to,
        }
    }
}

/// The events to print from one log.
struct Wanted {
    tenant: TenantId,
    filter: ReplayFilter,
    count: u64,
    open: bool,
}

async fn copy(store: &EventStore, wanted: Wanted, sink: &mut Sink, written: &mut u64) -> Result<()> {
    let Wanted { tenant, filter, count, open } = wanted;
    let bar = progress::bar(count, "events");
    let events = store.replay(tenant, filter);
    let mut events = std::pin::pin!(events.ready_chunks(1_024));
    while let Some(batch) = events.next().await {
        let mut batch = batch.into_iter().collect::<Result<Vec<_>, _>>()?;
        if open {
            batch = store.opened(batch).await?;
        }
        for event in &batch {
            ndjson::write_line(&mut sink.buffer, event);
        }
        let lines = batch.len() as u64;
        sink.write_if_full()?;
        *written += lines;
        bar.inc(lines);
    }
    bar.finish_and_clear();
    Ok(())
}
