//! The sagas' port [`TenantResources`], implemented for this installation: creates and destroys a tenant's place in the directory, the
//! databases and the streams.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use config::Config;
use eventstore::{History, Role};
use futures::future::BoxFuture;
use kernel::{Service, SystemClock, TenantId};
use nats::{Bus, StreamSettings};
use sqlx::{ConnectOptions, Connection};
use user_sagas::{ResourceError, TenantResources, TenantStanding};

use crate::error::DirectoryError;
use crate::holdings::{Holdings, OF_TENANTS};
use crate::place::{DeletedHistory, Placed};
use crate::placements::{Placements, PlacementsError};
use crate::tenants::Directory;

/// The port to the keys that sign tenants' tokens.
pub trait KeyRings: Send + Sync + 'static {
    /// Creates the keys of a tenant, unless it has some.
    fn make(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), ResourceError>>;

    /// Revokes the keys of a tenant that is not created after all. Does nothing if it has none.
    fn close(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), ResourceError>>;
}

/// The places of tenants in this installation.
pub struct Installation {
    config: Config,
    directory: Directory,
    bus: Bus,
    /// What each service stores.
    holdings: Vec<Holdings>,
    rings: Arc<dyn KeyRings>,
}

impl Installation {
    /// Uses the databases and streams of the configuration, and its directory. `holdings` has an entry for each service.
    pub fn new(
        config: Config,
        directory: Directory,
        bus: Bus,
        holdings: Vec<Holdings>,
        rings: Arc<dyn KeyRings>,
    ) -> Self {
        Self { config, directory, bus, holdings, rings }
    }

    /// Checks that every service has its tables, and that all tables with tenants in them have row level security.
    async fn databases(&self) -> Result<(), ResourceError> {
        for service in self.holdings.iter().map(|held| held.service) {
            let transient =
                |error: sqlx::Error| ResourceError::Transient(format!("the database of {service}: {error}"));
            let options = self.config.database(service).options(Role::Read).disable_statement_logging();
            let mut connection = options.connect().await.map_err(transient)?;
            let (tables, open): (i64, i64) = sqlx::query_as(
                "SELECT count(*), count(*) FILTER (WHERE NOT (c.relrowsecurity AND c.relforcerowsecurity))
                 FROM pg_class c
                 JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
                 WHERE c.relkind IN ('r', 'p')",
            )
            .fetch_one(&mut connection)
            .await
            .map_err(transient)?;
            connection.close().await.map_err(transient)?;
            if tables == 0 || open > 0 {
                let reason = format!(
                    "the database of {service} has {tables} tables with tenants in them, {open} of them without row level \
                     security; run inopsio migrate"
                );
                return Err(ResourceError::Transient(reason));
            }
        }
        Ok(())
    }

    /// Checks that every service has its stream, and creates missing ones, as the service's relay would.
    async fn streams(&self) -> Result<(), ResourceError> {
        for service in self.holdings.iter().map(|held| held.service) {
            let transient = |error: nats::Error| ResourceError::Transient(format!("the stream of {service}: {error}"));
            if self.bus.stream_state(service).await.map_err(transient)?.is_none() {
                let settings = StreamSettings { replicas: self.config.nats.replicas, ..StreamSettings::default() };
                self.bus.ensure_stream(service, settings).await.map_err(transient)?;
            }
        }
        Ok(())
    }

    /// Records a deletion: when, the tenant's short name, which is then free, and the size and root hash of its history in each service.
    async fn record(&self, tenant: TenantId) -> Result<(), ResourceError> {
        let transient = |error: PlacementsError| ResourceError::Transient(error.to_string());
        let placements = Placements::of(&self.directory);
        let place = placements.place(tenant).await.map_err(transient)?;
        let slug = match self.directory.find(&tenant.to_string()).await {
            // It was deleted before; a restore from an older backup brought it back, and it is deleted again.
            Ok(found) => found.slug,
            Err(DirectoryError::Unknown(_)) if place.deleted => return Ok(()),
            // It never had an entry in the directory.
            Err(DirectoryError::Unknown(_)) => String::new(),
            Err(error) => return Err(failed(error)),
        };
        let mut services = Vec::with_capacity(self.holdings.len());
        for service in self.holdings.iter().map(|held| held.service) {
            let history = eventstore::history(&self.config.database(service), tenant).await;
            let History { events, root } =
                history.map_err(|error| ResourceError::Transient(format!("the log of {service}: {error}")))?;
            services.push(DeletedHistory { service: service.name().to_owned(), events, root: hex::encode(root) });
        }
        placements.note(tenant, place, Placed::Deleted { slug, services }, &SystemClock).await.map_err(transient)?;
        Ok(())
    }
}

fn failed(error: DirectoryError) -> ResourceError {
    match error {
        DirectoryError::Exists(slug) => ResourceError::Taken(slug),
        other => ResourceError::Transient(other.to_string()),
    }
}

impl TenantResources for Installation {
    fn reserve<'a>(
        &'a self,
        tenant: TenantId,
        slug: &'a str,
        name: &'a str,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<(), ResourceError>> {
        Box::pin(async move { self.directory.reserve(tenant, slug, name, at).await.map_err(failed) })
    }

    fn release(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), ResourceError>> {
        Box::pin(async move {
            let released = Placements::of(&self.directory).release(tenant, &SystemClock).await;
            released.map_err(|error| ResourceError::Transient(error.to_string()))
        })
    }

    fn open(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), ResourceError>> {
        Box::pin(async move { self.directory.open_place(tenant).await.map_err(failed) })
    }

    fn note_standing(&self, tenant: TenantId, standing: TenantStanding) -> BoxFuture<'_, Result<(), ResourceError>> {
        Box::pin(async move {
            match self.directory.note_standing(tenant, standing).await {
                Ok(true) => Ok(()),
                Ok(false) => Err(ResourceError::Transient("the tenant's place is not open yet".to_owned())),
                Err(error) => Err(failed(error)),
            }
        })
    }

    fn services(&self) -> Vec<Service> {
        let all = self.holdings.iter().map(|held| held.service);
        all.filter(|service| *service != OF_TENANTS).chain([OF_TENANTS]).collect()
    }

    fn record_deletion(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), ResourceError>> {
        Box::pin(self.record(tenant))
    }

    fn destroy(&self, tenant: TenantId, service: Service) -> BoxFuture<'_, Result<(), ResourceError>> {
        Box::pin(async move {
            let held = self.holdings.iter().find(|held| held.service == service);
            let read_models = held.map(Holdings::read_models).unwrap_or_default();
            let destroyed = eventstore::destroy(&self.config.database(service), tenant, &read_models).await;
            destroyed.map_err(|error| ResourceError::Transient(format!("the database of {service}: {error}")))
        })
    }

    fn check_databases(&self) -> BoxFuture<'_, Result<(), ResourceError>> {
        Box::pin(self.databases())
    }

    fn check_streams(&self) -> BoxFuture<'_, Result<(), ResourceError>> {
        Box::pin(self.streams())
    }

    fn make_keys(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), ResourceError>> {
        self.rings.make(tenant)
    }

    fn close_keys(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), ResourceError>> {
        self.rings.close(tenant)
    }
}
