//! Compares a read model with one and with two partitions when it catches up with the same log.

use std::sync::Arc;

use anyhow::ensure;
use eventstore::EventStore;
use eventstore::admin::Mode;
use kernel::{IdSource, SystemClock, SystemIds, TenantId};
use nats::Bus;
use projector::Projection;
use sqlx::{ConnectOptions, Connection, Executor};

use super::{CRM, catch_up, history, per_second, vouched};
use crate::infrastructure::Infrastructure;
use crate::target::Inopsio;

const DATABASE: &str = "bench_partitions";

/// The measured figures.
#[derive(Clone, Copy, Debug)]
pub struct Partitions {
    /// Events per second applied to the read model of leads as one partition.
    pub one_per_s: f64,
    /// The same as two partitions.
    pub two_per_s: f64,
}

/// Fills a log with the events of two tenants, one per partition, and measures how fast the read model of leads catches up.
pub(super) async fn measure(
    inopsio: &Inopsio,
    infrastructure: &Infrastructure,
    bus: &Bus,
    events: u64,
) -> anyhow::Result<Partitions> {
    inopsio.with_database(DATABASE).run(&["migrate"]).await?;
    let database = infrastructure.database(CRM, DATABASE);
    let store = EventStore::open(&database, eventstore::Settings::default(), Arc::new(SystemClock)).await?;
    let tenants = [0, 1].map(tenant);
    // Filled concurrently, so that both partitions have work from the first event to the last.
    let half = events / 2;
    futures::try_join!(history::fill(&store, tenants[0], half), history::fill(&store, tenants[1], half))?;
    let head = store.head().await?;
    ensure!(head.0 == half * 2, "the log holds {head} events instead of {}", half * 2);
    let mut per_s = Vec::new();
    for partitions in [1, 2] {
        projector::divide(&infrastructure.admin(), &database, "leads", partitions, Mode::Apply).await?;
        // Resetting the checkpoint is not enough: events can't be applied to rows that already have them.
        let leads = crm_projections::leads::Leads;
        let mut superuser = infrastructure.admin().database(&database.name).connect().await?;
        let tables = leads.tables().iter().map(|table| format!("crm.{table}")).collect::<Vec<_>>().join(", ");
        let anew = format!("TRUNCATE {tables}; UPDATE projector.checkpoints SET position = 0, reached = NULL");
        superuser.execute(anew.as_str()).await?;
        superuser.close().await?;
        per_s.push(per_second(head.0, catch_up(&database, &store, bus, &tenants, head).await?));
    }
    store.close().await;
    Ok(Partitions { one_per_s: per_s[0], two_per_s: per_s[1] })
}

/// A tenant whose id belongs to this one of two partitions.
fn tenant(partition: u32) -> TenantId {
    let mut ids = std::iter::repeat_with(|| SystemIds.next());
    let id = ids.find(|id| eventstore::partition_of(*id, 2) == partition);
    vouched(id.unwrap_or_default())
}
