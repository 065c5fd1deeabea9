//! What a service's tenants set up around jobs, and the jobs that are open: taken out with its log, and brought in again with it. Not taken
//! along are those that are over, and files: neither those that jobs make, nor those that they work on, with their jobs.

use eventstore::backup::Beside;
use serde_json::{Map, Value};

/// The tables that are taken along.
pub const TABLES: &[Beside] = &[
    Beside { table: "jobs.queues", key: &["queue"], only: None, secrets: &[], restored: |_| {} },
    Beside { table: "jobs.schedules", key: &["schedule_id"], only: None, secrets: &[], restored: without_job },
    // Without a turn nobody's jobs are begun.
    Beside { table: "jobs.turns", key: &[], only: None, secrets: &[], restored: unserved },
    // What is over in one is counted in its row.
    Beside {
        table: "jobs.batches",
        key: &["batch_id"],
        only: Some("t.finished_at IS NULL"),
        secrets: &[],
        restored: |_| {},
    },
    Beside {
        table: "jobs.jobs",
        key: &["job_id"],
        only: Some("t.state IN ('waiting', 'running') AND t.inputs = 0"),
        secrets: &[],
        restored: from_its_beginning,
    },
];

/// The job that it asked for last may not be there.
fn without_job(schedule: &mut Map<String, Value>) {
    schedule.insert("last_job".to_owned(), Value::Null);
}

/// Turns are counted anew there.
fn unserved(turn: &mut Map<String, Value>) {
    turn.insert("turn".to_owned(), 0.into());
}

/// What it had made is not there, nor what its log said. One that ran has a lease that is over or soon will be, and that nobody renews:
/// it is freed as after a crash.
fn from_its_beginning(job: &mut Map<String, Value>) {
    for column in ["parts", "progress_done", "log_lines"] {
        job.insert(column.to_owned(), 0.into());
    }
    for column in ["checkpoint", "progress_total"] {
        job.insert(column.to_owned(), Value::Null);
    }
}
