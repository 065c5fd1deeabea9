//! Bulk work with one tenant that has a million events: filling the log and the stream, catching up, rebuilding, replaying. It uses a
//! separate database and nats-server, so that they contain nothing else.

pub mod history;
mod partitions;
mod rebuild_under_load;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use eventstore::{Database, EventStore};
use indicatif::ProgressBar;
use kernel::{Position, Service, SystemClock, TenantId};
use nats::{Bus, Credentials};
use projector::{Projection, Projector};
use sqlx::PgPool;
use testbed::Nats;
use tokio_util::sync::CancellationToken;

pub use self::partitions::Partitions;
use self::rebuild_under_load::RebuildUnderLoad;
use crate::cpu;
use crate::infrastructure::Infrastructure;
use crate::report::{Results, show, table};
use crate::run::Options;
use crate::target::Inopsio;

const CRM: Service = Service::new("crm");

const DATABASE: &str = "bench_bulk";

const LOG_BYTES: &str = "SELECT pg_total_relation_size('log.events') + pg_total_relation_size('log.commands')";

const VIEW_BYTES: &str = "SELECT pg_total_relation_size('crm.lead') + pg_total_relation_size('crm.lead_history')";

/// Maximum duration of a step.
const PATIENCE: Duration = Duration::from_mins(3);

/// The measured figures.
#[derive(Clone, Debug)]
pub struct Bulk {
    /// Number of events in the log.
    pub events: u64,
    /// Events per second appended to the log, in large appends.
    pub append_per_s: f64,
    /// Events per second published from the log to an empty stream.
    pub relay_per_s: f64,
    /// Events per second applied to an empty read model of leads.
    pub catch_up_per_s: f64,
    /// The same with two tenants, as one partition and as two.
    pub partitions: Partitions,
    /// Duration of a rebuild of the read model of leads in seconds.
    pub rebuild_s: f64,
    /// A rebuild under load.
    pub rebuild_under_load: RebuildUnderLoad,
    /// Events per second printed as NDJSON by `inopsio replay`, including its start and end.
    pub replay_per_s: f64,
    /// Resources per event.
    pub event: PerEvent,
}

/// Resources that one event takes: processor time in µs, and bytes on disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct PerEvent {
    /// Processor time of Postgres for the append.
    pub append_us: f64,
    /// Processor time of nats-server to store it.
    pub stream_us: f64,
    /// Processor time of Postgres to apply it to the read model of leads while that catches up.
    pub view_us: f64,
    /// Bytes in the log, with indexes and its share of the stored commands.
    pub log_bytes: f64,
    /// Bytes of write-ahead log for the append.
    pub wal_bytes: f64,
    /// Bytes in the stream.
    pub stream_bytes: f64,
    /// Bytes in the read model of leads, with history and indexes.
    pub view_bytes: f64,
}

/// Measures all figures and prints them.
pub async fn part(
    options: &Options,
    inopsio: &Inopsio,
    infrastructure: &Infrastructure,
    results: &mut Results,
) -> anyhow::Result<()> {
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let events = if options.quick { 20_000 } else { 1_000_000 };
    let mut bulk =
        measure(inopsio, infrastructure, events, |step| bar.set_message(format!("{events} events: {step}"))).await?;
    bar.finish_and_clear();
    let figures = [
        ("append_per_s", "into the log, in large appends: events/s", bulk.append_per_s),
        ("relay_per_s", "from the log into the stream: events/s", bulk.relay_per_s),
        ("catch_up_per_s", "one read model catching up: events/s", bulk.catch_up_per_s),
        ("partitions.one_per_s", "the same of two tenants, as one partition: events/s", bulk.partitions.one_per_s),
        ("partitions.two_per_s", "as two partitions: events/s", bulk.partitions.two_per_s),
        ("partitions.ratio", "two partitions, times one", bulk.partitions.two_per_s / bulk.partitions.one_per_s),
        ("rebuild_s", "one read model rebuilt: seconds", bulk.rebuild_s),
        ("rebuild_beside.s", "the same beside 1,000 commands/s: seconds", bulk.rebuild_under_load.rebuild_s),
        (
            "rebuild_beside.p50",
            "command to visible row meanwhile: p50 ms",
            bulk.rebuild_under_load.visible.percentile_ms(0.50),
        ),
        ("rebuild_beside.p99", "p99 ms", bulk.rebuild_under_load.visible.percentile_ms(0.99)),
        ("replay_per_s", "replay as NDJSON: events/s", bulk.replay_per_s),
    ];
    results.number("bulk_events", bulk.events as f64);
    for (name, _, figure) in figures {
        results.number(name, figure);
    }
    if let Some(raw) = results.get("raw.upsert_batched").filter(|raw| *raw > 0.0) {
        results.number("ratio.catch_up", bulk.catch_up_per_s / raw);
    }
    let event = bulk.event;
    let each = [
        ("event.append_us", "processor time to append: µs, Postgres", event.append_us),
        ("event.stream_us", "processor time to store: µs, nats-server", event.stream_us),
        ("event.view_us", "processor time to show while catching up: µs, Postgres", event.view_us),
        ("event.log_bytes", "log and commands: bytes", event.log_bytes),
        ("event.wal_bytes", "write-ahead log: bytes", event.wal_bytes),
        ("event.stream_bytes", "stream: bytes", event.stream_bytes),
        ("event.view_bytes", "read model of leads with history: bytes", event.view_bytes),
    ];
    for (name, _, figure) in each {
        results.number(name, figure);
    }
    println!("{}", table(&["one event takes", ""], each.map(|(_, what, figure)| vec![what.to_owned(), show(figure)])));
    let header = format!("{} events of a tenant", show(bulk.events as f64));
    println!("{}", table(&[&header, "ours"], figures.map(|(_, what, figure)| vec![what.to_owned(), show(figure)])));
    Ok(())
}

