//! A database with a service's read models, which are written with the projector's role and read with the readers' role.

use std::collections::BTreeSet;
use std::sync::Arc;

use eventstore::Role;
use kernel::{RecordedEvent, TenantId};
use projector::{ApplyError, Projection, ReadModels, Transaction};
use sqlx::{Connection, PgConnection};

pub struct Stage {
    pub database: testbed::Database,
    models: ReadModels,
    projections: Vec<Arc<dyn Projection>>,
}

impl Stage {
    /// Creates a service's read models, empty.
    pub async fn of(service: &'static str, projections: Vec<Arc<dyn Projection>>) -> Self {
        let database = testbed::Database::fresh(service).await;
        projector::migrate(&database.superuser(), &database, &projections).await.unwrap();
        let models = ReadModels::new(&database, &projections, None);
        Self { database, models, projections }
    }

    /// Applies events in batches of `batch`, each in one transaction; an error rolls its batch back.
    pub async fn apply(&self, events: &[RecordedEvent], batch: usize) -> Result<(), ApplyError> {
        let mut connection = PgConnection::connect_with(&self.database.options(Role::Project)).await?;
        for batch in events.chunks(batch) {
            let mut transaction = connection.begin().await?;
            self.scope(batch, &mut transaction).await?;
            for projection in &self.projections {
                let wanted: Vec<_> = batch.iter().filter(|event| projection.wants(&event.event_type)).collect();
                projection.apply(&wanted, &mut transaction).await?;
            }
            transaction.commit().await?;
        }
        Ok(())
    }

    /// Skips a discarded event.
    pub async fn skip(&self, event: &RecordedEvent) -> Result<(), ApplyError> {
        let mut connection = PgConnection::connect_with(&self.database.options(Role::Project)).await?;
        let mut transaction = connection.begin().await?;
        self.scope(std::slice::from_ref(event), &mut transaction).await?;
        for projection in self.projections.iter().filter(|projection| projection.wants(&event.event_type)) {
            projection.skip(event, &mut transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Removes the personal data that this event erases, as while it is parked.
    pub async fn forget(&self, event: &RecordedEvent) -> Result<(), ApplyError> {
        let mut connection = PgConnection::connect_with(&self.database.options(Role::Project)).await?;
        let mut transaction = connection.begin().await?;
        self.scope(std::slice::from_ref(event), &mut transaction).await?;
        for projection in self.projections.iter().filter(|projection| projection.wants(&event.event_type)) {
            projection.forget(event, &mut transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn scope(&self, events: &[RecordedEvent], transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
        let tenants: BTreeSet<String> = events.iter().map(|event| event.tenant.to_string()).collect();
        let tenants = tenants.into_iter().collect::<Vec<_>>().join(",");
        sqlx::query("SELECT set_config('app.tenant_ids', $1, true), set_config('search_path', $2, true)")
            .bind(format!("{{{tenants}}}"))
            .bind(format!("\"{}\"", self.database.service))
            .execute(transaction)
            .await?;
        Ok(())
    }

    /// Begins a read transaction of a tenant.
    pub async fn read(&self, tenant: TenantId) -> Transaction {
        self.models.begin(tenant).await.unwrap()
    }

    /// The number of rows of all tables and tenants.
    pub async fn rows(&self) -> i64 {
        let mut connection = PgConnection::connect_with(&self.database.superuser()).await.unwrap();
        let mut rows = 0;
        for table in self.projections.iter().flat_map(|projection| projection.tables()) {
            let count = format!("SELECT count(*) FROM \"{}\".{table}", self.database.service);
            rows += sqlx::query_scalar::<_, i64>(&count).fetch_one(&mut connection).await.unwrap();
        }
        rows
    }
}
