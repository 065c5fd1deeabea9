//! Runners that are killed, hang, lose their connection, or run concurrently.

use std::collections::BTreeMap;
use std::time::Duration;

use jobs::{Fault, Settings, State, Step};
use serde_json::json;
use sqlx::Connection;
use testbed::eventually;

use crate::world::{World, new_job, quick};

/// A runner on a thread and runtime of its own. Dropping it stops everything where it is, as a kill does.
fn process(world: &World) -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (database, bus, stage) = (world.database.clone(), world.bus.clone(), world.stage.clone());
    runtime.spawn(async move {
        let sources = jobs::Sources {
            clock: std::sync::Arc::new(kernel::SystemClock),
            ids: std::sync::Arc::new(kernel::SystemIds),
        };
        let jobs = jobs::Jobs::open(&database, Some(bus), crate::world::kinds(&stage), quick(), sources);
        jobs::Runner::new(jobs).run(tokio_util::sync::CancellationToken::new()).await;
    });
    runtime
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_between_any_two_writes_loses_the_job_and_nothing_else() {
    let world = World::idle(quick()).await;
    // Kills it before the first part, and after each.
    for parts_before in 0..=2 {
        let dying = process(&world);
        let id = world.submit("write", json!(3)).await;
        world.stage.gate.add_permits(parts_before);
        eventually("it has come so far", async || {
            let job = world.find(id).await;
            (job.state == State::Running && job.done == parts_before as u64).then_some(())
        })
        .await;
        dying.shutdown_background();
        eventually("it is dead", async || world.stage.now.lock().unwrap().is_empty().then_some(())).await;
        let living = process(&world);
        world.stage.gate.add_permits(3 - parts_before);
        let job = world.until(id, State::Completed).await;
        assert_eq!((job.attempt, job.parts, job.done), (2, 3, 3), "{job:?}");
        let mut file = Vec::new();
        for part in 1..=3 {
            file.extend(world.jobs.part(world.tenant, id, part).await.unwrap());
        }
        assert_eq!(file, b"part 1\npart 2\npart 3\n");
        assert!(world.lines(id).await.contains(&"whoever worked at it shows no sign of life".to_owned()));
        living.shutdown_background();
    }
    assert_eq!(*world.stage.doubled.lock().unwrap(), 0);
}

#[tokio::test]
async fn one_that_lost_its_job_writes_nothing_more() {
    let world = World::start().await;
    let id = world.submit("write", json!(2)).await;
    world.until(id, State::Running).await;
    // Another process has it by now.
    world
        .execute("UPDATE jobs.jobs SET lease = gen_random_uuid(), leased_until = clock_timestamp() + interval '1 hour'")
        .await;
    let before = world.dump().await;
    world.stage.gate.add_permits(2);
    eventually("it has stopped", async || world.stage.now.lock().unwrap().is_empty().then_some(())).await;
    assert_eq!(world.dump().await, before);
}

/// The first process hangs: it renews no lease, and gets no messages. What it does after it wakes is too late.
#[tokio::test]
async fn fault_a_worker_that_was_only_cut_off_writes_nothing_into_a_job_that_another_has_taken() {
    let world = World::idle(quick()).await;
    // It has one slot, so it can't start the job again itself.
    let hanging = Settings { lease: Duration::from_hours(1), concurrency: 1, ..quick() };
    let (stop, hung) = world.runner(&world.elsewhere(hanging));
    let id = world.submit("lend", json!(null)).await;
    let lent = async |nth: usize| world.stage.lent.lock().unwrap().get(nth).cloned();
    let zombie = eventually("the first has it", async || lent(0).await).await;
    world.execute("UPDATE jobs.jobs SET leased_until = clock_timestamp()").await;
    world.runner(&world.elsewhere(quick()));
    eventually("another has it", async || lent(1).await).await;
    let lines = world.lines(id).await;

    // It continues: writes a step, a log line, removes files, and ends.
    let step = Step { checkpoint: json!(7), done: 7, total: Some(7), part: Some(b"part".to_vec()) };
    assert_eq!(zombie.step(step.clone()).await, Err(Fault::Lost));
    zombie.log("still here").await.unwrap();
    assert_eq!(zombie.forget_files(&["lend"], zombie.created_at()).await, Err(Fault::Lost));
    world.stage.gate.add_permits(1);
    eventually("the first has ended", async || (world.stage.now.lock().unwrap().len() == 1).then_some(())).await;
    stop.cancel();
    hung.await.unwrap();
    let job = world.find(id).await;
    assert_eq!((job.state, job.attempt, job.done, job.parts), (State::Running, 2, 0, 0), "{job:?}");
    assert_eq!(world.lines(id).await, lines);

    world.stage.gate.add_permits(1);
    let job = world.until(id, State::Completed).await;
    // The lost attempt counts.
    assert_eq!((job.attempt, job.parts, job.result), (2, 0, Some(json!("held"))));
    assert_eq!(world.lines(id).await, ["whoever worked at it shows no sign of life", "completed"]);
    let before = world.dump().await;
    assert_eq!(zombie.step(step).await, Err(Fault::Lost));
    zombie.log("still here").await.unwrap();
    assert_eq!(world.dump().await, before);
    assert_eq!(world.stage.begun.lock().unwrap().len(), 2, "once by each");
}

