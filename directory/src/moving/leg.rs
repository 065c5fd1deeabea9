//! A service of a tenant on its way: its history between the two cells, and what rests on it there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use config::Config;
use coordinator::passed_over;
use eventstore::transfer::{Transfer, TransferError};
use eventstore::{Database, EventStore};
use executor::{Executor, Settings};
use kernel::{Clock, SystemClock, SystemIds, TenantId};
use nats::Bus;
use projector::ReadModels;
use sqlx::postgres::PgConnectOptions;

use super::beside;
use super::error::{MoveError, Result, at};
use crate::holdings::Holdings;
use crate::place::Moving;

/// How often it is looked whether nothing is parked any more.
const OFTEN: Duration = Duration::from_millis(50);

/// A service on its way.
pub(super) struct Leg {
    pub(super) holdings: Holdings,
    pub(super) transfer: Transfer,
    tenant: TenantId,
    moving: Moving,
    /// The new cell's database, as a superuser and by its roles.
    admin: PgConnectOptions,
    database: Database,
    read_models: ReadModels,
}

impl Leg {
    /// Connects to both cells and compares what the new one has.
    pub(super) async fn begin(
        holdings: Holdings,
        config: &Config,
        tenant: TenantId,
        moving: &Moving,
        from: &PgConnectOptions,
        to: PgConnectOptions,
    ) -> Result<Self> {
        let begun = Transfer::begin(holdings.service, tenant, from, &to).await;
        let mut transfer = at(&moving.to, begun, holdings.service.name())?;
        if holdings.sagas.is_some() {
            // What has yet to be looked at is asked for after the turning point, when it is too late for that.
            for cell in [&moving.from, &moving.to] {
                let there = if *cell == moving.from { transfer.old() } else { transfer.new_cell() };
                if !passed_over::is_migrated(there).await? {
                    let service = holdings.service;
                    at::<()>(cell, Err(TransferError::NotMigrated(service)), service.name())?;
                }
            }
        }
        let mut database = config.database(holdings.service);
        (database.host, database.port) = (to.get_host().to_owned(), to.get_port());
        database.socket = to.get_socket().cloned();
        let read_models = ReadModels::new(&database, &holdings.projections, None);
        Ok(Self { holdings, transfer, tenant, moving: moving.clone(), admin: to, database, read_models })
    }

    /// Copies what the new cell has not; how many events that were.
    pub(super) async fn round(&mut self, bus: Option<&Bus>) -> Result<u64> {
        let service = self.holdings.service;
        let copied = at(&self.moving.to, self.transfer.round().await, service.name())?;
        if let Some(bus) = bus.filter(|_| copied > 0) {
            bus.wake(service).await;
        }
        Ok(copied)
    }

    /// Waits until the new cell's read models have what was copied.
    pub(super) async fn follow(&self, patience: Duration) -> Result<()> {
        let wanted = self.transfer.last();
        self.read_models.wait_for(self.tenant, wanted, patience).await.map_err(|behind| MoveError::Behind {
            service: self.holdings.service.name(),
            cell: self.moving.to.clone(),
            reached: behind.reached.0,
            wanted: wanted.0,
        })
    }

    /// Builds the new cell's read models, and the rows of sagas, anew where they lack what was purged before it came back, or what people
    /// decided about dead letters; whether that was so.
    pub(super) async fn build_anew(&mut self, config: &Config, news: &dyn Fn(&str)) -> Result<bool> {
        let (service, cell) = (self.holdings.service.name(), self.moving.to.clone());
        if !at(&cell, self.transfer.is_to_be_built_anew().await, service)? {
            return Ok(false);
        }
        if !self.holdings.projections.is_empty() || self.holdings.sagas.is_some() {
            let store = EventStore::open(&self.database, config.log_settings(), Arc::new(SystemClock)).await;
            let store =
                store.map_err(|error| MoveError::Transfer { service, cell: cell.clone(), error: error.into() })?;
            for projection in &self.holdings.projections {
                news(&format!(
                    "{} in the cell {cell} is built anew: what it had was purged, or decided otherwise",
                    projection.name()
                ));
                let built = projector::rebuild(&self.admin, &self.database, &store, projection.as_ref(), |_| {}).await;
                built.map_err(|error| MoveError::NotBuilt { service, cell: cell.clone(), error: error.to_string() })?;
            }
            if let Some(sagas) = &self.holdings.sagas {
                let settings = Settings::without_claims();
                let executor = Executor::new(store.clone(), Arc::new(SystemClock), Arc::new(SystemIds), settings);
                let repository = sagas.repository(executor);
                let recalled =
                    coordinator::recall(&self.database, &store, &*repository, self.tenant, SystemClock.now()).await;
                recalled.map_err(|error| MoveError::NotBuilt {
                    service,
                    cell: cell.clone(),
                    error: error.to_string(),
                })?;
            }
            store.close().await;
        }
        at(&cell, self.transfer.built_anew().await, service)?;
        Ok(true)
    }

    /// Takes along what people decided about dead letters until now; whether read models of the new cell have taken events otherwise, and are
    /// to be built anew. They have to have all that was copied.
    pub(super) async fn decided(&mut self) -> Result<bool> {
        let (cell, service) = (self.moving.to.clone(), self.holdings.service.name());
        let mut opening = at(&cell, self.transfer.open().await, service)?;
        let overruled = at(&cell, beside::decisions(&mut opening, &self.holdings.read_models()).await, service)?;
        at(&cell, opening.keep().await, service)?;
        Ok(overruled)
    }

    /// That nothing of the tenant is parked where it lives.
    pub(super) async fn settled_here(&mut self) -> Result<()> {
        let reason = beside::unsettled(self.transfer.old(), self.tenant).await?;
        reason.map_or(Ok(()), |reason| Err(self.unsettled(&reason, &self.moving.from)))
    }

    /// Waits until nothing of the tenant is parked in the new cell.
    pub(super) async fn settled_there(&mut self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        while let Some(reason) = beside::unsettled(self.transfer.new_cell(), self.tenant).await? {
            if Instant::now() >= deadline {
                return Err(self.unsettled(&reason, &self.moving.to));
            }
            tokio::time::sleep(OFTEN).await;
        }
        Ok(())
    }

    fn unsettled(&self, reason: &str, cell: &str) -> MoveError {
        MoveError::Unsettled(format!("{}: {reason} in the cell {cell}", self.holdings.service))
    }
}
