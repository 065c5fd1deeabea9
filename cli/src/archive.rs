//! `inopsio archive`: moves cold streams out of the hot tables.

use anyhow::{Context as _, Result, ensure};
use chrono::TimeDelta;
use directory::admin_options;
use eventstore::archive::{Archiver, ColdTotal, Sizes};
use kernel::{Clock, Service, SystemClock};
use serde::Serialize;

use crate::context::{self, Context};
use crate::output::{self, Format};
use crate::progress;

/// The maximum age: a hundred years.
const MOST_DAYS: u32 = 36_500;

/// Archives streams without recent events: moves them out of the hot tables; they remain readable everywhere
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  inopsio archive --older-than-days 365 --dry-run
  inopsio archive --older-than-days 365 --service crm

A stream is archived when its last event was recorded that many days ago. Its events move to log.archived, which queries of log.events
read too: commands, replays, rebuilds, backups and proofs work as before. The command may run while the system is in use and may be
interrupted at any time; run it from a timer.")]
pub struct Archive {
    /// Number of days without a new event in a stream
    #[arg(long, value_name = "DAYS", value_parser = crate::number::of(0..=MOST_DAYS))]
    older_than_days: u32,
    /// Only streams of this service
    #[arg(long)]
    service: Option<String>,
    /// Only reports what would be moved
    #[arg(long)]
    dry_run: bool,
    /// Approximate number of events moved in one transaction
    #[arg(long, value_name = "EVENTS", default_value_t = 5_000, value_parser = crate::number::of(1..=1_000_000_u64))]
    batch: u64,
    /// Rewrites the hot tables afterwards, so that their files shrink; the service is blocked meanwhile
    #[arg(long, conflicts_with = "dry_run")]
    compact: bool,
}

/// The result of archiving one service, or of a dry run.
#[derive(Debug, Serialize)]
struct Done {
    service: &'static str,
    streams: u64,
    events: u64,
    row_bytes: u64,
    hot_bytes_before: u64,
    hot_bytes: u64,
    archived_bytes_before: u64,
    archived_bytes: u64,
}

impl Archive {
    /// Runs the command: archives each selected service and prints a row for each.
    pub async fn run(self, context: &Context) -> Result<()> {
        ensure!(self.batch > 0, "--batch 0 is not allowed; allowed is a number from 1");
        let mut done = Vec::new();
        for service in context::services(self.service.as_deref())? {
            done.push(self.service(context, service).await.with_context(|| format!("the log of {service}"))?);
        }
        if context.format == Format::Json {
            return output::print_json(&done);
        }
        let mib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
        let mut table = output::table(["service", "streams", "events", "hot MiB before", "hot MiB", "archive MiB"]);
        for one in &done {
            table.add_row([
                one.service.to_owned(),
                one.streams.to_string(),
                one.events.to_string(),
                mib(one.hot_bytes_before),
                mib(one.hot_bytes),
                mib(one.archived_bytes),
            ]);
        }
        output::print(table)?;
        output::print(if self.dry_run { "nothing was moved: a dry run" } else { "moved; everything still reads them" })
    }

    async fn service(&self, context: &Context, service: Service) -> Result<Done> {
        let (admin, database) = (admin_options(&context.config)?, context.config.database(service));
        let mut archiver = Archiver::begin(&admin, &database, self.dry_run).await?;
        let before = archiver.sizes().await?;
        let since = SystemClock.now() - TimeDelta::days(i64::from(self.older_than_days));
        let mut cold = archiver.cold(since).await?;
        let ColdTotal { streams, events, bytes } = cold.total;
        let (mut moved, mut after) = (events, before);
        if self.dry_run {
            cold.close().await?;
        } else {
            let bar = progress::bar(events, "events");
            moved = 0;
            loop {
                let batch = cold.next(self.batch).await?;
                if batch.is_empty() {
                    break;
                }
                moved += archiver.run(&batch).await?;
                bar.set_position(moved);
            }
            bar.finish_and_clear();
            cold.close().await?;
            after = archiver.finish(self.compact).await?;
        }
        let (Sizes { hot, archived }, Sizes { hot: hot_before, archived: archived_before }) = (after, before);
        Ok(Done {
            service: service.name(),
            streams,
            events: moved,
            row_bytes: bytes,
            hot_bytes_before: hot_before,
            hot_bytes: hot,
            archived_bytes_before: archived_before,
            archived_bytes: archived,
        })
    }
}
