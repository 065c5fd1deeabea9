//! A backup under load is restored elsewhere, row by row; what was altered is found; a sandbox is a tenant as it was.

use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::client::Client;
use crate::load::Load;
use crate::read_models;
use crate::world::World;

/// A pipeline, contacts with addresses, a deal; gives the pipeline's name.
async fn business(client: &Client) {
    let stages = json!([{ "name": "Prospect", "probability": 10 }, { "name": "Offer", "probability": 60 }]);
    let pipeline = client.done("/v1/crm/pipelines", json!({ "name": "New business", "stages": stages })).await;
    client.done("/v1/crm/contacts", json!({ "name": "Ada Lovelace", "email": "ada@example.com" })).await;
    let deal = json!({
        "name": "An engine",
        "pipeline": pipeline.id(),
        "amount": { "minor": 1000, "currency": "EUR" },
        "close_date": "2026-12-24",
    });
    client.done("/v1/crm/opportunities", deal).await;
}

/// Every row of the log's tables, as Postgres writes it.
async fn log_rows(superuser: &mut PgConnection, tables: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    for table in tables {
        let rows = format!("SELECT t::text FROM log.{table} t ORDER BY 1");
        let rows: Vec<String> = sqlx::query_scalar(&rows).fetch_all(&mut *superuser).await.unwrap();
        assert!(!rows.is_empty(), "{table}");
        all.extend(rows);
    }
    all
}

const LOG: [&str; 4] = ["events", "commands", "claims", "head"];

fn json_of(world: &World, arguments: &[&str]) -> Value {
    serde_json::from_str(&world.ok(&[&["--format", "json"], arguments].concat())).unwrap()
}

/// Runs a command that has to be refused; what it said.
fn refused(world: &World, arguments: &[&str]) -> String {
    let ended = world.run(arguments);
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {said}");
    said
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_restored_elsewhere_row_by_row_and_goes_on() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.tenant("globex");
    world.start(0).await;
    business(&client).await;

    let load = Load::start(&client, 8, 7);
    let first = world.folder().join("first");
    let under_load = tokio::task::block_in_place(|| json_of(&world, &["backup", "--to", shown(&first)]));
    load.end().await;
    tokio::task::block_in_place(|| world.ok(&["backup", "verify", shown(&first)]));
    let at = under_load["services"][0]["position"].as_i64().unwrap();
    assert!(at > 3 && at < world.count().await, "the load went on meanwhile: {under_load}");

    // Nothing is written any more: what is restored is what is there.
    world.caught_up(&client).await;
    let last = world.folder().join("last");
    let backup = json_of(&world, &["backup", "--to", shown(&last)]);
    let before = read_models::content(&mut world.sql().await).await;
    let mut other = World::new().await;
    let digest = backup["digest"].as_str().unwrap();
    let restored = json_of(&other, &["restore", shown(&last), "--digest", digest]);
    assert_eq!(restored["events"], json!(world.count().await), "{restored}");
    assert_eq!(log_rows(&mut other.sql().await, &LOG).await, log_rows(&mut world.sql().await, &LOG).await);
    read_models::assert_equal(&before, &read_models::content(&mut other.sql().await).await);
    assert_eq!(json_of(&other, &["tenant", "list"]), json_of(&world, &["tenant", "list"]));

    // There it goes on as if nothing had been: answers are given again, claims hold, the stream is filled from the log.
    other.start(0).await;
    let client = other.client("acme");
    let body = json!({ "name": "Ada Lovelace", "email": "ada@example.com" });
    let count = other.count().await;
    client.done("/v1/crm/contacts", body.clone()).await;
    assert_eq!(other.count().await, count, "the same command once");
    let taken = client.post_once("another", "/v1/crm/contacts", &body).await.unwrap();
    assert_eq!((taken.status, taken.code()), (StatusCode::CONFLICT, "contact_email_taken"));
    let next = client.done("/v1/crm/leads", json!({ "name": "Grace Hopper" })).await;
    assert_eq!(next.position(), count as u64 + 1);
    assert_eq!(other.verify(&client).await.len() as i64, count + 1);

    // Into a log that is in use: refused, and nothing is written.
    let rows = log_rows(&mut other.sql().await, &LOG).await;
    let said = refused(&other, &["restore", shown(&last)]);
    assert!(said.contains("not empty") && said.contains(&next.position().to_string()), "{said}");
    assert_eq!(log_rows(&mut other.sql().await, &LOG).await, rows);

    // The one under load holds a prefix of the same history; the drill proves it where nothing else is.
    let drilled = json_of(&world, &["backup", "drill", shown(&first)]);
    assert_eq!(drilled["verdict"], "proven", "{drilled}");
    let third = World::new().await;
    third.ok(&["restore", shown(&first)]);
    let prefix: Vec<String> = sqlx::query_scalar("SELECT t::text FROM log.events t WHERE position <= $1 ORDER BY 1")
        .bind(at)
        .fetch_all(&mut world.sql().await)
        .await
        .unwrap();
    assert_eq!(log_rows(&mut third.sql().await, &["events"]).await, prefix);
}

