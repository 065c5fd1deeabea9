//! Idempotency of requests: a request with an id that was used before returns its first answer.

use eventstore::LockClass;
use kernel::Refusal;
use sqlx::{PgConnection, Row};

use crate::dead_letters::{Request, unavailable};

/// The first answer, if a request with this id was carried out before.
pub(crate) async fn first_answer(tables: &mut PgConnection, request: &Request) -> Result<Option<u64>, Refusal> {
    let Some(id) = &request.command_id else { return Ok(None) };
    // A concurrent request with the same id waits here until this transaction ends.
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

/// Stores the answer, in the transaction that carries out the request.
pub(crate) async fn record(tables: &mut PgConnection, request: &Request, answer: u64) -> Result<(), Refusal> {
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
