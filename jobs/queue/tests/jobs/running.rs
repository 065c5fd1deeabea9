//! Outcomes of attempts.

use std::time::Duration;

use jobs::{NewJob, Settings, State};
use kernel::Role;
use serde_json::json;
use testbed::eventually;

use crate::world::{World, new_job, now, quick, request};

#[tokio::test]
async fn a_job_is_done_and_its_result_and_log_are_there() {
    let world = World::start().await;
    let id = world.submit("note", json!({ "n": 7 })).await;
    let job = world.until(id, State::Completed).await;
    assert_eq!((job.result, job.attempt, job.actor.as_str()), (Some(json!({ "n": 7 })), 1, "ada"));
    assert!(job.finished_at.is_some() && job.started_at.is_some());
    assert_eq!(world.lines(id).await, ["noted", "completed"]);
}

#[tokio::test]
async fn a_job_that_another_process_asked_for_is_heard_of_over_the_bus() {
    let world = World::start().await;
    // Once a job is done, the runner is listening.
    let first = world.submit("note", json!(1)).await;
    world.until(first, State::Completed).await;
    let id = world.elsewhere(quick()).submit(&world.request(), "note", &new_job(json!(2))).await.unwrap().id;
    world.until(id, State::Completed).await;
}

#[tokio::test]
async fn what_fails_is_tried_again_until_its_attempts_are_used_up_and_again_when_a_person_says_so() {
    let world = World::start().await;
    let id = world.submit("fail", json!(null)).await;
    let job = world.until(id, State::Discarded).await;
    assert_eq!((job.attempt, job.code.as_deref(), job.reason.as_deref()), (3, Some("out_of_luck"), Some("attempt 3")));
    assert_eq!(world.lines(id).await.len(), 3);
    world.jobs.retry(&world.request(), id).await.unwrap();
    eventually("three more attempts", async || (world.stage.begun.lock().unwrap().len() == 6).then_some(())).await;
    world.until(id, State::Discarded).await;
    assert!(world.lines(id).await.contains(&"retried by ada".to_owned()));
}

#[tokio::test]
async fn what_is_hopeless_panics_or_takes_too_long_ends_with_its_reason() {
    let world = World::start().await;
    for (kind, code, attempts) in
        [("hopeless", "no_such_thing", 1), ("panic", "handler_panicked", 1), ("slow", "timed_out", 1)]
    {
        let id = world.submit(kind, json!(null)).await;
        let job = world.until(id, State::Discarded).await;
        assert_eq!((job.code.as_deref(), job.attempt), (Some(code), attempts), "{kind}");
    }
    // And the runner is still there.
    let id = world.submit("note", json!(1)).await;
    world.until(id, State::Completed).await;
}

#[tokio::test]
async fn a_job_runs_when_its_time_comes_also_when_nobody_was_there_then() {
    let world = World::idle(quick()).await;
    let soon = NewJob { run_at: Some(now() + chrono::Duration::milliseconds(300)), ..new_job(json!(1)) };
    let id = world.jobs.submit(&world.request(), "note", &soon).await.unwrap().id;
    assert_eq!(world.find(id).await.state, State::Scheduled);
    let past = NewJob { run_at: Some(now() - chrono::Duration::days(1)), ..new_job(json!(2)) };
    let missed = world.jobs.submit(&world.request(), "note", &past).await.unwrap().id;
    world.runner(&world.jobs);
    world.until(missed, State::Completed).await;
    let job = world.until(id, State::Completed).await;
    assert!(job.started_at.unwrap() >= job.run_at, "{job:?}");
}

#[tokio::test]
async fn a_file_is_written_part_by_part_and_only_who_may_gets_it_when_it_is_whole() {
    let world = World::start().await;
    let id = world.submit("write", json!(3)).await;
    world.stage.gate.add_permits(2);
    let job = eventually("two parts", async || Some(world.find(id).await).filter(|job| job.done == 2)).await;
    assert_eq!((job.state, job.total, job.parts), (State::Running, Some(3), 2));
    let caller = world.request().caller;
    assert_eq!(world.jobs.output(&caller, id).await.unwrap_err().code(), "job_not_completed");
    world.stage.gate.add_permits(1);
    world.until(id, State::Completed).await;
    assert_eq!(world.jobs.output(&caller, id).await.unwrap(), ("text/plain", 3));
    assert_eq!(world.jobs.part(world.tenant, id, 3).await.unwrap(), b"part 3\n");
    let auditor = request(world.tenant, Role::Auditor).caller;
    assert_eq!(world.jobs.output(&auditor, id).await.unwrap_err().code(), "permission_missing");
    assert_eq!(world.jobs.part(testbed::tenant(), id, 3).await.unwrap_err().code(), "not_found");
    let note = world.submit("note", json!(1)).await;
    assert_eq!(world.jobs.output(&caller, note).await.unwrap_err().code(), "job_without_output");
}

#[tokio::test]
async fn what_is_over_for_long_is_removed_and_what_is_open_stays() {
    let settings = Settings { sweep: Duration::ZERO, keep: Duration::from_hours(1), ..quick() };
    let world = World::idle(settings).await;
    world.runner(&world.jobs);
    let mut asked = world.request();
    asked.command_id = Some("k1".to_owned());
    let old = world.jobs.submit(&asked, "note", &new_job(json!(1))).await.unwrap().id;
    world.until(old, State::Completed).await;
    world.execute("UPDATE jobs.jobs SET finished_at = finished_at - interval '2 hours'").await;
    world.execute("UPDATE jobs.commands SET recorded_at = recorded_at - interval '2 hours'").await;
    let held = world.submit("hold", json!(1)).await;
    eventually("the old one is gone", async || {
        world.jobs.wake().await;
        world.jobs.find(&world.request().caller, old).await.err()
    })
    .await;
    eventually("its request, too", async || {
        world.jobs.wake().await;
        world.strings("SELECT command_id FROM jobs.commands").await.is_empty().then_some(())
    })
    .await;
    assert_eq!(world.strings("SELECT message FROM jobs.lines").await, Vec::<String>::new());
    world.until(held, State::Running).await;
}

#[tokio::test]
async fn what_failed_for_good_is_kept_longer_with_what_it_was_asked_for() {
    let settings = Settings { sweep: Duration::ZERO, keep: Duration::from_hours(1), ..quick() };
    let world = World::idle(settings).await;
    world.runner(&world.jobs);
    let done = world.submit("note", json!(1)).await;
    world.until(done, State::Completed).await;
    let failed = world.submit("hopeless", json!({ "order": 7 })).await;
    world.until(failed, State::Discarded).await;
    world.execute("UPDATE jobs.jobs SET finished_at = finished_at - interval '29 days'").await;
    let gone = async |id| {
        eventually("it is gone", async || {
            world.jobs.wake().await;
            world.jobs.find(&world.request().caller, id).await.err()
        })
        .await
    };
    gone(done).await;
    let job = world.find(failed).await;
    assert_eq!((job.arguments, job.code.as_deref()), (json!({ "order": 7 }), Some("no_such_thing")));
    assert_eq!(world.lines(failed).await.len(), 1);
    world.execute("UPDATE jobs.jobs SET finished_at = finished_at - interval '2 days'").await;
    gone(failed).await;
}