#[tokio::test]
async fn all_leases_of_a_process_are_renewed_also_when_somebody_writes_to_one_of_the_jobs() {
    // Enough slots, and a tenant that may use them.
    let settings = Settings { concurrency: 3, per_tenant: 3, ..quick() };
    let world = World::idle(settings.clone()).await;
    world.runner(&world.elsewhere(settings.clone()));
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(world.submit("hold", json!(null)).await);
    }
    for id in &ids {
        world.until(*id, State::Running).await;
    }
    // A transaction that has locked one of the jobs, and does not end.
    let mut writer = sqlx::PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    let mut writing = writer.begin().await.unwrap();
    sqlx::query("SELECT FROM jobs.jobs WHERE job_id = $1 FOR UPDATE")
        .bind(ids[0])
        .execute(&mut *writing)
        .await
        .unwrap();
    let leases = format!("SELECT leased_until::text FROM jobs.jobs WHERE job_id <> '{}' ORDER BY job_id", ids[0]);
    let mut last = world.strings(&leases).await;
    // For longer than a lease.
    for _ in 0..4 {
        last = eventually("the others' are renewed", async || {
            let now = world.strings(&leases).await;
            now.iter().zip(&last).all(|(now, before)| now > before).then_some(now)
        })
        .await;
    }
    writing.rollback().await.unwrap();
    world.stage.gate.add_permits(4);
    for id in &ids[1..] {
        let job = world.until(*id, State::Completed).await;
        assert_eq!(job.attempt, 1, "{job:?}");
    }
    // That job's lease could not be renewed: the job was started again, or its lease was renewed at the last moment.
    world.until(ids[0], State::Completed).await;
}

/// Removing the files of many jobs is one statement, which may take longer than a lease.
#[tokio::test]
async fn a_lease_is_renewed_while_its_job_forgets_files_and_nobody_takes_that_job_up() {
    let world = World::idle(quick()).await;
    world.runner(&world.elsewhere(quick()));
    let id = world.submit("hold", json!(null)).await;
    world.until(id, State::Running).await;
    // Locks the calling job as `Work::forget_files` does.
    let mut forgetter = sqlx::PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    let mut forgetting = forgetter.begin().await.unwrap();
    let hold = "SELECT FROM jobs.jobs WHERE job_id = $1 FOR KEY SHARE";
    sqlx::query(hold).bind(id).execute(&mut *forgetting).await.unwrap();
    let mut last = world.strings("SELECT leased_until::text FROM jobs.jobs").await;
    // For longer than a lease.
    for _ in 0..4 {
        last = eventually("it is renewed", async || {
            let now = world.strings("SELECT leased_until::text FROM jobs.jobs").await;
            (now > last).then_some(now)
        })
        .await;
    }
    // Not even without the lock: otherwise `forget_files` would write concurrently with the process that has the job.
    world.execute("UPDATE jobs.jobs SET leased_until = clock_timestamp()").await;
    world.runner(&world.elsewhere(quick()));
    eventually("it is renewed by whoever has it", async || {
        let ahead = "SELECT job_id::text FROM jobs.jobs WHERE leased_until > clock_timestamp()";
        (!world.strings(ahead).await.is_empty()).then_some(())
    })
    .await;
    forgetting.commit().await.unwrap();
    world.stage.gate.add_permits(1);
    let job = world.until(id, State::Completed).await;
    assert_eq!(job.attempt, 1, "{job:?}");
}