/// The parts of a backup, and its manifest.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_altered_truncated_or_of_another_kind_is_refused_and_nothing_is_written() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    business(&client).await;
    world.stop(0).await;
    let backup = world.folder().join("backup");
    let taken = json_of(&world, &["backup", "--to", shown(&backup)]);
    let fresh = World::new().await;
    let is_refused = |folder: &Path, what: &str, words: &[&str]| {
        for command in [["backup", "verify"].as_slice(), &["backup", "drill"], &["restore"]] {
            let arguments = [command, &[shown(folder)]].concat();
            let ended = fresh.run(&arguments);
            // A drill tells in its table, the others in their one line.
            let said = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
            let said = said.split_whitespace().filter(|word| !word.contains('│')).collect::<Vec<_>>().join(" ");
            assert_eq!(ended.status.code(), Some(1), "{what}, {command:?}: {said}");
            assert!(words.iter().any(|word| said.contains(word)), "{what}, {command:?}: {said}");
        }
    };

    // One flipped bit anywhere.
    for file in files(&backup) {
        let whole = std::fs::read(&file).unwrap();
        for at in [0, whole.len() / 2, whole.len() - 1] {
            let mut altered = whole.clone();
            altered[at] ^= 1;
            std::fs::write(&file, altered).unwrap();
            is_refused(&backup, &format!("{} with byte {at} flipped", file.display()), &["altered", "version"]);
        }
        std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
        is_refused(&backup, &format!("{} cut short", file.display()), &["truncated", "altered"]);
        std::fs::remove_file(&file).unwrap();
        is_refused(&backup, &format!("{} taken away", file.display()), &["missing", "no whole backup"]);
        std::fs::write(&file, whole).unwrap();
    }

    // Altered with knowledge: all hashes of files are right again, the event's own is not, nor the digest that was printed.
    let forged = world.folder().join("forged");
    forge(&backup, &forged);
    is_refused(&forged, "an altered event", &["not the one that was written"]);
    let digest = taken["digest"].as_str().unwrap();
    let said = refused(&fresh, &["restore", shown(&forged), "--digest", digest]);
    assert!(said.contains("digest"), "{said}");

    // Another form, another cluster, no backup at all.
    let manifest = backup.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("\"version\": 1", "\"version\": 2")).unwrap();
    is_refused(&backup, "a later version", &["format version 2"]);
    std::fs::write(&manifest, &text).unwrap();
    let ended = fresh.configured(&["restore", shown(&backup)], "INOPSIO_CLAIM_KEY", &"7a".repeat(32));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.code() == Some(1) && said.contains("INOPSIO_CLAIM_KEY"), "{said}");
    is_refused(fresh.folder(), "a folder with something else", &["no whole backup"]);

    // A backup never overwrites.
    let said = refused(&world, &["backup", "--to", shown(&backup)]);
    assert!(said.contains("there already"), "{said}");
    let names: Vec<_> = files(world.folder()).into_iter().filter(|file| shown(file).ends_with(".draft")).collect();
    assert!(names.is_empty(), "{names:?}");

    // Of all that nothing is there: the databases are as fresh as before, and take the backup as it was.
    for table in ["events", "commands", "claims"] {
        let count: i64 = sqlx::query_scalar(&format!("SELECT count(*) FROM log.{table}"))
            .fetch_one(&mut fresh.sql().await)
            .await
            .unwrap();
        assert_eq!(count, 0, "{table}");
    }
    assert_eq!(json_of(&fresh, &["tenant", "list"]), json!([]));
    fresh.ok(&["restore", shown(&backup)]);
    assert_eq!(log_rows(&mut fresh.sql().await, &LOG).await, log_rows(&mut world.sql().await, &LOG).await);
}

