//! Retrying parked events: taking a due letter and recording the result, in one transaction of the consumer.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kernel::{Position, RecordedEvent, TenantId};
use sqlx::{PgConnection, Row};

use crate::decisions::{self, Decisions};
use crate::jitter::JITTER;
use crate::{Backoff, Consumer, Share, errors};

/// The number of attempts of a letter that are stored.
const ATTEMPTS: i32 = 20;

/// The pause before checking again for a due letter that could not be [taken](take), because another transaction has locked it.
pub const LOCKED_PAUSE: Duration = Duration::from_millis(100);

/// A parked event that is due, with the later events of its aggregate. The letter stays locked until the transaction ends.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The event's tenant.
    pub tenant: TenantId,
    /// The aggregate's type.
    pub aggregate_type: String,
    /// The aggregate's id.
    pub aggregate_id: String,
    /// The positions of the parked event and the events behind it, in order; limited, so there may be more.
    pub positions: Vec<Position>,
    /// The decisions about them.
    pub decisions: Decisions,
    /// The number of attempts so far.
    attempts: u32,
    /// When the letter was last changed. If its row has another time later (even an earlier one, after the clock was set back), somebody
    /// has decided about it.
    changed_at: DateTime<Utc>,
    /// Whether more events wait behind these.
    more: bool,
}

impl Taken {
    /// The number of this attempt, from 1.
    pub const fn nth(&self) -> u32 {
        self.attempts + 1
    }

    /// Matches the events that the log has at these positions. Returns the events up to the first position where the log does not have the
    /// expected event, and that position with an error. This happens if the log was set back to an earlier point. Events that were
    /// discarded may be missing.
    pub fn found(&self, events: Vec<RecordedEvent>) -> (Vec<RecordedEvent>, Option<(Position, Vec<String>)>) {
        let mut found = Vec::with_capacity(events.len());
        let mut events = events.into_iter().peekable();
        for position in &self.positions {
            let why = match events.next_if(|event| event.position == *position) {
                Some(event) if self.is_of(&event) => {
                    found.push(event);
                    continue;
                }
                Some(_) => "the log has another event there",
                None => "the log has no event there",
            };
            if !self.decisions.discards(*position) {
                return (found, Some((*position, vec![why.to_owned()])));
            }
        }
        (found, None)
    }

    fn is_of(&self, event: &RecordedEvent) -> bool {
        (event.tenant, &event.aggregate_type, &event.aggregate_id)
            == (self.tenant, &self.aggregate_type, &self.aggregate_id)
    }
}

/// The result of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The first event that could not be processed, and why; `None` if all were.
    pub failed: Option<(Position, Vec<String>)>,
}

/// The effect of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The number of events that are no longer parked.
    pub events: u64,
    /// Whether no event of the aggregate is parked any more.
    pub drained: bool,
}

/// Selects and locks the letter (`l`) that is due first and meets a further condition.
macro_rules! due {
    ($condition:literal) => {
        concat!(
            "SELECT tenant_id, aggregate_type, aggregate_id, position, attempts, changed_at FROM dead.letters l
             WHERE consumer = $1 AND state = 'parked' AND next_attempt_at <= clock_timestamp()
               AND get_byte(uuid_send(tenant_id), 15) & ($3 - 1) = $2 ",
            $condition,
            " ORDER BY next_attempt_at LIMIT 1 FOR UPDATE OF l SKIP LOCKED"
        )
    };
}

/// Takes the letter that is due first, with at most `limit` events. Letters that another transaction has locked (somebody decides about
/// them, or destroys their tenant) are skipped, so that nobody has to wait. A skipped letter may still be due: check again after
/// [`LOCKED_PAUSE`].
pub async fn take(
    connection: &mut PgConnection,
    consumer: &Consumer,
    share: Share,
    limit: u32,
) -> Result<Option<Taken>, sqlx::Error> {
    first(connection, due!(""), (consumer, share), limit).await
}

