//! Pausing and limiting queues, for one tenant or for all.

use jobs::{Limits, Rate, Request, Settings, State};
use kernel::Role;
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use testbed::eventually;

use crate::world::{World, new_job, quick, request};

const ONE_AT_A_TIME: Limits = Limits { concurrency: Some(1), rate: None };

async fn state(world: &World, whose: &Request, id: uuid::Uuid) -> State {
    world.jobs.find(&whose.caller, id).await.unwrap().0.state
}

async fn until(world: &World, whose: &Request, id: uuid::Uuid, wanted: State) {
    let what = format!("it is {}", wanted.as_str());
    eventually(&what, async || (state(world, whose, id).await == wanted).then_some(())).await;
}

#[tokio::test]
async fn in_a_paused_queue_nothing_begins_and_everything_else_goes_on() {
    let world = World::start().await;
    assert!(!world.jobs.pause_queue(&world.request(), "slow").await.unwrap());
    world.stage.gate.add_permits(10);
    let waiting = world.submit("keep", json!(null)).await;
    let other_queue = world.submit("hold", json!(null)).await;
    world.until(other_queue, State::Completed).await;
    let other = request(testbed::tenant(), Role::Admin);
    let theirs = world.jobs.submit(&other, "keep", &new_job(json!(null))).await.unwrap().id;
    until(&world, &other, theirs, State::Completed).await;
    assert_eq!(world.find(waiting).await.state, State::Available);
    let queues = world.jobs.queues(&world.request().caller).await.unwrap();
    let shown: Vec<_> = queues
        .iter()
        .map(|queue| (queue.name.as_str(), queue.paused_at.is_some(), queue.waiting, queue.running))
        .collect();
    assert_eq!(shown, [("default", false, 0, 0), ("slow", true, 1, 0)]);
    world.jobs.resume_queue(&world.request(), "slow").await.unwrap();
    world.until(waiting, State::Completed).await;
}

