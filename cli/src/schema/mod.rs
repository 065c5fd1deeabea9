//! `inopsio schema check`: checks that this program can read all stored events.

mod checker;
mod tally;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use eventstore::EventStore;
use indicatif::ProgressBar;
use kernel::{Position, Service};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use self::checker::Checker;
use self::tally::Tally;
use crate::context::{self, Context};
use crate::output::{self, Format};
use crate::progress;
use crate::selection::{check_one_log, end_of};

/// Number of events in a page.
const PAGE: u64 = 5_000;
/// Number of concurrent readers: while some wait for the log, the others check.
const READERS: usize = 4;

/// Checks the schemas of stored events
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Reads every stored event of every tenant as this program would, and compares it with its schema
    #[command(after_help = "Examples:
  inopsio schema check
  inopsio schema check --service crm --after 1000000 --format json

Run it with the new program before you release a change of events: it lists the events that could not be read any more, or that do
not match the contract. Retired versions are read through their upcasts. The exit code is 0 only if every event was read and
matches.")]
    Check {
        /// Only this service, such as crm; all unless given
        #[arg(long)]
        service: Option<String>,
        /// Only events after this position of the service's log, for example the end of an earlier check
        #[arg(long, value_name = "POSITION", default_value = "0", value_parser = crate::number::position)]
        after: Position,
        /// Number of invalid events shown per type and version
        #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = crate::number::of(0..=10_000_usize))]
        offenders: usize,
    },
}

impl Command {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        let Self::Check { service, after, offenders } = self;
        let services = context::services(service.as_deref())?;
        if after > Position::START {
            check_one_log(&services, "--after is a position")?;
        }
        let mut checked = Vec::new();
        for service in services {
            let store = context.store(service).await?;
            let outcome = check(service, &store, after, offenders).await;
            store.close().await;
            checked.push(outcome?);
        }
        match context.format {
            Format::Json => output::print_json(&checked.iter().map(Checked::as_json).collect::<Vec<_>>())?,
            Format::Text => checked.iter().try_for_each(Checked::print)?,
        }
        let bad: u64 = checked.iter().map(|checked| checked.tally.totals().1).sum();
        if bad > 0 {
            bail!("{bad} stored events can't be read by this program, or do not match their schema");
        }
        Ok(())
    }
}

/// The result for a service's log.
struct Checked {
    service: Service,
    head: Position,
    tally: Tally,
    seconds: f64,
}

/// The shared state of the readers of a log.
struct Work {
    store: EventStore,
    checker: Checker,
    /// The position after which the next page begins.
    next: AtomicU64,
    to: u64,
    shown: usize,
    bar: ProgressBar,
}

async fn check(service: Service, store: &EventStore, after: Position, shown: usize) -> Result<Checked> {
    let checker = Checker::new(&context::domain(service)?.aggregates)?;
    let began = Instant::now();
    // Later events are written by programs that know their types, so they need no check.
    let head = end_of(store, [after]).await?;
    let wanted = head.0 - after.0;
    let bar = progress::bar(wanted, "events");
    let work = Work { store: store.clone(), checker, next: AtomicU64::new(after.0), to: head.0, shown, bar };
    let work = Arc::new(work);
    let mut readers: JoinSet<Result<Tally>> = (0..READERS).map(|_| read(work.clone())).collect();
    let mut tally = Tally::default();
    while let Some(read) = readers.join_next().await {
        tally.add(read.context("a reader of the log ended")??, shown);
    }
    work.bar.finish_and_clear();
    let (events, _) = tally.totals();
    if events != wanted {
        bail!("the check of {service} is not complete: {events} events of {wanted}");
    }
    Ok(Checked { service, head, tally, seconds: began.elapsed().as_secs_f64() })
}

/// Checks pages until the end of the log is reached. Positions are dense, so each page is a fixed range of positions.
async fn read(work: Arc<Work>) -> Result<Tally> {
    let mut tally = Tally::default();
    loop {
        let after = work.next.fetch_add(PAGE, Ordering::Relaxed);
        if after >= work.to {
            return Ok(tally);
        }
        let (mut at, end) = (Position(after), Position((after + PAGE).min(work.to)));
        // `read_after` returns fewer events if they are large.
        while at < end {
            let events = work.store.read_after(at, u32::try_from(end.0 - at.0)?).await?;
            let Some(last) = events.last().map(|event| event.position) else { break };
            let events = work.store.opened(events).await?;
            for event in &events {
                tally.count(event, work.checker.check(event), work.shown);
            }
            work.bar.inc(events.len() as u64);
            at = last;
        }
    }
}

impl Checked {
    fn rate(&self) -> f64 {
        self.tally.totals().0 as f64 / self.seconds.max(1e-6)
    }

    fn as_json(&self) -> Value {
        let (events, bad) = self.tally.totals();
        let forms = self.tally.forms().map(|(name, version, found)| {
            json!({ "type": name, "version": version, "events": found.events, "bad": found.bad, "first": found.first })
        });
        json!({
            "service": self.service.name(),
            "head": self.head.0,
            "events": events,
            "bad": bad,
            "seconds": self.seconds,
            "events_per_second": self.rate().round(),
            "types": forms.collect::<Vec<_>>(),
        })
    }

    fn print(&self) -> Result<()> {
        let mut table = output::table(["type", "version", "events", "bad"]);
        for (name, version, found) in self.tally.forms() {
            table.add_row([name.to_owned(), version.to_string(), found.events.to_string(), found.bad.to_string()]);
        }
        output::print(table)?;
        for (name, version, found) in self.tally.forms() {
            for one in &found.first {
                output::print(format!(
                    "{name} version {version} at {}, of {} {} (tenant {}): {}",
                    one.position, one.aggregate_type, one.aggregate_id, one.tenant_id, one.reason
                ))?;
            }
        }
        let (events, bad) = self.tally.totals();
        output::print(format!(
            "{}: {events} events up to {}, {bad} bad, in {:.1} s ({:.0} events/s)",
            self.service,
            self.head,
            self.seconds,
            self.rate()
        ))
    }
}
