//! kill -9 of `inopsio restore` inside a service and between two: the same command, run again, continues, and takes for restored only what
//! it would restore itself.

use std::path::Path;

use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor};
use testbed::Hold;

use crate::backup::{LOG, business, json_of, refused, shown};
use crate::read_models;
use crate::world::World;

/// In the order in which they are restored.
const SERVICES: [&str; 3] = ["crm", "user", "auth"];

/// The tables of a log that a restore writes.
const ALL: [&str; 7] = ["events", "commands", "claims", "head", "seals", "closed", "copied"];

fn database(world: &World, service: &str) -> PgConnectOptions {
    world.postgres.admin().database(&format!("inopsio_{service}")).disable_statement_logging()
}

/// Number of events in the log of each service.
async fn counts(world: &World) -> [i64; 3] {
    let mut counts = [0; 3];
    for (service, count) in SERVICES.into_iter().zip(&mut counts) {
        let mut superuser = database(world, service).connect().await.unwrap();
        *count = sqlx::query_scalar("SELECT count(*) FROM log.events").fetch_one(&mut superuser).await.unwrap();
    }
    counts
}

/// Restores, and kills the command in the transaction of a service, before it does `moment` with a row of `table`.
async fn killed(world: &World, backup: &Path, service: &str, moment: &str, table: &str) {
    let hold = Hold::on(&database(world, service), moment, table, "true").await;
    let mut restore = world.spawn(&["restore", shown(backup)]);
    hold.reached().await;
    restore.kill().unwrap();
    restore.wait().unwrap();
    hold.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_restore_killed_inside_a_service_and_between_two_is_completed_by_the_same_command() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    business(&client).await;
    world.caught_up(&client).await;
    world.stop(0).await;
    let backup = world.folder().join("backup");
    world.ok(&["backup", "--to", shown(&backup)]);
    let [crm, user, auth] = counts(&world).await;
    assert!(crm > 0 && user > 0 && auth > 0);

    let mut other = World::new().await;
    for (service, moment, table, left) in [
        ("user", "INSERT", "log.events", [0, 0, 0]),
        // Each service is committed when its end was set.
        ("user", "UPDATE", "log.head", [crm, 0, 0]),
        ("auth", "UPDATE", "log.head", [crm, user, 0]),
    ] {
        killed(&other, &backup, service, moment, table).await;
        assert_eq!(counts(&other).await, left, "{moment} {table} of {service}");
    }
    let restored = json_of(&other, &["restore", shown(&backup)]);
    assert_eq!(restored["restored_before"], json!(["crm", "user"]), "{restored}");
    let same = async |other: &World| {
        assert_eq!(logs(other, &LOG).await, logs(&world, &LOG).await);
        let before = read_models::content(&mut world.sql().await).await;
        read_models::assert_equal(&before, &read_models::content(&mut other.sql().await).await);
        assert_eq!(json_of(other, &["tenant", "list"]), json_of(&world, &["tenant", "list"]));
    };
    same(&other).await;
    // Also if only the read models were missing.
    let restored = json_of(&other, &["restore", shown(&backup)]);
    assert_eq!(restored["restored_before"], json!(SERVICES), "{restored}");
    same(&other).await;

    other.start(0).await;
    let client = other.client("acme");
    client.done("/v1/crm/leads", json!({ "name": "Grace Hopper" })).await;
    assert_eq!(other.verify(&client).await.len() as i64, crm + 1);
    other.stop(0).await;
}

/// All rows of these tables of all logs as text.
async fn logs(world: &World, tables: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    for service in SERVICES {
        let mut superuser = database(world, service).connect().await.unwrap();
        for table in tables {
            let rows = format!("SELECT t::text FROM log.{table} t ORDER BY 1");
            let rows: Vec<String> = sqlx::query_scalar(&rows).fetch_all(&mut superuser).await.unwrap();
            all.extend(rows.into_iter().map(|row| format!("{service}.{table}: {row}")));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_207_a_half_restored_service_that_is_altered_or_of_other_options_is_not_taken_for_restored() {
    let world = World::new().await;
    world.tenant("acme");
    world.ok(&["job", "schedule", "create", "--tenant", "acme", "--cron", "0 6 1 1 *", "export_leads"]);
    let [earlier, backup] = ["earlier", "backup"].map(|name| world.folder().join(name));
    world.ok(&["backup", "--to", shown(&earlier)]);
    world.tenant("globex");
    world.ok(&["backup", "--to", shown(&backup)]);

    let other = World::new().await;
    killed(&other, &backup, "auth", "UPDATE", "log.head").await;
    let half = logs(&other, &ALL).await;
    let is_refused = async |arguments: &[&str], words: &[&str]| {
        let before = logs(&other, &ALL).await;
        let said = refused(&other, &[&["restore"][..], arguments].concat());
        assert!(words.iter().all(|word| said.contains(word)), "{arguments:?}: {said}");
        assert_eq!(logs(&other, &ALL).await, before, "a refusal writes nothing");
    };
    is_refused(&[shown(&earlier)], &["is not empty: it ends at position"]).await;
    let differs = ["an earlier run restored crm", "jobs.schedules has 1 rows, 0 were to be restored"];
    is_refused(&[shown(&backup), "--rehearsal"], &differs).await;
    let alter = async |statement: &str| {
        database(&other, "user").connect().await.unwrap().execute(statement).await.unwrap();
    };
    alter("UPDATE log.events SET occurred_at = occurred_at + interval '1 second' WHERE position = 1").await;
    let altered = ["an earlier run restored user", "the event at position 1 is not the one that was written"];
    is_refused(&[shown(&backup)], &altered).await;
    alter("UPDATE log.events SET occurred_at = occurred_at - interval '1 second' WHERE position = 1").await;

    assert_eq!(logs(&other, &ALL).await, half);
    let restored = json_of(&other, &["restore", shown(&backup)]);
    assert_eq!(restored["restored_before"], json!(["crm", "user"]), "{restored}");
    assert_eq!(counts(&other).await, counts(&world).await);
}
