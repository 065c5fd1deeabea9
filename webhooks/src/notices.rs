//! That a webhook was disabled by itself is told to its tenant: nobody else would notice that its events wait.
//!
//! What is to be told is a row, written in the statement that disables. Each of those who are told is told once; what fails is tried
//! again, later and later, for a day.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use kernel::{Service, TenantId, UserId};
use sqlx::Row;
use sqlx::postgres::PgRow;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Webhooks;

/// So many are looked at in one go.
const PAGE: i64 = 100;
/// For so long it is tried.
const PATIENCE: TimeDelta = TimeDelta::days(1);
/// How long it is waited until it is tried again: as long as it has been tried, within these.
const PAUSES: (TimeDelta, TimeDelta) = (TimeDelta::seconds(1), TimeDelta::minutes(30));

/// That a webhook was disabled by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whose events it gets.
    pub service: Service,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which one.
    pub webhook: Uuid,
    /// Its version since: with the webhook it says which disabling it is.
    pub version: u64,
    /// How its tenant describes it.
    pub description: String,
    /// Why it was disabled.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// How people are told.
pub trait Notices: Send + Sync + 'static {
    /// Who is told of a tenant's webhooks. An error says why that can't be known now.
    fn addressees(&self, tenant: TenantId) -> BoxFuture<'_, Result<Vec<UserId>, String>>;

    /// Tells one of them. Told again it is the same notice. Who can't be told, now or later, counts as told; an error says why it may go
    /// better later.
    fn tell<'a>(&'a self, to: UserId, notice: &'a Notice) -> BoxFuture<'a, Result<(), String>>;
}

/// Tells what is to be told of a service's webhooks: one at a time is active, as deliverers are.
pub(crate) struct Notifier {
    pub(crate) webhooks: Webhooks,
    pub(crate) notices: Arc<dyn Notices>,
}

impl Notifier {
    /// Runs until it is stopped.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let look: Duration = self.webhooks.parts().settings.look;
        while !stop.is_cancelled() {
            if let Some(Err(error)) = stop.run_until_cancelled(self.turn()).await {
                tracing::warn!(%error, "notices of webhooks wait for their tables");
            }
            stop.run_until_cancelled(tokio::time::sleep(look)).await;
        }
    }

    async fn turn(&self) -> Result<(), sqlx::Error> {
        let parts = self.webhooks.parts();
        let rows = sqlx::query(
            "SELECT n.tenant_id, n.endpoint_id, n.version, n.disabled_at, n.reason, n.told, e.description
             FROM webhooks.notices n JOIN webhooks.endpoints e USING (tenant_id, endpoint_id)
             WHERE n.next_attempt_at <= $1 ORDER BY n.next_attempt_at LIMIT $2",
        )
        .bind(parts.clock.now())
        .bind(PAGE)
        .fetch_all(parts.deliver)
        .await?;
        for row in &rows {
            let (notice, told) = self.read(row)?;
            self.tell_all(&notice, &told).await?;
        }
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "the tenant of an endpoint that an authenticated caller set up")]
    fn read(&self, row: &PgRow) -> Result<(Notice, Vec<Uuid>), sqlx::Error> {
        let notice = Notice {
            service: self.webhooks.service(),
            tenant: TenantId::vouched(row.try_get("tenant_id")?),
            webhook: row.try_get("endpoint_id")?,
            version: row.try_get::<i64, _>("version")?.cast_unsigned(),
            description: row.try_get("description")?,
            reason: row.try_get("reason")?,
            at: row.try_get("disabled_at")?,
        };
        Ok((notice, row.try_get("told")?))
    }

    /// Tells those who were not told yet; what then becomes of the row.
    async fn tell_all(&self, notice: &Notice, told: &[Uuid]) -> Result<(), sqlx::Error> {
        let mut failed = None;
        match self.notices.addressees(notice.tenant).await {
            Ok(addressees) => {
                for to in addressees.into_iter().filter(|to| !told.contains(&to.uuid())) {
                    match self.notices.tell(to, notice).await {
                        Ok(()) => self.note_told(notice, to).await?,
                        Err(reason) => failed = Some(reason),
                    }
                }
            }
            Err(reason) => failed = Some(reason),
        }
        let now = self.webhooks.parts().clock.now();
        let age = now - notice.at;
        let webhook = notice.webhook;
        match failed {
            Some(reason) if age < PATIENCE => {
                tracing::info!(%webhook, reason, "that it is disabled is told later");
                self.rest(notice, now + age.clamp(PAUSES.0, PAUSES.1)).await
            }
            Some(reason) => {
                tracing::warn!(%webhook, tenant = %notice.tenant, reason, "nobody could be told for a day that it is disabled");
                self.forget(notice).await
            }
            None => self.forget(notice).await,
        }
    }

    async fn note_told(&self, notice: &Notice, to: UserId) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE webhooks.notices SET told = array_append(told, $4)
             WHERE tenant_id = $1 AND endpoint_id = $2 AND version = $3",
        )
        .bind(notice.tenant.uuid())
        .bind(notice.webhook)
        .bind(notice.version.cast_signed())
        .bind(to.uuid())
        .execute(self.webhooks.parts().deliver)
        .await
        .map(drop)
    }

    async fn rest(&self, notice: &Notice, until: DateTime<Utc>) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE webhooks.notices SET next_attempt_at = $4
             WHERE tenant_id = $1 AND endpoint_id = $2 AND version = $3",
        )
        .bind(notice.tenant.uuid())
        .bind(notice.webhook)
        .bind(notice.version.cast_signed())
        .bind(until)
        .execute(self.webhooks.parts().deliver)
        .await
        .map(drop)
    }

    async fn forget(&self, notice: &Notice) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM webhooks.notices WHERE tenant_id = $1 AND endpoint_id = $2 AND version = $3")
            .bind(notice.tenant.uuid())
            .bind(notice.webhook)
            .bind(notice.version.cast_signed())
            .execute(self.webhooks.parts().deliver)
            .await
            .map(drop)
    }
}
