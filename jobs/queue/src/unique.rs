//! Unique jobs: submissions that do not create a second equal job.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::NewJob;

/// Keys up to this length are stored as they are, longer ones as a hash, because an index has a size limit.
const READABLE: usize = 200;

/// When two submissions of a tenant are for the same job: the second one returns the first job. Jobs of different kinds differ, unless
/// [`across_the_queue`](Self::across_the_queue) is set. Only open jobs count, unless [`within`](Self::within) is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unique {
    key: Option<String>,
    queue: bool,
    period: Option<Duration>,
}

impl Unique {
    /// Submissions with the same key.
    pub fn by_key(key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), queue: false, period: None }
    }

    /// Submissions with the same arguments, whatever the order of their members.
    pub fn by_arguments() -> Self {
        Self { key: None, queue: false, period: None }
    }

    /// Also compares with other kinds in the same queue.
    #[must_use]
    pub fn across_the_queue(self) -> Self {
        Self { queue: true, ..self }
    }

    /// Compares all jobs that are due in the same period, including completed ones. Periods of this length (at least a second) follow each
    /// other from the Unix epoch on. Cancelled and discarded jobs do not count.
    #[must_use]
    pub fn within(self, period: Duration) -> Self {
        Self { period: Some(period.max(Duration::from_secs(1))), ..self }
    }
}

/// The constraint that prevents a duplicate job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Uniqueness {
    /// None: duplicates are allowed.
    Unconstrained,
    /// Unique among open jobs, by this key.
    WhileOpen(String),
    /// Unique among the jobs of a period that were neither cancelled nor discarded, by this key.
    InPeriod(String),
    /// Unique for a schedule and one of its times.
    Slot(Uuid, DateTime<Utc>),
}

impl Uniqueness {
    /// The constraint for a submission.
    pub(crate) fn of(kind: &str, queue: &str, job: &NewJob, now: DateTime<Utc>) -> Self {
        let Some(unique) = &job.unique else { return Self::Unconstrained };
        let scope = if unique.queue { format!("queue:{queue}") } else { format!("kind:{kind}") };
        let key = match &unique.key {
            Some(key) if key.len() <= READABLE => format!("{scope} {key}"),
            Some(key) => format!("{scope} sha256:{}", hash(key.as_bytes())),
            None => format!("{scope} arguments:{}", hash(sorted(&job.arguments).as_bytes())),
        };
        match unique.period {
            None => Self::WhileOpen(key),
            Some(period) => {
                let due = job.run_at.unwrap_or(now).timestamp();
                let period = i64::try_from(period.as_secs()).unwrap_or(i64::MAX);
                Self::InPeriod(format!("{key} at:{}", due.div_euclid(period).saturating_mul(period)))
            }
        }
    }

    /// The clause that makes an insert skip a duplicate.
    pub(crate) const fn conflict(&self) -> &'static str {
        match self {
            Self::Unconstrained => "",
            Self::WhileOpen(_) => {
                "ON CONFLICT (tenant_id, unique_key) WHERE unique_key IS NOT NULL AND state IN ('waiting', 'running') DO NOTHING"
            }
            Self::InPeriod(_) => {
                "ON CONFLICT (tenant_id, period_key) WHERE period_key IS NOT NULL AND state NOT IN ('cancelled', 'discarded')
                 DO NOTHING"
            }
            Self::Slot(..) => "ON CONFLICT (tenant_id, schedule_id, slot) WHERE schedule_id IS NOT NULL DO NOTHING",
        }
    }

    /// The key for uniqueness among open jobs.
    pub(crate) fn open_key(&self) -> Option<&str> {
        if let Self::WhileOpen(key) = self { Some(key) } else { None }
    }

    /// The key for uniqueness within a period.
    pub(crate) fn period_key(&self) -> Option<&str> {
        if let Self::InPeriod(key) = self { Some(key) } else { None }
    }

    /// The schedule and its time.
    pub(crate) const fn slot(&self) -> Option<(Uuid, DateTime<Utc>)> {
        if let Self::Slot(schedule, at) = self { Some((*schedule, *at)) } else { None }
    }
}

/// JSON with the members of objects sorted by name.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            let each =
                members.into_iter().map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), sorted(value)));
            format!("{{{}}}", each.collect::<Vec<_>>().join(","))
        }
        Value::Array(values) => format!("[{}]", values.iter().map(sorted).collect::<Vec<_>>().join(",")),
        plain => plain.to_string(),
    }
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn once(unique: Unique, kind: &str, arguments: Value, at: i64) -> Uniqueness {
        let now = DateTime::from_timestamp(at, 0).unwrap_or_default();
        let job = NewJob { arguments, actor: "ada".to_owned(), run_at: None, unique: Some(unique) };
        Uniqueness::of(kind, "default", &job, now)
    }

    #[test]
    fn arguments_are_the_same_in_whatever_order_they_stand() {
        let of = |arguments| once(Unique::by_arguments(), "note", arguments, 0);
        assert_eq!(of(json!({ "a": 1, "b": [{ "c": 1, "d": 2 }] })), of(json!({ "b": [{ "d": 2, "c": 1 }], "a": 1 })));
        assert_ne!(of(json!({ "a": 1 })), of(json!({ "a": 2 })));
        assert_ne!(of(json!([1, 2])), of(json!([2, 1])));
        assert_ne!(of(json!({ "a": "1" })), of(json!({ "a": 1 })));
    }

    #[test]
    fn kinds_are_told_apart_unless_it_is_the_queue_that_counts() {
        let of = |unique, kind| once(unique, kind, json!(null), 0);
        assert_ne!(of(Unique::by_key("k"), "note"), of(Unique::by_key("k"), "export"));
        let across = Unique::by_key("k").across_the_queue();
        assert_eq!(of(across.clone(), "note"), of(across, "export"));
    }

    #[test]
    fn periods_follow_each_other() {
        let at = |at| once(Unique::by_key("k").within(Duration::from_mins(1)), "note", json!(null), at);
        assert_eq!(at(120), at(179));
        assert_ne!(at(179), at(180));
        assert_eq!(at(-1), at(-60));
        assert_ne!(at(-1), at(0));
    }

    #[test]
    fn a_long_key_is_one_that_an_index_takes() {
        let Uniqueness::WhileOpen(key) = once(Unique::by_key("k".repeat(10_000)), "note", json!(null), 0) else {
            panic!("it has no period")
        };
        assert!(key.len() < 300, "{key}");
        assert_ne!(Uniqueness::WhileOpen(key), once(Unique::by_key("k".repeat(10_001)), "note", json!(null), 0));
    }
}
