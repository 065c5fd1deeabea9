//! Schedules.

use chrono::{DateTime, Timelike, Utc};
use jobs::{Changes, Listing, NewSchedule, Settings, State};
use kernel::Role;
use serde_json::{Value, json};
use testbed::eventually;
use uuid::Uuid;

use crate::world::{World, now, quick, request};

fn minutely(kind: &str, arguments: Value) -> NewSchedule {
    NewSchedule {
        kind: kind.to_owned(),
        arguments,
        cron: "* * * * *".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        overlap: false,
    }
}

/// A schedule that does not become due by itself while a test runs.
pub fn yearly(kind: &str, arguments: Value) -> NewSchedule {
    NewSchedule { cron: "0 6 1 1 *".to_owned(), ..minutely(kind, arguments) }
}

pub async fn schedule(world: &World, new: &NewSchedule) -> Uuid {
    world.jobs.schedule(&world.request(), new).await.unwrap().id
}

/// Sets its next time to `ago` seconds before now (in the past if positive), and returns that time.
pub async fn due(world: &World, schedule: Uuid, ago: f64) -> DateTime<Utc> {
    let at = world
        .strings(&format!(
            "UPDATE jobs.schedules SET next_at = clock_timestamp() - make_interval(secs => {ago}) WHERE schedule_id = '{schedule}'
             RETURNING to_json(next_at) #>> '{{}}'"
        ))
        .await;
    world.jobs.wake().await;
    at[0].parse().unwrap()
}

pub async fn jobs_of(world: &World, schedule: Uuid) -> Vec<jobs::Job> {
    let listing = Listing { schedule: Some(schedule), limit: 200, ..Listing::default() };
    world.jobs.list(&world.request().caller, &listing).await.unwrap()
}

pub async fn find(world: &World, schedule: Uuid) -> jobs::Schedule {
    world.jobs.find_schedule(&world.request().caller, schedule).await.unwrap()
}