/// Like [`take`], but only letters about which somebody has decided since the last attempt, and letters without failures of their own (the
/// rest of a run that was too long for one attempt). For consumers that pause all other attempts.
pub async fn take_decided(
    connection: &mut PgConnection,
    consumer: &Consumer,
    share: Share,
    limit: u32,
) -> Result<Option<Taken>, sqlx::Error> {
    let decided = due!(
        "AND (attempts = 0 OR EXISTS (
             SELECT FROM dead.decisions d
             WHERE d.tenant_id = l.tenant_id AND d.consumer = l.consumer AND d.position = l.position
               AND d.decided_at >= l.changed_at))"
    );
    first(connection, decided, (consumer, share), limit).await
}

/// The first letter that a query finds, with the events behind it.
async fn first(
    connection: &mut PgConnection,
    query: &str,
    (consumer, share): (&Consumer, Share),
    limit: u32,
) -> Result<Option<Taken>, sqlx::Error> {
    let row = sqlx::query(query)
        .bind(consumer.as_str())
        .bind(share.number.cast_signed())
        .bind(share.of.cast_signed())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    #[expect(
        clippy::disallowed_methods,
        reason = "the tenant of an event of the log, where only authenticated callers wrote"
    )]
    let tenant = TenantId::vouched(row.try_get("tenant_id")?);
    let (aggregate_type, aggregate_id) = (row.try_get("aggregate_type")?, row.try_get("aggregate_id")?);
    let behind: Vec<i64> = sqlx::query_scalar(
        "SELECT position FROM dead.letters
         WHERE tenant_id = $1 AND consumer = $2 AND aggregate_type = $3 AND aggregate_id = $4 AND state = 'waiting'
         ORDER BY position LIMIT $5",
    )
    .bind(tenant.uuid())
    .bind(consumer.as_str())
    .bind::<&String>(&aggregate_type)
    .bind::<&String>(&aggregate_id)
    .bind(i64::from(limit))
    .fetch_all(&mut *connection)
    .await?;
    let mut positions: Vec<i64> = vec![row.try_get("position")?];
    positions.extend(behind);
    // One more was selected than is taken, to know whether there are more.
    let more = positions.len() > limit.max(1) as usize;
    positions.truncate(limit.max(1) as usize);
    let decisions = decisions::of(connection, tenant, consumer, &positions).await?;
    Ok(Some(Taken {
        tenant,
        aggregate_type,
        aggregate_id,
        positions: positions.into_iter().map(Position::from_i64).collect(),
        decisions,
        attempts: row.try_get::<i32, _>("attempts")?.cast_unsigned(),
        changed_at: row.try_get("changed_at")?,
        more,
    }))
}

/// Records the result of an attempt, in the transaction that processed the events. A consumer with one active instance may also do this in
/// a later transaction. Then a letter about which somebody decided meanwhile stays due at once, whatever the result was; and nothing
/// changes if a former active instance has recorded a result meanwhile.
pub async fn settle(
    connection: &mut PgConnection,
    consumer: &Consumer,
    taken: &Taken,
    outcome: Outcome,
    backoff: Backoff,
) -> Result<Settled, sqlx::Error> {
    let failed = outcome.failed.map(|(at, reasons)| (at, errors::tidy(reasons)));
    let until = failed.as_ref().map(|(at, _)| *at);
    let done: Vec<Position> =
        taken.positions.iter().copied().filter(|at| until.is_none_or(|until| *at < until)).collect();
    if let Some(head) = done.first() {
        if !over(connection, consumer, taken, *head).await? {
            return Ok(Settled { events: 0, drained: false });
        }
        end_waiting(connection, consumer, taken, &done[1..]).await?;
    }
    let drained = failed.is_none() && !taken.more;
    if let Some((at, reasons)) = failed {
        let attempt = if done.is_empty() { taken.attempts + 1 } else { 1 };
        let pause = backoff.pause(attempt).as_secs_f64();
        sqlx::query(&format!(
            "UPDATE dead.letters
             SET state = 'parked', attempts = $4, errors = $5,
                 changed_at = CASE WHEN changed_at <> $7 THEN changed_at ELSE now() END,
                 next_attempt_at = CASE WHEN changed_at <> $7 THEN next_attempt_at
                     ELSE clock_timestamp() + make_interval(secs => $6 * {JITTER}) END
             WHERE tenant_id = $1 AND consumer = $2 AND position = $3 AND state IN ('parked', 'waiting')"
        ))
        .bind(taken.tenant.uuid())
        .bind(consumer.as_str())
        .bind(at.as_i64())
        .bind(attempt.cast_signed())
        .bind(&reasons)
        .bind(pause)
        // Only parked letters can be decided about, so this does not apply to one that waited.
        .bind(done.is_empty().then_some(taken.changed_at))
        .execute(&mut *connection)
        .await?;
        tried(connection, consumer, taken.tenant, at, attempt, &reasons).await?;
    } else if taken.more {
        park_next(connection, consumer, taken).await?;
    }
    Ok(Settled { events: done.len() as u64, drained })
}

