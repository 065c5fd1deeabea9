//! Batches of jobs.

use jobs::{Batch, Listing, NewBatch, Settings, State, Wanted};
use kernel::Role;
use serde_json::json;
use testbed::eventually;
use uuid::Uuid;

use crate::world::{World, quick, request};

fn note(n: u32) -> Wanted {
    Wanted { kind: "note".to_owned(), arguments: json!({ "n": n }) }
}

fn keep() -> Wanted {
    Wanted { kind: "keep".to_owned(), arguments: json!({}) }
}

async fn find(world: &World, id: Uuid) -> Batch {
    world.jobs.find_batch(&world.request().caller, id).await.unwrap()
}

async fn finished(world: &World, id: Uuid) -> Batch {
    eventually("the batch is over", async || Some(find(world, id).await).filter(|batch| batch.finished_at.is_some()))
        .await
}

async fn ids(world: &World, batch: Uuid) -> Vec<Uuid> {
    let listing = Listing { batch: Some(batch), limit: 1000, ..Listing::default() };
    world.jobs.list(&world.request().caller, &listing).await.unwrap().into_iter().map(|job| job.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_batch_is_done_once_when_the_last_of_it_is_over() {
    let world = World::idle(Settings { per_tenant: 16, ..quick() }).await;
    for _ in 0..4 {
        world.runner(&world.elsewhere(Settings { concurrency: 8, per_tenant: 16, ..quick() }));
    }
    // Repeated, because the last two jobs may end at the same time.
    for round in 0..5 {
        let new = NewBatch { jobs: (0..30).map(note).collect(), then: Some(note(1000 + round)) };
        let id = world.jobs.submit_batch(&world.request(), &new).await.unwrap().id;
        let batch = finished(&world, id).await;
        assert_eq!((batch.total, batch.completed, batch.cancelled, batch.discarded), (30, 30, 0, 0));
        let then = batch.then.unwrap();
        world.until(then, State::Completed).await;
        let follows = format!("SELECT job_id::text FROM jobs.jobs WHERE arguments = '{{\"n\": {}}}'", 1000 + round);
        assert_eq!(world.strings(&follows).await, [then.to_string()]);
        assert_eq!(ids(&world, id).await.len(), 30);
    }
}

#[tokio::test]
async fn a_cancelled_batch_has_nothing_open_and_what_follows_is_done_all_the_same() {
    let world = World::start().await;
    let new = NewBatch { jobs: vec![keep(), keep(), keep(), keep()], then: Some(note(1)) };
    let id = world.jobs.submit_batch(&world.request(), &new).await.unwrap().id;
    eventually("two run", async || (world.stage.now.lock().unwrap().len() == 2).then_some(())).await;
    world.jobs.cancel_batch(&world.request(), id).await.unwrap();
    let batch = finished(&world, id).await;
    assert_eq!((batch.total, batch.cancelled), (4, 4));
    world.until(batch.then.unwrap(), State::Completed).await;
    assert_eq!(world.jobs.cancel_batch(&world.request(), id).await.unwrap_err().code(), "batch_over");
}

#[tokio::test]
async fn a_job_that_is_retried_opens_its_batch_again_and_what_followed_does_not_follow_twice() {
    let world = World::idle(quick()).await;
    let new = NewBatch { jobs: vec![note(1), note(2)], then: Some(note(3)) };
    let id = world.jobs.submit_batch(&world.request(), &new).await.unwrap().id;
    let cancelled = ids(&world, id).await[0];
    world.jobs.cancel(&world.request(), cancelled).await.unwrap();
    world.runner(&world.jobs);
    let batch = finished(&world, id).await;
    assert_eq!((batch.completed, batch.cancelled), (1, 1));
    world.until(batch.then.unwrap(), State::Completed).await;
    world.jobs.retry(&world.request(), cancelled).await.unwrap();
    world.until(cancelled, State::Completed).await;
    let batch = finished(&world, id).await;
    assert_eq!((batch.completed, batch.cancelled), (2, 0));
    assert_eq!(world.strings("SELECT job_id::text FROM jobs.jobs").await.len(), 3);
}

#[tokio::test]
async fn what_is_refused_of_a_batch_writes_nothing() {
    let world = World::idle(quick()).await;
    let mut keyed = world.request();
    keyed.command_id = Some("b1".to_owned());
    let before = world.dump().await;
    let batch = |jobs: Vec<Wanted>| NewBatch { jobs, then: None };
    let submit = async |new: NewBatch| world.jobs.submit_batch(&keyed, &new).await.unwrap_err();
    assert_eq!(submit(batch(vec![])).await.code(), "batch_size");
    assert_eq!(submit(batch((0..1001).map(note).collect())).await.code(), "batch_size");
    let fail = Wanted { kind: "fail".to_owned(), arguments: json!(null) };
    assert_eq!(submit(batch(vec![note(1), fail.clone()])).await.code(), "job_kind_unknown");
    assert_eq!(submit(NewBatch { jobs: vec![note(1)], then: Some(fail) }).await.code(), "job_kind_unknown");
    let wrong = Wanted { kind: "note".to_owned(), arguments: json!({ "m": 1 }) };
    assert_eq!(submit(batch(vec![note(1), wrong])).await.errors()[0].pointer, "/jobs/1/arguments");
    let auditor = request(world.tenant, Role::Auditor);
    let refused = world.jobs.submit_batch(&auditor, &batch(vec![note(1)])).await.unwrap_err();
    assert_eq!(refused.code(), "permission_missing");
    let unknown = Uuid::nil();
    assert_eq!(world.jobs.cancel_batch(&keyed, unknown).await.unwrap_err().code(), "not_found");
    assert_eq!(world.dump().await, before);
    let id = world.jobs.submit_batch(&keyed, &batch(vec![note(1)])).await.unwrap().id;
    assert_eq!(world.jobs.submit_batch(&keyed, &batch(vec![note(1)])).await.unwrap().id, id);
    let before = world.dump().await;
    let stranger = request(testbed::tenant(), Role::Admin);
    assert_eq!(world.jobs.cancel_batch(&stranger, id).await.unwrap_err().code(), "not_found");
    assert_eq!(world.jobs.find_batch(&stranger.caller, id).await.unwrap_err().code(), "not_found");
    assert_eq!(world.dump().await, before);
}
