//! How busy the database pools are, counted when somebody asks.

use eventstore::PoolUse;
use face::Runtime;
use kernel::Service;

/// The pools of the services of this process.
#[derive(Clone)]
pub struct Pools(Vec<Runtime>);

impl Pools {
    /// The pools of these services.
    pub fn new<'a>(services: impl IntoIterator<Item = &'a Runtime>) -> Self {
        metrics::describe_gauge!("inopsio_pool_connections", "Open database connections by pool and state");
        metrics::describe_gauge!("inopsio_pool_connections_max", "The most database connections that a pool may open");
        Self(services.into_iter().cloned().collect())
    }

    /// Sets the gauges to what is now.
    pub fn observe(&self) {
        for runtime in &self.0 {
            runtime
                .store
                .pools()
                .into_iter()
                .chain([runtime.read_models.pool()])
                .chain(runtime.jobs.pools())
                .for_each(|pool| gauge(runtime.service, pool));
        }
    }
}

fn gauge(service: Service, pool: PoolUse) {
    let (service, name) = (service.name(), pool.pool);
    for (state, connections) in [("idle", pool.idle), ("busy", pool.busy)] {
        metrics::gauge!("inopsio_pool_connections", "service" => service, "pool" => name, "state" => state)
            .set(connections);
    }
    metrics::gauge!("inopsio_pool_connections_max", "service" => service, "pool" => name).set(pool.max);
}