#[tokio::test]
async fn a_schedule_asks_when_its_time_comes_and_knows_the_next() {
    let world = World::start().await;
    let before = now();
    let each_minute = schedule(&world, &minutely("note", json!({ "n": 1 }))).await;
    let made = find(&world, each_minute).await;
    let next = made.next_at.unwrap();
    assert!(next > before && next <= now() + chrono::Duration::minutes(1), "{made:?}");
    world.jobs.remove_schedule(&world.request(), each_minute).await.unwrap();

    let id = schedule(&world, &yearly("note", json!({ "n": 7 }))).await;
    // Nothing else will wake the runner.
    let at = due(&world, id, -0.3).await;
    let job = eventually("there is a job", async || jobs_of(&world, id).await.pop()).await;
    let job = world.until(job.id, State::Completed).await;
    assert_eq!((job.result, job.actor.as_str(), job.slot), (Some(json!({ "n": 7 })), "ada", Some(at)));
    assert!(job.started_at.unwrap() >= at, "it was begun before its time");
    let fired = find(&world, id).await;
    assert_eq!((fired.last_at, fired.last_job, fired.skipped), (Some(at), Some(job.id), 0));
    assert!(fired.next_at.unwrap() > at);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_of_many_schedulers_at_one_time_one_asks() {
    let world = World::idle(Settings { concurrency: 8, ..quick() }).await;
    for _ in 0..4 {
        world.runner(&world.elsewhere(Settings { concurrency: 8, ..quick() }));
    }
    let new = NewSchedule { overlap: true, ..yearly("note", json!({ "n": 1 })) };
    let mut schedules = Vec::new();
    for _ in 0..5 {
        schedules.push(schedule(&world, &new).await);
    }
    let rounds = 6;
    for round in 1..=rounds {
        // In the past of the last one, so that no minute is the same.
        world
            .execute(&format!(
                "UPDATE jobs.schedules SET next_at = date_trunc('minute', clock_timestamp()) - interval '1 day' * {round}"
            ))
            .await;
        world.jobs.wake().await;
        eventually("all have asked", async || {
            let ahead = world.strings("SELECT '' FROM jobs.schedules WHERE next_at > clock_timestamp()").await;
            (ahead.len() == schedules.len()).then_some(())
        })
        .await;
    }
    let (mut lost, mut doubled) = (0_i64, 0_i64);
    for id in schedules {
        let jobs = jobs_of(&world, id).await;
        let slots: std::collections::BTreeSet<_> = jobs.iter().map(|job| job.slot.unwrap()).collect();
        lost += rounds - i64::try_from(slots.len()).unwrap();
        doubled += i64::try_from(jobs.len() - slots.len()).unwrap();
    }
    assert_eq!((lost, doubled), (0, 0));
}

#[tokio::test]
async fn one_job_stands_for_the_times_that_passed_while_nobody_was_there() {
    let world = World::idle(quick()).await;
    // Daily at the hour of half a day ago, so that no time comes while the test runs.
    let hour = (now() - chrono::Duration::hours(12)).hour();
    let daily = NewSchedule {
        cron: format!("0 {hour} * * *"),
        time_zone: "UTC".to_owned(),
        ..minutely("note", json!({ "n": 1 }))
    };
    let id = schedule(&world, &daily).await;
    world.execute("UPDATE jobs.schedules SET next_at = next_at - interval '264 hours'").await;
    world.runner(&world.jobs);
    eventually("it has asked", async || find(&world, id).await.last_at).await;
    assert_eq!(jobs_of(&world, id).await.len(), 1);
    assert_eq!(find(&world, id).await.skipped, 10);
}

#[tokio::test]
async fn a_time_that_comes_while_the_last_job_is_open_passes_unless_they_may_overlap() {
    let world = World::start().await;
    let id = schedule(&world, &yearly("keep", json!({}))).await;
    due(&world, id, 120.0).await;
    let first = eventually("the first", async || jobs_of(&world, id).await.pop()).await;
    world.until(first.id, State::Running).await;
    due(&world, id, 0.0).await;
    eventually("it has passed", async || (find(&world, id).await.next_at? > now()).then_some(())).await;
    assert_eq!(jobs_of(&world, id).await.len(), 1);
    let overlap = Changes { overlap: Some(true), ..Changes::default() };
    world.jobs.change_schedule(&world.request(), id, &overlap).await.unwrap();
    due(&world, id, 0.0).await;
    eventually("the second", async || (jobs_of(&world, id).await.len() == 2).then_some(())).await;
}

#[tokio::test]
async fn a_schedule_is_changed_paused_resumed_and_removed() {
    let world = World::start().await;
    let id = schedule(&world, &minutely("note", json!({ "n": 1 }))).await;
    let yearly = Changes {
        arguments: Some(json!({ "n": 2 })),
        cron: Some("0 6 1 1 *".to_owned()),
        time_zone: Some("UTC".to_owned()),
        overlap: None,
    };
    world.jobs.change_schedule(&world.request(), id, &yearly).await.unwrap();
    let changed = find(&world, id).await;
    assert_eq!(
        (changed.arguments.clone(), changed.cron.as_str(), changed.overlap),
        (json!({ "n": 2 }), "0 6 1 1 *", false)
    );
    assert_eq!(changed.next_times(now(), 3).len(), 3);
    let at = changed.next_at.unwrap().to_rfc3339();
    assert!(at.contains("-01-01T06:00:00"), "{at}");
    world.jobs.pause_schedule(&world.request(), id).await.unwrap();
    let paused = find(&world, id).await;
    assert_eq!((paused.next_at, paused.next_times(now(), 3)), (None, vec![]));
    // Changing a paused schedule does not resume it.
    let minutely = Changes { cron: Some("* * * * *".to_owned()), ..Changes::default() };
    world.jobs.change_schedule(&world.request(), id, &minutely).await.unwrap();
    assert_eq!(find(&world, id).await.next_at, None);
    world.jobs.resume_schedule(&world.request(), id).await.unwrap();
    assert!(find(&world, id).await.next_at.unwrap() > now());
    world.jobs.remove_schedule(&world.request(), id).await.unwrap();
    let caller = world.request().caller;
    assert_eq!(world.jobs.find_schedule(&caller, id).await.unwrap_err().code(), "not_found");
    assert_eq!(world.jobs.schedules(&caller).await.unwrap(), []);
}

#[tokio::test]
async fn what_is_refused_of_a_schedule_writes_nothing() {
    let world = World::idle(quick()).await;
    let good = minutely("note", json!({ "n": 1 }));
    let mut asked = world.request();
    asked.command_id = Some("s1".to_owned());
    let id = world.jobs.schedule(&asked, &good).await.unwrap().id;
    assert_eq!(world.jobs.schedule(&asked, &good).await.unwrap().id, id);
    let before = world.dump().await;
    let mut keyed = world.request();
    keyed.command_id = Some("s2".to_owned());
    let auditor = request(world.tenant, Role::Auditor);
    let member = request(world.tenant, Role::Member);
    let stranger = request(testbed::tenant(), Role::Admin);
    let refused = async |new: NewSchedule| world.jobs.schedule(&keyed, &new).await.unwrap_err();
    let field = |refusal: &kernel::Refusal| refusal.errors()[0].pointer.clone() + " " + refusal.errors()[0].code;
    assert_eq!(
        field(&refused(NewSchedule { cron: "every day".to_owned(), ..good.clone() }).await),
        "/cron cron_invalid"
    );
    assert_eq!(
        field(&refused(NewSchedule { time_zone: "Berlin".to_owned(), ..good.clone() }).await),
        "/time_zone time_zone"
    );
    for arguments in [json!({}), json!({ "n": 1, "m": 2 }), json!("x".repeat(20_000))] {
        let refusal = refused(NewSchedule { arguments, ..good.clone() }).await;
        assert_eq!(refusal.errors()[0].pointer, "/arguments", "{refusal:?}");
    }
    assert_eq!(refused(NewSchedule { kind: "fail".to_owned(), ..good.clone() }).await.code(), "job_kind_unknown");
    assert_eq!(world.jobs.schedule(&auditor, &good).await.unwrap_err().code(), "permission_missing");
    // A caller who may change jobs, but not submit notes.
    assert_eq!(world.jobs.schedule(&member, &good).await.unwrap_err().code(), "permission_missing");
    for refused in [
        world.jobs.pause_schedule(&stranger, id).await,
        world.jobs.resume_schedule(&stranger, id).await,
        world.jobs.remove_schedule(&stranger, id).await,
        world.jobs.change_schedule(&stranger, id, &Changes::default()).await,
    ] {
        assert_eq!(refused.unwrap_err().code(), "not_found");
    }
    assert_eq!(world.jobs.pause_schedule(&auditor, id).await.unwrap_err().code(), "permission_missing");
    assert_eq!(world.jobs.find_schedule(&stranger.caller, id).await.unwrap_err().code(), "not_found");
    assert_eq!(world.dump().await, before);
}

#[tokio::test]
async fn attack_159_who_may_only_look_after_jobs_resumes_no_schedule_of_what_they_may_not_ask_for() {
    let world = World::idle(quick()).await;
    let id = schedule(&world, &minutely("note", json!({ "n": 1 }))).await;
    let keeper = request(world.tenant, Role::Member);
    world.jobs.pause_schedule(&keeper, id).await.unwrap();
    let before = world.dump().await;
    assert_eq!(world.jobs.resume_schedule(&keeper, id).await.unwrap_err().code(), "permission_missing");
    assert_eq!(world.dump().await, before);
    world.jobs.resume_schedule(&world.request(), id).await.unwrap();
}

#[tokio::test]
async fn a_tenant_has_so_many_schedules_and_not_more() {
    let world = World::idle(quick()).await;
    let id = schedule(&world, &minutely("note", json!({ "n": 1 }))).await;
    world
        .execute(&format!(
            "INSERT INTO jobs.schedules (tenant_id, schedule_id, kind, queue, arguments, actor, cron, time_zone, overlap, created_at,
                 changed_by, changed_at)
             SELECT tenant_id, gen_random_uuid(), kind, queue, arguments, actor, cron, time_zone, overlap, created_at, changed_by,
                 changed_at
             FROM jobs.schedules, generate_series(2, 200) WHERE schedule_id = '{id}'"
        ))
        .await;
    let before = world.dump().await;
    let one_more = world.jobs.schedule(&world.request(), &minutely("note", json!({ "n": 1 }))).await;
    assert_eq!(one_more.unwrap_err().code(), "schedules_full");
    assert_eq!(world.dump().await, before);
}

