//! Removing files that may contain data of erased people.

use chrono::TimeDelta;
use jobs::{NewJob, State};
use serde_json::{Value, json};
use testbed::eventually;
use uuid::Uuid;

use crate::world::{World, new_job, now};

async fn with_file(world: &World, kind: &str, job: NewJob) -> Uuid {
    world.jobs.submit_with(&world.request(), kind, &job, b"name\nAda Lovelace\n").await.unwrap().id
}

/// The jobs that have an input file.
async fn inputs(world: &World) -> Vec<String> {
    world.strings("SELECT DISTINCT job_id::text FROM jobs.inputs ORDER BY 1").await
}

#[tokio::test]
async fn files_that_jobs_made_or_work_on_are_forgotten_as_soon_as_nobody_works_on_them() {
    let world = World::start().await;
    let null = || new_job(Value::Null);
    let written = world.submit("write", json!(1)).await;
    world.stage.gate.add_permits(1);
    world.until(written, State::Completed).await;
    let failed = with_file(&world, "hopeless", null()).await;
    world.until(failed, State::Discarded).await;
    let later = || NewJob { run_at: Some(now() + TimeDelta::hours(1)), ..null() };
    let cancelled = with_file(&world, "hold", later()).await;
    world.jobs.cancel(&world.request(), cancelled).await.unwrap();
    let waiting = with_file(&world, "hold", later()).await;
    // In a process whose clock is an hour ahead.
    let ahead = world.with_clock(TimeDelta::hours(1));
    let ahead = ahead.submit_with(&world.request(), "hold", &later(), b"name\n").await.unwrap().id;
    let running = with_file(&world, "hold", null()).await;
    world.until(running, State::Running).await;

    let forget = world.submit("forget", Value::Null).await;
    // Submitted after the erasure, so it must not be touched.
    let after = with_file(&world, "hopeless", null()).await;
    world.until(after, State::Discarded).await;
    let mut left = [running, after].map(|id| id.to_string());
    left.sort();
    eventually("what nobody works on is removed", async || (inputs(&world).await == left).then_some(())).await;
    assert_eq!(world.strings("SELECT part::text FROM jobs.parts").await, [""; 0]);
    eventually("it comes again", async || {
        Some(world.find(forget).await).filter(|job| job.code.as_deref() == Some("jobs_open"))
    })
    .await;

    world.stage.gate.add_permits(1);
    world.until(running, State::Completed).await;
    let done = world.until(forget, State::Completed).await;
    assert_eq!(done.result, Some(json!(0)), "what ran has none any more");
    assert_eq!(inputs(&world).await, [after.to_string()]);

    // A waiting job with an input file is cancelled, so its batch continues.
    for waiting in [waiting, ahead] {
        let job = world.find(waiting).await;
        assert_eq!((job.state, job.code.as_deref()), (State::Cancelled, Some("job_input_forgotten")), "{job:?}");
        assert!(world.lines(waiting).await.last().unwrap().starts_with("cancelled: somebody"));
    }

    // The reason of its failure stays. That its file is gone is told when somebody retries it.
    let code = world.find(failed).await.code;
    assert_eq!(code.as_deref(), Some("no_such_thing"));
    let before = world.dump().await;
    for forgotten in [failed, cancelled, waiting, ahead] {
        let refusal = world.jobs.retry(&world.request(), forgotten).await.unwrap_err();
        assert_eq!((refusal.kind(), refusal.code()), (kernel::Kind::Conflict, "job_input_forgotten"));
    }
    assert_eq!(world.dump().await, before, "a refusal writes nothing");
    let caller = world.request().caller;
    assert_eq!(world.jobs.output(&caller, written).await.unwrap_err().code(), "job_output_forgotten");
    world.jobs.retry(&world.request(), after).await.unwrap();
}
