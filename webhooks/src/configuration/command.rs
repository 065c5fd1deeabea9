//! Carrying out a command in one transaction: authorization, idempotency, change, record.

use kernel::{Refusal, TenantId};
use sqlx::{PgConnection, Row};

use super::apply::{Change, apply};
use super::endpoint_command::{Changed, Done, EndpointCommand, Request};
use super::{WRITE, Webhooks, unavailable};

impl Webhooks {
    /// Carries out a command. It is in effect when this returns: no attempt begins any more with the former configuration.
    ///
    /// # Errors
    /// A refused command changed nothing.
    pub async fn carry_out(&self, request: &Request, act: EndpointCommand) -> Result<Done, Refusal> {
        let inner = &*self.inner;
        request.caller.require(WRITE)?;
        if act.needs_history() {
            may_read_history(request, self)?;
        }
        let tenant = request.caller.tenant();
        let mut transaction = self.begin(tenant).await?;
        if let Some(first) = first_answer(&mut transaction, tenant, request, inner.clock.now()).await? {
            return Ok(Done { changed: first, repeated: true });
        }
        let change = Change {
            tenant,
            actor: request.caller.subject(),
            if_match: request.if_match.as_ref(),
            types: &inner.types,
            guard: inner.settings.guard,
            now: inner.clock.now(),
            ids: &*inner.ids,
            random: &*inner.random,
        };
        let changed = apply(&mut transaction, &change, act).await?;
        if let Some(id) = &request.command_id {
            let answer = serde_json::to_string(&changed)
                .map_err(|error| Refusal::internal("answer_unwritable", error.to_string()))?;
            sqlx::query("UPDATE webhooks.commands SET answer = $3 WHERE tenant_id = $1 AND command_id = $2")
                .bind(tenant.uuid())
                .bind(id)
                .bind(answer)
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?;
        }
        transaction.commit().await.map_err(unavailable)?;
        inner.bus.wake_webhooks(inner.service).await;
        Ok(Done { changed, repeated: false })
    }

    /// The first answer to a request that was carried out before, if this service did so. For requests to endpoints that do not exist any
    /// more.
    ///
    /// # Errors
    /// When another request had the same key, or the tables don't answer.
    pub async fn repeated(&self, request: &Request) -> Result<Option<Done>, Refusal> {
        request.caller.require(WRITE)?;
        let Some(id) = &request.command_id else { return Ok(None) };
        let tenant = request.caller.tenant();
        let mut transaction = self.begin(tenant).await?;
        let first = stored_answer(&mut transaction, tenant, request, id).await?;
        Ok(first.map(|changed| Done { changed, repeated: true }))
    }
}

fn may_read_history(request: &Request, webhooks: &Webhooks) -> Result<(), Refusal> {
    let permission = format!("{}:history:read", webhooks.service());
    if request.caller.may(&permission) {
        return Ok(());
    }
    let detail = format!("this needs the permission {permission}, which none of the caller's roles gives");
    Err(Refusal::forbidden("permission_missing", detail).with("permission", permission))
}

/// Records the request's id. If it was recorded before, returns the first answer. A concurrent request with the same id waits here.
async fn first_answer(
    tables: &mut PgConnection,
    tenant: TenantId,
    request: &Request,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Option<Changed>, Refusal> {
    let Some(id) = &request.command_id else { return Ok(None) };
    let taken = sqlx::query(
        "INSERT INTO webhooks.commands (tenant_id, command_id, request_hash, answer, recorded_at)
         VALUES ($1, $2, $3, '', $4) ON CONFLICT DO NOTHING",
    )
    .bind(tenant.uuid())
    .bind(id)
    .bind(&request.request_hash[..])
    .bind(now)
    .execute(&mut *tables)
    .await
    .map_err(unavailable)?;
    if taken.rows_affected() == 1 {
        return Ok(None);
    }
    stored_answer(tables, tenant, request, id).await
}

/// The stored answer to the request with this id.
async fn stored_answer(
    tables: &mut PgConnection,
    tenant: TenantId,
    request: &Request,
    id: &str,
) -> Result<Option<Changed>, Refusal> {
    let row =
        sqlx::query("SELECT request_hash, answer FROM webhooks.commands WHERE tenant_id = $1 AND command_id = $2")
            .bind(tenant.uuid())
            .bind(id)
            .fetch_optional(tables)
            .await
            .map_err(unavailable)?;
    let Some(row) = row else { return Ok(None) };
    let (hash, answer): (Vec<u8>, String) =
        (row.try_get(0).map_err(unavailable)?, row.try_get(1).map_err(unavailable)?);
    if hash != request.request_hash {
        return Err(Refusal::idempotency_key_reused(id));
    }
    serde_json::from_str(&answer)
        .map(Some)
        .map_err(|error| Refusal::internal("answer_unreadable", format!("the stored answer: {error}")))
}