/// Ends the letters of processed events that waited behind the first one. Those that somebody discarded are kept as discarded.
async fn end_waiting(
    connection: &mut PgConnection,
    consumer: &Consumer,
    taken: &Taken,
    processed: &[Position],
) -> Result<(), sqlx::Error> {
    let behind = |discarded: bool| -> Vec<i64> {
        let found = processed.iter().filter(|at| taken.decisions.discards(**at) == discarded);
        found.map(|at| at.as_i64()).collect()
    };
    sqlx::query(
        "UPDATE dead.letters SET state = 'discarded', changed_at = now()
         WHERE tenant_id = $1 AND consumer = $2 AND position = ANY($3) AND state = 'waiting'",
    )
    .bind(taken.tenant.uuid())
    .bind(consumer.as_str())
    .bind(behind(true))
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "DELETE FROM dead.letters WHERE tenant_id = $1 AND consumer = $2 AND position = ANY($3) AND state = 'waiting'",
    )
    .bind(taken.tenant.uuid())
    .bind(consumer.as_str())
    .bind(behind(false))
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// Makes the first event after those that were taken a parked letter without failures, due at once.
async fn park_next(connection: &mut PgConnection, consumer: &Consumer, taken: &Taken) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE dead.letters SET state = 'parked', next_attempt_at = clock_timestamp(), changed_at = now()
         WHERE tenant_id = $1 AND consumer = $2 AND position = (
             SELECT position FROM dead.letters
             WHERE tenant_id = $1 AND consumer = $2 AND aggregate_type = $3 AND aggregate_id = $4 AND state = 'waiting'
             ORDER BY position LIMIT 1)",
    )
    .bind(taken.tenant.uuid())
    .bind(consumer.as_str())
    .bind(&taken.aggregate_type)
    .bind(&taken.aggregate_id)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// Ends the parked state of the first event. Returns false if it was not parked any more.
async fn over(
    connection: &mut PgConnection,
    consumer: &Consumer,
    taken: &Taken,
    head: Position,
) -> Result<bool, sqlx::Error> {
    // A letter without failures of its own is just deleted.
    let statement = if taken.attempts == 0 {
        "DELETE FROM dead.letters WHERE tenant_id = $1 AND consumer = $2 AND position = $3 AND state = 'parked' AND $4 <> ''"
    } else {
        "UPDATE dead.letters SET state = $4, attempts = attempts + 1, next_attempt_at = NULL, changed_at = now()
         WHERE tenant_id = $1 AND consumer = $2 AND position = $3 AND state = 'parked'"
    };
    let discarded = taken.decisions.discards(head);
    let done = sqlx::query(statement)
        .bind(taken.tenant.uuid())
        .bind(consumer.as_str())
        .bind(head.as_i64())
        .bind(if discarded { "discarded" } else { "applied" })
        .execute(&mut *connection)
        .await?;
    let was_parked = done.rows_affected() == 1;
    if was_parked && taken.attempts > 0 {
        tried(connection, consumer, taken.tenant, head, taken.attempts + 1, &[]).await?;
    }
    Ok(was_parked)
}