/// Measures all figures, one after the other. `step` is called with a description of each step before it begins.
pub async fn measure(
    inopsio: &Inopsio,
    infrastructure: &Infrastructure,
    events: u64,
    step: impl Fn(&str),
) -> anyhow::Result<Bulk> {
    let inopsio = inopsio.with_database(DATABASE);
    inopsio.run(&["migrate"]).await?;
    let tenant = inopsio.tenant("bench-bulk").await?;
    let database = infrastructure.database(CRM, DATABASE);
    let store = EventStore::open(&database, eventstore::Settings::default(), Arc::new(SystemClock)).await?;
    let nats = Nats::start().await;
    let bus = Bus::connect(&nats::Settings::new(nats.url(), Credentials::None, "inopsio bench")).await?;

    let pool = infrastructure.pool(DATABASE);
    let mut spent = Spent { infrastructure, events, before: infrastructure.used()?.postgres };
    let mut event = PerEvent::default();

    step("filling the log");
    let wal: String = sqlx::query_scalar("SELECT pg_current_wal_lsn()::text").fetch_one(&pool).await?;
    let append_per_s = per_second(events, history::fill(&store, vouched(tenant.id), events).await?);
    event.append_us = spent.in_postgres()?;
    event.wal_bytes = spent.share(&pool, &format!("SELECT (pg_current_wal_lsn() - '{wal}'::pg_lsn)::bigint")).await?;
    event.log_bytes = spent.share(&pool, LOG_BYTES).await?;
    let head = store.head().await?;
    ensure!(head == Position(events), "the log holds {head} events instead of {events}");
    step("filling the stream");
    let pid = nats.pid().context("the nats-server does not run")?;
    let used = cpu::seconds(pid)?;
    let relay_per_s = per_second(events, relay(&store, &bus, head).await?);
    event.stream_us = (cpu::seconds(pid)? - used) * 1e6 / events as f64;
    event.stream_bytes = stream_bytes(&nats.url()).await? as f64 / events as f64;
    step("catching up");
    spent.in_postgres()?;
    let catch_up_per_s = per_second(events, catch_up(&database, &store, &bus, &[vouched(tenant.id)], head).await?);
    event.view_us = spent.in_postgres()?;
    event.view_bytes = spent.share(&pool, VIEW_BYTES).await?;
    step("rebuilding");
    let rebuilt =
        projector::rebuild(&infrastructure.admin(), &database, &store, &crm_projections::leads::Leads, |_| {}).await?;
    ensure!(rebuilt.position == head && rebuilt.parked_events == 0, "the rebuild is not complete: {rebuilt:?}");
    store.close().await;
    step("catching up as one partition and as two");
    let partitions = partitions::measure(&inopsio, infrastructure, &bus, events).await?;
    step("replaying");
    let replay = inopsio.time(&["replay", "--tenant", &tenant.slug]).await?;
    step("rebuilding while commands come in");
    let rebuild_under_load =
        rebuild_under_load::measure(&inopsio.with_nats(&nats.url()), infrastructure, &tenant).await?;
    Ok(Bulk {
        events,
        append_per_s,
        relay_per_s,
        catch_up_per_s,
        partitions,
        rebuild_s: rebuilt.took.as_secs_f64(),
        rebuild_under_load,
        replay_per_s: per_second(events, replay),
        event,
    })
}

