//! [`Directory`]: the table of tenants with their names and status.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use config::Config;
use eventstore::{LockClass, Patience, PoolUse, within};
use kernel::{Clock, IdSource, TenantId, is_slug};
use serde::Serialize;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{Postgres, Row};
use user_sagas::TenantStanding;
use uuid::Uuid;

use crate::error::DirectoryError;
use crate::look_ups::{Located, LookUps};

/// The directory of tenants.
#[derive(Clone)]
pub struct Directory {
    pool: PgPool,
    look_ups: LookUps,
    waits: Waits,
    /// The cell in which new tenants are created.
    cell: Option<String>,
}

/// A tenant in the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tenant {
    /// Its id, which is part of every key.
    pub tenant_id: TenantId,
    /// Its short name, unique: `demo`.
    pub slug: String,
    /// Its display name.
    pub name: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// A tenant of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredTenant {
    /// Which.
    pub tenant: Tenant,
    /// Its status when the backup was taken.
    pub standing: TenantStanding,
    /// The cell in which it lives, if that is not the one of the backup.
    pub elsewhere: Option<String>,
}

impl RestoredTenant {
    /// One that lives where it is restored.
    pub fn here(tenant: Tenant, standing: TenantStanding) -> Self {
        Self { tenant, standing, elsewhere: None }
    }
}

/// A tenant with its status and cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Which.
    #[serde(flatten)]
    pub tenant: Tenant,
    /// `active`, `suspended` or `deleting`.
    pub status: String,
    /// The cell in which it lives, if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cell: Option<String>,
    /// The cell to which it is being moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moving_to: Option<String>,
}

/// The role that reads and writes the directory.
pub(crate) const ROLE: &str = "inopsio_directory";

/// How long the directory may take for an answer to those who ask it again and again, and whom nobody else ends. (Requests and steps of sagas
/// have a limit of their own.)
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

/// How long a directory waits for a server that may be gone.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// How long an answer may take for those who ask again and again, and whom nobody else ends.
    pub answer: Duration,
    /// What its connections wait for.
    pub connections: Patience,
}

impl Default for Waits {
    fn default() -> Self {
        Self { answer: ANSWER, connections: Patience::default() }
    }
}

/// Updates the status of a tenant, unless it is reserved.
const NOTE_STANDING: &str =
    "UPDATE tenants SET status = CASE status WHEN 'reserved' THEN status ELSE $2 END WHERE tenant_id = $1";

impl Directory {
    /// The directory of this configuration. It connects when first used.
    pub fn open(config: &Config) -> Self {
        Self::open_with(config, Waits::default())
    }

    /// As [`open`](Self::open), with other waits.
    pub fn open_with(config: &Config, waits: Waits) -> Self {
        let postgres = &config.postgres;
        let options = PgConnectOptions::new_without_pgpass()
            .host(&postgres.host)
            .port(postgres.port)
            .database(&postgres.directory)
            .username(ROLE)
            .password(postgres.password.reveal())
            .ssl_mode(postgres.ssl_mode.into())
            .application_name("inopsio directory");
        let options = match &postgres.socket {
            Some(socket) => options.socket(socket),
            None => options,
        };
        // The URL of a directory that several cells share. It was checked when the configuration was read.
        let shared = config.directory.url.reveal();
        let options = if shared.is_empty() { options } else { PgConnectOptions::from_str(shared).unwrap_or(options) };
        let pool = eventstore::database::pool(options, 2, waits.connections);
        let look_ups = LookUps::new(pool.clone(), waits.answer);
        Self { pool, look_ups, waits, cell: config.directory.cell.clone() }
    }

