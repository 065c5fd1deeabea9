//! Open jobs in a backup, after it was restored.

use eventstore::Role;
use jobs::{NewBatch, State, Wanted};
use serde_json::json;
use sqlx::{ConnectOptions, Executor};
use testbed::eventually;

use crate::world::{World, new_job, now};

#[tokio::test]
async fn what_waited_or_ran_is_there_again_is_done_once_and_what_was_over_is_not_there() {
    let world = World::start().await;
    let over = world.submit("note", json!({ "n": 1 })).await;
    world.until(over, State::Completed).await;
    let running = world.submit("write", json!(3)).await;
    world.stage.gate.add_permits(1);
    eventually("it has made a part", async || (world.find(running).await.done == 1).then_some(())).await;
    let at = now() + chrono::Duration::hours(1);
    let later = jobs::NewJob { run_at: Some(at), ..new_job(json!({ "n": 2 })) };
    let request = world.request();
    let later = world.jobs.submit(&request, "note", &later).await.unwrap().id;

    let other = world.restored().await;
    let error = other.jobs.find(&request.caller, over).await.unwrap_err();
    assert_eq!(error.code(), "not_found");
    let (was, is) = (world.find(later).await, other.find(later).await);
    assert_eq!((is.state, &is), (State::Scheduled, &was));
    let job = other.find(running).await;
    assert_eq!((job.state, job.attempt, job.done, job.parts), (State::Running, 1, 0, 0), "{job:?}");
    assert_eq!(other.strings("SELECT part::text FROM jobs.parts").await, Vec::<String>::new());

    // As after a crash: its lease expires, and another attempt begins.
    other.runner(&other.jobs);
    other.stage.gate.add_permits(3);
    let job = other.until(running, State::Completed).await;
    assert_eq!((job.attempt, job.done, job.parts), (2, 3, 3), "{job:?}");
    let mut file = Vec::new();
    for part in 1..=3 {
        file.extend(other.jobs.part(other.tenant, running, part).await.unwrap());
    }
    assert_eq!(file, b"part 1\npart 2\npart 3\n");
    assert!(other.lines(running).await.contains(&"whoever worked at it shows no sign of life".to_owned()));
    assert_eq!(other.find(later).await.state, State::Scheduled);
    other.execute("UPDATE jobs.jobs SET run_at = clock_timestamp() WHERE state = 'waiting'").await;
    other.jobs.wake().await;
    other.until(later, State::Completed).await;
    assert_eq!(other.stage.begun.lock().unwrap().len(), 2, "each once");
}

#[tokio::test]
async fn a_job_that_worked_on_a_file_has_failed_after_a_restore_and_says_to_send_the_file_again() {
    let world = World::start().await;
    let request = world.request();
    let later = jobs::NewJob { run_at: Some(now() + chrono::Duration::hours(1)), ..new_job(json!({})) };
    let waiting = world.jobs.submit_with(&request, "read", &later, b"a file").await.unwrap().id;
    let running = world.jobs.submit_with(&request, "hold", &new_job(json!({})), b"a file").await.unwrap().id;
    world.until(running, State::Running).await;

    let other = world.restored().await;
    let again = other.restored().await;
    for restored in [&other, &again] {
        let before = restored.dump().await;
        for id in [waiting, running] {
            let job = restored.find(id).await;
            assert_eq!(
                (job.state, job.code.as_deref()),
                (State::Discarded, Some("job_input_not_in_backup")),
                "{job:?}"
            );
            assert!(job.reason.is_some_and(|reason| reason.contains("send the file again")));
            assert!(job.finished_at.is_some_and(|at| at >= job.created_at), "it is not old already");
            let refusal = restored.jobs.retry(&request, id).await.unwrap_err();
            assert_eq!((refusal.kind(), refusal.code()), (kernel::Kind::Conflict, "job_input_not_in_backup"));
        }
        assert_eq!(restored.dump().await, before, "a refusal writes nothing");
    }
    let rows = "SELECT j::text FROM jobs.jobs j ORDER BY 1";
    assert_eq!(again.strings(rows).await, other.strings(rows).await, "a later backup keeps what became of them");
}

#[tokio::test]
async fn a_restored_batch_counts_what_was_over_and_what_follows_it_is_done_once() {
    let world = World::start().await;
    let wanted = |kind: &str, arguments| Wanted { kind: kind.to_owned(), arguments };
    let new = NewBatch {
        jobs: vec![wanted("note", json!({ "n": 1 })), wanted("keep", json!({}))],
        then: Some(wanted("note", json!({ "n": 2 }))),
    };
    let request = world.request();
    let id = world.jobs.submit_batch(&request, &new).await.unwrap().id;
    eventually("one of them is done", async || {
        let batch = world.jobs.find_batch(&request.caller, id).await.unwrap();
        (batch.completed == 1).then_some(())
    })
    .await;

    let other = world.restored().await;
    other.runner(&other.jobs);
    other.stage.gate.add_permits(1);
    let batch = eventually("the batch is over", async || {
        let batch = other.jobs.find_batch(&request.caller, id).await.unwrap();
        batch.finished_at.is_some().then_some(batch)
    })
    .await;
    assert_eq!((batch.total, batch.completed), (2, 2));
    other.until(batch.then.unwrap(), State::Completed).await;
}

#[tokio::test]
async fn who_takes_backups_sees_no_file_of_a_job_and_changes_none() {
    let world = World::idle(crate::world::quick()).await;
    world.submit("note", json!({ "n": 1 })).await;
    let before = world.dump().await;
    let mut connection = world.database.options(Role::Backup).connect().await.unwrap();
    for statement in [
        "SELECT bytes FROM jobs.inputs",
        "SELECT bytes FROM jobs.parts",
        "SELECT message FROM jobs.lines",
        "UPDATE jobs.jobs SET state = 'waiting'",
        "DELETE FROM jobs.batches",
    ] {
        let error = connection.execute(statement).await.expect_err(statement);
        assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("42501"), "{statement}");
    }
    assert_eq!(world.dump().await, before);
}
