//! The changes of the tables by each command.

use chrono::{DateTime, TimeDelta, Utc};
use eventstore::LockClass;
use kernel::{Checks, EventType, IdSource, Position, Refusal, TenantId, TypePatterns, Versions};
use serde_json::{Value, json};
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres};
use uuid::Uuid;

use super::endpoint_command::{Changed, EndpointCommand, EndpointFields};
use super::{unavailable, unknown};
use crate::{Guard, RandomSource, Secret};

/// The maximum number of a tenant's endpoints per service.
const MOST: i64 = 50;
/// The maximum number of patterns of an endpoint.
const MOST_TYPES: usize = 50;
/// The maximum time that a former secret stays valid, in hours: a week.
pub const LONGEST_OVERLAP: u32 = 168;

/// The context of a change.
pub(super) struct Change<'a> {
    pub(super) tenant: TenantId,
    pub(super) actor: &'a str,
    pub(super) if_match: Option<&'a Versions>,
    pub(super) types: &'a [EventType],
    pub(super) guard: Guard,
    pub(super) now: DateTime<Utc>,
    pub(super) ids: &'a dyn IdSource,
    pub(super) random: &'a dyn RandomSource,
}

/// Applies a command, in a transaction of the tenant.
pub(super) async fn apply(
    tables: &mut PgConnection,
    change: &Change<'_>,
    act: EndpointCommand,
) -> Result<Changed, Refusal> {
    let name = act.name();
    let id = match &act {
        EndpointCommand::Create { .. } => change.ids.next(),
        EndpointCommand::Change { id, .. }
        | EndpointCommand::Enable { id }
        | EndpointCommand::Disable { id, .. }
        | EndpointCommand::RotateSecret { id, .. }
        | EndpointCommand::Replay { id, .. }
        | EndpointCommand::Remove { id } => *id,
    };
    let version = match act {
        EndpointCommand::Create { .. } => 1,
        _ => change.lock(tables, id).await? + 1,
    };
    let mut secret = None;
    let detail = match act {
        EndpointCommand::Create { fields, after } => {
            let fresh = Secret::new(change.random);
            secret = Some(fresh.reveal());
            change.create(tables, id, &fields, after, &fresh).await?
        }
        EndpointCommand::Change { fields, .. } => change.replace(tables, id, &fields).await?,
        EndpointCommand::Enable { .. } => change.enable(tables, id).await?,
        EndpointCommand::Disable { reason, .. } => change.disable(tables, id, &reason).await?,
        EndpointCommand::RotateSecret { overlap_hours, .. } => {
            let fresh = Secret::new(change.random);
            secret = Some(fresh.reveal());
            change.rotate(tables, id, overlap_hours, &fresh).await?
        }
        EndpointCommand::Replay { after, .. } => change.replay(tables, id, after).await?,
        EndpointCommand::Remove { .. } => change.remove(tables, id).await?,
    };
    change.note(tables, id, version, name, detail).await?;
    Ok(Changed { id, version: version.cast_unsigned(), secret })
}

