//! Cancelling jobs.

use jobs::State;
use kernel::Role;
use serde_json::json;

use crate::world::{World, quick, request};

#[tokio::test]
async fn one_that_waits_is_cancelled_at_once_and_can_be_retried() {
    let world = World::idle(quick()).await;
    let id = world.submit("note", json!(1)).await;
    let mut asked = world.request();
    asked.command_id = Some("c1".to_owned());
    assert!(!world.jobs.cancel(&asked, id).await.unwrap().repeated);
    assert!(world.jobs.cancel(&asked, id).await.unwrap().repeated);
    assert_eq!(world.find(id).await.state, State::Cancelled);
    assert_eq!(world.lines(id).await, ["cancelled by ada"]);
    world.jobs.retry(&world.request(), id).await.unwrap();
    world.runner(&world.jobs);
    world.until(id, State::Completed).await;
    assert_eq!(world.stage.begun.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn one_that_runs_elsewhere_is_told_over_the_bus_and_stops() {
    let world = World::start().await;
    let id = world.submit("hold", json!(null)).await;
    world.until(id, State::Running).await;
    world.elsewhere(quick()).cancel(&world.request(), id).await.unwrap();
    let job = world.until(id, State::Cancelled).await;
    assert!(job.cancel_requested_at.is_some());
    assert_eq!(world.lines(id).await, ["cancelled by ada", "stopped, as it was cancelled"]);
}

#[tokio::test]
async fn one_that_does_not_listen_is_dropped_after_a_grace() {
    let world = World::start().await;
    let id = world.submit("deaf", json!(null)).await;
    world.until(id, State::Running).await;
    world.jobs.cancel(&world.request(), id).await.unwrap();
    world.until(id, State::Cancelled).await;
    assert_eq!(*world.stage.now.lock().unwrap(), []);
}

#[tokio::test]
async fn one_that_writes_is_stopped_by_its_next_step_and_goes_on_there_when_it_is_retried() {
    let world = World::start().await;
    let id = world.submit("write", json!(3)).await;
    world.until(id, State::Running).await;
    world.jobs.cancel(&world.request(), id).await.unwrap();
    world.stage.gate.add_permits(3);
    world.until(id, State::Cancelled).await;
    world.jobs.retry(&world.request(), id).await.unwrap();
    world.stage.gate.add_permits(3);
    let job = world.until(id, State::Completed).await;
    assert_eq!((job.done, job.parts), (3, 3));
}

#[tokio::test]
async fn what_is_refused_writes_nothing() {
    let world = World::start().await;
    let done = world.submit("note", json!(1)).await;
    world.until(done, State::Completed).await;
    let held = world.submit("hold", json!(1)).await;
    world.until(held, State::Running).await;
    world.stop.cancel();
    let stopped = world.until(held, State::Available).await;
    assert_eq!(stopped.attempt, 0);
    let before = world.dump().await;
    let mut keyed = world.request();
    keyed.command_id = Some("r1".to_owned());
    let stranger = request(testbed::tenant(), Role::Admin);
    let auditor = request(world.tenant, Role::Auditor);
    let refusals = [
        (world.jobs.cancel(&keyed, done).await, "job_over"),
        (world.jobs.retry(&keyed, done).await, "job_not_retryable"),
        (world.jobs.retry(&keyed, held).await, "job_not_retryable"),
        (world.jobs.cancel(&stranger, held).await, "not_found"),
        (world.jobs.retry(&stranger, done).await, "not_found"),
        (world.jobs.cancel(&auditor, held).await, "permission_missing"),
        (world.jobs.retry(&auditor, done).await, "permission_missing"),
    ];
    for (refused, code) in refusals {
        assert_eq!(refused.unwrap_err().code(), code);
    }
    assert_eq!(world.dump().await, before);
}

#[tokio::test]
async fn one_whose_key_was_taken_meanwhile_is_not_retried() {
    let world = World::idle(quick()).await;
    let keyed = jobs::NewJob { unique: Some(jobs::Unique::by_key("k")), ..crate::world::new_job(json!(1)) };
    let first = world.jobs.submit(&world.request(), "note", &keyed).await.unwrap().id;
    world.jobs.cancel(&world.request(), first).await.unwrap();
    world.jobs.submit(&world.request(), "note", &keyed).await.unwrap();
    let before = world.dump().await;
    assert_eq!(world.jobs.retry(&world.request(), first).await.unwrap_err().code(), "job_open");
    assert_eq!(world.dump().await, before);
}

#[tokio::test]
async fn attack_159_who_may_only_look_after_jobs_neither_ends_nor_does_again_what_was_not_theirs_to_ask_for() {
    let world = World::idle(quick()).await;
    let (asked, guarded) = (world.submit("note", json!(1)).await, world.submit("forget", json!(1)).await);
    let keeper = request(world.tenant, Role::Member);
    world.jobs.cancel(&keeper, asked).await.unwrap();
    let before = world.dump().await;
    for refused in [world.jobs.retry(&keeper, asked).await, world.jobs.cancel(&keeper, guarded).await] {
        assert_eq!(refused.unwrap_err().code(), "permission_missing");
    }
    assert_eq!(world.dump().await, before);
    world.jobs.retry(&world.request(), asked).await.unwrap();
    world.jobs.cancel(&world.request(), guarded).await.unwrap();
    let before = world.dump().await;
    assert_eq!(world.jobs.retry(&keeper, guarded).await.unwrap_err().code(), "permission_missing");
    assert_eq!(world.dump().await, before);
}
