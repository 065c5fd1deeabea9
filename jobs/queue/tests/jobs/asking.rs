//! Submitting jobs: idempotency, unique keys, transactions, and permissions.

use std::time::Duration;

use jobs::{Listing, NewJob, State, Unique, enqueue};
use kernel::{IdSource, Role, SystemIds};
use serde_json::json;

use crate::world::{World, kinds, new_job, now, quick, request};

#[tokio::test]
async fn the_same_request_asks_once_and_another_one_under_its_id_is_refused() {
    let world = World::idle(quick()).await;
    let mut asked = world.request();
    asked.command_id = Some("k1".to_owned());
    let first = world.jobs.submit(&asked, "note", &new_job(json!(1))).await.unwrap();
    let again = world.jobs.submit(&asked, "note", &new_job(json!(1))).await.unwrap();
    assert_eq!((first.id, first.repeated, again.repeated), (again.id, false, true));
    let before = world.dump().await;
    asked.request_hash = [2; 32];
    let refused = world.jobs.submit(&asked, "note", &new_job(json!(2))).await.unwrap_err();
    assert_eq!(refused.code(), "idempotency_key_reused");
    let unknown = world.jobs.submit(&world.request(), "dance", &new_job(json!(2))).await.unwrap_err();
    assert_eq!(unknown.code(), "job_kind_unknown");
    assert!(unknown.detail().contains("allowed: deaf, fail, forget, hold"), "{unknown:?}");
    assert_eq!(world.dump().await, before);
}

#[tokio::test]
async fn what_is_asked_for_while_a_tenant_moves_is_refused_as_its_commands_are() {
    let world = World::idle(quick()).await;
    let id = world.submit("note", json!(1)).await;
    let pause =
        format!("INSERT INTO log.closed (tenant_id, state, cell) VALUES ('{}', 'paused', 'east')", world.tenant);
    world.execute(&pause).await;
    let before = world.dump().await;
    let keyed = jobs::Request { command_id: Some("k1".to_owned()), ..world.request() };
    for request in [&world.request(), &keyed] {
        for refused in
            [world.jobs.submit(request, "note", &new_job(json!(2))).await, world.jobs.cancel(request, id).await]
        {
            assert_eq!(refused.unwrap_err().code(), "tenant_moving");
        }
    }
    assert_eq!(
        (world.dump().await, world.strings("SELECT position::text FROM log.head").await),
        (before, vec!["0".to_owned()])
    );
    world.execute("DELETE FROM log.closed").await;
    assert!(!world.jobs.submit(&keyed, "note", &new_job(json!(2))).await.unwrap().repeated);
}

