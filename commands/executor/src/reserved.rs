//! The command ids of sagas and jobs, which no client can send. Otherwise whoever knows the id of a saga or a job could use the id of its
//! next command, which would be refused for good.

use uuid::Uuid;

/// The first words of these ids. The id of the saga or the job follows.
const SAGA: &str = "saga ";
const JOB: &str = "job ";
/// The length of a UUID as text.
const UUID_LENGTH: usize = 36;

/// The beginning of the ids of a saga's commands, also by itself an id that is reserved.
pub fn reserved_for_saga(saga: Uuid) -> String {
    format!("{SAGA}{saga}")
}

/// The id of a job's command.
pub fn reserved_for_job(job: Uuid) -> String {
    format!("{JOB}{job}")
}

/// Whether a command id is one with which a saga or a job executes its commands: it begins as those of [`reserved_for_saga`] or
/// [`reserved_for_job`] do.
pub fn is_reserved_id(id: &str) -> bool {
    let owner = [SAGA, JOB].iter().find_map(|word| id.strip_prefix(word));
    owner.and_then(|owner| owner.get(..UUID_LENGTH)).is_some_and(|owner| Uuid::try_parse(owner).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_for_sagas_and_jobs_is_known_as_such() {
        let owner = Uuid::from_u128(7);
        for id in [reserved_for_saga(owner), format!("{} start", reserved_for_saga(owner)), reserved_for_job(owner)] {
            assert!(is_reserved_id(&id), "{id}");
        }
        for id in [owner.to_string(), format!("sagas {owner}"), "job 7".to_owned(), "saga of may".to_owned()] {
            assert!(!is_reserved_id(&id), "{id}");
        }
    }
}
