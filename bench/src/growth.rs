//! Whether appends become more expensive as the log grows: measures the same appends with a short log and with one that is a hundred times
//! as long, in turns, each in a database of its own. It runs only on request, because filling the long log takes minutes and gigabytes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use crm_aggregates::{LeadAssigned, LeadEvent};
use eventstore::{Append, CommandRecord, EventStore, NewEvent, StreamAppend};
use futures::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;
use kernel::{Clock, Event, EventMetadata, IdSource, Position, Service, SystemClock, SystemIds, TenantId};
use sqlx::PgPool;

use crate::bulk::history;
use crate::commands::median;
use crate::infrastructure::Infrastructure;
use crate::report::{Results, show, table};
use crate::run::Options;
use crate::target::Inopsio;

const CRM: Service = Service::new("crm");

/// Number of turns. The two logs take turns, so that changes of the machine's load affect both.
const TURNS: usize = 8;

/// Number of appends of each kind in a turn; each adds one event to a lead.
const PROBES: usize = 10_000;

/// Number of existing leads to append to; each turn uses as many of them as it has appends.
const LEADS: usize = 40_000;

/// Concurrent appends, as of this number of clients.
const AT_ONCE: usize = 64;

/// The leads that are appended to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Existing leads, evenly spread over the log: the worst case, because each is in another page of the index.
    Anywhere,
    /// New leads, created by the append.
    New,
}

const KINDS: [(Kind, &str, &str); 2] =
    [(Kind::Anywhere, "", "to a lead anywhere"), (Kind::New, "new_", "to a new lead")];

/// The figures of one kind of appends for one log, by turn.
#[derive(Clone, Debug, Default)]
struct Costs {
    /// Processor time of Postgres per append in µs.
    postgres_us: Vec<f64>,
    /// Appends per second.
    per_s: Vec<f64>,
}

/// A log of a certain length in a database of its own.
struct Log {
    key: &'static str,
    store: EventStore,
    tenant: TenantId,
    /// Number of events before the measurement.
    events: u64,
    /// Existing leads with their versions, in random order.
    leads: Vec<(String, u64)>,
    /// Index of the lead that is appended to next.
    next: usize,
    /// The figures for each of [`KINDS`].
    costs: [Costs; 2],
}

/// Measures appends for both lengths and prints the figures.
pub async fn part(
    options: &Options,
    inopsio: &Inopsio,
    infrastructure: &Infrastructure,
    results: &mut Results,
) -> anyhow::Result<()> {
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let lengths = [("short", options.growth_events / 100), ("long", options.growth_events)];
    let logs = measure(inopsio, infrastructure, &lengths, |step| bar.set_message(step.to_owned())).await?;
    bar.finish_and_clear();
    let mut rows = Vec::new();
    for log in &logs {
        results.number(&format!("growth.{}.events", log.key), log.events as f64);
        for ((_, key, what), costs) in KINDS.iter().zip(&log.costs) {
            let (cost, rate) = (median(&costs.postgres_us), median(&costs.per_s));
            results.number(&format!("growth.{}.{key}append_us", log.key), cost);
            results.number(&format!("growth.{}.{key}append_per_s", log.key), rate);
            rows.push(vec![show(log.events as f64), (*what).to_owned(), show(cost), show(rate)]);
        }
    }
    if let [short, long] = logs.as_slice() {
        for (number, (_, key, _)) in KINDS.iter().enumerate() {
            let (short, long) = (&short.costs[number].postgres_us, &long.costs[number].postgres_us);
            results.number(&format!("growth.{key}ratio"), crate::commands::ratio(long, short));
        }
    }
    println!("{}", table(&["events in the log", "an append", "µs CPU of Postgres", "appends/s"], rows));
    Ok(())
}

