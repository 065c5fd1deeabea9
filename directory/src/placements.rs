//! The placements in the directory of tenants: what happened to each tenant's place, in order, and in which cell it lives by that.

use chrono::{DateTime, Utc};
use eventstore::LockKey;
use kernel::{Clock, TenantId};
use serde::Serialize;
use sqlx::{PgConnection, PgPool, Postgres, Row, Transaction};
use uuid::Uuid;

use crate::place::{DeletedHistory, Place, Placed, PlacingError};
use crate::tenants::{Directory, DirectoryError};

/// A place that can't be changed.
#[derive(Debug, thiserror::Error)]
pub enum PlacementsError {
    /// The directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The wish.
    #[error(transparent)]
    Placing(#[from] PlacingError),
    /// Somebody else changed it.
    #[error("the tenant's place was changed by somebody else meanwhile; look at it again")]
    Meanwhile,
    /// What stands in the directory is of another program.
    #[error("the directory has an event about a tenant's place that this program does not know: {0}")]
    Unknown(String),
}

impl From<sqlx::Error> for PlacementsError {
    fn from(error: sqlx::Error) -> Self {
        Self::Directory(error.into())
    }
}

/// Over the directory's table of placements. Cheap to clone.
#[derive(Clone)]
pub struct Placements(PgPool);

/// A placement that changes where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlacementChange {
    /// A tenant came to live in a cell.
    Arrived {
        /// Which.
        tenant: Uuid,
        /// In which cell.
        cell: String,
    },
    /// A tenant is no more.
    Gone {
        /// Which.
        tenant: Uuid,
        /// The short name that it had, which may be another's by now.
        slug: String,
    },
}

/// A tenant that is no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeletedTenant {
    /// Its id.
    pub tenant_id: Uuid,
    /// The short name that it had.
    pub slug: String,
    /// When what it had was destroyed.
    pub deleted_at: DateTime<Utc>,
    /// What its history was in each service.
    pub services: Vec<DeletedHistory>,
}

impl Placements {
    /// That of the directory.
    pub fn of(directory: &Directory) -> Self {
        Self(directory.pool().clone())
    }

    /// The cell in which a tenant lives, by id or short name, and its id; none: there is no such tenant. The inner none: no cell was
    /// ever noted for it.
    pub async fn find(&self, tenant: &str) -> Result<Option<(Uuid, Option<String>)>, sqlx::Error> {
        let row = sqlx::query(
            "SELECT tenant_id, cell FROM tenants WHERE (slug = $1 OR tenant_id = $2) AND status <> 'reserved'",
        )
        .bind(tenant)
        .bind(tenant.parse::<Uuid>().ok())
        .fetch_optional(&self.0)
        .await?;
        row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
    }

    /// What is so of a tenant's place.
    pub async fn place(&self, tenant: TenantId) -> Result<Place, PlacementsError> {
        let rows = sqlx::query("SELECT event FROM placements WHERE tenant_id = $1 ORDER BY sequence")
            .bind(tenant.uuid())
            .fetch_all(&self.0)
            .await?;
        let mut place = Place::default();
        for row in &rows {
            let text: serde_json::Value = row.try_get(0)?;
            let event = serde_json::from_value(text.clone()).map_err(|_| PlacementsError::Unknown(text.to_string()))?;
            place.apply(&event);
        }
        Ok(place)
    }

    /// Notes what happened, if nothing else did meanwhile, and where the tenant lives by it. Gives what is so then.
    ///
    /// # Errors
    /// [`PlacementsError::Meanwhile`].
    pub async fn note(
        &self,
        tenant: TenantId,
        place: Place,
        event: Placed,
        clock: &dyn Clock,
    ) -> Result<Place, PlacementsError> {
        let mut transaction = self.begin().await?;
        let place = append(&mut transaction, tenant, place, &event, clock).await?;
        if let (Placed::Moved, Some(moving)) = (&event, &place.moving) {
            sqlx::query("UPDATE tenants SET cell = $2 WHERE tenant_id = $1")
                .bind(tenant.uuid())
                .bind(&moving.to)
                .execute(&mut *transaction)
                .await?;
        }
        if matches!(event, Placed::Deleted { .. }) {
            sqlx::query("DELETE FROM tenants WHERE tenant_id = $1")
                .bind(tenant.uuid())
                .execute(&mut *transaction)
                .await?;
            give_domains_back(&mut transaction, tenant).await?;
        }
        transaction.commit().await?;
        Ok(place)
    }

