//! Writing the outcome of an attempt: the job's next state.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgPool;

use crate::claim::Claimed;
use crate::{Fault, Settings};

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ending {
    /// The handler returned.
    Answered(Result<Value, Fault>),
    /// The process shuts down: the attempt does not count.
    Released,
}

/// The changes of the job's row.
struct Outcome {
    state: &'static str,
    /// The pause before the next attempt; `None`: its due time does not change.
    wait: Option<Duration>,
    /// The number of attempts to subtract, for attempts that do not count.
    back: i32,
    result: Option<Value>,
    why: Option<(String, String)>,
    /// Whether this counts as the tenant's turn.
    served: bool,
    /// The line to write into its log; `None` for frequent outcomes, which are not logged.
    line: Option<String>,
}

/// Writes the outcome of an attempt, unless the lease was lost. Returns the job's new state; `None` if the lease was lost.
pub(crate) async fn settle(
    pool: &PgPool,
    settings: &Settings,
    claimed: &Claimed,
    ending: Ending,
    now: DateTime<Utc>,
) -> Result<Option<String>, sqlx::Error> {
    let Some(outcome) = outcome(settings, claimed, ending) else { return Ok(None) };
    let (code, reason) = outcome.why.unzip();
    // The input file may contain personal data, so it is deleted as soon as the job is completed.
    let inputs = if claimed.inputs > 0 {
        "i AS (DELETE FROM jobs.inputs x USING j WHERE x.tenant_id = $1 AND x.job_id = $2 AND j.state = 'completed'),"
    } else {
        ""
    };
    sqlx::query_scalar(&format!(
        "WITH j AS (
             UPDATE jobs.jobs
             SET state = CASE WHEN cancel_requested_at IS NOT NULL AND $4 <> 'completed' THEN 'cancelled' ELSE $4 END,
                 finished_at = CASE WHEN cancel_requested_at IS NOT NULL OR $4 <> 'waiting' THEN clock_timestamp() END,
                 run_at = coalesce(clock_timestamp() + make_interval(secs => $6), run_at), attempt = attempt - $7, result = $8, code = coalesce($9, code), reason = coalesce($10, reason),
                 lease = NULL, leased_until = NULL, log_lines = log_lines + ($12::text IS NOT NULL)::integer
             WHERE tenant_id = $1 AND job_id = $2 AND lease = $3
             RETURNING state, log_lines),
         {inputs}
         l AS (
             INSERT INTO jobs.lines (tenant_id, job_id, line, at, attempt, message)
             SELECT $1, $2, log_lines, $5, $11, $12 FROM j WHERE $12 IS NOT NULL),
         t AS (UPDATE jobs.turns x SET turn = nextval('jobs.turn') FROM j WHERE x.tenant_id = $1 AND $13)
         SELECT state FROM j"
    ))
    .bind(claimed.tenant.uuid())
    .bind(claimed.id)
    .bind(claimed.lease)
    .bind(outcome.state)
    .bind(now)
    .bind(outcome.wait.map(|wait| wait.as_secs_f64()))
    .bind(outcome.back)
    .bind(outcome.result)
    .bind(code)
    .bind(reason)
    .bind(claimed.attempt.cast_signed())
    .bind(outcome.line)
    .bind(outcome.served)
    .fetch_optional(pool)
    .await
}

fn outcome(settings: &Settings, claimed: &Claimed, ending: Ending) -> Option<Outcome> {
    let over = |state, line: String| Outcome {
        state,
        wait: None,
        back: 0,
        result: None,
        why: None,
        served: false,
        line: Some(line),
    };
    Some(match ending {
        Ending::Answered(Ok(result)) => Outcome { result: Some(result), ..over("completed", "completed".to_owned()) },
        Ending::Answered(Err(Fault::Lost)) => return None,
        // The tenant goes to the end of the order; otherwise its job would be started again at once.
        Ending::Answered(Err(Fault::GaveWay)) => {
            Outcome { back: 1, served: true, line: None, ..over("waiting", String::new()) }
        }
        Ending::Answered(Err(Fault::Cancelled)) => over("cancelled", "stopped, as it was cancelled".to_owned()),
        Ending::Answered(Err(Fault::Permanent { code, reason })) => {
            let line = format!("failed, not to be tried again: {code}: {reason}");
            Outcome { why: Some((code, reason)), ..over("discarded", line) }
        }
        Ending::Answered(Err(Fault::Failed { code, reason })) if claimed.attempt >= claimed.max_attempts => {
            let line = format!("failed, its {} attempts are used up: {code}: {reason}", claimed.max_attempts);
            Outcome { why: Some((code, reason)), ..over("discarded", line) }
        }
        Ending::Answered(Err(Fault::Failed { code, reason })) => {
            let wait = Some(settings.pause(claimed.id, claimed.attempt));
            let line = format!("failed, to be tried again: {code}: {reason}");
            Outcome { wait, why: Some((code, reason)), ..over("waiting", line) }
        }
        Ending::Released => Outcome { back: 1, ..over("waiting", "given back: the process stops".to_owned()) },
    })
}