/// Stores an attempt, and deletes the oldest ones.
async fn tried(
    connection: &mut PgConnection,
    consumer: &Consumer,
    tenant: TenantId,
    at: Position,
    attempt: u32,
    reasons: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO dead.attempts (tenant_id, consumer, position, attempt, errors) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING",
    )
    .bind(tenant.uuid())
    .bind(consumer.as_str())
    .bind(at.as_i64())
    .bind(attempt.cast_signed())
    .bind(reasons)
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM dead.attempts WHERE tenant_id = $1 AND consumer = $2 AND position = $3 AND attempt <= $4")
        .bind(tenant.uuid())
        .bind(consumer.as_str())
        .bind(at.as_i64())
        .bind(attempt.cast_signed() - ATTEMPTS)
        .execute(connection)
        .await?;
    Ok(())
}

/// The time until the next letter is due; `None` if nothing is parked.
pub async fn due(
    connection: &mut PgConnection,
    consumer: &Consumer,
    share: Share,
) -> Result<Option<Duration>, sqlx::Error> {
    let seconds: Option<f64> = sqlx::query_scalar(
        "SELECT extract(epoch FROM min(next_attempt_at) - clock_timestamp())::float8 FROM dead.letters
         WHERE consumer = $1 AND state = 'parked' AND get_byte(uuid_send(tenant_id), 15) & ($3 - 1) = $2",
    )
    .bind(consumer.as_str())
    .bind(share.number.cast_signed())
    .bind(share.of.cast_signed())
    .fetch_one(connection)
    .await?;
    Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verdict;

    #[expect(clippy::disallowed_methods, reason = "a test vouches for its tenants")]
    fn event(position: u64, aggregate_id: &str) -> RecordedEvent {
        let tenant = TenantId::vouched(uuid::Uuid::from_u128(7));
        let (event_id, aggregate_id) = (uuid::Uuid::from_u128(position.into()), aggregate_id.to_owned());
        RecordedEvent { tenant, event_id, aggregate_id, ..testbed::event(position) }
    }

    fn taken(positions: &[u64], decisions: Decisions) -> Taken {
        let RecordedEvent { tenant, aggregate_type, aggregate_id, .. } = event(1, "ours");
        let positions = positions.iter().copied().map(Position).collect();
        let changed_at = DateTime::UNIX_EPOCH;
        Taken { tenant, aggregate_type, aggregate_id, positions, decisions, attempts: 1, changed_at, more: false }
    }

    #[test]
    fn what_the_log_does_not_have_any_more_is_not_taken_nor_is_what_came_after_it() {
        let all = || vec![event(3, "ours"), event(5, "ours"), event(8, "ours")];
        let none = Decisions::default();
        assert_eq!(taken(&[3, 5, 8], none.clone()).found(all()), (all(), None));
        let gone = Some((Position(4), vec!["the log has no event there".to_owned()]));
        assert_eq!(taken(&[3, 4, 5], none.clone()).found(all()), (vec![event(3, "ours")], gone));
        let other = Some((Position(5), vec!["the log has another event there".to_owned()]));
        let grown = vec![event(3, "ours"), event(5, "theirs"), event(8, "ours")];
        assert_eq!(taken(&[3, 5, 8], none.clone()).found(grown), (vec![event(3, "ours")], other));
        let ended = Some((Position(9), vec!["the log has no event there".to_owned()]));
        assert_eq!(taken(&[9], none).found(Vec::new()), (Vec::new(), ended));
    }

    #[test]
    fn what_was_discarded_may_be_gone() {
        let discarded = Decisions::default().with(Position(4), Verdict::Discarded);
        let there = vec![event(3, "ours"), event(5, "ours")];
        assert_eq!(taken(&[3, 4, 5], discarded).found(there.clone()), (there, None));
    }
}
