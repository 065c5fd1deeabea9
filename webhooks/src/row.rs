//! Reading endpoints, changes and deliveries. Every statement runs in a transaction of one tenant.

use eventstore::lists::distribute;
use kernel::{Position, TenantId, TypePatterns};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};
use uuid::Uuid;

use crate::endpoint::{Change, Delivery, Endpoint, State};

/// Selects endpoints, without the secrets, which the reading role can't access.
macro_rules! endpoints {
    ($rest:literal) => {
        concat!(
            "SELECT e.endpoint_id, e.version, e.url, e.types, e.description, e.former_until, e.enabled, e.disabled_reason,
                    e.created_at, e.changed_at, c.position, c.attempts, c.failing_since, c.next_attempt_at, c.delivered,
                    h.position AS head
             FROM webhooks.endpoints e JOIN webhooks.cursors c USING (tenant_id, endpoint_id), ",
            eventstore::log_head!(),
            " WHERE e.tenant_id = $1 ",
            $rest
        )
    };
}

impl Endpoint {
    /// A tenant's endpoints, oldest first. Their number is limited: see [`crate::EndpointCommand::Create`].
    pub async fn list(tables: &mut PgConnection, tenant: TenantId) -> Result<Vec<Self>, sqlx::Error> {
        let query = sqlx::query(endpoints!("ORDER BY e.endpoint_id")).bind(tenant.uuid());
        query.fetch_all(tables).await?.iter().map(Self::read).collect()
    }

    /// A tenant's endpoint with this id.
    pub async fn find(tables: &mut PgConnection, tenant: TenantId, id: Uuid) -> Result<Option<Self>, sqlx::Error> {
        let query = sqlx::query(endpoints!("AND e.endpoint_id = $2")).bind(tenant.uuid()).bind(id);
        query.fetch_optional(tables).await?.as_ref().map(Self::read).transpose()
    }

    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        let attempts = row.try_get::<i32, _>("attempts")?.cast_unsigned();
        let enabled: bool = row.try_get("enabled")?;
        let next_attempt_at: Option<_> = row.try_get("next_attempt_at")?;
        let state = if !enabled {
            State::Disabled { reason: row.try_get::<Option<String>, _>("disabled_reason")?.unwrap_or_default() }
        } else if attempts > 0 {
            State::Failing
        } else {
            State::Enabled
        };
        Ok(Self {
            id: row.try_get("endpoint_id")?,
            version: row.try_get::<i64, _>("version")?.cast_unsigned(),
            url: row.try_get("url")?,
            types: TypePatterns::stored(row.try_get("types")?),
            description: row.try_get("description")?,
            state,
            former_secret_until: row.try_get("former_until")?,
            position: Position::from_i64(row.try_get("position")?),
            head: Position::from_i64(row.try_get("head")?),
            attempts,
            failing_since: row.try_get("failing_since")?,
            // A disabled endpoint has no next attempt.
            next_attempt_at: next_attempt_at.filter(|_| enabled),
            delivered: row.try_get::<i64, _>("delivered")?.cast_unsigned(),
            created_at: row.try_get("created_at")?,
            changed_at: row.try_get("changed_at")?,
        })
    }
}

impl Change {
    /// An endpoint's changes, newest first: at most `limit`, older than the version `before`.
    pub async fn list(
        tables: &mut PgConnection,
        tenant: TenantId,
        endpoint: Uuid,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Self>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT version, actor, changed_at, change, detail FROM webhooks.changes
             WHERE tenant_id = $1 AND endpoint_id = $2 AND ($3::bigint IS NULL OR version < $3)
             ORDER BY version DESC LIMIT $4",
        )
        .bind(tenant.uuid())
        .bind(endpoint)
        // Larger numbers do not fit into a bigint, and no endpoint has so many versions.
        .bind(before.map(|before| i64::try_from(before).unwrap_or(i64::MAX)))
        .bind(i64::from(limit))
        .fetch_all(tables)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Self {
                    version: row.try_get::<i64, _>("version")?.cast_unsigned(),
                    actor: row.try_get("actor")?,
                    changed_at: row.try_get("changed_at")?,
                    change: row.try_get("change")?,
                    detail: row.try_get("detail")?,
                })
            })
            .collect()
    }
}

impl Delivery {
    /// Pages of several endpoints' delivery attempts, newest first. For each endpoint: those before this id, at most this many.
    pub async fn lists(
        tables: &mut PgConnection,
        tenant: TenantId,
        asked: &[(Uuid, Option<Uuid>, u32)],
    ) -> Result<Vec<Vec<Self>>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT a.nth, d.*
             FROM UNNEST($2::uuid[], $3::uuid[], $4::bigint[]) WITH ORDINALITY AS a (endpoint_id, before, most, nth)
             CROSS JOIN LATERAL (
                 SELECT d.delivery_id, d.message_id, d.event_type, d.position, d.attempt, d.sent_at, d.duration_ms, d.status,
                        d.error, d.response
                 FROM webhooks.deliveries d
                 WHERE d.tenant_id = $1 AND d.endpoint_id = a.endpoint_id
                   AND (a.before IS NULL OR d.delivery_id < a.before)
                 ORDER BY d.delivery_id DESC LIMIT a.most) d
             ORDER BY a.nth, d.delivery_id DESC",
        )
        .bind(tenant.uuid())
        .bind(asked.iter().map(|(endpoint, ..)| *endpoint).collect::<Vec<_>>())
        .bind(asked.iter().map(|(_, before, _)| *before).collect::<Vec<_>>())
        .bind(asked.iter().map(|(.., most)| i64::from(*most)).collect::<Vec<_>>())
        .fetch_all(tables)
        .await?;
        distribute(&rows, asked.len())
    }

    /// The number of stored deliveries of these endpoints. Endpoints without any are left out.
    pub async fn counts(
        tables: &mut PgConnection,
        tenant: TenantId,
        endpoints: &[Uuid],
    ) -> Result<Vec<(Uuid, i64)>, sqlx::Error> {
        let sql = "SELECT endpoint_id, count(*) FROM webhooks.deliveries
                   WHERE tenant_id = $1 AND endpoint_id = ANY ($2) GROUP BY endpoint_id";
        sqlx::query_as(sql).bind(tenant.uuid()).bind(endpoints).fetch_all(tables).await
    }
}

impl FromRow<'_, PgRow> for Delivery {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("delivery_id")?,
            message_id: row.try_get("message_id")?,
            event_type: row.try_get("event_type")?,
            position: row.try_get::<Option<i64>, _>("position")?.map(Position::from_i64),
            attempt: row.try_get::<i32, _>("attempt")?.cast_unsigned(),
            sent_at: row.try_get("sent_at")?,
            duration_ms: row.try_get::<i64, _>("duration_ms")?.cast_unsigned(),
            status: row.try_get::<Option<i32>, _>("status")?.and_then(|status| u16::try_from(status).ok()),
            error: row.try_get("error")?,
            response: row.try_get("response")?,
        })
    }
}
