//! kill -9 of the processes that run jobs, and of Postgres, while jobs import tenants' files; and a process that hangs and wakes up.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use kernel::RecordedEvent;
use serde_json::Value;
use testbed::{Hold, eventually};

use crate::client::Client;
use crate::world::World;

/// Rows of each file.
const ROWS: usize = 4_000;

/// A file that is large enough to be imported by a job.
pub fn file(tenant: &str) -> String {
    // The company identifies the row in the log, because names are encrypted there.
    let mut csv = "name,company\n".to_owned();
    for row in 0..ROWS {
        let _ = writeln!(csv, "Ada,{tenant} {row:06}");
    }
    csv
}

/// The job as any running server shows it; none if none is running.
async fn job(client: &Client, id: &str) -> Option<Value> {
    let (status, _) = client.ready().await?;
    (status.as_u16() != 503).then_some(())?;
    let answer = client.get(&format!("/v1/jobs/crm/{id}")).await;
    answer.status.is_success().then_some(answer.body)
}

/// Compares the events of a tenant's import with its file.
fn nothing_is_lost_doubled_or_out_of_order(events: &[RecordedEvent], tenant: &str) {
    let rows: Vec<String> = events
        .iter()
        .filter(|event| event.event_type == "crm.lead.captured")
        .filter_map(|event| {
            serde_json::from_slice::<Value>(&event.payload).ok()?["details"]["company"].as_str().map(str::to_owned)
        })
        .filter(|row| row.starts_with(tenant))
        .collect();
    let distinct: BTreeSet<_> = rows.iter().collect();
    let (lost, doubled) = (ROWS - distinct.len(), rows.len() - distinct.len());
    let out_of_order = rows.windows(2).filter(|two| two[1] < two[0]).count();
    println!("{tenant}: {} leads, {lost} lost, {doubled} doubled, {out_of_order} out of order", rows.len());
    assert_eq!((lost, doubled, out_of_order), (0, 0, 0));
}

/// Waits until this number of rows is done or the job has finished; longer than a lease lasts.
async fn until_done(client: &Client, id: &str, rows: u64) -> Value {
    let mut last = Value::Null;
    for _ in 0..3 {
        let so_far = async || {
            let job = job(client, id).await?;
            (job["done"].as_u64()? >= rows || job["finished_at"].is_string()).then_some(job)
        };
        match tokio::time::timeout(Duration::from_secs(25), eventually("the import goes on", so_far)).await {
            Ok(job) => return job,
            Err(_) => last = job(client, id).await.unwrap_or_default(),
        }
    }
    panic!("the import stands still: {last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_kill_9_between_claim_and_completion_loses_doubles_and_reorders_nothing() {
    let mut world = World::new().await;
    let tenants = ["acme", "globex"];
    let clients = tenants.map(|tenant| world.tenant(tenant));
    world.start(0).await;
    world.start(1).await;
    let mut ids = Vec::new();
    for (tenant, client) in tenants.iter().zip(&clients) {
        let asked = client.upload(tenant, "/v1/crm/imports", file(tenant)).await;
        assert_eq!(asked.status.as_u16(), 201, "{asked:?}");
        ids.push(asked.id().to_owned());
    }
    // First kill Postgres: the processes continue when it is back. Then kill both processes and restart one of them.
    until_done(&clients[0], &ids[0], 1_000).await;
    tokio::task::block_in_place(|| {
        world.postgres.kill();
        world.postgres.restart();
    });
    // Hold the last rows' append, so that a job is certainly in progress when the processes are killed.
    let last_rows = "NEW.payload -> 'details' ->> 'company' ~ ' 003[5-9]'";
    let hold = Hold::on(&world.superuser(), "INSERT", "log.events", last_rows).await;
    hold.reached().await;
    world.kill(0);
    world.kill(1);
    hold.end().await;
    world.start(0).await;
    let mut attempts = 0;
    for (client, id) in clients.iter().zip(&ids) {
        let job = until_done(client, id, ROWS as u64 + 1).await;
        assert_eq!(job["state"], "completed", "{job}");
        assert_eq!((&job["result"]["taken"], &job["result"]["refused"]), (&ROWS.into(), &0.into()), "{job}");
        attempts += job["attempt"].as_u64().unwrap();
    }
    assert!(attempts > 2, "nothing was killed while it worked: {attempts} attempts at two jobs");

    let events = world.verify(&clients[0]).await;
    for (tenant, client) in tenants.iter().zip(&clients) {
        nothing_is_lost_doubled_or_out_of_order(&events, tenant);
        drop(client.get("/v1/jobs/crm").await);
    }
    world.stop(0).await;
}

/// A process hangs for longer than its lease lasts, so another one continues its job. Then it wakes up in the middle of its work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_a_process_that_hangs_loses_its_job_to_another_and_wakes_too_late_to_change_anything() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    // The second process is suspended until then, so that it has no job, and needs no start-up time when it has to take over.
    world.start(1).await;
    world.signal(1, "STOP");
    let first = world.direct(0, "acme");
    let asked = first.upload("acme", "/v1/crm/imports", file("acme")).await;
    assert_eq!(asked.status.as_u16(), 201, "{asked:?}");
    until_done(&first, asked.id(), 500).await;
    world.signal(0, "STOP");
    world.signal(1, "CONT");
    let hung = std::time::Instant::now();
    let awake = world.direct(1, "acme");
    let left = until_done(&awake, asked.id(), 500).await["done"].as_u64().unwrap();
    // More rows than a step that was already in progress.
    let taken = until_done(&awake, asked.id(), left + 500).await;
    println!("the process hung; so much of its job was done {:?} later: {taken}", hung.elapsed());
    world.signal(0, "CONT");
    let job = until_done(&awake, asked.id(), ROWS as u64 + 1).await;
    // The attempt of the process that hung counts.
    assert_eq!((&job["state"], &job["attempt"]), (&"completed".into(), &2.into()), "{job}");
    assert_eq!((&job["result"]["taken"], &job["result"]["refused"]), (&ROWS.into(), &0.into()), "{job}");
    let events = world.verify(&client).await;
    nothing_is_lost_doubled_or_out_of_order(&events, "acme");
    world.stop(0).await;
    world.stop(1).await;
}
