//! The move of one service: copies the tenant's log of the service to the new cell, and brings the read models and sagas there up to date.

use std::sync::Arc;
use std::time::{Duration, Instant};

use config::Config;
use coordinator::skipped;
use eventstore::transfer::{Transfer, TransferError};
use eventstore::{Database, EventStore};
use executor::{Executor, Settings};
use kernel::{Clock, SystemClock, SystemIds, TenantId};
use nats::Bus;
use projector::ReadModels;
use sqlx::postgres::PgConnectOptions;

use super::error::{MoveError, Result, at};
use super::side_tables;
use crate::holdings::Holdings;
use crate::place::Moving;

/// How often to check whether dead letters remain.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The move of one service's data.
pub(super) struct ServiceMove {
    pub(super) holdings: Holdings,
    pub(super) transfer: Transfer,
    tenant: TenantId,
    moving: Moving,
    /// The new cell's database: the connection as a superuser, and the one for its roles.
    admin: PgConnectOptions,
    database: Database,
    read_models: ReadModels,
}

impl ServiceMove {
    /// Connects to both cells, and finds out what the new one already has.
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
            // Checked now, because these tables are needed after the cutover, when the move can no longer be undone.
            for cell in [&moving.from, &moving.to] {
                let there = if *cell == moving.from { transfer.old() } else { transfer.new_cell() };
                if !skipped::is_migrated(there).await? {
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

    /// Copies the events that the new cell lacks, and returns their number.
    pub(super) async fn round(&mut self, bus: Option<&Bus>) -> Result<u64> {
        let service = self.holdings.service;
        let copied = at(&self.moving.to, self.transfer.round().await, service.name())?;
        if let Some(bus) = bus.filter(|_| copied > 0) {
            bus.wake(service).await;
        }
        Ok(copied)
    }

    /// Waits until the new cell's read models have applied the copied events.
    pub(super) async fn wait_for_read_models(&self, patience: Duration) -> Result<()> {
        let wanted = self.transfer.last();
        self.read_models.wait_for(self.tenant, wanted, patience).await.map_err(|behind| MoveError::Behind {
            service: self.holdings.service.name(),
            cell: self.moving.to.clone(),
            reached: behind.reached.0,
            wanted: wanted.0,
        })
    }

    /// Rebuilds the new cell's read models and the rows of sagas, if they lack events of a copy that was purged before, or were built
    /// without operators' decisions about dead letters. Returns whether that was necessary.
    pub(super) async fn rebuild_if_needed(&mut self, config: &Config, news: &dyn Fn(&str)) -> Result<bool> {
        let (service, cell) = (self.holdings.service.name(), self.moving.to.clone());
        if !at(&cell, self.transfer.needs_rebuild().await, service)? {
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
                let rebuilt = coordinator::rebuild_instances(
                    &self.database,
                    &store,
                    &*repository,
                    self.tenant,
                    SystemClock.now(),
                )
                .await;
                rebuilt.map_err(|error| MoveError::NotBuilt {
                    service,
                    cell: cell.clone(),
                    error: error.to_string(),
                })?;
            }
            store.close().await;
        }
        at(&cell, self.transfer.record_rebuilt().await, service)?;
        Ok(true)
    }

    /// Copies operators' decisions about dead letters to the new cell. Returns whether read models there have applied events without such a
    /// decision and have to be rebuilt. The read models must have applied all copied events.
    pub(super) async fn copy_decisions(&mut self) -> Result<bool> {
        let (cell, service) = (self.moving.to.clone(), self.holdings.service.name());
        let mut opening = at(&cell, self.transfer.open().await, service)?;
        let overruled =
            at(&cell, side_tables::copy_decisions(&mut opening, &self.holdings.read_models()).await, service)?;
        at(&cell, opening.keep().await, service)?;
        Ok(overruled)
    }

    /// Fails if the tenant has dead letters in the old cell.
    pub(super) async fn check_old_settled(&mut self) -> Result<()> {
        let reason = side_tables::unsettled(self.transfer.old(), self.tenant).await?;
        reason.map_or(Ok(()), |reason| Err(self.unsettled(&reason, &self.moving.from)))
    }

    /// Waits until the tenant has no dead letters in the new cell; fails at the timeout.
    pub(super) async fn wait_until_new_settled(&mut self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        while let Some(reason) = side_tables::unsettled(self.transfer.new_cell(), self.tenant).await? {
            if Instant::now() >= deadline {
                return Err(self.unsettled(&reason, &self.moving.to));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    fn unsettled(&self, reason: &str, cell: &str) -> MoveError {
        MoveError::Unsettled(format!("{}: {reason} in the cell {cell}", self.holdings.service))
    }
}