    /// Locks a tenant's place, so that no other process moves or deletes the tenant. The lock is held as long as the returned connection.
    /// `None` if another process holds it.
    pub(crate) async fn lock_place(
        &self,
        tenant: TenantId,
    ) -> Result<Option<PoolConnection<Postgres>>, DirectoryError> {
        let mut connection = self.pool.acquire().await?;
        let ours: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, hashtext($2))")
            .bind(LockClass::PlaceOfTenant.number())
            .bind(tenant.to_string())
            .fetch_one(&mut *connection)
            .await?;
        // The connection is closed when dropped, which releases the lock, instead of being returned to the pool.
        connection.close_on_drop();
        Ok(ours.then_some(connection))
    }

    /// The usage of its connection pool.
    pub fn connections(&self) -> PoolUse {
        PoolUse::of("directory", &self.pool)
    }

    pub(crate) const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Adds a tenant to the directory only: for tests, and for tenants that are created from a backup. (`provision` creates a complete
    /// one.)
    pub async fn create(
        &self,
        slug: &str,
        name: &str,
        clock: &dyn Clock,
        ids: &dyn IdSource,
    ) -> Result<Tenant, DirectoryError> {
        check_slug(slug)?;
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 200 || name.chars().any(char::is_control) {
            return Err(DirectoryError::Name);
        }
        let row = sqlx::query(
            "INSERT INTO tenants (tenant_id, slug, name, created_at, cell) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (slug) DO NOTHING RETURNING tenant_id, slug, name, created_at",
        )
        .bind(ids.next())
        .bind(slug)
        .bind(name)
        .bind(clock.now())
        .bind(&self.cell)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map_or_else(|| Err(DirectoryError::Exists(slug.to_owned())), |row| Ok(tenant(row)?))
    }

    /// An id for a new tenant.
    #[expect(clippy::disallowed_methods, reason = "the directory is where tenants come from")]
    pub fn new_id(&self, ids: &dyn IdSource) -> TenantId {
        TenantId::vouched(ids.next())
    }

    /// Reserves a slug for a tenant that is being created. Reserving it again for the same tenant changes nothing.
    ///
    /// # Errors
    /// [`DirectoryError::Exists`] when another tenant has it.
    pub async fn reserve(
        &self,
        tenant: TenantId,
        slug: &str,
        name: &str,
        at: DateTime<Utc>,
    ) -> Result<(), DirectoryError> {
        check_slug(slug)?;
        sqlx::query(
            "INSERT INTO tenants (tenant_id, slug, name, created_at, status, cell) VALUES ($1, $2, $3, $4, 'reserved', $5)
             ON CONFLICT DO NOTHING",
        )
        .bind(tenant.uuid())
        .bind(slug)
        .bind(name)
        .bind(at)
        .bind(&self.cell)
        .execute(&self.pool)
        .await?;
        let holder: Option<Uuid> = sqlx::query_scalar("SELECT tenant_id FROM tenants WHERE slug = $1")
            .bind(slug)
            .fetch_optional(&self.pool)
            .await?;
        if holder == Some(tenant.uuid()) { Ok(()) } else { Err(DirectoryError::Exists(slug.to_owned())) }
    }

    /// Activates a reserved tenant, so that it can be found by its slug.
    pub async fn open_place(&self, tenant: TenantId) -> Result<(), DirectoryError> {
        sqlx::query("UPDATE tenants SET status = 'active' WHERE tenant_id = $1 AND status = 'reserved'")
            .bind(tenant.uuid())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Records the status of a tenant. False if the tenant is still reserved; nothing is recorded then.
    pub async fn note_standing(&self, tenant: TenantId, standing: TenantStanding) -> Result<bool, DirectoryError> {
        let reserved: Option<bool> = sqlx::query_scalar(&format!("{NOTE_STANDING} RETURNING status = 'reserved'"))
            .bind(tenant.uuid())
            .bind(standing.as_str())
            .fetch_optional(&self.pool)
            .await?;
        Ok(reserved != Some(true))
    }

    /// Whether the deletion of a tenant was requested.
    pub async fn is_being_deleted(&self, tenant: TenantId) -> Result<bool, DirectoryError> {
        let asked = "SELECT EXISTS (SELECT FROM tenants WHERE tenant_id = $1 AND status = 'deleting')";
        Ok(sqlx::query_scalar(asked).bind(tenant.uuid()).fetch_one(&self.pool).await?)
    }

    /// The tenants that are suspended or being deleted. All their requests are refused.
    #[expect(clippy::disallowed_methods, reason = "the directory is where tenants come from")]
    pub async fn suspended(&self) -> Result<Vec<TenantId>, DirectoryError> {
        // No index, because each process asks only every few seconds.
        let asked = sqlx::query_scalar("SELECT tenant_id FROM tenants WHERE status IN ('suspended', 'deleting')");
        let ids: Vec<Uuid> = within(self.waits.answer, asked.fetch_all(&self.pool)).await?;
        Ok(ids.into_iter().map(TenantId::vouched).collect())
    }

    /// The tenant with this slug or id.
    pub async fn find(&self, slug_or_id: &str) -> Result<Tenant, DirectoryError> {
        Ok(self.located(slug_or_id).await?.0)
    }

    /// Like [`find`](Self::find), but the tenant has to live in this cell, if there are several.
    ///
    /// # Errors
    /// As [`find`](Self::find); [`DirectoryError::Elsewhere`] if it lives in another cell.
    pub async fn find_here(&self, slug_or_id: &str) -> Result<Tenant, DirectoryError> {
        match self.located(slug_or_id).await? {
            (_, Some(cell)) if self.is_another(&cell) => Err(DirectoryError::Elsewhere(cell)),
            (tenant, _) => Ok(tenant),
        }
    }

    /// Whether a cell is not this one, if there are several.
    fn is_another(&self, cell: &str) -> bool {
        self.cell.as_deref().is_some_and(|here| here != cell)
    }

    async fn located(&self, slug_or_id: &str) -> Result<Located, DirectoryError> {
        self.look_up(slug_or_id).await?.ok_or_else(|| DirectoryError::Unknown(slug_or_id.to_owned()))
    }

    /// The tenant with this slug or id, with its cell; `None` if there is no such tenant.
    pub(crate) async fn look_up(&self, slug_or_id: &str) -> Result<Option<Located>, DirectoryError> {
        self.look_ups.find(slug_or_id.to_owned()).await.map_err(DirectoryError::Storage)
    }

    /// Checks that a slug is valid and free.
    ///
    /// # Errors
    /// [`DirectoryError::Slug`] and [`DirectoryError::Exists`].
    pub async fn check_free(&self, slug: &str) -> Result<(), DirectoryError> {
        check_slug(slug)?;
        match self.find(slug).await {
            Err(DirectoryError::Unknown(_)) => Ok(()),
            Err(error) => Err(error),
            Ok(tenant) => Err(DirectoryError::Exists(tenant.slug)),
        }
    }

    /// Restores tenants of a backup with their status. Existing tenants are kept; their status is updated unless they live in another cell,
    /// because then the directory knows it better than this cell's backup.
    ///
    /// # Errors
    /// [`DirectoryError::Differs`] when another tenant has the slug or the id of one of them; then none is restored.
    pub async fn restore(&self, tenants: &[RestoredTenant]) -> Result<(), DirectoryError> {
        let mut transaction = self.pool.begin().await?;
        for RestoredTenant { tenant, standing, elsewhere } in tenants {
            sqlx::query(
                "INSERT INTO tenants (tenant_id, slug, name, created_at, cell) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT DO NOTHING",
            )
            .bind(tenant.tenant_id.uuid())
            .bind(&tenant.slug)
            .bind(&tenant.name)
            .bind(tenant.created_at)
            .bind(elsewhere.as_ref().or(self.cell.as_ref()))
            .execute(&mut *transaction)
            .await?;
            sqlx::query(&format!("{NOTE_STANDING} AND ($3::text IS NULL OR coalesce(cell, $3) = $3)"))
                .bind(tenant.tenant_id.uuid())
                .bind(standing.as_str())
                .bind(&self.cell)
                .execute(&mut *transaction)
                .await?;
        }
        let here =
            sqlx::query("SELECT tenant_id, slug, name, created_at FROM tenants").fetch_all(&mut *transaction).await?;
        for row in &here {
            let here = self::tenant(row)?;
            let same = |other: &&Tenant| other.slug == here.slug || other.tenant_id == here.tenant_id;
            let differs = |other: &Tenant| (other.tenant_id, &other.slug) != (here.tenant_id, &here.slug);
            if tenants.iter().map(|restored| &restored.tenant).find(same).is_some_and(differs) {
                return Err(DirectoryError::Differs { slug: here.slug, tenant_id: here.tenant_id });
            }
        }
        transaction.commit().await?;
        Ok(())
    }

    /// All tenants, by slug.
    pub async fn list(&self) -> Result<Vec<Tenant>, DirectoryError> {
        Ok(self.listed().await?.into_iter().map(|listed| listed.tenant).collect())
    }

    /// The tenants that live in this cell, if there are several, by slug.
    pub async fn list_here(&self) -> Result<Vec<Tenant>, DirectoryError> {
        let is_here = |listed: &Listed| !listed.cell.as_deref().is_some_and(|cell| self.is_another(cell));
        Ok(self.listed().await?.into_iter().filter(is_here).map(|listed| listed.tenant).collect())
    }

    /// All tenants with their status and cell, by slug.
    pub async fn listed(&self) -> Result<Vec<Listed>, DirectoryError> {
        let rows = sqlx::query(
            "SELECT t.tenant_id, t.slug, t.name, t.created_at, t.status, t.cell,
                    CASE p.event ->> 'event' WHEN 'move_begun' THEN p.event ->> 'to' WHEN 'moved' THEN t.cell END AS moving_to
             FROM tenants t
             LEFT JOIN LATERAL (
                 SELECT event FROM placements WHERE tenant_id = t.tenant_id ORDER BY sequence DESC LIMIT 1
             ) p ON true
             WHERE t.status <> 'reserved'
             ORDER BY t.slug",
        )
        .fetch_all(&self.pool)
        .await?;
        let listed = |row: &sqlx::postgres::PgRow| {
            let (status, cell, moving_to) = (row.try_get("status")?, row.try_get("cell")?, row.try_get("moving_to")?);
            Ok(Listed { tenant: tenant(row)?, status, cell, moving_to })
        };
        Ok(rows.iter().map(listed).collect::<Result<_, sqlx::Error>>()?)
    }
}

fn check_slug(slug: &str) -> Result<(), DirectoryError> {
    if is_slug(slug) { Ok(()) } else { Err(DirectoryError::Slug(slug.to_owned())) }
}

#[expect(clippy::disallowed_methods, reason = "the directory is where tenants come from")]
pub(crate) fn tenant(row: &sqlx::postgres::PgRow) -> Result<Tenant, sqlx::Error> {
    Ok(Tenant {
        tenant_id: TenantId::vouched(row.try_get("tenant_id")?),
        slug: row.try_get("slug")?,
        name: row.try_get("name")?,
        created_at: row.try_get("created_at")?,
    })
}