/// A copy of a backup in which an event says something else, with all files' hashes made to fit.
fn forge(backup: &Path, forged: &Path) {
    let script = r#"
import hashlib, json, shutil, subprocess, sys
backup, forged = sys.argv[1:]
shutil.copytree(backup, forged)
part = forged + '/crm.events.ndjson.zst'
text = subprocess.run(['zstd', '-dc', part], check=True, capture_output=True).stdout
assert b'An engine' in text
packed = subprocess.run(['zstd', '-c'], input=text.replace(b'An engine', b'Two engine'), check=True, capture_output=True).stdout
open(part, 'wb').write(packed)
manifest = json.load(open(forged + '/manifest.json'))
events = manifest['services'][0]['events']
events['bytes'], events['sha256'] = len(packed), hashlib.sha256(packed).hexdigest()
text = json.dumps(manifest, indent=2).encode()
open(forged + '/manifest.json', 'wb').write(text)
sums = open(forged + '/SHA256SUMS').read().splitlines()
sums[0] = hashlib.sha256(text).hexdigest() + '  manifest.json'
open(forged + '/SHA256SUMS', 'w').write('\n'.join(sums) + '\n')
"#;
    let status =
        std::process::Command::new("python3").args(["-c", script, shown(backup), shown(forged)]).status().unwrap();
    assert!(status.success());
}

/// What a tenant's replay says of each event, but for what is new in a sandbox.
fn history(world: &World, arguments: &[&str]) -> Vec<Value> {
    let lines = world.ok(&[&["replay"], arguments].concat());
    lines
        .lines()
        .map(|line| {
            let mut event: Value = serde_json::from_str(line).unwrap();
            for new in ["position", "tenant_id", "event_id", "recorded_at"] {
                event.as_object_mut().unwrap().remove(new).unwrap();
            }
            event
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_is_the_tenant_as_of_a_time_from_the_log_and_from_a_backup() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    let globex = world.tenant("globex");
    world.start(0).await;
    business(&client).await;
    business(&globex).await;
    let lead = client.done("/v1/crm/leads", json!({ "name": "Katherine Johnson" })).await;
    let until: Value = serde_json::from_str(world.ok(&["replay", "--tenant", "acme"]).lines().last().unwrap()).unwrap();
    let then = until["recorded_at"].as_str().unwrap();
    client.done(&format!("/v1/crm/leads/{}/assign", lead.id()), json!({ "owner": "grace" })).await;
    client.done("/v1/crm/contacts", json!({ "name": "Mary Jackson", "email": "mary@example.com" })).await;
    let backup = world.folder().join("backup");
    world.ok(&["backup", "--to", shown(&backup)]);
    let to = until["position"].to_string();
    let expected = history(&world, &["--tenant", "acme", "--to", &to]);
    assert!(expected.len() > 3);

    for (name, source) in [("from-log", None), ("from-backup", Some(shown(&backup)))] {
        let load = Load::start(&globex, 4, 11);
        let arguments: Vec<_> = ["restore"].into_iter().chain(source).collect();
        let arguments = [&arguments[..], &["--tenant", "acme", "--as-of", then, "--into", name]].concat();
        let made = tokio::task::block_in_place(|| json_of(&world, &arguments));
        load.end().await;
        assert_eq!(made["services"][0]["events"], expected.len(), "{made}");
        assert_eq!(history(&world, &["--tenant", name]), expected);

        // Its read models are those of the time, and it is a tenant like any other.
        let sandbox = world.client(name);
        world.caught_up(&sandbox).await;
        let question = format!("lead(id: \"{}\") {{ name owner version }} contacts {{ totalCount }}", lead.id());
        let found = sandbox.ask(&question, 0).await;
        let then = json!({ "name": "Katherine Johnson", "owner": null, "version": 1 });
        assert_eq!(found, json!({ "lead": then, "contacts": { "totalCount": 1 } }));
        let taken = json!({ "name": "Ada", "email": "ada@example.com" });
        let taken = sandbox.post_once("ada", "/v1/crm/contacts", &taken).await.unwrap();
        assert_eq!((taken.status, taken.code()), (StatusCode::CONFLICT, "contact_email_taken"));
        sandbox.done("/v1/crm/contacts", json!({ "name": "Mary", "email": "mary@example.com" })).await;
        sandbox.done(&format!("/v1/crm/leads/{}/assign", lead.id()), json!({ "owner": "dorothy" })).await;
        let found = client.ask(&format!("lead(id: \"{}\") {{ owner }}", lead.id()), 0).await;
        assert_eq!(found["lead"]["owner"], "grace", "the tenant itself is untouched");
    }

    let count = world.count().await;
    for (arguments, said) in [
        (["--tenant", "acme", "--into", "from-log"].as_slice(), "exists already"),
        (&["--tenant", "acme", "--into", "Not A Slug"], "not a slug"),
        (&["--tenant", "nobody", "--into", "sandbox"], "no tenant nobody"),
        (&["--tenant", "acme", "--as-of", "2001-01-01", "--into", "sandbox"], "no events"),
    ] {
        let heard = refused(&world, &[&["restore"], arguments].concat());
        assert!(heard.contains(said), "{arguments:?}: {heard}");
    }
    assert_eq!(world.count().await, count);
    assert!(!world.ok(&["tenant", "list"]).contains("sandbox"));
    world.verify(&client).await;
}
