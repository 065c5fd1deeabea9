//! Seals in backups: they prove the history after a restore, and forged seals are refused.

use std::path::Path;

use eventstore::seals::{Seal, SealKey};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, PgConnection};
use testbed::eventually;
use uuid::Uuid;

use crate::backup::{json_of, log_rows, refused, shown};
use crate::client::Client;
use crate::tampered::{as_version, forge, unpacked};
use crate::world::World;

const SEAL_KEY: &str = "INOPSIO_SEAL_KEY";
const PART: &str = "crm.seals.ndjson.zst";

/// A signing key, as a setting and parsed.
fn key(byte: &str) -> (String, SealKey) {
    (byte.repeat(32), SealKey::parse(&byte.repeat(32)).unwrap())
}

async fn database(world: &World, service: &str) -> PgConnection {
    let options = world.postgres.admin().database(&format!("inopsio_{service}"));
    options.disable_statement_logging().connect().await.unwrap()
}

/// Waits until the last seal of every tenant covers all of its events in a service's log.
async fn is_sealed(world: &World, service: &str) {
    let all = "SELECT NOT EXISTS (
                   SELECT FROM (SELECT tenant_id, count(*) AS events FROM log.events GROUP BY tenant_id) e
                   LEFT JOIN (SELECT tenant_id, max(size) AS size FROM log.seals GROUP BY tenant_id) s USING (tenant_id)
                   WHERE s.size IS DISTINCT FROM e.events)";
    eventually(&format!("the log of {service} is sealed"), async || {
        let sealed: bool = sqlx::query_scalar(all).fetch_one(&mut database(world, service).await).await.unwrap();
        sealed.then_some(())
    })
    .await;
}

/// Captures leads of a tenant, and waits for a seal after each.
async fn leads(world: &World, client: &Client, names: &[&str]) {
    for name in names {
        client.done("/v1/crm/leads", json!({ "name": name })).await;
        is_sealed(world, "crm").await;
    }
}