/// Measures what Postgres spends per event.
struct Spent<'a> {
    infrastructure: &'a Infrastructure,
    events: u64,
    before: f64,
}

impl Spent<'_> {
    /// Processor time of Postgres per event since the last call, in µs.
    fn in_postgres(&mut self) -> anyhow::Result<f64> {
        let used = self.infrastructure.used()?.postgres;
        let each = (used - self.before) * 1e6 / self.events as f64;
        self.before = used;
        Ok(each)
    }

    /// The result of a query (a single number), divided by the number of events.
    async fn share(&self, pool: &PgPool, query: &str) -> anyhow::Result<f64> {
        let all: i64 = sqlx::query_scalar(query).fetch_one(pool).await?;
        Ok(all as f64 / self.events as f64)
    }
}

async fn stream_bytes(url: &str) -> anyhow::Result<u64> {
    let jetstream = async_nats::jetstream::new(async_nats::connect(url).await?);
    let mut stream = jetstream.get_stream("EVENTS_CRM").await?;
    Ok(stream.info().await?.state.bytes)
}

#[expect(clippy::disallowed_methods, reason = "the tenant was made for this benchmark a moment ago")]
fn vouched(id: uuid::Uuid) -> TenantId {
    TenantId::vouched(id)
}

fn per_second(events: u64, took: Duration) -> f64 {
    events as f64 / took.as_secs_f64()
}

/// Publishes the whole log to an empty stream. Returns the duration.
async fn relay(store: &EventStore, bus: &Bus, head: Position) -> anyhow::Result<Duration> {
    let stop = CancellationToken::new();
    let started = Instant::now();
    let relay = tokio::spawn(eventstore::relay::Relay::new(store.clone(), bus.clone()).run(stop.clone()));
    until("the stream is not full", async || {
        Ok(bus.stream_state(CRM).await?.is_some_and(|state| state.last == head.0))
    })
    .await?;
    let took = started.elapsed();
    stop.cancel();
    relay.await?;
    Ok(took)
}

/// Applies the whole log to an empty read model. Returns the duration.
async fn catch_up(
    database: &Database,
    store: &EventStore,
    bus: &Bus,
    tenants: &[TenantId],
    head: Position,
) -> anyhow::Result<Duration> {
    let leads: Arc<dyn Projection> = Arc::new(crm_projections::leads::Leads);
    let settings = projector::Settings::default();
    let projector = Projector::new(database, store.clone(), bus.clone(), CRM, vec![leads], settings);
    let progress = projector.progress();
    let stop = CancellationToken::new();
    let started = Instant::now();
    let running = tokio::spawn(projector.run(stop.clone()));
    let all = || tenants.iter().all(|tenant| progress.reached(*tenant) == Some(head));
    until("the read model is not there", async || Ok(all())).await?;
    let took = started.elapsed();
    stop.cancel();
    running.await?;
    Ok(took)
}

async fn until(otherwise: &str, mut reached: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let looking = async {
        while !reached().await? {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, looking).await.with_context(|| format!("{otherwise} after {PATIENCE:?}"))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_small_history_goes_all_the_way() {
        let database = testbed::Database::fresh("crm").await;
        let leads: Arc<dyn Projection> = Arc::new(crm_projections::leads::Leads);
        projector::migrate(&database.admin(), &database, std::slice::from_ref(&leads)).await.unwrap();
        let store = EventStore::open(&database, eventstore::Settings::default(), Arc::new(SystemClock)).await.unwrap();
        let nats = Nats::start().await;
        let bus = Bus::connect(&nats::Settings::new(nats.url(), Credentials::None, "bench test")).await.unwrap();

        let tenant = testbed::tenant();
        history::fill(&store, tenant, 800).await.unwrap();
        let head = store.head().await.unwrap();
        assert_eq!(head, Position(800));
        relay(&store, &bus, head).await.unwrap();
        catch_up(&database, &store, &bus, &[tenant], head).await.unwrap();
        let rebuilt = projector::rebuild(&database.admin(), &database, &store, leads.as_ref(), |_| {}).await.unwrap();
        assert_eq!((rebuilt.position, rebuilt.parked_events), (head, 0));
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM crm.lead")
            .fetch_one(&sqlx::PgPool::connect_with(database.superuser()).await.unwrap())
            .await
            .unwrap();
        assert_eq!(rows, 200);
    }
}
