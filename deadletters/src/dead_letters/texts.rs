//! Storing and reading the payloads of edits, in which personal data is encrypted.

use std::time::Duration;

use eventstore::{Database, Role, log_unreadable};
use kernel::{RecordedEvent, Refusal, TenantId};
use serde_json::Value;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{DeadLetters, unavailable, unknown};
use crate::{Decided, LetterId, decisions, marking};

/// The pause after the database or the log did not answer, for work in the background.
const PAUSE: Duration = Duration::from_secs(10);

impl DeadLetters {
    /// The payloads of an edit as they are stored: before and after, with personal data encrypted.
    pub(super) async fn kept(
        &self,
        tenant: TenantId,
        id: &LetterId,
        payload: &Value,
    ) -> Result<(String, String), Refusal> {
        let stored = self.inner.store.stored_at(&[id.position]).await.map_err(|error| log_unreadable(&error))?.pop();
        let stored = stored.filter(|event| event.tenant == tenant).ok_or_else(|| unknown(id))?;
        let mut transaction = self.begin(tenant).await?;
        let known = decisions::of(&mut transaction, tenant, &id.consumer, &[id.position.as_i64()]).await;
        let known = known.map_err(unavailable)?;
        transaction.rollback().await.map_err(unavailable)?;
        let before = self.sealed(&stored, &String::from_utf8_lossy(&known.payload_of(&stored))).await?;
        let after = marking::marked(self.aggregate(&stored), &stored, &before, payload);
        Ok((before, self.seal(&stored, &after).await?))
    }

    /// A payload with its personal data encrypted, if it is not already.
    async fn sealed(&self, stored: &RecordedEvent, text: &str) -> Result<String, Refusal> {
        match (self.aggregate(stored), serde_json::from_str::<Value>(text)) {
            (Some(aggregate), Ok(payload)) if !eventstore::is_sealed(text.as_bytes()) => {
                self.seal(stored, &marking::marked(Some(aggregate), stored, text, &payload)).await
            }
            _ => Ok(text.to_owned()),
        }
    }

    async fn seal(&self, stored: &RecordedEvent, marked: &str) -> Result<String, Refusal> {
        self.inner.store.seal_text(stored, marked).await.map_err(|error| unsealed(&error))
    }

    /// Encrypts personal data in edits that programs before 2026-12 wrote, or that came from an old backup. Started by each server; ends
    /// when everything is encrypted.
    pub async fn seal_former(self, database: Database, shutdown: CancellationToken) {
        let pool = database.pool(Role::Project, 1);
        let sealing = async {
            while let Err(refusal) = self.seal_former_in(&pool).await {
                tracing::warn!(service = %self.inner.service, %refusal, "edits of dead letters are sealed later");
                tokio::time::sleep(PAUSE).await;
            }
        };
        let _ = shutdown.run_until_cancelled(sealing).await;
        pool.close().await;
    }

    async fn seal_former_in(&self, pool: &PgPool) -> Result<(), Refusal> {
        // No index: it reads all edits that people ever made, but only once per process.
        let clear: Vec<(Uuid, String, i64, i32, String, String)> = sqlx::query_as(
            r#"SELECT tenant_id, consumer, position, nth, before, after FROM dead.decisions
               WHERE kind = 'edit' AND (before NOT LIKE '%{"sealed":"%' OR after NOT LIKE '%{"sealed":"%')
               ORDER BY position"#,
        )
        .fetch_all(pool)
        .await
        .map_err(unavailable)?;
        for (tenant, consumer, position, nth, before, after) in clear {
            let found = self.inner.store.stored_at(&[kernel::Position::from_i64(position)]).await;
            let stored = found.map_err(|error| log_unreadable(&error))?.pop();
            let Some(stored) = stored.filter(|event| event.tenant.uuid() == tenant) else { continue };
            let sealed = (self.sealed(&stored, &before).await?, self.sealed(&stored, &after).await?);
            if sealed == (before, after) {
                continue;
            }
            sqlx::query(
                "UPDATE dead.decisions SET before = $5, after = $6
                 WHERE tenant_id = $1 AND consumer = $2 AND position = $3 AND nth = $4",
            )
            .bind(tenant)
            .bind(consumer)
            .bind(position)
            .bind(nth)
            .bind(sealed.0)
            .bind(sealed.1)
            .execute(pool)
            .await
            .map_err(unavailable)?;
        }
        Ok(())
    }

    /// Decrypts the payloads of edits of an event, as far as their keys exist.
    pub(super) async fn open_texts(&self, event: &RecordedEvent, decisions: &mut [Decided]) -> Result<(), Refusal> {
        let texts = decisions.iter_mut().flat_map(|one| one.before.iter_mut().chain(&mut one.after));
        let texts: Vec<&mut String> = texts.collect();
        let copy = |text: &&mut String| RecordedEvent { payload: (**text).clone().into(), ..event.clone() };
        let opened =
            self.inner.store.opened(texts.iter().map(copy).collect()).await.map_err(|error| log_unreadable(&error))?;
        for (text, copy) in texts.into_iter().zip(opened) {
            *text = String::from_utf8_lossy(&copy.payload).into_owned();
        }
        Ok(())
    }
}

/// The refusal if a payload can't be encrypted; it is not stored then.
fn unsealed(error: &eventstore::append::Error) -> Refusal {
    tracing::warn!(%error, "an edit of a dead letter can't be sealed");
    Refusal::unavailable("log_unavailable", "personal data in the payload can't be encrypted now; try again")
}
