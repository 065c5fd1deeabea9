//! Metrics of the database pools, which are read when `/metrics` is requested.

use eventstore::PoolUse;
use face::{ReadSide, Runtime};
use kernel::Service;

/// The pools of this process: those of its services, and those for the read models of services in other processes.
#[derive(Clone)]
pub struct Pools {
    services: Vec<Runtime>,
    read_sides: Vec<ReadSide>,
}

impl Pools {
    /// The pools of these services.
    pub fn new(services: impl IntoIterator<Item = Runtime>, read_sides: &[ReadSide]) -> Self {
        metrics::describe_gauge!("inopsio_pool_connections", "Open database connections by pool and state");
        metrics::describe_gauge!("inopsio_pool_connections_max", "Maximum number of database connections of a pool");
        Self { services: services.into_iter().collect(), read_sides: read_sides.to_vec() }
    }

    /// Sets the gauges to the current values.
    pub fn observe(&self) {
        for read_side in &self.read_sides {
            gauge(read_side.service, read_side.read_models.pool());
        }
        for runtime in &self.services {
            runtime.store.pools().into_iter().chain(runtime.jobs.pools()).for_each(|pool| gauge(runtime.service, pool));
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
