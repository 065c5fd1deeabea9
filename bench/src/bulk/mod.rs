//! What ours does in bulk, with one tenant that has a million events: filling the log and the stream, catching up, rebuilding,
//! replaying. In a database and on a nats-server of its own, so that nothing else is in them.

mod history;
mod partitions;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use eventstore::{Database, EventStore};
use kernel::{Position, Service, SystemClock, TenantId};
use nats::{Bus, Credentials};
use projector::{Projection, Projector};
use testbed::Nats;
use tokio_util::sync::CancellationToken;

pub use self::partitions::Partitions;
use crate::ground::Ground;
use crate::target::Inopsio;

const CRM: Service = Service::new("crm");

const DATABASE: &str = "bench_bulk";

/// What takes longer than this is an error.
const PATIENCE: Duration = Duration::from_mins(3);

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Bulk {
    /// Events in the log.
    pub events: u64,
    /// Events per second into the log, in large appends.
    pub append_per_s: f64,
    /// Events per second from the log into an empty stream.
    pub relay_per_s: f64,
    /// Events per second into the read model of leads, from its beginning.
    pub catch_up_per_s: f64,
    /// The same with two tenants, as one partition and as two.
    pub partitions: Partitions,
    /// Seconds to rebuild the read model of leads.
    pub rebuild_s: f64,
    /// Events per second as NDJSON by `inopsio replay`, its start and end included.
    pub replay_per_s: f64,
}

/// Measures all, one after the other. `step` is told what comes next.
pub async fn measure(inopsio: &Inopsio, ground: &Ground, events: u64, step: impl Fn(&str)) -> anyhow::Result<Bulk> {
    let inopsio = inopsio.with_database(DATABASE);
    inopsio.run(&["migrate"]).await?;
    let tenant = inopsio.tenant("bench-bulk").await?;
    let database = ground.database(CRM, DATABASE);
    let store = EventStore::open(&database, eventstore::Settings::default(), Arc::new(SystemClock)).await?;
    let nats = Nats::start().await;
    let bus = Bus::connect(&nats::Settings::new(nats.url(), Credentials::None, "inopsio bench")).await?;

    step("filling the log");
    let append_per_s = per_second(events, history::fill(&store, vouched(tenant.id), events).await?);
    let head = store.head().await?;
    ensure!(head == Position(events), "the log holds {head} events instead of {events}");
    step("filling the stream");
    let relay_per_s = per_second(events, relay(&store, &bus, head).await?);
    step("catching up");
    let catch_up_per_s = per_second(events, catch_up(&database, &store, &bus, &[vouched(tenant.id)], head).await?);
    step("rebuilding");
    let rebuilt =
        projector::rebuild(&ground.admin(), &database, &store, &crm_projections::leads::Leads, |_| {}).await?;
    ensure!(rebuilt.position == head && rebuilt.parked_events == 0, "the rebuild is not complete: {rebuilt:?}");
    store.close().await;
    step("catching up as one partition and as two");
    let partitions = partitions::measure(&inopsio, ground, &bus, events).await?;
    step("replaying");
    let replay = inopsio.time(&["replay", "--tenant", &tenant.slug]).await?;
    Ok(Bulk {
        events,
        append_per_s,
        relay_per_s,
        catch_up_per_s,
        partitions,
        rebuild_s: rebuilt.took.as_secs_f64(),
        replay_per_s: per_second(events, replay),
    })
}

#[expect(clippy::disallowed_methods, reason = "the tenant was made for this benchmark a moment ago")]
fn vouched(id: uuid::Uuid) -> TenantId {
    TenantId::vouched(id)
}

fn per_second(events: u64, took: Duration) -> f64 {
    events as f64 / took.as_secs_f64()
}

/// From nothing in the stream to everything.
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

/// From nothing in the read model to everything.
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
