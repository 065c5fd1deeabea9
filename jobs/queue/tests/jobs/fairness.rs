//! Fairness: a tenant's thousands of jobs do not delay the others.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jobs::{Fault, NewJob, Request, Settings, State, Step};
use kernel::Role;
use serde_json::json;

use uuid::Uuid;

use crate::world::{World, new_job, now, quick, request};

#[tokio::test]
async fn one_tenant_with_ten_thousand_jobs_does_not_hold_up_the_others() {
    let world = World::idle(Settings { concurrency: 1, ..quick() }).await;
    // As if they had been submitted one by one.
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
    // Tenants take turns: of the first nine jobs, three are each tenant's.
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

/// A process with two slots, whose jobs have no time slice.
async fn crowded() -> World {
    World::idle(Settings { concurrency: 2, time_slice: Duration::ZERO, ..quick() }).await
}

/// Jobs of fifty steps; each step takes a permit.
async fn long(world: &World, of: &[&Request]) -> Vec<Uuid> {
    let mut ids = Vec::new();
    for who in of {
        ids.push(world.jobs.submit(who, "write", &new_job(json!(50))).await.unwrap().id);
    }
    ids
}

/// Permits this many steps, and waits until these jobs together have taken `all`.
async fn step(world: &World, jobs: &[(&Request, Uuid)], more: usize, all: u64) {
    world.stage.gate.add_permits(more);
    testbed::eventually("the steps are taken", async || {
        let mut done = 0;
        for (who, id) in jobs {
            done += world.jobs.find(&who.caller, *id).await.unwrap().0.done;
        }
        (done == all).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_long_job_gives_its_place_at_its_next_step_to_a_tenant_of_whom_nothing_runs() {
    let world = crowded().await;
    let (one, two, third) =
        (world.request(), request(testbed::tenant(), Role::Admin), request(testbed::tenant(), Role::Admin));
    let ids = long(&world, &[&one, &two]).await;
    let both = [(&one, ids[0]), (&two, ids[1])];
    world.runner(&world.jobs);
    step(&world, &both, 10, 10).await;
    // A job writes its step before it checks whether others wait. A tenant that comes before both jobs have checked would be noticed too
    // early.
    testbed::eventually("both wait for their next step", async || {
        (world.stage.at_gate.load(Ordering::SeqCst) == 2).then_some(())
    })
    .await;
    assert_eq!(world.stage.begun.lock().unwrap().len(), 2, "nobody waits, nobody gives way");

    let short = world.jobs.submit(&third, "note", &new_job(json!(1))).await.unwrap().id;
    step(&world, &both, 1, 11).await;
    testbed::eventually("the third tenant's is done", async || {
        (world.jobs.find(&third.caller, short).await.unwrap().0.state == State::Completed).then_some(())
    })
    .await;
    let begun = testbed::eventually("who gave way is begun again", async || {
        Some(world.stage.begun.lock().unwrap().clone()).filter(|begun| begun.len() == 4)
    })
    .await;
    assert_eq!(begun[2].0, third.caller.tenant(), "after one step of one of the others");
    assert!(ids.contains(&begun[3].1));
    assert_eq!(begun[3].2, 1, "giving way is no attempt");

    step(&world, &both, 89, 100).await;
    for (who, id) in both {
        let job = testbed::eventually("it is done", async || {
            Some(world.jobs.find(&who.caller, id).await.unwrap().0).filter(|job| job.state == State::Completed)
        })
        .await;
        assert_eq!((job.done, job.parts, job.attempt), (50, 50, 1), "each step once");
    }
    assert_eq!(world.stage.begun.lock().unwrap().len(), 4);
    assert_eq!(*world.stage.doubled.lock().unwrap(), 0);
}

#[tokio::test]
async fn a_long_job_keeps_its_place_when_nobody_who_has_less_may_run() {
    let world = crowded().await;
    let (one, two, third) =
        (world.request(), request(testbed::tenant(), Role::Admin), request(testbed::tenant(), Role::Admin));
    let ids = long(&world, &[&one, &two]).await;
    let both = [(&one, ids[0]), (&two, ids[1])];
    world.runner(&world.jobs);
    step(&world, &both, 2, 2).await;
    // A job of the same tenant, one of a tenant with as many running jobs, and one that is not due.
    let mine = world.jobs.submit(&one, "note", &new_job(json!(1))).await.unwrap().id;
    let theirs = world.jobs.submit(&two, "note", &new_job(json!(2))).await.unwrap().id;
    let later = NewJob { run_at: Some(now() + chrono::Duration::hours(1)), ..new_job(json!(3)) };
    let late = world.jobs.submit(&third, "note", &later).await.unwrap().id;
    step(&world, &both, 40, 42).await;
    assert_eq!(world.stage.begun.lock().unwrap().len(), 2);
    for (who, id) in [(&one, mine), (&two, theirs), (&third, late)] {
        let job = world.jobs.find(&who.caller, id).await.unwrap().0;
        assert_eq!(job.attempt, 0, "{:?}", job.state);
    }
}

#[tokio::test]
async fn a_job_that_could_not_continue_from_a_step_reports_and_keeps_its_place() {
    let world = crowded().await;
    let (one, two, third) =
        (world.request(), request(testbed::tenant(), Role::Admin), request(testbed::tenant(), Role::Admin));
    for who in [&one, &two] {
        world.jobs.submit(who, "lend", &new_job(json!(null))).await.unwrap();
    }
    world.runner(&world.jobs);
    let lent = testbed::eventually("both run", async || {
        Some(world.stage.lent.lock().unwrap().clone()).filter(|lent| lent.len() == 2)
    })
    .await;
    world.jobs.submit(&third, "note", &new_job(json!(1))).await.unwrap();
    let half = || Step { done: 1, total: Some(2), ..Step::default() };
    assert_eq!(lent[0].report(half()).await, Ok(()));
    assert_eq!(lent[0].step(half()).await, Err(Fault::GaveWay), "the third tenant waits for a place");
}
