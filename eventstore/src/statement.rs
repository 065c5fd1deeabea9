//! The statement that appends a batch: a call of `log.append` with one array for each column.

use chrono::{DateTime, Utc};
use kernel::Position;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::{Arguments, Row};
use uuid::Uuid;

use crate::append::{ClaimAct, Error};
use crate::batch::Batch;

const APPEND: &str = "SELECT append, verdict, a, b, x, y, t FROM log.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, \
     $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28)";

/// As [`APPEND`], with jobs: a function of the crate `jobs` that calls `log.append` and then inserts the jobs of the appends that were
/// written. Used only for batches with jobs, so that others don't pay for it.
const APPEND_WITH_JOBS: &str = "SELECT append, verdict, a, b, x, y, t FROM jobs.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, \
     $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, \
     $36, $37, $38)";

/// The approximate size of an event or append in the arguments besides its texts, in bytes: ids, hashes, names, and a length for each.
const OVERHEAD_BYTES: usize = 400;

/// The result of a batch.
pub(crate) enum Outcome {
    /// The batch's `recorded_at` is before the log's last one: nothing was written.
    Behind(DateTime<Utc>),
    /// The batch was executed; all appends without a refusal were written.
    Decided {
        /// The log's last position before the batch.
        before: Position,
        /// The log's last position after the batch.
        after: Position,
        /// The appends that were not written, by their index in the batch.
        refusals: Vec<(usize, NotWritten)>,
    },
}

/// Why an append of a batch was not written.
pub(crate) enum NotWritten {
    /// Its command was executed before.
    Repeated { first: Position, last: Position, recorded_at: DateTime<Utc>, answer: String },
    /// It was refused.
    Refused(Error),
}

/// The batch as columns, in the order of the function's parameters.
#[derive(Default)]
struct Columns<'a> {
    tenants: Vec<Uuid>,
    a_tenant: Vec<Uuid>,
    a_command: Vec<&'a str>,
    a_hash: Vec<&'a [u8]>,
    a_answer: Vec<&'a str>,
    a_events: Vec<i32>,
    s_append: Vec<i32>,
    s_type: Vec<&'a str>,
    s_id: Vec<&'a str>,
    s_expected: Vec<i64>,
    c_append: Vec<i32>,
    c_kind: Vec<&'a str>,
    c_key: Vec<&'a [u8]>,
    c_holder: Vec<&'a str>,
    c_act: Vec<&'static str>,
    e_append: Vec<i32>,
    e_nth: Vec<i32>,
    e_type: Vec<&'a str>,
    e_id: Vec<&'a str>,
    e_sequence: Vec<i64>,
    e_event_id: Vec<Uuid>,
    e_event_type: Vec<&'a str>,
    e_event_version: Vec<String>,
    e_payload: Vec<&'a str>,
    e_metadata: Vec<&'a str>,
    e_occurred_at: Vec<DateTime<Utc>>,
    e_leaf_hash: Vec<&'a [u8]>,
    j_append: Vec<i32>,
    j_id: Vec<Uuid>,
    j_kind: Vec<&'a str>,
    j_queue: Vec<&'a str>,
    j_unique_key: Vec<Option<&'a str>>,
    j_period_key: Vec<Option<&'a str>>,
    j_arguments: Vec<&'a str>,
    j_actor: Vec<&'a str>,
    j_run_at: Vec<Option<DateTime<Utc>>>,
    j_max_attempts: Vec<i32>,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a Batch) -> Self {
        let mut columns =
            Self { e_leaf_hash: batch.leaves.iter().map(<[u8; 32]>::as_slice).collect(), ..Self::default() };
        for (number, pending) in (1..).zip(&batch.appends) {
            columns.add(number, pending);
        }
        columns.tenants = columns.a_tenant.clone();
        columns.tenants.sort_unstable();
        columns.tenants.dedup();
        columns
    }

    fn add(&mut self, number: i32, pending: &'a crate::batch::PendingAppend) {
        let append = &pending.append;
        self.a_tenant.push(append.tenant.uuid());
        self.a_command.push(&append.command.id);
        self.a_hash.push(&append.command.request_hash);
        self.a_answer.push(&append.command.answer);
        self.a_events.push(pending.events as i32);
        for claim in &append.claims {
            self.c_append.push(number);
            self.c_kind.push(claim.kind);
            self.c_key.push(&claim.key);
            self.c_holder.push(&claim.holder);
            self.c_act.push(match claim.act {
                ClaimAct::Take => "take",
                ClaimAct::Release => "release",
                ClaimAct::Mark => "mark",
                ClaimAct::Absent => "absent",
            });
        }
        for job in &pending.jobs {
            self.j_append.push(number);
            self.j_id.push(job.id);
            self.j_kind.push(&job.kind);
            self.j_queue.push(&job.queue);
            self.j_unique_key.push(job.unique_key.as_deref());
            self.j_period_key.push(job.period_key.as_deref());
            self.j_arguments.push(&job.arguments);
            self.j_actor.push(&job.actor);
            self.j_run_at.push(job.run_at);
            self.j_max_attempts.push(job.max_attempts.cast_signed());
        }
        let mut nth = 0;
        for stream in &append.streams {
            self.s_append.push(number);
            self.s_type.push(stream.aggregate_type);
            self.s_id.push(&stream.aggregate_id);
            self.s_expected.push(stream.expected as i64);
            for (sequence, event) in (stream.expected as i64 + 1..).zip(&stream.events) {
                nth += 1;
                self.e_append.push(number);
                self.e_nth.push(nth);
                self.e_type.push(stream.aggregate_type);
                self.e_id.push(&stream.aggregate_id);
                self.e_sequence.push(sequence);
                self.e_event_id.push(event.event_id);
                self.e_event_type.push(event.event_type);
                self.e_event_version.push(event.event_version.to_string());
                self.e_payload.push(&event.payload);
                self.e_metadata.push(&event.metadata);
                self.e_occurred_at.push(kernel::to_micros(event.occurred_at));
            }
        }
    }
}

