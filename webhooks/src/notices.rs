//! Notifies a tenant when a webhook was disabled automatically; otherwise nobody would notice that its events wait.
//!
//! A notice is a row, created by the statement that disables the webhook. Each addressee is notified once. Failures are retried for a day,
//! with growing pauses.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use eventstore::Seldom;
use futures::future::BoxFuture;
use kernel::{Service, TenantId, UserId};
use sqlx::Row;
use sqlx::postgres::PgRow;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Webhooks;

/// The maximum number of notices that are processed at once.
const PAGE: i64 = 100;
/// How long failures are retried.
const RETRY_FOR: TimeDelta = TimeDelta::days(1);
/// The shortest and the longest pause. In between, the pause equals the time since the webhook was disabled.
const PAUSES: (TimeDelta, TimeDelta) = (TimeDelta::seconds(1), TimeDelta::minutes(30));

/// A webhook was disabled automatically.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The service whose events the webhook gets.
    pub service: Service,
    /// The webhook's tenant.
    pub tenant: TenantId,
    /// The webhook's id.
    pub webhook: Uuid,
    /// The webhook's version after it was disabled. Together with the id it identifies the notice.
    pub version: u64,
    /// The webhook's description.
    pub description: String,
    /// Why it was disabled.
    pub reason: String,
    /// When it was disabled.
    pub at: DateTime<Utc>,
}

/// Sends notices to people.
pub trait Notices: Send + Sync + 'static {
    /// Whom to notify about a tenant's webhooks. An error is temporary, and gives the reason.
    fn addressees(&self, tenant: TenantId) -> BoxFuture<'_, Result<Vec<UserId>, String>>;

    /// Notifies one person; a repeated call does not notify them again. A person who can't be notified at all counts as notified. An error
    /// is temporary, and gives the reason.
    fn tell<'a>(&'a self, to: UserId, notice: &'a Notice) -> BoxFuture<'a, Result<(), String>>;
}

/// Sends the pending notices of a service's webhooks. Runs beside the active deliverer, so only one is active.
#[derive(Clone)]
pub(crate) struct Notifier {
    pub(crate) webhooks: Webhooks,
    pub(crate) notices: Arc<dyn Notices>,
}

impl Notifier {
    /// Runs until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let poll_interval: Duration = self.webhooks.parts().settings.poll_interval;
        let seldom = Seldom::default();
        while !stop.is_cancelled() {
            if let Some(Err(error)) = stop.run_until_cancelled(self.send_due()).await
                && seldom.is_due()
            {
                tracing::warn!(%error, "notices of webhooks wait for their tables");
            }
            stop.run_until_cancelled(tokio::time::sleep(poll_interval)).await;
        }
    }

    async fn send_due(&self) -> Result<(), sqlx::Error> {
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

    /// Notifies all who were not notified yet. Then deletes the notice, or schedules the next attempt.
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
            Some(reason) if age < RETRY_FOR => {
                tracing::info!(%webhook, reason, "that it is disabled is told later");
                self.reschedule(notice, now + age.clamp(PAUSES.0, PAUSES.1)).await
            }
            Some(reason) => {
                tracing::warn!(%webhook, tenant = %notice.tenant, reason, "nobody could be told for a day that it is disabled");
                self.delete(notice).await
            }
            None => self.delete(notice).await,
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

    async fn reschedule(&self, notice: &Notice, until: DateTime<Utc>) -> Result<(), sqlx::Error> {
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

    async fn delete(&self, notice: &Notice) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM webhooks.notices WHERE tenant_id = $1 AND endpoint_id = $2 AND version = $3")
            .bind(notice.tenant.uuid())
            .bind(notice.webhook)
            .bind(notice.version.cast_signed())
            .execute(self.webhooks.parts().deliver)
            .await
            .map(drop)
    }
}
