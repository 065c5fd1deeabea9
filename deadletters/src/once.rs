//! Each request once: what was done under an id is answered the same when it is asked for again.

use eventstore::LockClass;
use kernel::Refusal;
use sqlx::{PgConnection, Row};

use crate::dead_letters::{Request, unavailable};

/// The answer of the first time, if the request was carried out before.
pub(crate) async fn before(tables: &mut PgConnection, request: &Request) -> Result<Option<u64>, Refusal> {
    let Some(id) = &request.command_id else { return Ok(None) };
    // Whoever comes with the same id at the same time waits here until we have answered.
    sqlx::query("SELECT pg_advisory_xact_lock($1, hashtext($2))")
        .bind(LockClass::DeadLetterRequest.number())
        .bind(format!("{} {id}", request.caller.tenant()))
        .execute(&mut *tables)
        .await
        .map_err(unavailable)?;
    let first = sqlx::query("SELECT request_hash, answer FROM dead.commands WHERE tenant_id = $1 AND command_id = $2")
        .bind(request.caller.tenant().uuid())
        .bind(id)
        .fetch_optional(tables)
        .await
        .map_err(unavailable)?;
    let Some(first) = first else { return Ok(None) };
    let hash: Vec<u8> = first.try_get("request_hash").map_err(unavailable)?;
    if hash != request.request_hash {
        return Err(Refusal::idempotency_key_reused(id));
    }
    let answer: i64 = first.try_get("answer").map_err(unavailable)?;
    Ok(Some(answer.cast_unsigned()))
}

/// Keeps the answer, in the transaction in which it became true.
pub(crate) async fn keep(tables: &mut PgConnection, request: &Request, answer: u64) -> Result<(), Refusal> {
    let Some(id) = &request.command_id else { return Ok(()) };
    sqlx::query("INSERT INTO dead.commands (tenant_id, command_id, request_hash, answer) VALUES ($1, $2, $3, $4)")
        .bind(request.caller.tenant().uuid())
        .bind(id)
        .bind(&request.request_hash[..])
        .bind(answer.cast_signed())
        .execute(tables)
        .await
        .map(drop)
        .map_err(unavailable)
}
