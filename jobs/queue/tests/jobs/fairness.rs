//! Nobody waits for somebody else's thousands.

use jobs::{Settings, State};
use kernel::Role;
use serde_json::json;

use crate::world::{World, new_job, quick, request};

#[tokio::test]
async fn one_tenant_with_ten_thousand_jobs_does_not_hold_up_the_others() {
    let world = World::idle(Settings { concurrency: 1, ..quick() }).await;
    // As if they had been asked for one by one.
    let template = world.submit("note", json!("first")).await;
    world
        .execute(&format!(
            "INSERT INTO jobs.jobs (tenant_id, job_id, kind, arguments, actor, state, run_at, max_attempts, created_at)
             SELECT tenant_id, gen_random_uuid(), kind, arguments, actor, state, run_at, max_attempts, created_at
             FROM jobs.jobs, generate_series(2, 10000) WHERE job_id = '{template}'"
        ))
        .await;
    let others = [request(testbed::tenant(), Role::Admin), request(testbed::tenant(), Role::Admin)];
    let mut ids = Vec::new();
    for other in &others {
        for n in 0..3 {
            ids.push((other, world.jobs.submit(other, "note", &new_job(json!(n))).await.unwrap().id));
        }
    }
    world.runner(&world.jobs);
    for (other, id) in &ids {
        testbed::eventually("the others' are done", async || {
            let (job, _) = world.jobs.find(&other.caller, *id).await.unwrap();
            (job.state == State::Completed).then_some(())
        })
        .await;
    }
    // In turns: of the first nine begun, three are each tenant's.
    let begun = world.stage.begun.lock().unwrap().clone();
    for tenant in [world.tenant, others[0].caller.tenant(), others[1].caller.tenant()] {
        assert_eq!(begun[..9].iter().filter(|(whose, _, _)| *whose == tenant).count(), 3, "{:?}", &begun[..9]);
    }
}

#[tokio::test]
async fn a_tenant_at_its_limit_waits_and_the_next_one_runs() {
    let world = World::start().await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(world.submit("hold", json!(null)).await);
    }
    world.until(held[0], State::Running).await;
    world.until(held[1], State::Running).await;
    let other = request(testbed::tenant(), Role::Admin);
    let id = world.jobs.submit(&other, "note", &new_job(json!(1))).await.unwrap().id;
    testbed::eventually("the other's is done", async || {
        (world.jobs.find(&other.caller, id).await.unwrap().0.state == State::Completed).then_some(())
    })
    .await;
    assert_eq!(world.find(held[2]).await.state, State::Available);
    world.stage.gate.add_permits(1);
    world.until(held[2], State::Running).await;
}
