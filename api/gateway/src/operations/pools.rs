//! Metrics of the database pools, which are read when `/metrics` is requested.

use eventstore::PoolUse;
use face::{Reading, Runtime};
use kernel::Service;

/// The pools of this process: those of its services, and those for the read models of services in other processes.
#[derive(Clone)]
pub struct Pools {
    services: Vec<Runtime>,
    readings: Vec<Reading>,
}

impl Pools {
    /// The pools of these services.
    pub fn new(services: impl IntoIterator<Item = Runtime>, readings: &[Reading]) -> Self {
        metrics::describe_gauge!("inopsio_pool_connections", "Open database connections by pool and state");
        metrics::describe_gauge!("inopsio_pool_connections_max", "Maximum number of database connections of a pool");
        Self { services: services.into_iter().collect(), readings: readings.to_vec() }
    }

    /// Sets the gauges to the current values.
    pub fn observe(&self) {
        for reading in &self.readings {
            gauge(reading.service, reading.read_models.pool());
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