impl Change<'_> {
    /// Locks the endpoint, checks `If-Match`, and returns its version.
    async fn lock(&self, tables: &mut PgConnection, id: Uuid) -> Result<i64, Refusal> {
        let query = "SELECT version FROM webhooks.endpoints WHERE tenant_id = $1 AND endpoint_id = $2 FOR UPDATE";
        let found = sqlx::query_scalar::<_, i64>(query).bind(self.tenant.uuid()).bind(id).fetch_optional(tables);
        let version = found.await.map_err(unavailable)?.ok_or_else(|| unknown(id))?;
        match self.if_match {
            Some(wanted) if !wanted.contains(version.cast_unsigned()) => Err(Refusal::precondition_failed(
                "version_differs",
                format!("If-Match names {wanted}, the current version is {version}; read it again, then decide"),
            )
            .with("version", version)),
            _ => Ok(version),
        }
    }

    fn check(&self, fields: &EndpointFields) -> Result<(String, TypePatterns, String), Refusal> {
        let mut checks = Checks::default();
        let url = checks.take("/url", "url", self.guard.url(&fields.url)).map(String::from).unwrap_or_default();
        let description = checks.line("/description", &fields.description, 0..=200);
        if fields.types.len() > MOST_TYPES {
            let detail = format!("{} patterns; allowed are {MOST_TYPES} at most", fields.types.len());
            checks.refuse("/types", "length", detail);
        }
        let types = TypePatterns::new(&fields.types, self.types).unwrap_or_else(|error| {
            let detail = format!("{error}; GET /v1/events/types lists them");
            checks.refuse(format!("/types/{}", error.index), "event_type_unknown", detail);
            TypePatterns::default()
        });
        checks.finish()?;
        Ok((url, types, description))
    }

    async fn create(
        &self,
        tables: &mut PgConnection,
        id: Uuid,
        fields: &EndpointFields,
        after: Option<Position>,
        secret: &Secret,
    ) -> Result<Value, Refusal> {
        if self.if_match.is_some() {
            return Err(Versions::of_something_new());
        }
        let (url, types, description) = self.check(fields)?;
        // The lock serializes creations of a tenant, so that the limit is exact.
        sqlx::query("SELECT pg_advisory_xact_lock($1, hashtext($2))")
            .bind(LockClass::WebhooksOfTenant.number())
            .bind(self.tenant.to_string())
            .execute(&mut *tables)
            .await
            .map_err(unavailable)?;
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM webhooks.endpoints WHERE tenant_id = $1")
            .bind(self.tenant.uuid())
            .fetch_one(&mut *tables)
            .await
            .map_err(unavailable)?;
        if count >= MOST {
            let detail =
                format!("there are already {count} webhooks; allowed are {MOST}: remove one that is not needed");
            return Err(Refusal::conflict("too_many_webhooks", detail).with("allowed", MOST));
        }
        let head = head(tables).await?;
        let position = within(after.unwrap_or(head), head)?;
        sqlx::query(
            "INSERT INTO webhooks.endpoints (tenant_id, endpoint_id, version, url, types, description, secret, enabled,
                 created_at, changed_at)
             VALUES ($1, $2, 1, $3, $4, $5, $6, true, $7, $7)",
        )
        .bind(self.tenant.uuid())
        .bind(id)
        .bind(&url)
        .bind(types.as_slice())
        .bind(&description)
        .bind(secret.bytes())
        .bind(self.now)
        .execute(&mut *tables)
        .await
        .map_err(unavailable)?;
        sqlx::query("INSERT INTO webhooks.cursors (tenant_id, endpoint_id, position) VALUES ($1, $2, $3)")
            .bind(self.tenant.uuid())
            .bind(id)
            .bind(position.as_i64())
            .execute(tables)
            .await
            .map_err(unavailable)?;
        Ok(json!({ "url": url, "types": types.as_slice(), "description": description, "after": position.0 }))
    }

    async fn replace(&self, tables: &mut PgConnection, id: Uuid, fields: &EndpointFields) -> Result<Value, Refusal> {
        let (url, types, description) = self.check(fields)?;
        let update = update("url = $4, types = $5, description = $6");
        let query = self.bind(sqlx::query(&update), id).bind(&url).bind(types.as_slice()).bind(&description);
        query.execute(tables).await.map_err(unavailable)?;
        Ok(json!({ "url": url, "types": types.as_slice(), "description": description }))
    }

    async fn enable(&self, tables: &mut PgConnection, id: Uuid) -> Result<Value, Refusal> {
        let update = update("enabled = true, disabled_reason = NULL");
        self.bind(sqlx::query(&update), id).execute(&mut *tables).await.map_err(unavailable)?;
        self.set_cursor(tables, id, None).await?;
        Ok(json!({}))
    }

    async fn disable(&self, tables: &mut PgConnection, id: Uuid, reason: &str) -> Result<Value, Refusal> {
        let mut checks = Checks::default();
        let reason = checks.line("/reason", reason, 0..=200);
        checks.finish()?;
        let update = update("enabled = false, disabled_reason = $4");
        self.bind(sqlx::query(&update), id).bind(&reason).execute(tables).await.map_err(unavailable)?;
        Ok(json!({ "reason": reason }))
    }

    async fn rotate(
        &self,
        tables: &mut PgConnection,
        id: Uuid,
        overlap_hours: u32,
        secret: &Secret,
    ) -> Result<Value, Refusal> {
        if overlap_hours > LONGEST_OVERLAP {
            let detail = format!("allowed are 0 to {LONGEST_OVERLAP} hours");
            return Err(Refusal::field("/overlap_hours", "overlap_hours", detail));
        }
        let until = (overlap_hours > 0).then(|| self.now + TimeDelta::hours(overlap_hours.into()));
        let update = update(
            "former_secret = CASE WHEN $5::timestamptz IS NOT NULL THEN secret END, former_until = $5, secret = $4",
        );
        let query = self.bind(sqlx::query(&update), id).bind(secret.bytes()).bind(until);
        query.execute(&mut *tables).await.map_err(unavailable)?;
        self.forget_secrets(tables, id).await?;
        Ok(json!({ "former_until": until }))
    }

    async fn replay(&self, tables: &mut PgConnection, id: Uuid, after: Position) -> Result<Value, Refusal> {
        let position = within(after, head(tables).await?)?;
        let update = update("enabled = enabled");
        self.bind(sqlx::query(&update), id).execute(&mut *tables).await.map_err(unavailable)?;
        self.set_cursor(tables, id, Some(position)).await?;
        self.forget_letters(tables, id, position).await?;
        Ok(json!({ "after": position.0 }))
    }

    /// Binds the parameters with which every update of an endpoint begins.
    fn bind<'q>(&self, query: Query<'q, Postgres, PgArguments>, id: Uuid) -> Query<'q, Postgres, PgArguments> {
        query.bind(self.tenant.uuid()).bind(id).bind(self.now)
    }

    /// Resets failures, and optionally sets the position. The new generation makes a running worker end.
    async fn set_cursor(&self, tables: &mut PgConnection, id: Uuid, to: Option<Position>) -> Result<(), Refusal> {
        sqlx::query(
            "UPDATE webhooks.cursors
             SET position = coalesce($3, position), generation = generation + 1, attempts = 0, failing_since = NULL,
                 next_attempt_at = NULL
             WHERE tenant_id = $1 AND endpoint_id = $2",
        )
        .bind(self.tenant.uuid())
        .bind(id)
        .bind(to.map(Position::as_i64))
        .execute(tables)
        .await
        .map(drop)
        .map_err(unavailable)
    }

    async fn remove(&self, tables: &mut PgConnection, id: Uuid) -> Result<Value, Refusal> {
        for table in ["deliveries", "notices", "cursors", "endpoints"] {
            sqlx::query(&format!("DELETE FROM webhooks.{table} WHERE tenant_id = $1 AND endpoint_id = $2"))
                .bind(self.tenant.uuid())
                .bind(id)
                .execute(&mut *tables)
                .await
                .map_err(unavailable)?;
        }
        self.forget_letters(tables, id, Position::START).await?;
        self.forget_secrets(tables, id).await?;
        Ok(json!({}))
    }

    /// Deletes the endpoint's dead letters after a position, because the events are delivered again, or the endpoint is removed.
    async fn forget_letters(&self, tables: &mut PgConnection, id: Uuid, after: Position) -> Result<(), Refusal> {
        deadletters::forget(tables, self.tenant, &crate::letters::consumer(id), after).await.map_err(unavailable)
    }

    /// Removes the endpoint's secrets from stored answers, so that rotated and removed secrets are stored nowhere.
    async fn forget_secrets(&self, tables: &mut PgConnection, id: Uuid) -> Result<(), Refusal> {
        sqlx::query(
            "UPDATE webhooks.commands SET answer = (answer::jsonb - 'secret')::text
             WHERE tenant_id = $1 AND CASE WHEN answer = '' THEN false ELSE answer::jsonb ->> 'id' = $2 END",
        )
        .bind(self.tenant.uuid())
        .bind(id.to_string())
        .execute(tables)
        .await
        .map(drop)
        .map_err(unavailable)
    }

    async fn note(
        &self,
        tables: &mut PgConnection,
        id: Uuid,
        version: i64,
        name: &str,
        detail: Value,
    ) -> Result<(), Refusal> {
        sqlx::query(
            "INSERT INTO webhooks.changes (tenant_id, endpoint_id, version, actor, changed_at, change, detail)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(self.tenant.uuid())
        .bind(id)
        .bind(version)
        .bind(self.actor)
        .bind(self.now)
        .bind(name)
        .bind(detail)
        .execute(tables)
        .await
        .map(drop)
        .map_err(unavailable)
    }
}

/// An update of one endpoint that increments its version: `$1` the tenant, `$2` its id, `$3` the time.
fn update(set: &str) -> String {
    format!(
        "UPDATE webhooks.endpoints SET {set}, version = version + 1, changed_at = $3 WHERE tenant_id = $1 AND endpoint_id = $2"
    )
}

async fn head(tables: &mut PgConnection) -> Result<Position, Refusal> {
    eventstore::head_in(tables).await.map_err(unavailable)
}

fn within(position: Position, head: Position) -> Result<Position, Refusal> {
    if position <= head {
        return Ok(position);
    }
    let detail = format!("the log ends at {head}, before {position}");
    Err(Refusal::invalid("position_ahead", detail).with("head", head.0))
}
