//! Faults: nothing is lost, executed twice concurrently, or out of order. (kill -9 of real processes: `tests/e2e/fault_jobs.rs`; two
//! schedulers at the same time: `schedules`.)

use jobs::{Listing, NewJob, NewSchedule, Settings, State};
use serde_json::json;
use testbed::eventually;
use uuid::Uuid;

use crate::world::{World, new_job, now, quick};

/// In files with `parts` parts each: the number of parts that are missing, duplicate, or out of order.
async fn damage(world: &World, jobs: &[Uuid], parts: u32) -> (usize, usize, usize) {
    let (mut lost, mut doubled, mut out_of_order) = (0, 0, 0);
    for id in jobs {
        let job = world.find(*id).await;
        let mut seen = Vec::new();
        for part in 1..=job.parts {
            let bytes = world.jobs.part(world.tenant, *id, part).await.unwrap();
            let text = String::from_utf8(bytes).unwrap();
            seen.push(text.trim().trim_start_matches("part ").parse::<u32>().unwrap());
        }
        let distinct: std::collections::BTreeSet<_> = seen.iter().copied().collect();
        lost += (1..=parts).filter(|part| !distinct.contains(part)).count();
        doubled += seen.len() - distinct.len();
        out_of_order += seen.windows(2).filter(|two| two[1] < two[0]).count();
    }
    (lost, doubled, out_of_order)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_postgres_is_killed_and_comes_back_while_jobs_run() {
    let mut postgres = tokio::task::block_in_place(testbed::Postgres::unsynced);
    let database = testbed::Database::fresh_on(&postgres, "demo").await;
    let settings =
        Settings { concurrency: 4, per_tenant: 4, poll_interval: std::time::Duration::from_millis(500), ..quick() };
    let world = World::over(database, settings.clone()).await;
    let parts = 5;
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.push(world.submit("write", json!(parts)).await);
    }
    for _ in 0..2 {
        world.runner(&world.elsewhere(settings.clone()));
    }
    for killed in 0..3 {
        // Some of the work is done, and some is running.
        world.stage.gate.add_permits(16);
        let written = async || {
            let done = world.strings("SELECT count(*)::text FROM jobs.parts").await;
            (done[0].parse::<usize>().unwrap() > killed * 4).then_some(())
        };
        eventually("some parts are written", written).await;
        tokio::task::block_in_place(|| {
            postgres.kill();
            postgres.restart();
        });
    }
    world.stage.gate.add_permits(1000);
    eventually("all are done", async || {
        let open = world.strings("SELECT '' FROM jobs.jobs WHERE state <> 'completed'").await;
        open.is_empty().then_some(())
    })
    .await;
    // At once, although all earlier connections are broken.
    assert_eq!(world.find(ids[0]).await.state, State::Completed);
    assert_eq!(damage(&world, &ids, parts).await, (0, 0, 0));
    assert_eq!(*world.stage.doubled.lock().unwrap(), 0);
}

#[tokio::test]
async fn fault_clocks_of_processes_are_wrong_and_nothing_is_early_twice_or_lost() {
    let world = World::idle(Settings::default()).await;
    let year = chrono::Duration::days(365);
    // One clock is a year ahead (it would delete all finished jobs), the other a year behind (it would start nothing).
    let (ahead, behind) = (world.with_clock(year), world.with_clock(-year));
    let done = ahead.submit(&world.request(), "note", &new_job(json!(0))).await.unwrap().id;
    let also = behind.submit(&world.request(), "note", &new_job(json!(1))).await.unwrap().id;
    let later = NewJob { run_at: Some(now() + chrono::Duration::hours(1)), ..new_job(json!(2)) };
    let later = ahead.submit(&world.request(), "note", &later).await.unwrap().id;
    let yearly = NewSchedule {
        kind: "note".to_owned(),
        arguments: json!({ "n": 1 }),
        cron: "0 0 1 1 *".to_owned(),
        time_zone: "UTC".to_owned(),
        overlap: true,
    };
    let schedule = ahead.schedule(&world.request(), &yearly).await.unwrap().id;
    let next = ahead.find_schedule(&world.request().caller, schedule).await.unwrap().next_at.unwrap();
    assert!(next > now() && next < now() + chrono::Duration::days(367), "{next}");
    for jobs in [&ahead, &behind] {
        world.runner(jobs);
    }
    for id in [done, also] {
        world.until(id, State::Completed).await;
    }
    world.execute("UPDATE jobs.schedules SET next_at = date_trunc('minute', clock_timestamp())").await;
    ahead.wake().await;
    let fired = Listing { schedule: Some(schedule), limit: 10, ..Listing::default() };
    let fired = async || world.jobs.list(&world.request().caller, &fired).await.unwrap();
    let job = eventually("the schedule asked", async || fired().await.pop()).await;
    world.until(job.id, State::Completed).await;
    // Another check finds nothing to do, and nothing to delete.
    for jobs in [&ahead, &behind, &ahead] {
        let after = jobs.submit(&world.request(), "note", &new_job(json!(3))).await.unwrap().id;
        world.until(after, State::Completed).await;
    }
    assert_eq!(fired().await.len(), 1, "a time was fired twice");
    assert_eq!(world.find(later).await.state, State::Scheduled, "it was begun early");
    assert_eq!(world.strings("SELECT '' FROM jobs.jobs").await.len(), 7, "one was lost, or removed");
}
