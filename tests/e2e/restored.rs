//! Restore of what a backup has besides the logs, and the master keys that it needs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use sqlx::{ConnectOptions, PgConnection};
use testbed::eventually;
use testbed::receiver::{Receiver, Reply};

use crate::backup::{json_of, refused, shown};
use crate::fault_jobs::file;
use crate::tampered::as_version;
use crate::world::World;

/// All rows of a table of CRM's database as text, sorted.
async fn rows(world: &World, table: &str) -> Vec<String> {
    let select = format!("SELECT t::text FROM {table} t ORDER BY 1");
    sqlx::query_scalar(&select).fetch_all(&mut world.sql().await).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_schedules_and_open_jobs_go_on_after_a_restore_and_a_sandbox_has_none() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    let away = Arc::new(AtomicBool::new(false));
    let is_away = away.clone();
    let receiver = Receiver::answering(move |_, _| {
        Reply::Status(if is_away.load(Ordering::SeqCst) { "503 Service Unavailable" } else { "200 OK" })
    })
    .await;
    world.start(0).await;
    let create = ["webhook", "create", "--tenant", "acme", &receiver.url, "--event", "crm.lead.captured"];
    tokio::task::block_in_place(|| world.ok(&create));
    let asked = ["job", "schedule", "create", "--tenant", "acme", "--cron", "0 6 1 1 *", "export_leads"];
    let schedule = tokio::task::block_in_place(|| json_of(&world, &asked))["id"].clone();
    let later = ["job", "create", "--tenant", "acme", "--at", "2099-01-01T00:00:00Z", "export_leads"];
    tokio::task::block_in_place(|| world.ok(&later));
    let mut leads = Vec::new();
    for name in ["Ada", "Grace"] {
        leads.push(client.done("/v1/crm/leads", json!({ "name": name })).await.position());
    }
    eventually("both arrive", async || (receiver.positions() == leads).then_some(())).await;
    away.store(true, Ordering::SeqCst);
    for name in ["Katherine", "Margaret"] {
        leads.push(client.done("/v1/crm/leads", json!({ "name": name })).await.position());
    }
    eventually("the next one fails", async || (receiver.got().len() > 2).then_some(())).await;
    world.stop(0).await;

    let backup = world.folder().join("backup");
    let taken = json_of(&world, &["backup", "--to", shown(&backup)]);
    for what in ["webhooks", "schedules", "jobs"] {
        assert_eq!(taken["services"][0][what], 1, "{what}");
    }
    for (table, secrets) in [("endpoints", &["secret", "url"][..]), ("changes", &["detail"][..])] {
        let part = std::fs::read(backup.join(format!("crm.webhooks.{table}.ndjson.zst"))).unwrap();
        let row: Value = serde_json::from_slice(&zstd::decode_all(&*part).unwrap()).unwrap();
        let sealed = |secret: &&str| row[*secret].as_str().is_some_and(|text| text.starts_with("v1."));
        assert!(secrets.iter().all(sealed), "a secret is in the clear: {row}");
        assert!(!row.to_string().contains(&receiver.url), "an address is in the clear: {row}");
    }
    assert_eq!(json_of(&world, &["backup", "drill", shown(&backup)])["verdict"], "proven");

    let mut other = World::new().await;
    let restored = json_of(&other, &["restore", shown(&backup)]);
    for what in ["webhooks", "schedules", "jobs"] {
        assert_eq!(restored[what], 1, "{restored}");
    }
    for table in ["webhooks.endpoints", "webhooks.changes", "jobs.schedules", "jobs.jobs"] {
        let before = rows(&world, table).await;
        assert_eq!((rows(&other, table).await, before.len()), (before, 1), "{table}");
    }
    let listed = json_of(&other, &["job", "schedule", "list", "--tenant", "acme"]);
    assert_eq!(listed[0]["id"], schedule, "{listed}");

    // A rehearsal beside the original system: without webhooks, schedules and jobs.
    let rehearsed = World::new().await;
    let restored = json_of(&rehearsed, &["restore", shown(&backup), "--rehearsal"]);
    for what in ["webhooks", "schedules", "jobs"] {
        assert_eq!(restored[what], 0, "{restored}");
    }
    for table in ["webhooks.endpoints", "webhooks.cursors", "jobs.schedules", "jobs.jobs"] {
        assert!(rows(&rehearsed, table).await.is_empty(), "{table}");
    }

    // The restored system delivers the events that were not delivered before, and no others.
    let tried = receiver.got().len();
    away.store(false, Ordering::SeqCst);
    other.start(0).await;
    eventually("what was missing arrives", async || {
        (receiver.positions()[tried..].last() == leads.last()).then_some(())
    })
    .await;
    assert_eq!(receiver.positions()[tried..], leads[2..]);

    // A copy of a tenant has no webhooks and schedules, so that nobody outside is notified.
    tokio::task::block_in_place(|| other.ok(&["restore", "--tenant", "acme", "--into", "acme-copy"]));
    for what in [&["webhook", "list"][..], &["job", "schedule", "list"]] {
        let listed = json_of(&other, &[what, &["--tenant", "acme-copy"]].concat());
        assert_eq!(listed, json!([]), "{what:?}");
    }
    other.stop(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_waited_when_a_backup_was_taken_has_failed_after_the_restore_and_says_why() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.ok(&["job", "queue", "pause", "--tenant", "acme", "--service", "crm", "imports"]);
    world.start(0).await;
    let import = client.upload("acme", "/v1/crm/imports", file("acme")).await;
    assert_eq!(import.status.as_u16(), 201, "{import:?}");
    world.stop(0).await;
    let backup = world.folder().join("backup");
    world.ok(&["backup", "--to", shown(&backup)]);
    assert_eq!(json_of(&world, &["backup", "drill", shown(&backup)])["verdict"], "proven");

    let other = World::new().await;
    let restored = json_of(&other, &["restore", shown(&backup)]);
    assert_eq!((&restored["jobs"], &restored["failed_jobs"]), (&json!(0), &json!(1)), "{restored}");
    let listed = json_of(&other, &["job", "list", "--tenant", "acme", "--state", "discarded"]);
    assert_eq!(listed[0]["id"], import.id(), "{listed}");
    assert_eq!(listed[0]["code"], "job_input_not_in_backup", "{listed}");
    let said = refused(&other, &["job", "retry", "--tenant", "acme", import.id()]);
    assert!(said.contains("send the file again"), "{said}");
    assert!(rows(&other, "jobs.inputs").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backup_of_a_cell_brings_no_tenant_of_another_cell_into_this_one() {
    let mut west = World::new().await;
    west.set("INOPSIO_CELL", "west".to_owned());
    // No server of it listens, so its tokens need an issuer that is known without one.
    west.set("INOPSIO_PUBLIC_URL", "http://127.0.0.1:8080".to_owned());
    let east = World::another_cell(&west, "east").await;
    west.ok(&["tenant", "create", "acme"]);
    east.ok(&["tenant", "create", "globex"]);
    for command in [
        &["tenant", "suspend", "globex", "--reason", "by mistake"][..],
        &["tenant", "resume", "globex"],
        &["token", "--tenant", "globex", "--role", "admin"],
    ] {
        let said = refused(&west, command);
        assert!(said.contains("lives in the cell east"), "{command:?}: {said}");
    }
    let backup = west.folder().join("backup");
    west.ok(&["backup", "--to", shown(&backup)]);
    assert_eq!(json_of(&west, &["backup", "drill", shown(&backup)])["verdict"], "proven");

    // The directory is lost with the cell.
    let mut again = World::new().await;
    again.set("INOPSIO_CELL", "west".to_owned());
    again.ok(&["restore", shown(&backup)]);
    let listed = json_of(&again, &["tenant", "list"]);
    assert_eq!(listed, json_of(&west, &["tenant", "list"]));
    let cells: Vec<_> = listed.as_array().unwrap().iter().map(|tenant| tenant["cell"].clone()).collect();
    assert_eq!(cells, ["west", "east"]);
    // A cell of another name takes in those that lived in the first one.
    let mut north = World::new().await;
    north.set("INOPSIO_CELL", "north".to_owned());
    north.ok(&["restore", shown(&backup)]);
    let listed = json_of(&north, &["tenant", "list"]);
    let cells: Vec<_> = listed.as_array().unwrap().iter().map(|tenant| tenant["cell"].clone()).collect();
    assert_eq!(cells, ["north", "east"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_two_master_keys_says_so_and_is_refused_with_nothing_written_where_one_is_missing() {
    const KEY: &str = "INOPSIO_MASTER_KEY";
    const FORMER: &str = "INOPSIO_FORMER_MASTER_KEY";
    let (first, second) = ("4a".repeat(32), "6b".repeat(32));
    let mut world = World::new().await;
    world.tenant("acme");
    let whole = world.folder().join("whole");
    let taken = json_of(&world, &["backup", "--to", shown(&whole)]);
    let former = taken["master_keys"][0].as_str().unwrap().to_owned();
    assert_eq!(taken["master_keys"], json!([former]));
    // The new tenant's keys are wrapped by the new master key; those of the first tenant not yet.
    world.set(KEY, second.clone());
    world.set(FORMER, first.clone());
    world.tenant("globex");
    let current = json_of(&world, &["key", "rewrap", "--dry-run"])["master_key"].as_str().unwrap().to_owned();
    let half = world.folder().join("half");
    let said = world.ok(&["backup", "--to", shown(&half)]);
    assert!(said.contains(&former) && said.contains(&current) && said.contains("inopsio key rewrap"), "{said}");
    let mut both = [former.clone(), current.clone()];
    both.sort();
    assert_eq!(json_of(&world, &["backup", "verify", shown(&half)])["master_keys"], json!(both));

    let mut fresh = World::new().await;
    for (here, missing, present) in [(&first, &current, &former), (&second, &former, &current)] {
        fresh.set(KEY, here.clone());
        for command in [&["restore"][..], &["backup", "drill"]] {
            let ended = fresh.run(&[&["--format", "json"], command, &[shown(&half)]].concat());
            let said = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
            assert_eq!(ended.status.code(), Some(1), "{command:?}: {said}");
            assert!(said.contains(&format!("not configured here: {missing};")), "{command:?}: {said}");
            assert!(said.contains(KEY) && said.contains(FORMER), "{command:?}: {said}");
            assert!(!said.contains("a private Postgres") && !said.contains(present.as_str()), "{command:?}: {said}");
        }
    }
    // Backups of versions 2 to 4 have a fingerprint of the master key instead of names.
    let marked = world.folder().join("marked");
    as_version(&whole, &marked, 4, &["master_keys"], Some("0011223344556677"));
    let said = refused(&fresh, &["restore", shown(&marked)]);
    assert!(said.contains("not configured here: the one with the mark 0011223344556677"), "{said}");
    for table in ["log.events", "log.commands", "log.claims", "webhooks.endpoints"] {
        assert!(rows(&fresh, table).await.is_empty(), "{table}");
    }
    assert_eq!(json_of(&fresh, &["tenant", "list"]), json!([]));

    // A wrong or a configured key in --without-key is refused, so that no tenant is excluded by mistake.
    for (key, why) in [("local-nope", "does not name this master key"), (&*current, "is configured here")] {
        let said = refused(&fresh, &["restore", shown(&half), "--without-key", key]);
        assert!(said.contains(why), "{said}");
    }
    assert!(rows(&fresh, "log.events").await.is_empty());
    without_the_tenants_of_a_lost_key(&half, (KEY, &second), &former).await;

    fresh.set(FORMER, first.clone());
    assert_eq!(json_of(&fresh, &["backup", "drill", shown(&half)])["verdict"], "proven");
    fresh.ok(&["restore", shown(&half)]);
    assert_eq!(json_of(&fresh, &["tenant", "list"]), json_of(&world, &["tenant", "list"]));

    world.ok(&["key", "rewrap"]);
    let after = world.folder().join("after");
    assert_eq!(json_of(&world, &["backup", "--to", shown(&after)])["master_keys"], json!([current]));
    let mut last = World::new().await;
    last.set(KEY, second);
    last.ok(&["restore", shown(&after)]);
    // A backup of version 4 without a fingerprint, and without tables beside the logs, can be restored too.
    let unmarked = world.folder().join("unmarked");
    as_version(&whole, &unmarked, 4, &["master_keys"], None);
    World::new().await.ok(&["restore", shown(&unmarked)]);
}

/// With a lost master key: the other tenants are restored, and of its tenant only the events.
async fn without_the_tenants_of_a_lost_key(half: &Path, (name, key): (&'static str, &str), lost: &str) {
    let mut world = World::new().await;
    world.set(name, key.to_owned());
    let without = ["--without-key", lost];
    let ended = world.run(&[&["--format", "json", "backup", "drill", shown(half)], &without[..]].concat());
    let drilled: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!((ended.status.code(), &drilled["verdict"]), (Some(1), &json!("failed")), "{drilled}");
    let failed = drilled["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false);
    let failed: Vec<_> = failed.map(|check| (check["what"].clone(), check["found"].as_str().unwrap())).collect();
    assert_eq!((failed.len(), &failed[0].0), (1, &json!("no tenant is left out")), "{drilled}");
    assert!(failed[0].1.contains("acme") && failed[0].1.contains(lost) && !failed[0].1.contains("globex"), "{drilled}");

    let restored = json_of(&world, &[&["restore", shown(half)], &without[..]].concat());
    let left = &restored["left_out"];
    assert_eq!((left.as_array().unwrap().len(), &left[0]["slug"]), (1, &json!("acme")), "{restored}");
    assert_eq!(restored["tenants"], 1);
    let listed = json_of(&world, &["tenant", "list"]);
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["slug"]), (1, &json!("globex")), "{listed}");
    // Its events are there, it has no other rows, and it is closed for writing.
    let user = world.postgres.admin().database("inopsio_user").disable_statement_logging();
    let mut user = user.connect().await.unwrap();
    let has = "SELECT (SELECT count(*) FROM log.events WHERE tenant_id = $1::uuid),
                      (SELECT count(*) FROM log.claims WHERE tenant_id = $1::uuid)
                      + (SELECT count(*) FROM log.commands WHERE tenant_id = $1::uuid),
                      (SELECT count(*) FROM log.closed WHERE tenant_id = $1::uuid AND state = 'deleted')";
    let has = async |connection: &mut PgConnection, id: &Value| -> (i64, i64, i64) {
        sqlx::query_as(has).bind(id.as_str().unwrap()).fetch_one(connection).await.unwrap()
    };
    let (events, rest, closed) = has(&mut user, &left[0]["tenant_id"]).await;
    assert!(events > 0 && (rest, closed) == (0, 1), "{events} {rest} {closed}");
    let (events, rest, closed) = has(&mut user, &listed[0]["tenant_id"]).await;
    assert!(events > 0 && rest > 0 && closed == 0, "{events} {rest} {closed}");
    // A later backup keeps that state, although no event records it.
    let next = world.folder().join("next");
    world.ok(&["backup", "--to", shown(&next)]);
    assert_eq!(json_of(&world, &["backup", "drill", shown(&next)])["verdict"], "proven");
}
