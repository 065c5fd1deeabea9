//! Metrics of the database pools, which are read when `/metrics` is requested.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use config::Config;
use directory::Directory;
use eventstore::PoolUse;

/// The pools of this process that stay open. Whoever opens one notes it here. Cheap to clone.
#[derive(Clone, Default)]
pub struct Pools(Arc<Mutex<Vec<Noted>>>);

/// To what some pools belong (a service, or the directory of tenants), and their present use.
type Noted = (&'static str, Box<dyn Fn() -> Vec<PoolUse> + Send + Sync>);

impl Pools {
    /// Describes the metrics.
    pub fn describe() {
        metrics::describe_gauge!("inopsio_pool_connections", "Open database connections by pool and state");
        metrics::describe_gauge!("inopsio_pool_connections_max", "Maximum number of database connections of a pool");
    }

    /// Notes pools of a service, or of the directory.
    pub fn note(&self, owner: &'static str, usage: impl Fn() -> Vec<PoolUse> + Send + Sync + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((owner, Box::new(usage)));
    }

    /// Opens the directory of tenants, and notes its pool.
    pub fn directory(&self, config: &Config) -> Directory {
        let directory = Directory::open(config);
        let known = directory.clone();
        self.note("directory", move || vec![known.connections()]);
        directory
    }

    /// Sets the gauges to the current values. Pools of the same name are added up: a process may open a log twice.
    pub fn observe(&self) {
        let mut all: BTreeMap<(&'static str, &'static str), PoolUse> = BTreeMap::new();
        for (owner, usage) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            for one in usage() {
                let sum = all.entry((owner, one.pool)).or_insert(PoolUse { idle: 0, busy: 0, max: 0, ..one });
                sum.idle += one.idle;
                sum.busy += one.busy;
                sum.max += one.max;
            }
        }
        for ((service, name), pool) in all {
            for (state, connections) in [("idle", pool.idle), ("busy", pool.busy)] {
                metrics::gauge!("inopsio_pool_connections", "service" => service, "pool" => name, "state" => state)
                    .set(connections);
            }
            metrics::gauge!("inopsio_pool_connections_max", "service" => service, "pool" => name).set(pool.max);
        }
    }
}