    /// Gives back what a tenant had that is not made after all. Of one that was open already that is noted: fronts may know its name, which
    /// can be another's from now on. Nothing happens when there is none, and to one that is suspended or to be deleted.
    ///
    /// # Errors
    /// [`PlacementsError::Meanwhile`].
    pub async fn release(&self, tenant: TenantId, clock: &dyn Clock) -> Result<(), PlacementsError> {
        let place = self.place(tenant).await?;
        let mut transaction = self.begin().await?;
        let released: Option<(String, String)> = sqlx::query_as(
            "DELETE FROM tenants WHERE tenant_id = $1 AND status IN ('reserved', 'active') RETURNING slug, status",
        )
        .bind(tenant.uuid())
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some((slug, status)) = released
            && status == "active"
        {
            append(&mut transaction, tenant, place, &Placed::Released { slug }, clock).await?;
            give_domains_back(&mut transaction, tenant).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// A transaction in which something is noted: one after the other, so that who follows the positions misses none.
    async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let mut transaction = self.0.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(LockKey::Placing.number())
            .execute(&mut *transaction)
            .await?;
        Ok(transaction)
    }

    /// The tenants that were deleted, the first one first.
    pub async fn deleted(&self) -> Result<Vec<DeletedTenant>, PlacementsError> {
        // Deletions are few, and whoever asks is a person: no index.
        let rows = sqlx::query(
            "SELECT tenant_id, event, recorded_at FROM placements WHERE event->>'event' = 'deleted' ORDER BY position",
        )
        .fetch_all(&self.0)
        .await?;
        let mut gone = Vec::with_capacity(rows.len());
        for row in &rows {
            let text: serde_json::Value = row.try_get("event")?;
            let event = serde_json::from_value(text.clone()).map_err(|_| PlacementsError::Unknown(text.to_string()))?;
            if let Placed::Deleted { slug, services } = event {
                gone.push(DeletedTenant {
                    tenant_id: row.try_get("tenant_id")?,
                    slug,
                    deleted_at: row.try_get("recorded_at")?,
                    services,
                });
            }
        }
        Ok(gone)
    }

    /// How many things happened to places so far.
    pub async fn head(&self) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM placements").fetch_one(&self.0).await
    }

    /// Who came to live where, or is no more, after so many things had happened; and how many they are now.
    pub async fn changes(&self, after: i64) -> Result<(Vec<PlacementChange>, i64), sqlx::Error> {
        let rows = sqlx::query(
            "SELECT position, tenant_id, cell, CASE WHEN event->>'event' IN ('deleted', 'released') THEN event->>'slug' END
             FROM placements WHERE position > $1 ORDER BY position",
        )
        .bind(after)
        .fetch_all(&self.0)
        .await?;
        let mut head = after;
        let mut changes = Vec::new();
        for row in &rows {
            head = row.try_get(0)?;
            let tenant = row.try_get(1)?;
            if let Some(cell) = row.try_get(2)? {
                changes.push(PlacementChange::Arrived { tenant, cell });
            } else if let Some(slug) = row.try_get(3)? {
                changes.push(PlacementChange::Gone { tenant, slug });
            }
        }
        Ok((changes, head))
    }
}

/// Appends an event to a tenant's; what is so then.
async fn append(
    connection: &mut PgConnection,
    tenant: TenantId,
    mut place: Place,
    event: &Placed,
    clock: &dyn Clock,
) -> Result<Place, PlacementsError> {
    let expected = place.version;
    place.apply(event);
    let at: DateTime<Utc> = clock.now();
    let text = serde_json::to_value(event).map_err(|error| PlacementsError::Unknown(error.to_string()))?;
    let noted = sqlx::query(
        "INSERT INTO placements (position, tenant_id, sequence, event, cell, recorded_at)
         SELECT coalesce((SELECT max(position) FROM placements), 0) + 1, $1, $2 + 1, $3, $4, $5
         WHERE $2 = (SELECT count(*) FROM placements WHERE tenant_id = $1)",
    )
    .bind(tenant.uuid())
    .bind(i64::from(expected))
    .bind(text)
    .bind(place.moving.as_ref().filter(|_| *event == Placed::Moved).map(|moving| &moving.to))
    .bind(at)
    .execute(connection)
    .await?;
    if noted.rows_affected() == 1 { Ok(place) } else { Err(PlacementsError::Meanwhile) }
}

/// Nobody could release the domains any more of who is no more. Ends are few, and so are verified domains: no index.
async fn give_domains_back(connection: &mut PgConnection, tenant: TenantId) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM domains WHERE tenant_id = $1").bind(tenant.uuid()).execute(connection).await?;
    Ok(())
}