/// Sends a batch: one statement in its own transaction, one round trip.
pub(crate) async fn append(connection: &mut PgConnection, batch: &Batch) -> Result<Outcome, sqlx::Error> {
    let columns = Columns::of(batch);
    // Reserves memory for the whole batch: growing step by step would copy it several times.
    let mut arguments = PgArguments::default();
    arguments.reserve(38, batch.bytes() + (batch.appends.len() + batch.events()) * OVERHEAD_BYTES);
    let with_jobs = !columns.j_append.is_empty();
    let query = sqlx::query_with(if with_jobs { APPEND_WITH_JOBS } else { APPEND }, arguments)
        .bind(&columns.tenants)
        .bind(batch.recorded_at)
        .bind(&columns.a_tenant)
        .bind(&columns.a_command)
        .bind(&columns.a_hash)
        .bind(&columns.a_answer)
        .bind(&columns.a_events)
        .bind(&columns.s_append)
        .bind(&columns.s_type)
        .bind(&columns.s_id)
        .bind(&columns.s_expected)
        .bind(&columns.c_append)
        .bind(&columns.c_kind)
        .bind(&columns.c_key)
        .bind(&columns.c_holder)
        .bind(&columns.c_act)
        .bind(&columns.e_append)
        .bind(&columns.e_nth)
        .bind(&columns.e_type)
        .bind(&columns.e_id)
        .bind(&columns.e_sequence)
        .bind(&columns.e_event_id)
        .bind(&columns.e_event_type)
        .bind(&columns.e_event_version)
        .bind(&columns.e_payload)
        .bind(&columns.e_metadata)
        .bind(&columns.e_occurred_at)
        .bind(&columns.e_leaf_hash);
    let query = if with_jobs {
        query
            .bind(&columns.j_append)
            .bind(&columns.j_id)
            .bind(&columns.j_kind)
            .bind(&columns.j_queue)
            .bind(&columns.j_unique_key)
            .bind(&columns.j_period_key)
            .bind(&columns.j_arguments)
            .bind(&columns.j_actor)
            .bind(&columns.j_run_at)
            .bind(&columns.j_max_attempts)
    } else {
        query
    };
    let rows = query.fetch_all(connection).await?;
    read(batch, &rows)
}

fn read(batch: &Batch, rows: &[PgRow]) -> Result<Outcome, sqlx::Error> {
    let mut refusals = Vec::new();
    for row in rows {
        let (number, verdict): (i32, &str) = (row.try_get(0)?, row.try_get(1)?);
        match (number, verdict) {
            (0, "behind") => return Ok(Outcome::Behind(row.try_get(6)?)),
            (0, "head") => {
                return Ok(Outcome::Decided { before: position(row, 2)?, after: position(row, 3)?, refusals });
            }
            _ => {
                let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
                let Some(pending) = batch.appends.get(index) else { break };
                refusals.push((index, not_written(row, verdict, &pending.append.command.id)?));
            }
        }
    }
    Err(sqlx::Error::Protocol("log.append did not say where the log ends".to_owned()))
}

fn not_written(row: &PgRow, verdict: &str, command: &str) -> Result<NotWritten, sqlx::Error> {
    Ok(match verdict {
        "repeated" => NotWritten::Repeated {
            first: position(row, 2)?,
            last: position(row, 3)?,
            answer: row.try_get(4)?,
            recorded_at: row.try_get(6)?,
        },
        "reused" => NotWritten::Refused(Error::CommandReused { id: command.to_owned() }),
        "version" => NotWritten::Refused(Error::VersionConflict {
            aggregate_type: row.try_get(4)?,
            aggregate_id: row.try_get(5)?,
            expected: position(row, 2)?.0,
            actual: position(row, 3)?.0,
        }),
        "claimed" => NotWritten::Refused(Error::ClaimTaken { kind: row.try_get(4)?, holder: row.try_get(5)? }),
        other => return Err(sqlx::Error::Protocol(format!("log.append said {other:?}"))),
    })
}

fn position(row: &PgRow, column: usize) -> Result<Position, sqlx::Error> {
    Ok(Position::from_i64(row.try_get(column)?))
}