#[tokio::test]
async fn a_schedule_of_a_tenant_at_its_end_asks_for_nothing_and_holds_no_other_up() {
    let mut world = World::start().await;
    let gone = world.request();
    let theirs = schedule(&world, &yearly("note", json!({ "n": 1 }))).await;
    world.execute(&format!("SELECT log.condemn('{}', '{{}}')", world.tenant)).await;
    due(&world, theirs, 5.0).await;
    world.tenant = testbed::tenant();
    let id = schedule(&world, &yearly("note", json!({ "n": 2 }))).await;
    due(&world, id, 0.1).await;
    eventually("the other one asks", async || find(&world, id).await.last_job).await;
    let passed = world.jobs.find_schedule(&gone.caller, theirs).await.unwrap();
    assert_eq!((passed.last_job, passed.skipped), (None, 1), "{passed:?}");
    let listing = Listing { schedule: Some(theirs), limit: 200, ..Listing::default() };
    assert!(world.jobs.list(&gone.caller, &listing).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_restored_schedule_goes_on_and_asks_for_what_fell_due_meanwhile() {
    let world = World::start().await;
    let id = schedule(&world, &yearly("note", json!({ "n": 7 }))).await;
    due(&world, id, -0.1).await;
    let first = eventually("it asked", async || find(&world, id).await.last_job).await;
    world.until(first, State::Completed).await;
    let paused = schedule(&world, &yearly("note", json!({ "n": 8 }))).await;
    world.jobs.pause_schedule(&world.request(), paused).await.unwrap();

    let other = world.restored().await;
    let (was, is) = (find(&world, id).await, find(&other, id).await);
    assert_eq!(is, jobs::Schedule { last_job: None, ..was }, "jobs that are over are in no backup");

    due(&other, id, 200.0).await;
    other.runner(&other.jobs);
    eventually("it asks", async || find(&other, id).await.last_job).await;
    let fired = find(&other, id).await;
    assert_eq!((jobs_of(&other, id).await.len(), fired.skipped), (1, 0), "{fired:?}");
    assert!(fired.next_at.unwrap() > now(), "{fired:?}");
    assert_eq!((find(&other, paused).await.next_at, jobs_of(&other, paused).await.len()), (None, 0));
}