#[tokio::test]
async fn of_many_who_ask_at_the_same_time_under_one_key_one_makes_the_job() {
    let world = World::idle(quick()).await;
    let keyed = NewJob { unique: Some(Unique::by_key("daily")), ..new_job(json!(null)) };
    let request = world.request();
    let asking = (0..20).map(|_| world.jobs.submit(&request, "note", &keyed));
    let ids: std::collections::BTreeSet<_> =
        futures::future::join_all(asking).await.into_iter().map(|asked| asked.unwrap().id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(world.strings("SELECT job_id::text FROM jobs.jobs").await.len(), 1);
    // The key of another tenant is another key; and when the job is over, the key is free.
    let other = request_of_another();
    assert!(!ids.contains(&world.jobs.submit(&other, "note", &keyed).await.unwrap().id));
    world.runner(&world.jobs);
    world.until(*ids.first().unwrap(), State::Completed).await;
    assert!(!ids.contains(&world.jobs.submit(&request, "note", &keyed).await.unwrap().id));
}

fn request_of_another() -> jobs::Request {
    request(testbed::tenant(), Role::Admin)
}

#[tokio::test]
async fn a_job_asked_for_within_a_transaction_is_there_when_that_commits_and_only_then() {
    let world = World::idle(quick()).await;
    let note = kinds(&world.stage).find("note").unwrap().clone();
    let mut transaction = world.jobs.begin(world.tenant).await.unwrap();
    enqueue(&mut transaction, world.tenant, &note, &new_job(json!(1)), SystemIds.next(), now()).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(world.dump().await, Vec::<String>::new());
    let mut transaction = world.jobs.begin(world.tenant).await.unwrap();
    let asked =
        enqueue(&mut transaction, world.tenant, &note, &new_job(json!(1)), SystemIds.next(), now()).await.unwrap();
    transaction.commit().await.unwrap();
    assert!(asked.made);
    assert_eq!(world.find(asked.id).await.state, State::Available);
    // Row level security refuses another tenant's rows.
    let mut transaction = world.jobs.begin(world.tenant).await.unwrap();
    let stranger = testbed::tenant();
    let refused = enqueue(&mut transaction, stranger, &note, &new_job(json!(1)), SystemIds.next(), now()).await;
    assert!(refused.unwrap_err().to_string().contains("row-level security"));
}

#[tokio::test]
async fn a_tenant_sees_its_own_jobs_page_by_page_and_who_may_not_sees_none() {
    let world = World::idle(quick()).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(world.submit(if n % 2 == 0 { "note" } else { "fail" }, json!(n)).await);
    }
    let later = NewJob { run_at: Some(now() + chrono::Duration::hours(1)), ..new_job(json!(5)) };
    ids.push(world.jobs.submit(&world.request(), "note", &later).await.unwrap().id);
    ids.reverse();
    let caller = world.request().caller;
    let list = async |listing: Listing| {
        let found = world.jobs.list(&caller, &listing).await.unwrap();
        found.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    let all = Listing { limit: 50, ..Listing::default() };
    assert_eq!(list(all.clone()).await, ids);
    assert_eq!(list(Listing { limit: 2, before: Some(ids[1]), ..Listing::default() }).await, ids[2..4]);
    assert_eq!(list(Listing { kind: Some("fail".to_owned()), ..all.clone() }).await, [ids[2], ids[4]]);
    assert_eq!(list(Listing { state: Some(State::Scheduled), ..all.clone() }).await, ids[..1]);
    assert_eq!(list(Listing { state: Some(State::Available), ..all.clone() }).await, ids[1..]);
    let stranger = request_of_another().caller;
    assert_eq!(world.jobs.list(&stranger, &all).await.unwrap(), []);
    assert_eq!(world.jobs.find(&stranger, ids[0]).await.unwrap_err().code(), "not_found");
    let member = request(world.tenant, Role::Member).caller;
    assert_eq!(world.jobs.list(&member, &all).await.unwrap_err().code(), "permission_missing");
    assert_eq!(world.jobs.find(&member, ids[0]).await.unwrap_err().code(), "permission_missing");
}

#[tokio::test]
async fn the_same_arguments_are_the_same_job_while_it_is_open() {
    let world = World::idle(quick()).await;
    let with = |arguments| NewJob { unique: Some(Unique::by_arguments()), ..new_job(arguments) };
    let ask = async |kind: &str, job: NewJob| world.jobs.submit(&world.request(), kind, &job).await.unwrap().id;
    let first = ask("note", with(json!({ "a": 1, "b": 2 }))).await;
    assert_eq!(ask("note", with(json!({ "b": 2, "a": 1 }))).await, first);
    assert_ne!(ask("note", with(json!({ "a": 2, "b": 2 }))).await, first);
    assert_ne!(ask("hold", with(json!({ "a": 1, "b": 2 }))).await, first);
    let across = |arguments| NewJob { unique: Some(Unique::by_arguments().across_the_queue()), ..new_job(arguments) };
    let one = ask("note", across(json!(7))).await;
    assert_eq!(ask("hold", across(json!(7))).await, one);
    assert_ne!(ask("keep", across(json!(7))).await, one, "that is another queue");
}

#[tokio::test]
async fn of_a_period_there_is_one_job_also_when_it_is_done_but_not_when_it_was_given_up() {
    let world = World::idle(quick()).await;
    let day = Duration::from_hours(24);
    let at = now();
    let daily = NewJob { run_at: Some(at), unique: Some(Unique::by_key("report").within(day)), ..new_job(json!(1)) };
    let ask = async |job: &NewJob| world.jobs.submit(&world.request(), "note", job).await.unwrap().id;
    let first = ask(&daily).await;
    world.jobs.cancel(&world.request(), first).await.unwrap();
    let second = ask(&daily).await;
    assert_ne!(second, first);
    world.runner(&world.jobs);
    world.until(second, State::Completed).await;
    assert_eq!(ask(&daily).await, second);
    let tomorrow = NewJob { run_at: Some(at + day), ..daily };
    assert_ne!(ask(&tomorrow).await, second);
    // The first job can't be retried while the second one is open.
    assert_eq!(world.jobs.retry(&world.request(), first).await.unwrap_err().code(), "job_open");
}

#[tokio::test]
async fn a_file_is_there_while_its_job_needs_it_and_not_longer() {
    let world = World::idle(quick()).await;
    let file = vec![7_u8; (5 << 20) / 2];
    let mut asked = world.request();
    asked.command_id = Some("f1".to_owned());
    let first = world.jobs.submit_with(&asked, "read", &new_job(json!(null)), &file).await.unwrap();
    let again = world.jobs.submit_with(&asked, "read", &new_job(json!(null)), &file).await.unwrap();
    assert_eq!((first.id, again.repeated), (again.id, true));
    let lengths = world.strings("SELECT octet_length(bytes)::text FROM jobs.inputs ORDER BY part").await;
    assert_eq!(lengths, ["1048576", "1048576", "524288"]);
    world.runner(&world.jobs);
    let job = world.until(first.id, State::Completed).await;
    assert_eq!(job.result, Some(json!(file.len())));
    assert_eq!(world.strings("SELECT part::text FROM jobs.inputs").await, Vec::<String>::new());
}