#[tokio::test]
async fn a_queue_of_a_tenant_runs_as_many_as_it_is_limited_to_and_the_others_are_not_held_up() {
    let world = World::start().await;
    world.jobs.limit_queue(&world.request(), "slow", ONE_AT_A_TIME).await.unwrap();
    let first = world.submit("keep", json!(null)).await;
    world.until(first, State::Running).await;
    let second = world.submit("keep", json!(null)).await;
    let elsewhere = world.submit("hold", json!(null)).await;
    world.until(elsewhere, State::Running).await;
    let other = request(testbed::tenant(), Role::Admin);
    for _ in 0..2 {
        let theirs = world.jobs.submit(&other, "keep", &new_job(json!(null))).await.unwrap().id;
        until(&world, &other, theirs, State::Running).await;
    }
    assert_eq!(world.find(second).await.state, State::Available);
    world.stage.gate.add_permits(10);
    world.until(second, State::Completed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_all_tenants_together_holds_over_all_processes() {
    let world = World::idle(quick()).await;
    world.jobs.limit_queue_of_all("default", ONE_AT_A_TIME, "operator").await.unwrap();
    let tenants: Vec<_> = (0..4).map(|_| request(testbed::tenant(), Role::Admin)).collect();
    for n in 0..40 {
        world.jobs.submit(&tenants[n % 4], "note", &new_job(json!(n))).await.unwrap();
    }
    for _ in 0..4 {
        world.runner(&world.elsewhere(Settings { concurrency: 4, ..quick() }));
    }
    eventually("all are done", async || {
        world.strings("SELECT '' FROM jobs.jobs WHERE state <> 'completed'").await.is_empty().then_some(())
    })
    .await;
    assert_eq!((*world.stage.most.lock().unwrap(), world.stage.begun.lock().unwrap().len()), (1, 40));
    // Tenants can neither see nor change the limits for all.
    let queues = world.jobs.queues(&tenants[0].caller).await.unwrap();
    assert!(queues.iter().all(|queue| queue.limits == Limits::default()), "{queues:?}");
}

#[tokio::test]
async fn claims_that_come_upon_several_limited_queues_do_not_wait_for_each_other() {
    let world = World::idle(quick()).await;
    for queue in ["default", "slow"] {
        world.jobs.limit_queue_of_all(queue, ONE_AT_A_TIME, "operator").await.unwrap();
    }
    // The job that waits longer is in the queue that comes later.
    let slow = world.submit("keep", json!(null)).await;
    let other = request(testbed::tenant(), Role::Admin);
    let default = world.jobs.submit(&other, "note", &new_job(json!(1))).await.unwrap().id;
    let mut claims = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    let lock = |queue: &str| format!("SELECT FROM jobs.queues WHERE queue = '{queue}' FOR UPDATE NOWAIT");
    claims.execute(format!("BEGIN; {}", lock("default")).as_str()).await.unwrap();
    world.runner(&world.jobs);
    world.database.until_session(eventstore::Role::Work, "wait_event_type = 'Lock'").await;
    claims.execute(lock("slow").as_str()).await.expect("who waits for the first one does not hold the second one");
    claims.execute("COMMIT").await.unwrap();
    world.until(slow, State::Running).await;
    until(&world, &other, default, State::Completed).await;
}

#[tokio::test]
async fn jobs_of_a_limited_rate_begin_evenly() {
    let world = World::start().await;
    let rate = Rate { count: 10, seconds: 1 };
    world.jobs.limit_queue(&world.request(), "default", Limits { concurrency: None, rate: Some(rate) }).await.unwrap();
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(world.submit("note", json!(n)).await);
    }
    let mut begun = Vec::new();
    for id in ids {
        begun.push(world.until(id, State::Completed).await.started_at.unwrap());
    }
    begun.sort_unstable();
    for two in begun.windows(2) {
        assert!(two[1] - two[0] >= chrono::Duration::milliseconds(100), "{begun:?}");
    }
    // Removing the limit also removes the remaining pause.
    world.jobs.limit_queue(&world.request(), "default", Limits::default()).await.unwrap();
    let id = world.submit("note", json!(9)).await;
    world.until(id, State::Completed).await;
}

#[tokio::test]
async fn what_is_refused_of_a_queue_writes_nothing() {
    let world = World::idle(quick()).await;
    let before = world.dump().await;
    let auditor = request(world.tenant, Role::Auditor);
    let mut keyed = world.request();
    keyed.command_id = Some("q1".to_owned());
    let rate = |count, seconds| Limits { concurrency: None, rate: Some(Rate { count, seconds }) };
    assert_eq!(world.jobs.pause_queue(&auditor, "slow").await.unwrap_err().code(), "permission_missing");
    let unknown = world.jobs.pause_queue(&keyed, "fast").await.unwrap_err();
    assert_eq!(unknown.code(), "not_found");
    assert!(unknown.detail().contains("default, slow"), "{unknown:?}");
    assert_eq!(world.jobs.pause_queue_of_all("fast", "operator").await.unwrap_err().code(), "not_found");
    for (limits, pointer) in [
        (Limits { concurrency: Some(0), rate: None }, "/concurrency"),
        (Limits { concurrency: Some(1001), rate: None }, "/concurrency"),
        (rate(0, 1), "/rate/count"),
        (rate(1, 0), "/rate/seconds"),
        (rate(1, 86_401), "/rate/seconds"),
    ] {
        let refused = world.jobs.limit_queue(&keyed, "slow", limits).await.unwrap_err();
        assert_eq!(refused.errors()[0].pointer, pointer, "{refused:?}");
        let refused = world.jobs.limit_queue_of_all("slow", limits, "operator").await.unwrap_err();
        assert_eq!(refused.errors()[0].pointer, pointer, "{refused:?}");
    }
    let member = request(world.tenant, Role::Viewer);
    assert_eq!(world.jobs.queues(&member.caller).await.unwrap_err().code(), "permission_missing");
    assert_eq!(world.dump().await, before);
}

#[tokio::test]
async fn attack_167_who_may_only_look_after_jobs_holds_up_no_queue_with_what_they_may_not_cancel() {
    let world = World::idle(quick()).await;
    let keeper = request(world.tenant, Role::Member);
    let before = world.dump().await;
    for refused in [
        world.jobs.pause_queue(&keeper, "default").await,
        world.jobs.limit_queue(&keeper, "default", ONE_AT_A_TIME).await,
    ] {
        assert_eq!(refused.unwrap_err().code(), "permission_missing");
    }
    assert_eq!(world.dump().await, before);
    world.jobs.pause_queue(&keeper, "slow").await.unwrap();
    world.jobs.limit_queue(&keeper, "slow", ONE_AT_A_TIME).await.unwrap();
    world.jobs.pause_queue(&world.request(), "default").await.unwrap();
    world.jobs.resume_queue(&keeper, "default").await.unwrap();
}

#[tokio::test]
async fn the_same_request_pauses_a_queue_once() {
    let world = World::idle(quick()).await;
    let mut keyed = world.request();
    keyed.command_id = Some("q1".to_owned());
    assert!(!world.jobs.pause_queue(&keyed, "slow").await.unwrap());
    world.jobs.resume_queue(&world.request(), "slow").await.unwrap();
    assert!(world.jobs.pause_queue(&keyed, "slow").await.unwrap());
    let queues = world.jobs.queues(&world.request().caller).await.unwrap();
    assert!(queues.iter().all(|queue| queue.paused_at.is_none()), "{queues:?}");
}
