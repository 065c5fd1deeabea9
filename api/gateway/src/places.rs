//! Where a tenant's place is made: the directory, the databases, the streams.

use chrono::{DateTime, Utc};
use eventstore::Role;
use futures::future::BoxFuture;
use kernel::TenantId;
use nats::{Bus, StreamSettings};
use sqlx::{ConnectOptions, Connection};
use user_sagas::{PlaceError, Places};

use crate::config::Config;
use crate::directory::{Directory, DirectoryError};
use crate::domains::SERVICES;

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
                 JOIN pg_namespace n ON n.oid = c.relnamespace
                 JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
                 WHERE c.relkind IN ('r', 'p') AND n.nspname IN ('log', $1)",
            )
            .bind(service.name())
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

    fn note_suspended(&self, tenant: TenantId, suspended: bool) -> BoxFuture<'_, Result<(), PlaceError>> {
        Box::pin(async move { self.directory.note_suspended(tenant, suspended).await.map_err(failed) })
    }

    fn check_databases(&self) -> BoxFuture<'_, Result<(), PlaceError>> {
        Box::pin(self.databases())
    }

    fn check_streams(&self) -> BoxFuture<'_, Result<(), PlaceError>> {
        Box::pin(self.streams())
    }
}
