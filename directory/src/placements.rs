//! The placements: the store of the events of tenants' places in the directory, in order, and of the cell in which each tenant lives.

use chrono::{DateTime, Utc};
use eventstore::LockKey;
use kernel::{Clock, TenantId};
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor, Postgres, Row, Transaction};
use uuid::Uuid;

use crate::error::DirectoryError;
use crate::place::{DeletedHistory, Place, Placed, PlacingError};
use crate::tenants::Directory;

/// The reason why a place can't be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum PlacementsError {
    /// An error of the directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The change is refused by the place's rules.
    #[error(transparent)]
    Placing(#[from] PlacingError),
    /// A version conflict: another process changed the place meanwhile.
    #[error("the tenant's place was changed by somebody else meanwhile; look at it again")]
    Meanwhile,
    /// The directory has an event that this version of the program does not know.
    #[error("the directory has an event about a tenant's place that this program does not know: {0}")]
    Unknown(String),
}

impl From<sqlx::Error> for PlacementsError {
    fn from(error: sqlx::Error) -> Self {
        Self::Directory(error.into())
    }
}

/// The directory's table of placements. Cheap to clone.
#[derive(Clone)]
pub struct Placements(Directory);

/// A change of a placement that affects the routing of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlacementChange {
    /// A tenant lives in another cell now.
    Arrived {
        /// The tenant.
        tenant: Uuid,
        /// The cell.
        cell: String,
    },
    /// A tenant was deleted or released.
    Gone {
        /// The tenant.
        tenant: Uuid,
        /// Its former short name, which another tenant may have by now.
        slug: String,
    },
}

/// A deleted tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeletedTenant {
    /// Its id.
    pub tenant_id: Uuid,
    /// Its former short name.
    pub slug: String,
    /// When its data was destroyed.
    pub deleted_at: DateTime<Utc>,
    /// Its history in each service.
    pub services: Vec<DeletedHistory>,
}

impl Placements {
    /// The placements of a directory.
    pub fn of(directory: &Directory) -> Self {
        Self(directory.clone())
    }

    /// The id of a tenant, given by id or short name, and the cell in which it lives. `None` if there is no such tenant; the inner `None`
    /// if no cell was ever recorded for it.
    pub async fn find(&self, tenant: &str) -> Result<Option<(Uuid, Option<String>)>, DirectoryError> {
        Ok(self.0.look_up(tenant).await?.map(|(tenant, cell)| (tenant.tenant_id.uuid(), cell)))
    }

    /// The state of a tenant's place.
    pub async fn place(&self, tenant: TenantId) -> Result<Place, PlacementsError> {
        place(self.0.pool(), tenant).await
    }

    /// Appends an event to a tenant's place, if its version is still that of `place`, and updates the tenant's cell. Returns the new state.
    ///
    /// # Errors
    /// [`PlacementsError::Meanwhile`] on a version conflict.
    pub async fn note(
        &self,
        tenant: TenantId,
        place: Place,
        event: Placed,
        clock: &dyn Clock,
    ) -> Result<Place, PlacementsError> {
        self.turn().await?.note(tenant, place, event, clock).await
    }

    /// The turn to append events. It waits for the turn of another process, also for one that was lost while it committed.
    pub(crate) async fn turn(&self) -> Result<Turn, PlacementsError> {
        Ok(Turn(self.begin().await?))
    }

    /// Removes a tenant that is not created after all, and frees its short name. If it was open already, an event is recorded, because
    /// front processes may have cached its name. Does nothing if there is no such tenant, or if it is suspended or being deleted.
    ///
    /// # Errors
    /// [`PlacementsError::Meanwhile`] on a version conflict.
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
            delete_domains(&mut transaction, tenant).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Begins a transaction that appends events. Only one can run at a time, so that positions are visible in order and followers miss
    /// none.
    async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let mut transaction = self.0.pool().begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(LockKey::Placing.number())
            .execute(&mut *transaction)
            .await?;
        Ok(transaction)
    }

    /// The deleted tenants, in the order of deletion.
    pub async fn deleted(&self) -> Result<Vec<DeletedTenant>, PlacementsError> {
        // No index, because deletions are few and this is only used interactively.
        let rows = sqlx::query(
            "SELECT tenant_id, event, recorded_at FROM placements WHERE event->>'event' = 'deleted' ORDER BY position",
        )
        .fetch_all(self.0.pool())
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

    /// The position of the last event of all places.
    pub async fn head(&self) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM placements").fetch_one(self.0.pool()).await
    }

    /// The changes after a position, and the position of the last event.
    pub async fn changes(&self, after: i64) -> Result<(Vec<PlacementChange>, i64), sqlx::Error> {
        let rows = sqlx::query(
            "SELECT position, tenant_id, cell, CASE WHEN event->>'event' IN ('deleted', 'released') THEN event->>'slug' END
             FROM placements WHERE position > $1 ORDER BY position",
        )
        .bind(after)
        .fetch_all(self.0.pool())
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

/// The turn to append events to places. As long as it is held, no place changes.
pub(crate) struct Turn(Transaction<'static, Postgres>);

impl Turn {
    /// The state of a tenant's place.
    pub(crate) async fn place(&mut self, tenant: TenantId) -> Result<Place, PlacementsError> {
        place(&mut *self.0, tenant).await
    }

    /// As [`Placements::note`]. The turn ends.
    pub(crate) async fn note(
        self,
        tenant: TenantId,
        place: Place,
        event: Placed,
        clock: &dyn Clock,
    ) -> Result<Place, PlacementsError> {
        let Self(mut transaction) = self;
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
            delete_domains(&mut transaction, tenant).await?;
        }
        transaction.commit().await?;
        Ok(place)
    }
}

/// The state of a tenant's place, from its events.
async fn place(events: impl PgExecutor<'_>, tenant: TenantId) -> Result<Place, PlacementsError> {
    let rows = sqlx::query("SELECT event FROM placements WHERE tenant_id = $1 ORDER BY sequence")
        .bind(tenant.uuid())
        .fetch_all(events)
        .await?;
    let mut place = Place::default();
    for row in &rows {
        let text: serde_json::Value = row.try_get(0)?;
        let event = serde_json::from_value(text.clone()).map_err(|_| PlacementsError::Unknown(text.to_string()))?;
        place.apply(&event);
    }
    Ok(place)
}

/// Appends an event to a tenant's place, and returns the new state.
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

/// Deletes the verified domains of a tenant that is deleted or released, since nobody could release them later. There is no index, because
/// this is rare and there are few verified domains.
async fn delete_domains(connection: &mut PgConnection, tenant: TenantId) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM domains WHERE tenant_id = $1").bind(tenant.uuid()).execute(connection).await?;
    Ok(())
}
