//! Listing, viewing, resuming and cancelling saga instances.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use eventstore::{Database, PoolUse, Role};
use executor::{Done, Request};
use kernel::{Caller, Position, Refusal};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::definition::Definition;
use crate::repository::Repository;
use crate::sagas::Sagas;
use crate::state::{State, Status};
use crate::{Error, rows};

/// Database connections for lists.
const CONNECTIONS: u32 = 4;

/// The instances of a service's sagas, for operators and APIs. Cheap to clone.
#[derive(Clone)]
pub struct Instances {
    sagas: Sagas,
    repository: Arc<dyn Repository>,
    pool: PgPool,
}

/// The filter and the page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Only instances of this saga.
    pub saga: Option<String>,
    /// Only instances with this status.
    pub status: Option<Status>,
    /// Only instances with this key.
    pub key: Option<String>,
    /// Only instances that started before this one: the last one of the previous page.
    pub after: Option<(DateTime<Utc>, Uuid)>,
    /// The maximum number of instances.
    pub limit: u32,
}

/// One instance in a list, as its row has it: some milliseconds behind its stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listed {
    /// The instance's id.
    pub id: Uuid,
    /// The saga's name.
    pub saga: String,
    /// The version of its definition.
    pub definition: u32,
    /// The subject of the saga, usually an aggregate's id.
    pub key: String,
    /// Its status.
    #[serde(rename = "state")]
    pub status: Status,
    /// The current step.
    pub step: Option<String>,
    /// Whether the step is being undone.
    pub undo: bool,
    /// The number of the step's batch, from 0.
    pub turn: u32,
    /// How often the step was begun since its last progress.
    pub attempt: u32,
    /// The code of why it unwinds, is stuck or is retried, or of how it ended.
    pub code: Option<String>,
    /// The same as a sentence, for people.
    pub reason: Option<String>,
    /// When it continues.
    pub wake_at: Option<DateTime<Utc>>,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it last changed.
    pub changed_at: DateTime<Utc>,
}

impl Instances {
    /// Access to a service's instances.
    pub fn new(database: &Database, sagas: Sagas, repository: Arc<dyn Repository>) -> Self {
        Self { sagas, repository, pool: database.pool(Role::Read, CONNECTIONS) }
    }

    /// The usage of the connection pool.
    pub fn pool(&self) -> PoolUse {
        PoolUse::of("sagas", &self.pool)
    }

    /// The service's definitions.
    pub fn sagas(&self) -> &Sagas {
        &self.sagas
    }

    /// The coordinator's checkpoint: the position up to which events were processed. The stored value is at most one second old.
    ///
    /// # Errors
    /// The database does not answer, or has no tables of sagas.
    pub async fn position(&self) -> Result<Position, Error> {
        rows::checkpoint(&self.pool).await?.ok_or(Error::NotMigrated)
    }

    /// The instances of the caller's tenant, newest first.
    ///
    /// # Errors
    /// The permission `<service>:saga:read` is missing; the database does not answer.
    pub async fn list(&self, caller: &Caller, listing: &Listing) -> Result<Vec<Listed>, Refusal> {
        caller.require(self.repository.read_permission())?;
        self.select(caller, listing).await.map_err(|error| {
            tracing::warn!(%error, "sagas can't be listed");
            Refusal::unavailable("sagas_unavailable", "the sagas' database does not answer; try again")
        })
    }

    async fn select(&self, caller: &Caller, listing: &Listing) -> Result<Vec<Listed>, sqlx::Error> {
        let tenant = caller.tenant();
        let mut transaction =
            self.pool.begin_with(format!("BEGIN READ ONLY; SET LOCAL app.tenant_id = '{tenant}'")).await?;
        let (after_time, after_id) = listing.after.unzip();
        let rows = sqlx::query(
            "SELECT instance_id, saga, definition, key, status, step, undo, turn, attempt, code, reason, wake_at,
                    started_at, changed_at
             FROM saga.instances
             WHERE tenant_id = $1 AND ($2::text IS NULL OR saga = $2) AND ($3::text IS NULL OR status = $3)
               AND ($4::text IS NULL OR key = $4)
               AND ($5::timestamptz IS NULL OR (started_at, instance_id) < ($5, $6))
             ORDER BY started_at DESC, instance_id DESC LIMIT $7",
        )
        .bind(tenant.uuid())
        .bind(&listing.saga)
        .bind(listing.status.map(Status::as_str))
        .bind(&listing.key)
        .bind(after_time)
        .bind(after_id)
        .bind(i64::from(listing.limit))
        .fetch_all(&mut *transaction)
        .await?;
        transaction.commit().await?;
        rows.iter().map(listed).collect()
    }

    /// An instance's state, read from the log.
    ///
    /// # Errors
    /// The permission `<service>:saga:read` is missing; `not_found`.
    pub async fn find(&self, caller: &Caller, id: Uuid) -> Result<State, Refusal> {
        caller.require(self.repository.read_permission())?;
        let found = self.repository.load(caller, id).await?;
        found.ok_or_else(|| Refusal::absent("saga", id))
    }

    /// Lets a stuck instance continue where it stopped, with all attempts again.
    ///
    /// # Errors
    /// The permission `<service>:saga:write` is missing; `not_found`; `saga_not_stuck`.
    pub async fn resume(&self, request: &Request, id: Uuid) -> Result<Done<()>, Refusal> {
        self.repository.resume(request, id).await
    }

    /// Starts to undo an instance that is running, or stuck before unwinding, unless it has begun its pivot or a later step, or has no other
    /// steps. Refused if this program does not have its definition, which names the pivot: while programs of two versions run, it may be the
    /// other one's.
    ///
    /// # Errors
    /// The permission `<service>:saga:write` is missing; `not_found`; `saga_not_cancellable`.
    pub async fn cancel(&self, request: &Request, id: Uuid, reason: String) -> Result<Done<()>, Refusal> {
        // Loading it in advance is safe: an instance's definition never changes.
        let found = self.repository.load(&request.caller, id).await?;
        let definition = found.and_then(|state| self.sagas.find(&state.saga, state.definition));
        let final_steps = definition.map(Definition::final_steps);
        self.repository.cancel(request, id, reason, final_steps).await
    }
}

fn listed(row: &PgRow) -> Result<Listed, sqlx::Error> {
    let number = |column: &str| Ok::<_, sqlx::Error>(u32::try_from(row.try_get::<i64, _>(column)?).unwrap_or(u32::MAX));
    Ok(Listed {
        id: row.try_get("instance_id")?,
        saga: row.try_get("saga")?,
        definition: number("definition")?,
        key: row.try_get("key")?,
        status: Status::named(row.try_get("status")?).unwrap_or_default(),
        step: row.try_get("step")?,
        undo: row.try_get("undo")?,
        turn: number("turn")?,
        attempt: number("attempt")?,
        code: row.try_get("code")?,
        reason: row.try_get("reason")?,
        wake_at: row.try_get("wake_at")?,
        started_at: row.try_get("started_at")?,
        changed_at: row.try_get("changed_at")?,
    })
}
