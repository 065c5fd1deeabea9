//! Backup of a service's job tables: settings, schedules, batches and open jobs, together with the service's log. Finished jobs and files
//! are not in it. Jobs with an input file are left out, too.

use eventstore::backup::SideTable;
use serde_json::{Map, Value};

/// The tables in a backup.
pub const TABLES: &[SideTable] = &[
    SideTable { table: "jobs.queues", key: &["queue"], only: None, secrets: &[], restored: |_| {} },
    SideTable { table: "jobs.schedules", key: &["schedule_id"], only: None, secrets: &[], restored: without_job },
    // A tenant without a row in `jobs.turns` would never get a turn.
    SideTable { table: "jobs.turns", key: &[], only: None, secrets: &[], restored: unserved },
    // A batch's row has the counts of its finished jobs, so these are not needed.
    SideTable {
        table: "jobs.batches",
        key: &["batch_id"],
        only: Some("t.finished_at IS NULL"),
        secrets: &[],
        restored: |_| {},
    },
    SideTable {
        table: "jobs.jobs",
        key: &["job_id"],
        only: Some("t.state IN ('waiting', 'running') AND t.inputs = 0"),
        secrets: &[],
        restored: from_its_beginning,
    },
];

/// The last job of the schedule may not be in the backup.
fn without_job(schedule: &mut Map<String, Value>) {
    schedule.insert("last_job".to_owned(), Value::Null);
}

/// Turn numbers start again in the restored database.
fn unserved(turn: &mut Map<String, Value>) {
    turn.insert("turn".to_owned(), 0.into());
}

/// Neither the job's output nor its log is in the backup, so it starts from the beginning. The lease of a job that was running has expired
/// or soon will, since no process renews it; then the job is freed as after a crash.
fn from_its_beginning(job: &mut Map<String, Value>) {
    for column in ["parts", "progress_done", "log_lines"] {
        job.insert(column.to_owned(), 0.into());
    }
    for column in ["checkpoint", "progress_total"] {
        job.insert(column.to_owned(), Value::Null);
    }
}
