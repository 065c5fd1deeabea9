//! Whether an append costs more when the log is long: the same appends behind a short log and behind one a hundred times as long.
//! In a database of its own. Only when it is asked for: filling the log takes minutes and gigabytes.

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
use crate::ground::Ground;
use crate::report::{Results, show, table};
use crate::run::Options;
use crate::target::Inopsio;

const CRM: Service = Service::new("crm");

const DATABASE: &str = "bench_growth";

/// Appends that are measured: each adds one event to a lead that is somewhere in the log.
const PROBES: u64 = 40_000;

/// Of these under way at once, as of so many clients.
const AT_ONCE: usize = 64;

/// What an append costs behind a log of this length.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Events in the log before.
    pub events: u64,
    /// Processor time of Postgres in µs.
    pub postgres_us: f64,
    /// Appends per second.
    pub per_s: f64,
}

/// Measures behind the two lengths, and shows what an append costs.
pub async fn part(options: &Options, inopsio: &Inopsio, ground: &Ground, results: &mut Results) -> anyhow::Result<()> {
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let lengths = [options.growth_events / 100, options.growth_events];
    let points = measure(inopsio, ground, &lengths, |step| bar.set_message(step.to_owned())).await?;
    bar.finish_and_clear();
    let mut rows = Vec::new();
    for (key, point) in ["short", "long"].iter().zip(&points) {
        results.number(&format!("growth.{key}.events"), point.events as f64);
        results.number(&format!("growth.{key}.append_us"), point.postgres_us);
        results.number(&format!("growth.{key}.append_per_s"), point.per_s);
        rows.push(vec![show(point.events as f64), show(point.postgres_us), show(point.per_s)]);
    }
    if let [short, long] = points.as_slice() {
        results.number("growth.ratio", long.postgres_us / short.postgres_us);
    }
    println!("{}", table(&["events in the log", "an append: µs CPU of Postgres", "appends/s"], rows));
    Ok(())
}

/// Measures at each of these lengths (multiples of 400), the shortest first.
pub async fn measure(
    inopsio: &Inopsio,
    ground: &Ground,
    lengths: &[u64],
    step: impl Fn(&str),
) -> anyhow::Result<Vec<Point>> {
    let inopsio = inopsio.with_database(DATABASE);
    inopsio.run(&["migrate"]).await?;
    let tenant = inopsio.tenant("bench-growth").await?;
    let tenant = vouched(tenant.id);
    let database = ground.database(CRM, DATABASE);
    let store = EventStore::open(&database, eventstore::Settings::default(), Arc::new(SystemClock)).await?;
    let look = ground.pool(DATABASE);
    let (mut points, mut appends) = (Vec::new(), 0);
    for length in lengths {
        let Position(head) = store.head().await?;
        step(&format!("filling the log up to {length} events"));
        // Behind the probes of the point before, which are events, too.
        appends = history::fill_from(&store, tenant, appends, length.saturating_sub(head)).await?;
        let Position(events) = store.head().await?;
        ensure!(events + history::APPEND > *length, "the log holds {events} events instead of {length}");
        // What was written is on disk, and the pages that the log needs are no longer all in memory.
        sqlx::raw_sql("CHECKPOINT").execute(&look).await?;
        step(&format!("appending behind {events} events"));
        points.push(point(&store, tenant, ground, &look, events).await?);
    }
    store.close().await;
    Ok(points)
}

async fn point(
    store: &EventStore,
    tenant: TenantId,
    ground: &Ground,
    look: &PgPool,
    events: u64,
) -> anyhow::Result<Point> {
    let leads = leads(look, events).await?;
    let before = ground.used()?.postgres;
    let took = assign(store, tenant, leads, events).await?;
    let spent = ground.used()?.postgres - before;
    Ok(Point { events, postgres_us: spent * 1e6 / PROBES as f64, per_s: PROBES as f64 / took.as_secs_f64() })
}

/// Leads from everywhere in the log, with their versions; those that were made long ago and lately alike, in no order.
async fn leads(look: &PgPool, events: u64) -> anyhow::Result<Vec<(String, u64)>> {
    let found: Vec<(String, i64)> = sqlx::query_as(
        "SELECT aggregate_id, max(sequence) FROM log.events
         WHERE aggregate_id IN (
             SELECT e.aggregate_id FROM generate_series(1, $2, greatest($2 / $1, 1)) AS p (position)
             JOIN log.events e ON e.position = p.position AND e.aggregate_type = 'crm.lead')
         GROUP BY aggregate_id ORDER BY md5(aggregate_id) LIMIT $1",
    )
    .bind(PROBES as i64)
    .bind(events as i64)
    .fetch_all(look)
    .await?;
    ensure!(!found.is_empty(), "there are no leads");
    Ok(found.into_iter().map(|(id, version)| (id, version as u64)).collect())
}

/// Appends an event to each of the leads in turn, over and over, `PROBES` in all.
async fn assign(
    store: &EventStore,
    tenant: TenantId,
    mut leads: Vec<(String, u64)>,
    events: u64,
) -> anyhow::Result<Duration> {
    let mut appends = Vec::with_capacity(PROBES as usize);
    let count = leads.len();
    for number in 0..PROBES as usize {
        let (lead, version) = &mut leads[number % count];
        appends.push(append(tenant, &format!("growth-{events}-{number}"), lead, *version)?);
        *version += 1;
    }
    let started = Instant::now();
    // The same lead comes again only after all the others.
    stream::iter(appends.into_iter().map(|append| store.append(append)))
        .buffer_unordered(AT_ONCE)
        .map_err(anyhow::Error::from)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    Ok(started.elapsed())
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
