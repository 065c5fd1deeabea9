//! What a service's tenants set up around jobs: taken out with its log, and brought in again with it. Jobs themselves are not.

use eventstore::backup::Beside;
use serde_json::{Map, Value};

/// The tables that are taken along.
pub const TABLES: &[Beside] = &[
    Beside { table: "jobs.queues", key: &["queue"], secrets: &[], restored: |_| {} },
    Beside { table: "jobs.schedules", key: &["schedule_id"], secrets: &[], restored: without_job },
];

/// The job that it asked for last is not there.
fn without_job(schedule: &mut Map<String, Value>) {
    schedule.insert("last_job".to_owned(), Value::Null);
}
