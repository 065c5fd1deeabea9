//! Suspended tenants: their jobs and schedules wait until they are admitted again.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use eventstore::SuspendedTenants;
use jobs::{Job, Runner, State};
use kernel::{Role, TenantId};
use serde_json::json;
use testbed::eventually;
use tokio::sync::watch;
use uuid::Uuid;

use crate::schedules::{due, find, jobs_of, schedule, yearly};
use crate::world::{World, new_job, quick, request};

type Tenants = Option<HashSet<TenantId>>;

/// An environment whose runner pauses these tenants, and what changes them.
async fn pausing(suspended: impl FnOnce(&World) -> Tenants) -> (World, watch::Sender<Tenants>) {
    let world = World::idle(quick()).await;
    let (suspend, suspended) = watch::channel(suspended(&world));
    tokio::spawn(Runner::new(world.jobs.clone()).pausing(SuspendedTenants::new(suspended)).run(world.stop.clone()));
    (world, suspend)
}

fn suspended(world: &World) -> HashSet<TenantId> {
    HashSet::from([world.tenant])
}

/// A job of another tenant.
async fn of_another(world: &World) -> (TenantId, Uuid) {
    let other = testbed::tenant();
    let submitted = world.jobs.submit(&request(other, Role::Admin), "note", &new_job(json!({ "n": 2 }))).await;
    (other, submitted.unwrap().id)
}

async fn is_completed(world: &World, (tenant, id): (TenantId, Uuid)) {
    let caller = request(tenant, Role::Admin).caller;
    eventually("the other tenant's job is completed", async || {
        let (job, _) = world.jobs.find(&caller, id).await.unwrap();
        (job.state == State::Completed).then_some(())
    })
    .await;
}

/// Waits until a job of another tenant that is submitted now is completed: whatever could begin before it has begun.
async fn others_get_theirs(world: &World) {
    is_completed(world, of_another(world).await).await;
}

/// Its state, and how many attempts were begun that count.
fn stand(job: &Job) -> (State, u32) {
    (job.state, job.attempt)
}

#[tokio::test]
async fn jobs_of_a_suspended_tenant_wait_except_those_that_are_owed_to_others() {
    let (world, suspend) = pausing(|world| Some(suspended(world))).await;
    let note = world.submit("note", json!({ "n": 1 })).await;
    let forget = world.submit("forget", json!({})).await;
    world.until(forget, State::Completed).await;
    others_get_theirs(&world).await;
    assert_eq!(stand(&world.find(note).await), (State::Available, 0));
    // Nothing else wakes the runner.
    suspend.send_replace(Some(HashSet::new()));
    world.until(note, State::Completed).await;
}

#[tokio::test]
async fn a_job_that_runs_when_its_tenant_is_suspended_stops_at_its_next_step_and_continues_there() {
    let (world, suspend) = pausing(|_| Some(HashSet::new())).await;
    let write = world.submit("write", json!(3)).await;
    eventually("it runs", async || (world.stage.at_gate.load(Ordering::SeqCst) == 1).then_some(())).await;
    suspend.send_replace(Some(suspended(&world)));
    world.stage.gate.add_permits(1);
    let waits = world.until(write, State::Available).await;
    assert_eq!((stand(&waits), waits.done), ((State::Available, 0), 1));
    others_get_theirs(&world).await;
    assert_eq!(stand(&world.find(write).await), (State::Available, 0));

    suspend.send_replace(Some(HashSet::new()));
    world.stage.gate.add_permits(2);
    let done = world.until(write, State::Completed).await;
    assert_eq!((done.attempt, done.done), (1, 3));
    assert_eq!(world.stage.begun.lock().unwrap().iter().filter(|(_, id, _)| *id == write).count(), 2);
}

#[tokio::test]
async fn schedules_of_a_suspended_tenant_stay_due_and_then_ask_once() {
    let (world, suspend) = pausing(|world| Some(suspended(world))).await;
    let id = schedule(&world, &yearly("note", json!({ "n": 1 }))).await;
    let at = due(&world, id, 120.0).await;
    others_get_theirs(&world).await;
    assert!(jobs_of(&world, id).await.is_empty());
    assert_eq!(find(&world, id).await.next_at, Some(at));
    suspend.send_replace(Some(HashSet::new()));
    let job = eventually("there is a job", async || jobs_of(&world, id).await.pop()).await;
    world.until(job.id, State::Completed).await;
    assert_eq!((job.slot, jobs_of(&world, id).await.len()), (Some(at), 1));
}

#[tokio::test]
async fn nothing_is_begun_before_it_is_known_who_is_suspended() {
    let (world, suspend) = pausing(|_| None).await;
    let note = world.submit("note", json!({ "n": 1 })).await;
    let others = of_another(&world).await;
    let forget = world.submit("forget", json!({})).await;
    world.until(forget, State::Completed).await;
    assert_eq!(world.stage.begun.lock().unwrap().len(), 1, "only that one");
    suspend.send_replace(Some(suspended(&world)));
    is_completed(&world, others).await;
    assert_eq!(stand(&world.find(note).await), (State::Available, 0));
    suspend.send_replace(Some(HashSet::new()));
    world.until(note, State::Completed).await;
}