#[tokio::test]
async fn the_leases_of_running_jobs_are_renewed_while_another_one_forgets_files() {
    let settings = Settings { concurrency: 2, per_tenant: 2, ..quick() };
    let world = World::idle(settings.clone()).await;
    world.runner(&world.elsewhere(settings));
    let failed =
        world.jobs.submit_with(&world.request(), "hopeless", &new_job(json!(null)), b"name\n").await.unwrap().id;
    world.until(failed, State::Discarded).await;
    let running = world.submit("hold", json!(null)).await;
    world.until(running, State::Running).await;
    // The removal of the file waits for a transaction that does not end.
    let mut reader = sqlx::PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    sqlx::query("SELECT FROM jobs.inputs FOR UPDATE").execute(&mut *reading).await.unwrap();
    let forget = world.submit("forget", json!(null)).await;
    world.database.until_session(eventstore::Role::Work, "wait_event_type = 'Lock'").await;
    let lease = format!("SELECT leased_until::text FROM jobs.jobs WHERE job_id = '{running}'");
    let mut last = world.strings(&lease).await;
    // For longer than a lease.
    for _ in 0..4 {
        last = eventually("it is renewed", async || {
            let now = world.strings(&lease).await;
            (now > last).then_some(now)
        })
        .await;
    }
    reading.rollback().await.unwrap();
    eventually("it comes again", async || {
        Some(world.find(forget).await).filter(|job| job.code.as_deref() == Some("jobs_open"))
    })
    .await;
    world.stage.gate.add_permits(1);
    let job = world.until(running, State::Completed).await;
    assert_eq!(job.attempt, 1, "{job:?}");
    world.until(forget, State::Completed).await;
}

#[tokio::test]
async fn one_that_kills_its_workers_is_discarded_in_the_end() {
    let world = World::idle(quick()).await;
    let id = world.submit("fail", json!(null)).await;
    world
        .execute(
            "UPDATE jobs.jobs SET state = 'running', attempt = max_attempts, lease = gen_random_uuid(),
                 leased_until = clock_timestamp() - interval '1 second'",
        )
        .await;
    world.runner(&world.jobs);
    let job = world.until(id, State::Discarded).await;
    assert_eq!(job.code.as_deref(), Some("worker_lost"));
    assert!(world.stage.begun.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_process_that_stops_gives_its_jobs_back_and_the_attempt_does_not_count() {
    let world = World::idle(quick()).await;
    let (stop, runner) = world.runner(&world.jobs);
    let id = world.submit("hold", json!(null)).await;
    world.until(id, State::Running).await;
    stop.cancel();
    runner.await.unwrap();
    let job = world.find(id).await;
    assert_eq!((job.state, job.attempt), (State::Available, 0));
    world.runner(&world.elsewhere(quick()));
    world.stage.gate.add_permits(1);
    world.until(id, State::Completed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_do_each_job_once_and_no_more_of_a_tenant_than_allowed() {
    let world = World::idle(quick()).await;
    let mut ids = Vec::new();
    for n in 0..200 {
        ids.push(world.submit("note", json!(n)).await);
    }
    for _ in 0..4 {
        world.runner(&world.elsewhere(Settings { concurrency: 8, ..quick() }));
    }
    eventually("all are done", async || {
        let open = world.strings("SELECT job_id::text FROM jobs.jobs WHERE state <> 'completed'").await;
        open.is_empty().then_some(())
    })
    .await;
    let mut times = BTreeMap::<_, usize>::new();
    for (_, id, _) in world.stage.begun.lock().unwrap().iter() {
        *times.entry(*id).or_default() += 1;
    }
    assert_eq!(times.len(), 200);
    assert!(times.values().all(|times| *times == 1), "{times:?}");
    assert_eq!(*world.stage.doubled.lock().unwrap(), 0);
    let most = *world.stage.most_of_tenant.lock().unwrap();
    assert!(most <= 2, "{most} of one tenant ran at the same time");
}
