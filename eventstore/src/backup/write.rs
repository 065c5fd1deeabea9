//! Inserts rows into the log's tables and the tables next to it, unchanged. The connection acts as the owner, in a transaction that holds
//! the writers' lock.

use std::collections::BTreeSet;

use kernel::TenantId;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::{StoredAnswer, StoredClaim, StoredEvent};
use crate::Error;

/// Makes row level security admit rows of these tenants, and no others, until the transaction ends.
async fn scope(connection: &mut PgConnection, tenants: impl Iterator<Item = TenantId>) -> Result<(), Error> {
    let tenants: Vec<Uuid> = tenants.map(TenantId::uuid).collect::<BTreeSet<_>>().into_iter().collect();
    sqlx::query("SELECT set_config('app.tenant_ids', ($1::uuid[])::text, true)")
        .bind(tenants)
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes events.
pub(crate) async fn events(connection: &mut PgConnection, rows: &[StoredEvent]) -> Result<(), Error> {
    scope(connection, rows.iter().map(|row| row.event.tenant)).await?;
    let column = |of: fn(&StoredEvent) -> &str| rows.iter().map(of).collect::<Vec<_>>();
    let json = |of: fn(&StoredEvent) -> &[u8]| {
        let texts = rows.iter().map(|row| std::str::from_utf8(of(row)));
        texts.collect::<Result<Vec<_>, _>>().map_err(|error| Error::Corrupt(format!("JSON that is not UTF-8: {error}")))
    };
    sqlx::query(
        "INSERT INTO log.events (tenant_id, aggregate_type, aggregate_id, sequence, event_type, event_version, payload,
                                 metadata, event_id, position, occurred_at, recorded_at, leaf_hash)
         SELECT e.tenant_id, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version, e.payload::json,
                e.metadata::json, e.event_id, e.position, e.occurred_at, e.recorded_at, e.leaf_hash
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::uuid[], $10::bigint[], $11::timestamptz[], $12::timestamptz[], $13::bytea[])
           AS e (tenant_id, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, event_id,
                 position, occurred_at, recorded_at, leaf_hash)",
    )
    .bind(rows.iter().map(|row| row.event.tenant.uuid()).collect::<Vec<_>>())
    .bind(column(|row| &row.event.aggregate_type))
    .bind(column(|row| &row.event.aggregate_id))
    .bind(rows.iter().map(|row| row.event.sequence.cast_signed()).collect::<Vec<_>>())
    .bind(column(|row| &row.event.event_type))
    .bind(rows.iter().map(|row| row.event.event_version.to_string()).collect::<Vec<_>>())
    .bind(json(|row| &row.event.payload)?)
    .bind(json(|row| &row.event.metadata)?)
    .bind(rows.iter().map(|row| row.event.event_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.event.position.as_i64()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.event.occurred_at).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.event.recorded_at).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.leaf_hash.as_slice()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

const COMMANDS: &str =
    "INSERT INTO log.commands (tenant_id, command_id, request_hash, answer, first_position, last_position, recorded_at)
     SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::bigint[], $6::bigint[], $7::timestamptz[])";

/// Writes commands with their answers.
pub(crate) async fn commands(connection: &mut PgConnection, rows: &[StoredAnswer]) -> Result<(), Error> {
    store_commands(connection, rows, COMMANDS).await
}

/// Writes commands with their answers, except those that exist already.
pub(crate) async fn missing_commands(connection: &mut PgConnection, rows: &[StoredAnswer]) -> Result<(), Error> {
    store_commands(connection, rows, &format!("{COMMANDS} ON CONFLICT DO NOTHING")).await
}

async fn store_commands(connection: &mut PgConnection, rows: &[StoredAnswer], statement: &str) -> Result<(), Error> {
    scope(connection, rows.iter().map(|row| row.tenant)).await?;
    sqlx::query(statement)
        .bind(rows.iter().map(|row| row.tenant.uuid()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.command_id.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.request_hash.as_slice()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.answer.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.first.as_i64()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.last.as_i64()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.recorded_at).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes claims.
pub(crate) async fn claims(connection: &mut PgConnection, rows: &[StoredClaim]) -> Result<(), Error> {
    scope(connection, rows.iter().map(|row| row.tenant)).await?;
    sqlx::query(
        "INSERT INTO log.claims (tenant_id, kind, key, holder)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[])",
    )
    .bind(rows.iter().map(|row| row.tenant.uuid()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.key.as_slice()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.holder.as_str()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes those of a tenant's claims that are of a kind and have these keys.
pub(crate) async fn delete_claims(
    connection: &mut PgConnection,
    tenant: TenantId,
    kind: &str,
    keys: &[[u8; 32]],
) -> Result<(), Error> {
    scope(connection, std::iter::once(tenant)).await?;
    // Looked up one by one by the primary key, whatever number of rows the planner estimates.
    sqlx::query(
        "DELETE FROM log.claims WHERE ctid = ANY (ARRAY(
             SELECT c.ctid FROM unnest($3::bytea[]) AS k (key)
             CROSS JOIN LATERAL (SELECT ctid FROM log.claims WHERE tenant_id = $1 AND kind = $2 AND key = k.key OFFSET 0) c))",
    )
    .bind(tenant.uuid())
    .bind(kind)
    .bind(keys.iter().map(<[u8; 32]>::as_slice).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes all claims of a tenant.
pub(crate) async fn delete_all_claims(connection: &mut PgConnection, tenant: TenantId) -> Result<(), Error> {
    scope(connection, std::iter::once(tenant)).await?;
    sqlx::query("DELETE FROM log.claims WHERE tenant_id = $1").bind(tenant.uuid()).execute(connection).await?;
    Ok(())
}

/// Writes rows of a table next to the log, each given as a JSON object by column name.
pub(crate) async fn rows(connection: &mut PgConnection, table: &str, rows: &[String]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(&format!(
        "INSERT INTO {table}
         SELECT r.* FROM unnest($1::text[]) AS x (row) CROSS JOIN LATERAL jsonb_populate_record(NULL::{table}, x.row::jsonb) r"
    ))
    .bind(rows)
    .execute(connection)
    .await?;
    Ok(())
}