async fn count(world: &World, table: &str) -> i64 {
    let count = format!("SELECT count(*) FROM {table}");
    sqlx::query_scalar(&count).fetch_one(&mut world.sql().await).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sealed_before_a_backup_is_proven_after_its_restore_with_the_public_key_of_then() {
    let ((seed, first), (next_seed, _)) = (key("11"), key("22"));
    let mut world = World::new().await;
    world.set(SEAL_KEY, seed);
    let client = world.tenant("acme");
    world.start(0).await;
    leads(&world, &client, &["Ada Lovelace", "Grace Hopper"]).await;
    // An auditor keeps the public key and an export.
    let (pem, kept) = (world.folder().join("seals.pem"), world.folder().join("kept.ndjson"));
    std::fs::write(&pem, world.ok(&["audit", "key"])).unwrap();
    world.ok(&["audit", "export", "--tenant", "acme", "--service", "crm", "--output", shown(&kept)]);
    world.stop(0).await;
    let backup = world.folder().join("backup");
    let taken = json_of(&world, &["backup", "--to", shown(&backup)]);
    let before = log_rows(&mut world.sql().await, &["seals"]).await;
    assert!(before.len() > 1 && taken["services"][0]["seals"] == before.len(), "{taken}");
    assert_eq!(taken["seal_keys"], json!([first.sealed_by().id()]));
    assert_eq!(json_of(&world, &["backup", "drill", shown(&backup)])["verdict"], "proven");

    // If another key signs by now, the earlier one has to be named.
    let mut other = World::new().await;
    other.set(SEAL_KEY, next_seed);
    let restore = ["restore", shown(&backup)];
    let said = refused(&other, &restore);
    assert!(said.contains(&first.sealed_by().id()) && said.contains("--seal-key"), "{said}");
    // A file that does not exist or has no key is refused.
    let (nowhere, keyless) = (other.folder().join("nowhere.pem"), other.folder().join("keyless.pem"));
    std::fs::write(&keyless, "no key").unwrap();
    for (file, why) in [(&nowhere, "can't read"), (&keyless, "has no Ed25519 public keys as PEM")] {
        let said = refused(&other, &[&restore[..], &["--seal-key", shown(file)]].concat());
        assert!(said.contains(why) && said.contains(shown(file)), "{said}");
    }
    assert_eq!((count(&other, "log.events").await, count(&other, "log.seals").await), (0, 0));
    let ended = other.run(&["--format", "json", "backup", "drill", shown(&backup)]);
    let drilled: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let failed = drilled["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false);
    let failed: Vec<_> = failed.map(|check| check["what"].as_str().unwrap()).collect();
    assert_eq!(failed, ["the keys that signed its seals are trusted"], "all else is shown to hold: {drilled}");
    let named = ["--seal-key", shown(&pem)];
    let drilled = json_of(&other, &[&["backup", "drill", shown(&backup)], &named[..]].concat());
    assert_eq!(drilled["verdict"], "proven", "{drilled}");
    let restored = json_of(&other, &[&restore[..], &named].concat());
    assert_eq!(log_rows(&mut other.sql().await, &["seals"]).await, before);
    assert!(restored["seals"].as_u64() >= Some(before.len() as u64), "{restored}");

    // The auditor's export and key prove the restored log, before it gets seals of its own.
    let verify = ["audit", "verify", "--tenant", "acme", "--service", "crm", "--key", shown(&pem)];
    let known = json_of(&other, &[&verify[..], &["--known", shown(&kept)]].concat());
    assert_eq!((&known[0]["seals"], &known[0]["unsealed"]), (&json!(before.len()), &json!(0)), "{known}");
    // New seals of the new key continue the chain.
    other.start(0).await;
    leads(&other, &other.client("acme"), &["Katherine Johnson"]).await;
    let known = json_of(&other, &[&verify[..], &["--known", shown(&kept)]].concat());
    assert!(known[0]["seals"].as_u64() > Some(before.len() as u64) && known[0]["unsealed"] == 0, "{known}");
    other.stop(0).await;

    without_seals(&world, &backup).await;
}

/// A restore leaves the seals out on request, and a backup of version 5 has none. The seals in the backup can still be compared with the
/// restored log.
async fn without_seals(world: &World, backup: &Path) {
    let former = world.folder().join("former");
    as_version(backup, &former, 5, &["seals", "seal_keys"], None);
    for restore in [&["restore", shown(backup), "--without-seals"][..], &["restore", shown(&former)]] {
        let mut fresh = World::new().await;
        assert_eq!(json_of(&fresh, restore)["seals"], 0, "{restore:?}");
        assert_eq!(count(&fresh, "log.seals").await, 0, "{restore:?}");
        assert_eq!(count(&fresh, "log.events").await, count(world, "log.events").await);
        fresh.set(SEAL_KEY, key("11").0);
        let kept = fresh.folder().join("kept.ndjson");
        std::fs::write(&kept, unpacked(backup, PART)).unwrap();
        let verify = ["audit", "verify", "--tenant", "acme", "--service", "crm", "--known", shown(&kept)];
        let known = json_of(&fresh, &verify);
        assert_eq!((&known[0]["seals"], &known[0]["events"]), (&json!(0), &json!(count(world, "log.events").await)));
    }
}

/// Changes the seals of a part. Returns its new text.
fn changed(text: &str, change: impl FnOnce(&mut Vec<Seal>)) -> String {
    let read = |line: &str| -> Seal {
        let line: Value = serde_json::from_str(line).unwrap();
        serde_json::from_value(line["seal"].clone()).unwrap()
    };
    let mut seals: Vec<Seal> = text.lines().map(read).collect();
    assert!(seals.len() > 1 && changed_back(&seals) == text, "a line is that of a file of `inopsio audit export`");
    change(&mut seals);
    changed_back(&seals)
}

fn changed_back(seals: &[Seal]) -> String {
    #[derive(serde::Serialize)]
    struct Line<'a> {
        seal: &'a Seal,
    }
    seals.iter().map(|seal| serde_json::to_string(&Line { seal }).unwrap() + "\n").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seal_that_is_damaged_of_another_tenant_or_of_other_events_is_refused_by_name_and_nothing_is_written() {
    let (seed, signs) = key("11");
    let mut world = World::new().await;
    world.set(SEAL_KEY, seed.clone());
    let client = world.tenant("acme");
    world.tenant("globex");
    world.start(0).await;
    leads(&world, &client, &["Ada Lovelace", "Grace Hopper"]).await;
    world.stop(0).await;
    let tenants = json_of(&world, &["tenant", "list"]);
    let id = |at: usize| -> Uuid { serde_json::from_value(tenants[at]["tenant_id"].clone()).unwrap() };
    let (acme, globex) = (id(0), id(1));
    let events = count(&world, "log.events").await;
    let backup = world.folder().join("backup");
    world.ok(&["backup", "--to", shown(&backup)]);

    let mut fresh = World::new().await;
    fresh.set(SEAL_KEY, seed);
    let of = |tenant: Uuid| format!("the seal of {events} events of the tenant {tenant} in crm");
    let anew = |seal: &mut Seal, tenant: Uuid, root: [u8; 32], after: &Seal| {
        *seal = Seal::sign(&signs, (tenant, "crm"), (seal.size, root), Some(after), seal.sealed_at);
    };
    // Forged backups, whose file hashes and manifest all fit, and the commands that detect each forgery.
    type Commands = &'static [&'static [&'static str]];
    let all: Commands = &[&["backup", "verify"], &["backup", "drill"], &["restore"]];
    let with_keys: Commands = &[&["backup", "drill"], &["restore"]];
    type Change<'a> = Box<dyn FnOnce(&mut Vec<Seal>) + 'a>;
    let changes: Vec<(&str, Commands, String, &str, Change<'_>)> = vec![
        (
            "signature",
            with_keys,
            of(acme),
            "is not one that was signed",
            Box::new(|seals| {
                seals.last_mut().unwrap().signature[7] ^= 1;
            }),
        ),
        (
            "tenant",
            with_keys,
            of(globex),
            "is not one that was signed",
            Box::new(|seals| {
                seals.last_mut().unwrap().tenant = globex;
            }),
        ),
        (
            "signed-for-another",
            all,
            of(globex),
            "is not where the history comes to it",
            Box::new(|seals| {
                let [.., before, last] = &mut seals[..] else { panic!("two seals") };
                let root = last.root;
                anew(last, globex, root, before);
            }),
        ),
        (
            "root",
            all,
            of(acme),
            "is not of the events that are there",
            Box::new(|seals| {
                let [.., before, last] = &mut seals[..] else { panic!("two seals") };
                anew(last, acme, [7; 32], before);
            }),
        ),
        (
            "one-less",
            all,
            of(acme),
            "does not follow on the one before it",
            Box::new(|seals| {
                let before = seals.len() - 2;
                seals.remove(before);
            }),
        ),
        ("none-at-the-end", all, acme.to_string(), "the manifest says", Box::new(|seals| drop(seals.pop()))),
    ];
    for (what, commands, names, why, change) in changes {
        let forged = world.folder().join(what);
        forge(&backup, &forged, "seals", |text| changed(text, change));
        for command in commands {
            let ended = fresh.run(&[&["--format", "json"], *command, &[shown(&forged)]].concat());
            let said = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
            assert_eq!(ended.status.code(), Some(1), "{what}, {command:?}: {said}");
            assert!(said.contains(&names) && said.contains(why), "{what}, {command:?}: {said}");
        }
    }
    for table in ["log.events", "log.commands", "log.claims", "log.seals"] {
        assert_eq!(count(&fresh, table).await, 0, "{table}");
    }
    assert_eq!(json_of(&fresh, &["tenant", "list"]), json!([]));
    fresh.ok(&["restore", shown(&backup)]);
    let before = log_rows(&mut world.sql().await, &["seals"]).await;
    assert_eq!(log_rows(&mut fresh.sql().await, &["seals"]).await, before);

    // An altered seal in the log itself is detected when a backup is taken.
    let alter = "UPDATE log.seals SET root = decode(repeat('07', 32), 'hex') WHERE size = $1";
    sqlx::query(alter).bind(events).execute(&mut world.sql().await).await.unwrap();
    let again = world.folder().join("again");
    let said = refused(&world, &["backup", "--to", shown(&again)]);
    assert!(said.contains(&of(acme)) && said.contains("is not of the events that are there"), "{said}");
    assert!(!again.exists());
    let taken = json_of(&world, &["backup", "--to", shown(&again), "--without-seals"]);
    assert_eq!((&taken["services"][0]["seals"], &taken["seal_keys"]), (&json!(0), &json!([])));
    assert!(!again.join(PART).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_seals_of_a_tenant_who_is_left_out_are_left_out_and_those_of_others_are_there() {
    const KEY: &str = "INOPSIO_MASTER_KEY";
    let (seed, _) = key("11");
    let mut world = World::new().await;
    world.set(SEAL_KEY, seed.clone());
    world.tenant("acme");
    let whole = world.folder().join("whole");
    let lost = json_of(&world, &["backup", "--to", shown(&whole)])["master_keys"][0].as_str().unwrap().to_owned();
    world.set(KEY, "6b".repeat(32));
    world.set("INOPSIO_FORMER_MASTER_KEY", "4a".repeat(32));
    world.tenant("globex");
    world.start(0).await;
    is_sealed(&world, "user").await;
    world.stop(0).await;
    let backup = world.folder().join("backup");
    world.ok(&["backup", "--to", shown(&backup)]);

    let mut other = World::new().await;
    other.set(SEAL_KEY, seed);
    other.set(KEY, "6b".repeat(32));
    let restored = json_of(&other, &["restore", shown(&backup), "--without-key", &lost]);
    let left: Uuid = serde_json::from_value(restored["left_out"][0]["tenant_id"].clone()).unwrap();
    let of_others = "SELECT s::text FROM log.seals s WHERE tenant_id <> $1 ORDER BY 1";
    let mut before = database(&world, "user").await;
    let before: Vec<String> = sqlx::query_scalar(of_others).bind(left).fetch_all(&mut before).await.unwrap();
    assert!(!before.is_empty(), "else this test shows nothing");
    assert_eq!(log_rows(&mut database(&other, "user").await, &["seals"]).await, before);
}
