//! Backup of a service's job tables: settings, schedules, batches and open jobs, together with the service's log. Finished jobs and files
//! are not in it. So an open job with an input file can't continue after a restore: it has failed then, and says why.

use eventstore::backup::SideTable;
use serde_json::{Map, Value};

/// Error code of a job that had an input file and was open when a backup was taken, after the restore of that backup. [`TABLES`] names it,
/// too.
pub(crate) const INPUT_NOT_IN_BACKUP: &str = "job_input_not_in_backup";
pub(crate) const INPUT_NOT_IN_BACKUP_REASON: &str = "the job's file was not in the backup from which this installation was restored, so the job can't continue; what it had done by then is there: undo that, or leave it out of the file, and send the file again";

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
        // What failed because an earlier backup had no files says so after the next restore, too.
        only: Some("t.state IN ('waiting', 'running') OR t.code = 'job_input_not_in_backup'"),
        secrets: &[],
        restored: without_files,
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

/// Whether a job of a backup continues after the restore.
pub fn continues(job: &Map<String, Value>) -> bool {
    is_open(job) && !has_input(job)
}

fn is_open(job: &Map<String, Value>) -> bool {
    matches!(job.get("state").and_then(Value::as_str), Some("waiting" | "running"))
}

fn has_input(job: &Map<String, Value>) -> bool {
    job.get("inputs").and_then(Value::as_i64).is_some_and(|parts| parts > 0)
}

/// Neither a job's files nor its log are in the backup, so it starts from the beginning, or has failed if it worked on a file. The lease of a
/// job that was running has expired or soon will, since no process renews it; then the job is freed as after a crash.
fn without_files(job: &mut Map<String, Value>) {
    let (is_open, had_input) = (is_open(job), has_input(job));
    let mut set = |column: &str, value: Value| job.insert(column.to_owned(), value);
    for column in ["parts", "log_lines", "inputs"] {
        set(column, 0.into());
    }
    set("checkpoint", Value::Null);
    if had_input {
        // How far it had come stays, for whoever sends the file again. `now` is Postgres's: retention goes by its clock.
        for (column, value) in [
            ("state", "discarded"),
            ("finished_at", "now"),
            ("code", INPUT_NOT_IN_BACKUP),
            ("reason", INPUT_NOT_IN_BACKUP_REASON),
        ] {
            set(column, value.into());
        }
        set("input_forgotten", true.into());
        for column in ["lease", "leased_until"] {
            set(column, Value::Null);
        }
    } else if is_open {
        set("progress_done", 0.into());
        set("progress_total", Value::Null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_has_what_failed_for_want_of_a_file_by_the_code_that_it_got() {
        let jobs = TABLES.iter().find(|of| of.table == "jobs.jobs").unwrap();
        assert!(jobs.only.unwrap().contains(&format!("'{INPUT_NOT_IN_BACKUP}'")));
    }
}
