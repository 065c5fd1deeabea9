//! Jobs that are submitted in the transaction of an append.

use std::sync::Arc;

use eventstore::append::Error;
use eventstore::{Append, AskedJob, CommandRecord, EventStore, NewEvent, StreamAppend};
use jobs::{NewJob, State, Unique};
use kernel::{IdSource, SystemClock, SystemIds, TenantId};
use serde_json::json;

use crate::world::{World, kinds, new_job, now, quick};

async fn log(world: &World) -> EventStore {
    EventStore::open(&world.database, eventstore::Settings::default(), Arc::new(SystemClock)).await.unwrap()
}

/// An append of one event to the end of a stream, with this command id.
fn lit(tenant: TenantId, lamp: &str, expected: u64, command: &str) -> Append {
    let event = NewEvent {
        event_id: SystemIds.next(),
        event_type: "demo.lamp.lit",
        event_version: 1,
        payload: "{}".to_owned(),
        metadata: "{}".into(),
        occurred_at: now(),
    };
    Append {
        tenant,
        command: CommandRecord { id: command.to_owned(), request_hash: [7; 32], answer: "{}".to_owned() },
        streams: vec![StreamAppend {
            aggregate_type: "demo.lamp",
            aggregate_id: lamp.to_owned(),
            expected,
            events: vec![event],
        }],
        claims: Vec::new(),
    }
}

fn note(world: &World, job: &NewJob) -> AskedJob {
    kinds(&world.stage).find("note").unwrap().asked(job, SystemIds.next(), now())
}

async fn jobs_there(world: &World) -> usize {
    world.strings("SELECT job_id::text FROM jobs.jobs").await.len()
}

#[tokio::test]
async fn a_job_asked_for_with_an_append_is_there_with_its_events_and_is_done() {
    let world = World::start().await;
    let log = log(&world).await;
    let job = note(&world, &new_job(json!({ "n": 1 })));
    log.append_with(lit(world.tenant, "hall", 0, "c1"), vec![job.clone()], None).await.unwrap();
    world.jobs.wake().await;
    let done = world.until(job.id, State::Completed).await;
    assert_eq!((done.result, done.actor.as_str(), done.queue.as_str()), (Some(json!({ "n": 1 })), "ada", "default"));
    log.close().await;
}

#[tokio::test]
async fn of_an_append_that_is_refused_or_was_done_before_no_job_is_made() {
    let world = World::idle(quick()).await;
    let log = log(&world).await;
    let ask = |append: Append| {
        let job = note(&world, &new_job(json!({ "n": 1 })));
        log.append_with(append, vec![job], None)
    };
    ask(lit(world.tenant, "hall", 0, "c1")).await.unwrap();
    assert_eq!(jobs_there(&world).await, 1);
    let before = world.dump().await;
    let conflict = ask(lit(world.tenant, "hall", 0, "c2")).await.unwrap_err();
    assert!(matches!(conflict, Error::VersionConflict { actual: 1, .. }), "{conflict:?}");
    let again = ask(lit(world.tenant, "hall", 0, "c1")).await.unwrap();
    assert!(again.answer.is_some(), "it was done before");
    assert_eq!(world.dump().await, before);
    log.close().await;
}

#[tokio::test]
async fn many_appends_of_many_tenants_at_once_have_each_their_own_jobs_or_none() {
    let world = World::idle(quick()).await;
    let log = log(&world).await;
    let tenants: Vec<TenantId> = (0..10).map(|_| testbed::tenant()).collect();
    // Two commands light each lamp, and one of them is refused; one in three submits no job.
    let asked = (0..90).flat_map(|n| [(n, 0), (n, 1)]).map(|(n, who)| {
        let tenant = tenants[n % 10];
        let append = lit(tenant, &format!("lamp {n}"), 0, &format!("c{n} {who}"));
        let jobs = if n % 3 == 0 { vec![] } else { vec![note(&world, &new_job(json!({ "n": n })))] };
        let log = log.clone();
        async move { (tenant, jobs.first().map(|job| job.id), log.append_with(append, jobs, None).await) }
    });
    let answers = futures::future::join_all(asked).await;
    let mut wanted: Vec<String> = answers
        .iter()
        .filter(|(.., answer)| answer.is_ok())
        .filter_map(|(tenant, job, _)| job.map(|job| format!("{tenant} {job}")))
        .collect();
    wanted.sort();
    assert_eq!(answers.iter().filter(|(.., answer)| answer.is_ok()).count(), 90);
    let mut there = world.strings("SELECT tenant_id || ' ' || job_id FROM jobs.jobs").await;
    there.sort();
    assert_eq!((there.len(), there), (60, wanted));
    log.close().await;
}

#[tokio::test]
async fn the_same_job_is_made_once_by_whichever_append_asks() {
    let world = World::idle(quick()).await;
    let log = log(&world).await;
    let unique = NewJob { unique: Some(Unique::by_arguments()), ..new_job(json!({ "n": 1 })) };
    for nth in 0..3 {
        let job = note(&world, &unique);
        log.append_with(lit(world.tenant, "hall", nth, &format!("c{nth}")), vec![job], None).await.unwrap();
    }
    let asked = world.jobs.submit(&world.request(), "note", &unique).await.unwrap();
    assert_eq!(world.strings("SELECT job_id::text FROM jobs.jobs").await, [asked.id.to_string()]);
    log.close().await;
}
