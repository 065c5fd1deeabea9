//! Where a tenant's place is made, and where it ends: the directory, the databases, the streams.

use auth_api::authority::open_ring;
use auth_commands::{CloseKeyRing, protocol};
use chrono::{DateTime, Utc};
use eventstore::{History, Role};
use futures::future::BoxFuture;
use kernel::{Clock, Service, SystemClock, TenantId};
use keys::SystemRandom;
use nats::{Bus, StreamSettings};
use sqlx::{ConnectOptions, Connection};
use user_sagas::{PlaceError, Places, Standing};

use crate::cells::atlas::{Atlas, AtlasError};
use crate::cells::placing::{DeletedHistory, Placed};
use crate::config::Config;
use crate::directory::{Directory, DirectoryError};
use crate::domains::{SERVICES, read_models};
use crate::write_side::write_side;

/// The places of this installation.
pub struct Installation {
    config: Config,
    directory: Directory,
    bus: Bus,
}

impl Installation {
    /// Those that the configuration names.
    pub fn new(config: Config, bus: Bus) -> Self {
        Self { directory: Directory::open(&config), config, bus }
    }

    /// Every service has its tables, and no row of them can be read but under a tenant's name.
    async fn databases(&self) -> Result<(), PlaceError> {
        for service in SERVICES {
            let passing = |error: sqlx::Error| PlaceError::Passing(format!("the database of {service}: {error}"));
            let options = self.config.database(*service).options(Role::Read).disable_statement_logging();
            let mut connection = options.connect().await.map_err(passing)?;
            let (tables, open): (i64, i64) = sqlx::query_as(
                "SELECT count(*), count(*) FILTER (WHERE NOT (c.relrowsecurity AND c.relforcerowsecurity))
                 FROM pg_class c
                 JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
                 WHERE c.relkind IN ('r', 'p')",
            )
            .fetch_one(&mut connection)
            .await
            .map_err(passing)?;
            connection.close().await.map_err(passing)?;
            if tables == 0 || open > 0 {
                let reason = format!(
                    "the database of {service} has {tables} tables with tenants in them, {open} of them without row level \
                     security; run inopsio migrate"
                );
                return Err(PlaceError::Passing(reason));
            }
        }
        Ok(())
    }

    /// Every service has its stream. Where nothing was written yet it is made, as the service's relay would.
    async fn streams(&self) -> Result<(), PlaceError> {
        for service in SERVICES {
            let passing = |error: nats::Error| PlaceError::Passing(format!("the stream of {service}: {error}"));
            if self.bus.stream_state(*service).await.map_err(passing)?.is_none() {
                let settings = StreamSettings { replicas: self.config.nats.replicas, ..StreamSettings::default() };
                self.bus.ensure_stream(*service, settings).await.map_err(passing)?;
            }
        }
        Ok(())
    }
}

impl Installation {
    /// Gives a tenant its keys, or takes them back, in the auth service's log: like a command of an operator's, wherever that runs.
    async fn keys(&self, tenant: TenantId, wanted: bool) -> Result<(), PlaceError> {
        let passing = |error: &dyn std::fmt::Display| PlaceError::Passing(format!("the tenant's keys: {error}"));
        let (store, executor) = write_side(&self.config, auth_api::SERVICE).await.map_err(|error| passing(&error))?;
        let done = if wanted {
            open_ring(&executor, &SystemRandom, SystemClock.now(), tenant).await
        } else {
            executor.run(&protocol(tenant, "auth"), &CloseKeyRing).await.map(drop)
        };
        store.close().await;
        done.map_err(|refusal| passing(&refusal))
    }

    /// What is left of a tenant: that it was deleted, when, under which name, and what its history was. Its name is free again.
    async fn record(&self, tenant: TenantId) -> Result<(), PlaceError> {
        let passing = |error: AtlasError| PlaceError::Passing(error.to_string());
        let atlas = Atlas::of(&self.directory);
        let place = atlas.place(tenant).await.map_err(passing)?;
        let slug = match self.directory.find(&tenant.to_string()).await {
            // A backup from before brought it back, and it is deleted once more.
            Ok(found) => found.slug,
            Err(DirectoryError::Unknown(_)) if place.deleted => return Ok(()),
            // It never had a place.
            Err(DirectoryError::Unknown(_)) => String::new(),
            Err(error) => return Err(failed(error)),
        };
        let mut services = Vec::with_capacity(SERVICES.len());
        for service in SERVICES {
            let history = eventstore::history(&self.config.database(*service), tenant).await;
            let History { events, root } =
                history.map_err(|error| PlaceError::Passing(format!("the log of {service}: {error}")))?;
            services.push(DeletedHistory { service: service.name().to_owned(), events, root: hex::encode(root) });
        }
        atlas.note(tenant, place, Placed::Deleted { slug, services }, &SystemClock).await.map_err(passing)?;
        Ok(())
    }
}

fn failed(error: DirectoryError) -> PlaceError {
    match error {
        DirectoryError::Exists(slug) => PlaceError::Taken(slug),
        other => PlaceError::Passing(other.to_string()),
    }
}

impl Places for Installation {
    fn reserve<'a>(
        &'a self,
        tenant: TenantId,
        slug: &'a str,
        name: &'a str,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<(), PlaceError>> {
        Box::pin(async move { self.directory.reserve(tenant, slug, name, at).await.map_err(failed) })
    }

    fn release(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), PlaceError>> {
        Box::pin(async move { self.directory.release(tenant).await.map_err(failed) })
    }

    fn open(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), PlaceError>> {
        Box::pin(async move { self.directory.open_place(tenant).await.map_err(failed) })
    }

    fn note_standing(&self, tenant: TenantId, standing: Standing) -> BoxFuture<'_, Result<(), PlaceError>> {
        Box::pin(async move { self.directory.note_standing(tenant, standing).await.map_err(failed) })
    }

    fn services(&self) -> Vec<Service> {
        let others = SERVICES.iter().copied().filter(|service| *service != user_api::SERVICE);
        others.chain([user_api::SERVICE]).collect()
    }

    fn record_deletion(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), PlaceError>> {
        Box::pin(self.record(tenant))
    }

    fn destroy(&self, tenant: TenantId, service: Service) -> BoxFuture<'_, Result<(), PlaceError>> {
        Box::pin(async move {
            let destroyed = eventstore::destroy(&self.config.database(service), tenant, &read_models(service)).await;
            destroyed.map_err(|error| PlaceError::Passing(format!("the database of {service}: {error}")))
        })
    }

    fn check_databases(&self) -> BoxFuture<'_, Result<(), PlaceError>> {
        Box::pin(self.databases())
    }

    fn check_streams(&self) -> BoxFuture<'_, Result<(), PlaceError>> {
        Box::pin(self.streams())
    }

    fn make_keys(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), PlaceError>> {
        Box::pin(self.keys(tenant, true))
    }

    fn close_keys(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), PlaceError>> {
        Box::pin(self.keys(tenant, false))
    }
}
