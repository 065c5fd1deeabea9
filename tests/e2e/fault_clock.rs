//! The machine's clock jumps while everything is running: an hour ahead, two hours back, a day ahead, and back to the right time.
//!
//! libfaketime makes a running `inopsio` see the time that a file states. Its timers use the monotonic clock, which does not jump, as on a
//! real machine. Postgres keeps the right time.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use kernel::RecordedEvent;
use rand::Rng;
use reqwest::StatusCode;
use serde_json::{Value, json};
use testbed::eventually;

use crate::client::Client;
use crate::ledger;
use crate::load::Load;
use crate::world::World;

const CLIENTS: usize = 4;

/// Rows of the file that is imported during the jumps.
const ROWS: usize = 1_000;

/// The library's path, if `scripts/setup test` could install it.
fn libfaketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let folders = folders.chain(["/usr/lib", "/usr/lib64"].map(PathBuf::from));
    folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|library| library.is_file())
}

/// The wall clock that all programs of a world see.
struct WallClock {
    file: PathBuf,
}

impl WallClock {
    fn of(world: &mut World, library: &Path) -> Self {
        let clock = Self { file: world.folder().join("clock") };
        clock.shows("+0");
        world.set("LD_PRELOAD", library.display().to_string());
        world.set("FAKETIME_TIMESTAMP_FILE", clock.file.display().to_string());
        // Make a jump visible at once.
        world.set("FAKETIME_NO_CACHE", "1".to_owned());
        // The same setting: the second name is from older versions of libfaketime.
        world.set("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned());
        world.set("DONT_FAKE_MONOTONIC", "1".to_owned());
        clock
    }

    /// Sets the deviation of the clock, such as `+1h`.
    fn shows(&self, wrong_by: &str) {
        println!("the clock shows {wrong_by}");
        // Replace the file atomically, because it is read all the time.
        let written = self.file.with_extension("new");
        std::fs::write(&written, wrong_by).unwrap();
        std::fs::rename(&written, &self.file).unwrap();
    }
}

/// A client with a new token of this lifetime.
fn caller(world: &World, good_for: &str) -> Client {
    let token = world.ok(&["token", "--tenant", "acme", "--role", "admin", "--subject", "e2e", "--ttl", good_for]);
    Client::new(world.server_urls.clone(), token.trim())
}

/// Checks that the client is refused with this code, and that nothing was written.
async fn is_refused(world: &World, client: &Client, key: &str, code: &str) {
    let refused = client.post_once(key, "/v1/crm/leads", &json!({ "name": key })).await.unwrap();
    assert_eq!((refused.status, refused.code()), (StatusCode::UNAUTHORIZED, code), "{key}: {refused:?}");
    let written = "SELECT count(*) FROM log.commands WHERE command_id = $1";
    let written: i64 = sqlx::query_scalar(written).bind(key).fetch_one(&mut world.sql().await).await.unwrap();
    assert_eq!(written, 0, "{key}");
}

/// Creates an API key, uses it and revokes it.
async fn revoked_key(world: &World, client: &Client, lead: &str) -> Client {
    let machine = client.done("/v1/auth/machines", json!({ "name": "nightly", "roles": ["member"] })).await;
    let made = client.done("/v1/auth/api-keys", json!({ "machine": machine.id(), "name": "nightly" })).await;
    let key = Client::new(world.server_urls.clone(), made.body["secret"].as_str().unwrap());
    let read = key.get(&format!("/v1/crm/leads/{lead}")).await;
    assert_eq!(read.status, StatusCode::OK, "{read:?}");
    client.done(&format!("/v1/auth/api-keys/{}/revoke", made.id()), json!({})).await;
    key
}

/// Creates a qualified lead that is not touched afterwards, so that it becomes due for escalation.
async fn quiet_lead(client: &Client, name: &str) -> String {
    let lead = client.done("/v1/crm/leads", json!({ "name": name, "owner": "grace" })).await;
    let path = format!("/v1/crm/leads/{}", lead.id());
    client.done(&format!("{path}/start-work"), json!({})).await;
    client.done(&format!("{path}/qualify"), json!({})).await;
    lead.id().to_owned()
}

/// How often a lead was escalated.
async fn escalated(world: &World, lead: &str) -> i64 {
    let escalated = "SELECT count(*) FROM log.events WHERE event_type = 'crm.lead.escalated' AND aggregate_id = $1";
    sqlx::query_scalar(escalated).bind(lead).fetch_one(&mut world.sql().await).await.unwrap()
}

fn file() -> String {
    let mut csv = "name,company\n".to_owned();
    for row in 0..ROWS {
        let _ = writeln!(csv, "Ada,imported {row:04}");
    }
    csv
}

/// Checks that times do not go back within a stream, whatever the clocks showed.
fn times_of_streams_never_go_back(events: &[RecordedEvent]) {
    let mut last = HashMap::new();
    for event in events {
        let stream = (event.tenant, &event.aggregate_type, &event.aggregate_id);
        let before = last.insert(stream, event.occurred_at);
        assert!(before.is_none_or(|before| before <= event.occurred_at), "after {before:?}: {event:?}");
    }
}

fn imported_once(events: &[RecordedEvent]) {
    let company = |event: &RecordedEvent| -> Option<String> {
        let payload: Value = serde_json::from_slice(&event.payload).ok()?;
        payload["details"]["company"].as_str().filter(|company| company.starts_with("imported")).map(str::to_owned)
    };
    let rows: Vec<_> = events.iter().filter_map(company).collect();
    let distinct: BTreeSet<_> = rows.iter().collect();
    assert_eq!((rows.len(), distinct.len()), (ROWS, ROWS));
    assert!(rows.is_sorted(), "rows were taken in another order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_clock_jumps_lose_double_and_reorder_nothing() {
    let Some(library) = libfaketime() else {
        println!("SKIPPED fault_clock_jumps: there is no libfaketime here; run `scripts/setup test`");
        return;
    };
    let mut world = World::new().await;
    let clock = WallClock::of(&mut world, &library);
    // This token is issued two hours before the right time, so that it is valid during all jumps.
    clock.shows("-2h");
    world.ok(&["tenant", "create", "acme"]);
    let client = caller(&world, "30d");
    clock.shows("+0");
    let short = caller(&world, "30m");
    world.start(0).await;
    let follow_up =
        json!({ "escalate_after_days": 1, "escalate_to": "boss", "reassign_after_days": 365, "reassign_to": "other" });
    client.done("/v1/crm/follow-up/set", follow_up).await;
    let mut quiet = vec![quiet_lead(&client, "at the right time").await];
    let revoked = revoked_key(&world, &client, &quiet[0]).await;
    let before = short.done("/v1/crm/leads", json!({ "name": "short, at first" })).await;
    assert_eq!(before.status, StatusCode::CREATED);
    let import = client.upload("import", "/v1/crm/imports", file()).await;
    assert_eq!(import.status, StatusCode::CREATED, "{import:?}");
    let load = Load::start(&client, CLIENTS, rand::rng().random());
    world.grows(100).await;

    clock.shows("+1h");
    world.grows(200).await;
    quiet.push(quiet_lead(&client, "an hour ahead").await);
    is_refused(&world, &short, "ended", "token_expired").await;

    clock.shows("-1h");
    world.grows(200).await;
    quiet.push(quiet_lead(&client, "an hour behind").await);
    is_refused(&world, &short, "not begun", "token_not_yet_valid").await;
    // The cache of revocations expired while the clock was ahead. The key must still be refused.
    is_refused(&world, &revoked, "revoked", "token_revoked").await;
    let job = eventually("the import is done", async || {
        let job = client.get(&format!("/v1/jobs/crm/{}", import.id())).await.body;
        job["finished_at"].is_string().then_some(job)
    })
    .await;
    // Leases use the database's clock, which did not jump, so none expired.
    assert_eq!((&job["state"], &job["attempt"]), (&"completed".into(), &1.into()), "{job}");
    for lead in &quiet {
        assert_eq!(escalated(&world, lead).await, 0, "it was not a day");
    }

    // By this clock all timers are due.
    clock.shows("+26h");
    eventually("those whom nobody touched are escalated", async || {
        let mut all = true;
        for lead in &quiet {
            all &= escalated(&world, lead).await > 0;
        }
        all.then_some(())
    })
    .await;

    clock.shows("+0");
    world.grows(100).await;
    let after = short.done("/v1/crm/leads", json!({ "name": "short, at last" })).await;
    assert_eq!(after.status, StatusCode::CREATED);
    let answered = load.end().await;
    world.sagas_rest().await;
    ledger::assert_load_consistent(&world, &answered).await;
    let events = world.verify(&client).await;
    times_of_streams_never_go_back(&events);
    imported_once(&events);
    for lead in &quiet {
        assert_eq!(escalated(&world, lead).await, 1, "once");
    }
    world.stop(0).await;
}
