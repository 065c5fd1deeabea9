//! `inopsio events`: prints events as NATS delivers them, and the lag of the log's consumers.

mod lag;

use anyhow::{Result, anyhow};
use futures::{StreamExt, stream};
use kernel::Position;

use crate::context::{self, Context};
use crate::output;
use crate::replay::ndjson;
use crate::selection::{check_one_log, check_types, end_of};

/// Shows the event bus and the consumers of the log
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Shows the position and lag of each consumer of the log: relay, projections, webhooks, feeds
    #[command(after_help = "Examples:
  inopsio events lag
  inopsio events lag --service crm --format json

Only the process that serves a feed knows it: the feeds of the configured server are shown, if it runs.")]
    Lag {
        /// Only this service, such as crm; all unless given
        #[arg(long)]
        service: Option<String>,
    },
    /// Prints a tenant's events as they happen, one JSON object per line, until Ctrl-C
    #[command(after_help = "Examples:
  inopsio events tail --tenant demo
  inopsio events tail --tenant demo --event crm.lead.qualified
  inopsio events tail --tenant demo --service crm --after 1000 --limit 10")]
    Tail {
        /// The tenant: its name or id
        #[arg(long)]
        tenant: String,
        /// Only this service; events of different services are printed in no particular order
        #[arg(long)]
        service: Option<String>,
        /// Only events of this type, such as crm.lead.qualified
        #[arg(long = "event", value_name = "TYPE")]
        event_type: Option<String>,
        /// Starts after this position of the service's log, instead of with new events; 0: with the first event
        #[arg(long, value_name = "POSITION", value_parser = crate::number::position)]
        after: Option<Position>,
        /// Ends after this number of events
        #[arg(long, value_name = "NUMBER", value_parser = crate::number::of(1..=u64::from(u32::MAX)))]
        limit: Option<u64>,
    },
}

impl Command {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        let (tenant, service, event_type, after, limit) = match self {
            Self::Lag { service } => return lag::run(context, context::services(service.as_deref())?).await,
            Self::Tail { tenant, service, event_type, after, limit } => (tenant, service, event_type, after, limit),
        };
        let services = context::services(service.as_deref())?;
        if after.is_some_and(|after| after > Position::START) {
            check_one_log(&services, "--after is a position")?;
        }
        check_types(&services, None, event_type.as_deref())?;
        let tenant = context.tenant(&tenant).await?;
        if let Some(after) = after.filter(|after| *after > Position::START) {
            for service in &services {
                let store = context.store(*service).await?;
                let end = end_of(&store, [after]).await;
                store.close().await;
                end?;
            }
        }
        let bus = context.bus().await?;
        let mut feeds = Vec::new();
        for service in services {
            let after = match after {
                Some(after) => after,
                None => bus.stream_state(service).await?.map_or(Position::START, |state| Position(state.last)),
            };
            feeds.push(bus.feed(service, after.next()).boxed());
        }
        let mut feed = stream::select_all(feeds);
        let mut left = limit.unwrap_or(u64::MAX);
        let mut line = Vec::new();
        while left > 0 {
            let events = feed.next().await.ok_or_else(|| anyhow!("the feed ended"))??;
            for event in events {
                let wanted =
                    event.tenant == tenant && event_type.as_ref().is_none_or(|wanted| *wanted == event.event_type);
                if wanted && left > 0 {
                    left -= 1;
                    line.clear();
                    ndjson::write_line(&mut line, &event);
                    output::print(String::from_utf8_lossy(line.trim_ascii_end()))?;
                }
            }
        }
        Ok(())
    }
}
