//! Backup under load, restore into another installation, and sandboxes (copies of a tenant as of a time).

use std::path::Path;
use std::process::Command;

use kernel::{Clock, SystemClock};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{ConnectOptions, PgConnection};
use testbed::{Hold, eventually};

use crate::client::Client;
use crate::load::Load;
use crate::tampered::as_version;
use crate::world::World;
use crate::{log, read_models};

/// Creates a pipeline, a contact and a deal.
pub async fn business(client: &Client) {
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

/// All rows of these log tables as text, sorted. Fails if a table is empty.
pub async fn log_rows(superuser: &mut PgConnection, tables: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    for table in tables {
        let rows = format!("SELECT t::text FROM log.{table} t ORDER BY 1");
        let rows: Vec<String> = sqlx::query_scalar(&rows).fetch_all(&mut *superuser).await.unwrap();
        assert!(!rows.is_empty(), "{table}");
        all.extend(rows);
    }
    all
}

pub const LOG: [&str; 4] = ["events", "commands", "claims", "head"];

pub fn json_of(world: &World, arguments: &[&str]) -> Value {
    serde_json::from_str(&world.ok(&[&["--format", "json"], arguments].concat())).unwrap()
}

/// Runs a command that must be refused. Returns its error message.
pub fn refused(world: &World, arguments: &[&str]) -> String {
    let ended = world.run(arguments);
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {said}");
    said
}

/// The position of the last event of a service's log.
async fn head(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT position FROM log.head").fetch_one(connection).await.unwrap()
}

pub fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_restored_elsewhere_row_by_row_and_goes_on() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.tenant("globex");
    world.start(0).await;
    business(&client).await;
    // Name and address of this person are encrypted in the log, and a claim depends on the encrypted address.
    let invited = json!({ "email": "grace@example.com", "name": "Grace Hopper", "roles": ["member"] });
    client.done("/v1/user/invitations", invited).await;

    let load = Load::start(&client, 8, 7);
    let first = world.folder().join("first");
    let under_load = tokio::task::block_in_place(|| json_of(&world, &["backup", "--to", shown(&first)]));
    load.end().await;
    tokio::task::block_in_place(|| world.ok(&["backup", "verify", shown(&first)]));
    let at = under_load["services"][0]["position"].as_i64().unwrap();
    assert!(at > 3 && at < world.count().await, "the load went on meanwhile: {under_load}");

    // From here on nothing is written, so the restored system must equal this one.
    world.caught_up(&client).await;
    let last = world.folder().join("last");
    let backup = json_of(&world, &["backup", "--to", shown(&last)]);
    let before = read_models::content(&mut world.sql().await).await;
    let mut other = World::new().await;
    let digest = backup["digest"].as_str().unwrap();
    let restored = json_of(&other, &["restore", shown(&last), "--digest", digest]);
    assert_eq!(restored["positions"]["crm"], json!(world.count().await), "{restored}");
    assert_eq!(log_rows(&mut other.sql().await, &LOG).await, log_rows(&mut world.sql().await, &LOG).await);
    read_models::assert_equal(&before, &read_models::content(&mut other.sql().await).await);
    assert_eq!(json_of(&other, &["tenant", "list"]), json_of(&world, &["tenant", "list"]));

    // The restored system continues: stored answers are repeated, claims hold, the stream is refilled from the log.
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

    // A restore into a log that is in use is refused, and nothing is written.
    let rows = log_rows(&mut other.sql().await, &LOG).await;
    let said = refused(&other, &["restore", shown(&last)]);
    assert!(said.contains("not empty") && said.contains(&next.position().to_string()), "{said}");
    assert_eq!(log_rows(&mut other.sql().await, &LOG).await, rows);

    // The backup under load has a prefix of the same history. The drill proves it, and a restore shows it.
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_shut_out_when_a_backup_was_taken_stays_shut_out_after_its_restore() {
    let world = World::new().await;
    for slug in ["acme", "globex", "hooli", "initech", "umbrella"] {
        world.tenant(slug);
    }
    let suspended = |slug| world.ok(&["tenant", "suspend", slug, "--reason", "not paid"]);
    let deleted = |slug| world.ok(&["tenant", "delete", slug, "--reason", "contract ended"]);
    suspended("globex");
    deleted("hooli");
    // initech was suspended before its deletion, and after the undelete is suspended again; umbrella was resumed.
    suspended("initech");
    deleted("initech");
    world.ok(&["tenant", "restore", "initech"]);
    suspended("umbrella");
    world.ok(&["tenant", "resume", "umbrella"]);
    let backup = world.folder().join("backup");
    world.ok(&["backup", "--to", shown(&backup)]);

    let other = World::new().await;
    other.ok(&["restore", shown(&backup)]);
    let stand = |world: &World| -> Vec<(String, String)> {
        let listed = json_of(world, &["tenant", "list"]);
        let text = |tenant: &Value, name: &str| tenant[name].as_str().unwrap().to_owned();
        listed.as_array().unwrap().iter().map(|tenant| (text(tenant, "slug"), text(tenant, "status"))).collect()
    };
    let stood = [
        ("acme", "active"),
        ("globex", "suspended"),
        ("hooli", "deleting"),
        ("initech", "suspended"),
        ("umbrella", "active"),
    ];
    assert_eq!(stand(&other), stood.map(|(slug, status)| (slug.to_owned(), status.to_owned())));
    // No token is issued that would be refused.
    let mut auth = other.postgres.admin().database("inopsio_auth").connect().await.unwrap();
    for slug in ["globex", "hooli"] {
        let before = head(&mut auth).await;
        let said = refused(&other, &["token", "--tenant", slug, "--role", "viewer"]);
        assert!(said.contains(slug) && said.contains("is suspended, or is to be deleted"), "{said}");
        assert_eq!(head(&mut auth).await, before);
    }
    // A deletion can still be undone after the restore.
    other.ok(&["tenant", "restore", "hooli"]);
    assert_eq!(stand(&other)[2].1, "active");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_tenant_stays_begins_no_saga_and_lets_nobody_in_whom_the_first_one_did() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    business(&client).await;
    followed_up(&client).await;
    world.caught_up(&client).await;
    world.ok(&["tenant", "delete", "acme", "--reason", "contract ended"]);
    let made = json_of(&world, &["restore", "--tenant", "acme", "--into", "acme-copy"]);
    let id: uuid::Uuid = serde_json::from_value(made["tenant"]["tenant_id"].clone()).unwrap();
    // Wait until the sagas have read the whole log.
    let user = world.postgres.admin().database("inopsio_user").disable_statement_logging();
    eventually("the sagas have seen the copy", async || {
        let seen = "SELECT (SELECT position FROM saga.checkpoint) >= (SELECT position FROM log.head)";
        let seen: bool = sqlx::query_scalar(seen).fetch_one(&mut user.connect().await.unwrap()).await.unwrap();
        seen.then_some(())
    })
    .await;
    let mut user = user.connect().await.unwrap();
    let count = async |connection: &mut PgConnection, query: &str| -> i64 {
        sqlx::query_scalar(query).bind(id).fetch_one(connection).await.unwrap()
    };
    let tenants = "SELECT count(*) FROM log.events WHERE tenant_id = $1 AND event_type = 'user.tenant.requested'
                   AND aggregate_id = $1::text";
    assert_eq!(count(&mut user, tenants).await, 1, "the tenant's own history is under its own id");
    assert_eq!(count(&mut user, SAGAS).await, 0);
    let mut auth = world.postgres.admin().database("inopsio_auth").connect().await.unwrap();
    assert_eq!(count(&mut auth, "SELECT count(*) FROM log.events WHERE tenant_id = $1").await, 0);
    // The copy has all data of the original and is usable.
    let names = json_of(&world, &["tenant", "list"]);
    let names: Vec<_> = names.as_array().unwrap().iter().map(|tenant| tenant["slug"].clone()).collect();
    assert_eq!(names, ["acme", "acme-copy"]);
    let copy = world.client("acme-copy");
    let next = copy.done("/v1/crm/leads", json!({ "name": "Grace Hopper" })).await;
    let found = copy.ask("contacts { totalCount } leads { totalCount }", next.position()).await;
    assert_eq!(found, json!({ "contacts": { "totalCount": 1 }, "leads": { "totalCount": 2 } }));
    world.stop(0).await;

    // After a backup and restore it is still a copy: its old events start no sagas, and it is not deleted with the original.
    let backup = world.folder().join("backup");
    world.ok(&["backup", "--to", shown(&backup)]);
    assert_eq!(json_of(&world, &["backup", "drill", shown(&backup)])["verdict"], "proven");
    let mut other = World::new().await;
    other.ok(&["restore", shown(&backup)]);
    let stands = json_of(&other, &["tenant", "list"]);
    let stands: Vec<_> = stands.as_array().unwrap().iter().map(|tenant| tenant["status"].clone()).collect();
    assert_eq!(stands, ["deleting", "active"]);
    other.start(0).await;
    for (service, first) in [("crm", "follow_up_lead"), ("user", "delete_tenant")] {
        let options = other.postgres.admin().database(&format!("inopsio_{service}"));
        let mut connection = options.disable_statement_logging().connect().await.unwrap();
        // The original's sagas are restored, so sagas of the copy, whose events are later, would be visible too.
        sagas_are_back(&mut connection, id, first).await;
        assert_eq!(count(&mut connection, SAGAS).await, 0);
    }
    let copy = other.client("acme-copy");
    copy.done("/v1/crm/leads", json!({ "name": "Joan Clarke" })).await;
    other.stop(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_as_of_a_time_has_its_people_but_for_who_was_erased_since() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    business(&client).await;
    for name in ["Grace Hopper", "Katherine Johnson"] {
        client.done("/v1/crm/leads", json!({ "name": name })).await;
    }
    let gone = client.done("/v1/crm/leads", json!({ "name": "Joan Clarke" })).await;
    world.caught_up(&client).await;
    let then = SystemClock.now().to_rfc3339();
    client.done(&format!("/v1/crm/leads/{}/erase", gone.id()), json!({ "reason": "requested" })).await;
    client.done("/v1/crm/leads", json!({ "name": "Too Late" })).await;

    // Under another claim key nothing that the copy takes would be found.
    let tenants =
        "SELECT count(*) FROM (SELECT tenant_id FROM log.events UNION SELECT tenant_id FROM log.claims) AS held";
    let before: i64 = sqlx::query_scalar(tenants).fetch_one(&mut world.sql().await).await.unwrap();
    let copying = ["restore", "--tenant", "acme", "--as-of", then.as_str(), "--into", "acme-then"];
    let ended = world.configured(&copying, "INOPSIO_CLAIM_KEY", &"7a".repeat(32));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.code() == Some(1) && said.contains("INOPSIO_CLAIM_KEY"), "{said}");
    let after: i64 = sqlx::query_scalar(tenants).fetch_one(&mut world.sql().await).await.unwrap();
    assert_eq!(after, before, "something was written for the copy");
    let made = json_of(&world, &copying);
    let copy = world.client("acme-then");
    let next = copy.done("/v1/crm/leads", json!({ "name": "Margaret Hamilton" })).await;
    let names = async |kind: &str| {
        let found = copy.ask(&format!("{kind} {{ nodes {{ name }} }}"), next.position()).await;
        let nodes = found[kind]["nodes"].as_array().unwrap().clone();
        let mut names: Vec<_> = nodes.iter().map(|node| node["name"].as_str().unwrap_or_default().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names("leads").await, ["", "Grace Hopper", "Katherine Johnson", "Margaret Hamilton"]);
    assert_eq!(names("contacts").await, ["Ada Lovelace"]);
    // Claims of encrypted values were taken: the address can't be used twice.
    let crm = made["services"].as_array().unwrap().iter().find(|service| service["service"] == "crm").unwrap();
    assert!(crm["claims"].as_u64().is_some_and(|claims| claims > 0), "{made}");
    let again = json!({ "name": "Ada Lovelace", "email": "ada@example.com" });
    let taken = copy.post_once("another", "/v1/crm/contacts", &again).await.unwrap();
    assert_eq!((taken.status, taken.code()), (StatusCode::CONFLICT, "contact_email_taken"));
    // The copy has its own keys: erasing a person in the copy leaves the original readable.
    let gone: String =
        sqlx::query_scalar("SELECT DISTINCT aggregate_id FROM log.events WHERE event_type = 'crm.contact.created'")
            .fetch_one(&mut world.sql().await)
            .await
            .unwrap();
    copy.done(&format!("/v1/crm/contacts/{gone}/erase"), json!({ "reason": "requested" })).await;
    world.caught_up(&client).await;
    let first = client.ask("contacts { nodes { name } }", next.position()).await;
    assert_eq!(first["contacts"]["nodes"], json!([{ "name": "Ada Lovelace" }]));
    world.stop(0).await;
    // The drill verifies that the claims of the copy follow from its events.
    let backup = world.folder().join("backup");
    world.ok(&["backup", "--to", shown(&backup)]);
    assert_eq!(json_of(&world, &["backup", "drill", shown(&backup)])["verdict"], "proven");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_270_of_a_copy_that_can_not_be_completed_nothing_stays_but_what_nobody_can_decrypt() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    business(&client).await;
    world.caught_up(&client).await;
    let acme = json_of(&world, &["tenant", "list"])[0]["tenant_id"].as_str().unwrap().to_owned();
    // The name is that of a tenant that is just being created, which shows only at the end.
    let mut directory = world.postgres.admin().database("inopsio_directory").connect().await.unwrap();
    let reserve = "INSERT INTO tenants (tenant_id, slug, name, created_at, status)
                   VALUES (gen_random_uuid(), 'acme-copy', 'Acme', now(), 'reserved')";
    sqlx::query(reserve).execute(&mut directory).await.unwrap();
    let copying = ["restore", "--tenant", "acme", "--into", "acme-copy"];
    let said = tokio::task::block_in_place(|| refused(&world, &copying));
    assert!(said.contains("acme-copy") && said.contains("given up"), "{said}");
    assert!(!said.contains("could not be deleted") && !said.contains("rebuild"), "{said}");
    let count = async |service: &str, what: &str| -> i64 {
        let options = world.postgres.admin().database(&format!("inopsio_{service}")).disable_statement_logging();
        let query = format!("SELECT count(DISTINCT tenant_id) FROM {what} WHERE tenant_id::text <> $1");
        sqlx::query_scalar(&query).bind(&acme).fetch_one(&mut options.connect().await.unwrap()).await.unwrap()
    };
    for service in ["crm", "user"] {
        assert_eq!(count(service, "log.events").await, 1, "it was copied");
        assert_eq!(count(service, "log.claims").await, 0, "{service}");
        assert_eq!(count(service, "log.closed").await, 1, "{service}");
    }
    assert_eq!(count("crm", "crm.contact").await, 0, "a read model has it");
    world.stop(0).await;
    let backup = world.folder().join("backup");
    world.ok(&["backup", "--to", shown(&backup)]);
    assert_eq!(json_of(&world, &["backup", "drill", shown(&backup)])["verdict"], "proven");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_just_added_to_the_directory_is_not_given_up() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    business(&client).await;
    world.stop(0).await;
    let hold = Hold::on(&world.postgres.admin().database("inopsio_directory"), "INSERT", "tenants", "true").await;
    let mut copying = world.spawn(&["restore", "--tenant", "acme", "--into", "acme-copy"]);
    hold.reached().await;
    let sent = Command::new("kill").args(["-INT", &copying.id().to_string()]).status().unwrap();
    assert!(sent.success());
    hold.end().await;
    let ended = tokio::task::block_in_place(|| copying.wait()).unwrap();
    assert!(ended.success(), "it was stopped while nobody knew whether the tenant is in the directory: {ended}");
    let tenants = json_of(&world, &["tenant", "list"]);
    assert!(tenants.as_array().unwrap().iter().any(|tenant| tenant["slug"] == "acme-copy"), "{tenants}");
    let closed: i64 =
        sqlx::query_scalar("SELECT count(*) FROM log.closed").fetch_one(&mut world.sql().await).await.unwrap();
    assert_eq!(closed, 0, "it was destroyed");
}

/// Number of sagas of a tenant, except `note_tenant_status`, which records for every copy that it is independent.
const SAGAS: &str = "SELECT count(*) FROM saga.instances WHERE tenant_id = $1 AND saga <> 'note_tenant_status'";

/// Enables the follow-up of qualified leads, and qualifies a lead.
async fn followed_up(client: &Client) {
    let policy =
        json!({ "escalate_after_days": 3, "escalate_to": "boss", "reassign_after_days": 2, "reassign_to": "other" });
    client.done("/v1/crm/follow-up/set", policy).await;
    let lead = client.done("/v1/crm/leads", json!({ "name": "Ada Lovelace", "owner": "grace" })).await;
    let path = format!("/v1/crm/leads/{}", lead.id());
    client.done(&format!("{path}/start-work"), json!({})).await;
    client.done(&format!("{path}/qualify"), json!({})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_looked_at_when_a_backup_was_taken_begins_its_saga_after_the_restore_and_nothing_else_does() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    // Qualified before the policy exists, and read by the sagas: it must not be followed up later.
    let lead = client.done("/v1/crm/leads", json!({ "name": "Grace Hopper", "owner": "grace" })).await;
    let path = format!("/v1/crm/leads/{}", lead.id());
    client.done(&format!("{path}/start-work"), json!({})).await;
    client.done(&format!("{path}/qualify"), json!({})).await;
    let looked = "SELECT (SELECT position FROM saga.checkpoint) >= (SELECT position FROM log.head)";
    let begun = "SELECT count(*) FROM saga.instances WHERE saga = 'follow_up_lead'";
    let are_looked_at = async |world: &World| {
        eventually("all of it was looked at", async || {
            let looked: bool = sqlx::query_scalar(looked).fetch_one(&mut world.sql().await).await.unwrap();
            looked.then_some(())
        })
        .await;
    };
    are_looked_at(&world).await;
    world.stop(0).await;
    // Stop the coordinator by holding its lock, so that the next events are not read by sagas.
    let mut held = world.sql().await;
    let lock = sqlx::query("SELECT pg_advisory_lock($1)").bind(eventstore::LockKey::Coordinator.number());
    lock.execute(&mut held).await.unwrap();
    world.start(0).await;
    followed_up(&client).await;
    let backup = world.folder().join("backup");
    tokio::task::block_in_place(|| world.ok(&["backup", "--to", shown(&backup)]));
    let count: i64 = sqlx::query_scalar(begun).fetch_one(&mut held).await.unwrap();
    assert_eq!(count, 0, "else this test shows nothing");

    let mut other = World::new().await;
    tokio::task::block_in_place(|| other.ok(&["restore", shown(&backup)]));
    other.start(0).await;
    are_looked_at(&other).await;
    let keys = "SELECT key FROM saga.instances WHERE saga = 'follow_up_lead'";
    let keys: Vec<String> = sqlx::query_scalar(keys).fetch_all(&mut other.sql().await).await.unwrap();
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert_ne!(keys[0], lead.id(), "what was looked at before is not asked about again");
}

/// Waits until sagas have read the whole log and a tenant other than `but` has an instance of `saga`.
async fn sagas_are_back(connection: &mut PgConnection, but: uuid::Uuid, saga: &str) {
    let connection = tokio::sync::Mutex::new(connection);
    eventually(&format!("{saga} is back"), async || {
        let back = "SELECT (SELECT position FROM saga.checkpoint) >= (SELECT position FROM log.head)
                    AND EXISTS (SELECT FROM saga.instances WHERE tenant_id <> $1 AND saga = $2)";
        let asked = sqlx::query_scalar(back).bind(but).bind(saga);
        asked.fetch_one(&mut **connection.lock().await).await.unwrap_or(false).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_decided_about_dead_letters_holds_after_a_restore_too() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    let mut letters = Vec::new();
    for name in ["Edited", "Discarded"] {
        let lead = client.done("/v1/crm/leads", json!({ "name": name, "owner": "grace" })).await;
        // `reason` must be a string, so this event can't be decoded.
        let poison = json!({ "event": "crm.lead.disqualified", "reason": 42 }).to_string();
        let at = testbed::insert_raw_event(&mut world.sql().await, lead.id(), "crm.lead.disqualified", &poison).await;
        seal(&mut world.sql().await, at).await;
        letters.push((lead, format!("projection.leads.{at}")));
    }
    let parked = async |world: &World| {
        let count = "SELECT count(*) FROM dead.letters WHERE state IN ('parked', 'waiting')";
        sqlx::query_scalar::<_, i64>(count).fetch_one(&mut world.sql().await).await.unwrap()
    };
    eventually("both are parked", async || (parked(&world).await == 2).then_some(())).await;
    let decide = async |act: &str, body: Value| {
        let (_, id) = &letters[usize::from(act == "discard")];
        client.done(&format!("/v1/dead-letters/crm/{id}/{act}"), body).await;
    };
    let payload = json!({ "event": "crm.lead.disqualified", "reason": "no_budget" });
    decide("edit", json!({ "payload": payload, "reason": "a typing error" })).await;
    decide("discard", json!({ "reason": "never happened" })).await;
    eventually("nothing is parked", async || (parked(&world).await == 0).then_some(())).await;
    world.caught_up(&client).await;

    let backup = world.folder().join("backup");
    let taken = json_of(&world, &["backup", "--to", shown(&backup)]);
    assert_eq!(taken["services"][0]["decisions"], 2, "{taken}");
    let drilled = json_of(&world, &["backup", "drill", shown(&backup)]);
    assert_eq!(drilled["verdict"], "proven", "{drilled}");
    let other = World::new().await;
    let restored = json_of(&other, &["restore", shown(&backup)]);
    assert!(restored["read_models"].as_array().unwrap().iter().all(|built| built["parked_events"] == 0), "{restored}");
    let decisions = async |world: &World| {
        let rows = "SELECT d::text FROM dead.decisions d ORDER BY 1";
        sqlx::query_scalar::<_, String>(rows).fetch_all(&mut world.sql().await).await.unwrap()
    };
    let before = decisions(&world).await;
    assert_eq!((before.len(), decisions(&other).await), (2, before));
    let content = read_models::content(&mut world.sql().await).await;
    read_models::assert_equal(&content, &read_models::content(&mut other.sql().await).await);

    // A backup of version 1 has no decisions. It can be restored too; then these events are parked again.
    let former = world.folder().join("former");
    as_version(&backup, &former, 1, &["decisions", "master_keys"], None);
    let third = World::new().await;
    let restored = json_of(&third, &["restore", shown(&former)]);
    let built = restored["read_models"].as_array().unwrap();
    assert_eq!(built.iter().filter_map(|built| built["parked_events"].as_u64()).sum::<u64>(), 2, "{restored}");
    assert_eq!(decisions(&third).await, [""; 0]);
}

/// Sets the leaf hash that the event's writer would have stored.
async fn seal(superuser: &mut PgConnection, position: i64) {
    let row =
        sqlx::query("SELECT *, payload::text AS body, metadata::text AS data FROM log.events WHERE position = $1")
            .bind(position)
            .fetch_one(&mut *superuser)
            .await
            .unwrap();
    let hash = kernel::Leaf::from(&log::event(&row)).hash();
    sqlx::query("UPDATE log.events SET leaf_hash = $2 WHERE position = $1")
        .bind(position)
        .bind(hash.as_slice())
        .execute(superuser)
        .await
        .unwrap();
}