/// Fills a log of each length (multiples of 400), and measures the appends in turns.
async fn measure(
    inopsio: &Inopsio,
    infrastructure: &Infrastructure,
    lengths: &[(&'static str, u64)],
    step: impl Fn(&str),
) -> anyhow::Result<Vec<Log>> {
    let mut logs = Vec::new();
    for (key, length) in lengths {
        step(&format!("filling a log with {length} events"));
        logs.push(Log::filled(inopsio, infrastructure, key, *length).await?);
    }
    for turn in 0..TURNS {
        step(&format!("appending, turn {} of {TURNS}", turn + 1));
        for log in &mut logs {
            for (number, (kind, ..)) in KINDS.iter().enumerate() {
                log.turn(infrastructure, number, *kind, turn).await?;
            }
        }
    }
    for log in &logs {
        log.store.close().await;
    }
    Ok(logs)
}

impl Log {
    async fn filled(
        inopsio: &Inopsio,
        infrastructure: &Infrastructure,
        key: &'static str,
        length: u64,
    ) -> anyhow::Result<Self> {
        let name = format!("bench_growth_{key}");
        let inopsio = inopsio.with_database(&name);
        inopsio.run(&["migrate"]).await?;
        let tenant = vouched(inopsio.tenant(&format!("bench-growth-{key}")).await?.id);
        let database = infrastructure.database(CRM, &name);
        let store = EventStore::open(&database, eventstore::Settings::default(), Arc::new(SystemClock)).await?;
        history::fill(&store, tenant, length).await?;
        let Position(events) = store.head().await?;
        ensure!(events + history::APPEND > length, "the log holds {events} events instead of {length}");
        let pool = infrastructure.pool(&name);
        // Autovacuum would run at some time during the measurement, so do its work now. A checkpoint writes all changes to disk.
        sqlx::raw_sql("VACUUM (FREEZE, ANALYZE) log.events").execute(&pool).await?;
        sqlx::raw_sql("VACUUM (FREEZE, ANALYZE) log.commands").execute(&pool).await?;
        sqlx::raw_sql("CHECKPOINT").execute(&pool).await?;
        let leads = leads(&pool, events).await?;
        Ok(Self { key, store, tenant, events, leads, next: 0, costs: Default::default() })
    }

    /// Runs the appends of one kind and records their cost.
    async fn turn(
        &mut self,
        infrastructure: &Infrastructure,
        number: usize,
        kind: Kind,
        turn: usize,
    ) -> anyhow::Result<()> {
        let appends = (0..PROBES).map(|probe| {
            let command = format!("growth-{kind:?}-{turn}-{probe}");
            match kind {
                Kind::New => append(self.tenant, &command, &SystemIds.next().to_string(), 0),
                Kind::Anywhere => {
                    let at = self.next;
                    self.next = (at + 1) % self.leads.len();
                    let (lead, version) = &mut self.leads[at];
                    *version += 1;
                    append(self.tenant, &command, lead, *version - 1)
                }
            }
        });
        let appends = appends.collect::<anyhow::Result<Vec<_>>>()?;
        let before = infrastructure.used()?.postgres;
        let started = Instant::now();
        // Each lead is used again only after all others, so concurrent appends are never to the same lead.
        stream::iter(appends.into_iter().map(|append| self.store.append(append)))
            .buffer_unordered(AT_ONCE)
            .map_err(anyhow::Error::from)
            .try_for_each(|_| async { Ok(()) })
            .await?;
        let took = started.elapsed();
        let costs = &mut self.costs[number];
        costs.postgres_us.push((infrastructure.used()?.postgres - before) * 1e6 / PROBES as f64);
        costs.per_s.push(PROBES as f64 / took.as_secs_f64());
        Ok(())
    }
}

/// Leads with their versions, evenly spread over the log, in random order.
async fn leads(pool: &PgPool, events: u64) -> anyhow::Result<Vec<(String, u64)>> {
    let found: Vec<(String, i64)> = sqlx::query_as(
        "SELECT aggregate_id, max(sequence) FROM log.events
         WHERE aggregate_id IN (
             SELECT e.aggregate_id FROM generate_series(1, $2, greatest($2 / $1, 1)) AS p (position)
             JOIN log.events e ON e.position = p.position AND e.aggregate_type = 'crm.lead')
         GROUP BY aggregate_id ORDER BY md5(aggregate_id) LIMIT $1",
    )
    .bind(LEADS as i64)
    .bind(events as i64)
    .fetch_all(pool)
    .await?;
    ensure!(found.len() > AT_ONCE, "there are too few leads: {}", found.len());
    Ok(found.into_iter().map(|(id, version)| (id, version as u64)).collect())
}

fn append(tenant: TenantId, command_id: &str, lead: &str, expected: u64) -> anyhow::Result<Append> {
    let (now, request) = (SystemClock.now(), SystemIds.next());
    let metadata = EventMetadata {
        actor: "bench".to_owned(),
        command_id: command_id.to_owned(),
        correlation_id: request,
        causation_id: request,
        occurred_at: now,
        traceparent: None,
        permissions: None,
    };
    let event: LeadEvent = LeadAssigned { owner: "rep-7".to_owned() }.into();
    let event = NewEvent {
        event_id: SystemIds.next(),
        event_type: event.name(),
        event_version: event.version(),
        payload: serde_json::to_string(&event)?,
        metadata: serde_json::to_string(&metadata)?.into(),
        occurred_at: now,
    };
    let stream =
        StreamAppend { aggregate_type: "crm.lead", aggregate_id: lead.to_owned(), expected, events: vec![event] };
    Ok(Append {
        tenant,
        command: CommandRecord { id: command_id.to_owned(), request_hash: [0; 32], answer: "{}".to_owned() },
        streams: vec![stream],
        claims: Vec::new(),
    })
}

#[expect(clippy::disallowed_methods, reason = "the tenant was made for this benchmark a moment ago")]
fn vouched(id: uuid::Uuid) -> TenantId {
    TenantId::vouched(id)
}
