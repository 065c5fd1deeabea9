//! Personal data: sealed in the log, opened for readers, unreadable without its key.

use std::sync::Arc;

use eventstore::backup::Graft;
use eventstore::sealing::{PERSON_ERASED, PERSON_KEY, TENANT_KEY};
use eventstore::{Closure, Error, EventStore, Sealing, Settings, Snapshot, append};
use kernel::{Position, RecordedEvent, TenantId};
use keys::{LocalMasterKey, SystemRandom};
use testbed::Database;

use super::support::*;

pub const ADA: &str =
    r#"{"name":{"personal":"Ada Lovelace"},"title":"Countess","many":[{"phone":{"personal":"+4930123456"}}]}"#;
pub const OPENED: &str = r#"{"name":"Ada Lovelace","title":"Countess","many":[{"phone":"+4930123456"}]}"#;

/// The settings of a process whose master key consists of this digit.
pub fn sealed_by(digit: &str) -> Settings {
    let master = LocalMasterKey::parse(&digit.repeat(64), SystemRandom).unwrap();
    let sealing = Some(Sealing { master: Arc::new(master), random: Arc::new(SystemRandom) });
    Settings { sealing, ..Settings::default() }
}

/// A store with this master key.
pub async fn sealing(database: &Database, digit: &str) -> EventStore {
    open(database, sealed_by(digit)).await
}

pub async fn fresh() -> (Database, EventStore, TenantId) {
    let database = Database::fresh("crm").await;
    let store = sealing(&database, "a").await;
    (database, store, testbed::tenant())
}

pub fn saying(id: &str, expected: u64, event_type: &'static str, payload: &str) -> eventstore::StreamAppend {
    let mut stream = stream(id, expected, 0);
    stream.events = vec![eventstore::NewEvent { event_type, ..event(payload) }];
    stream
}

pub async fn add(store: &EventStore, tenant: TenantId, id: &str, expected: u64, payload: &str) {
    store.append(append(tenant, vec![saying(id, expected, "crm.lead.captured", payload)])).await.unwrap();
}

async fn erase(store: &EventStore, tenant: TenantId, id: &str, expected: u64) {
    store.append(append(tenant, vec![saying(id, expected, "crm.lead.erased", "{}")])).await.unwrap();
}

pub async fn loaded(store: &EventStore, tenant: TenantId, id: &str) -> Vec<String> {
    texts(&store.load(tenant, "crm.lead", id, 0).await.unwrap())
}

fn texts(events: &[RecordedEvent]) -> Vec<String> {
    events.iter().map(|event| String::from_utf8(event.payload.to_vec()).unwrap()).collect()
}

/// The number of claims of a kind.
pub async fn claims(database: &Database, kind: &str) -> i64 {
    let count = "SELECT count(*) FROM log.claims WHERE kind = $1";
    sqlx::query_scalar(count).bind(kind).fetch_one(&mut superuser(database).await).await.unwrap()
}

/// The contents of all tables of the log, as text.
async fn raw(database: &Database) -> String {
    let mut connection = superuser(database).await;
    let mut all = String::new();
    for table in ["events", "commands", "claims", "snapshots"] {
        let rows: Vec<String> =
            sqlx::query_scalar(&format!("SELECT t::text FROM log.{table} t")).fetch_all(&mut connection).await.unwrap();
        all.extend(rows);
    }
    all
}

#[tokio::test]
async fn what_is_marked_is_sealed_in_the_log_and_opened_for_who_reads_the_stream() {
    let (database, store, tenant) = fresh().await;
    add(&store, tenant, "ada", 0, ADA).await;
    let raw = raw(&database).await;
    assert!(!raw.contains("Lovelace") && !raw.contains("30123456"), "{raw}");
    assert!(raw.contains("Countess"), "what is not personal stands as it was: {raw}");
    assert_eq!(loaded(&store, tenant, "ada").await, [OPENED]);
    // The hash covers the stored bytes; followers of the log get these.
    let [stored] = &whole_log(&database, &store).await[..] else { panic!("one event") };
    let stored_text = String::from_utf8(stored.payload.to_vec()).unwrap();
    assert!(stored_text.starts_with(r#"{"name":{"sealed":"v1."#), "{stored_text}");
    assert_eq!(texts(&store.opened(vec![stored.clone()]).await.unwrap()), [OPENED]);
    let copies = store.opened_copies(&[stored]).await.unwrap().unwrap();
    assert_eq!(texts(&copies), [OPENED]);
    assert_eq!(texts(&store.tenant_after(tenant, Position::START, Position(9), 9).await.unwrap().events), [OPENED]);
    assert_eq!(texts(&store.events_at(&[Position(1)]).await.unwrap()), [OPENED]);
    assert_eq!([claims(&database, PERSON_KEY).await, claims(&database, TENANT_KEY).await], [1, 1]);
}

#[tokio::test]
async fn each_stream_has_one_key_and_each_tenant_one() {
    let (database, store, tenant) = fresh().await;
    for id in ["ada", "grace"] {
        add(&store, tenant, id, 0, ADA).await;
        add(&store, tenant, id, 1, ADA).await;
    }
    // Another process, with empty caches.
    let other = sealing(&database, "a").await;
    add(&other, tenant, "ada", 2, ADA).await;
    add(&other, testbed::tenant(), "ada", 0, ADA).await;
    assert_eq!([claims(&database, PERSON_KEY).await, claims(&database, TENANT_KEY).await], [3, 2]);
    assert_eq!(loaded(&store, tenant, "ada").await, [OPENED; 3]);
}

#[tokio::test]
async fn the_keys_of_a_tenant_that_is_destroyed_are_forgotten_by_who_is_told_so() {
    let (database, store, tenant) = fresh().await;
    let neighbour = testbed::tenant();
    for tenant in [tenant, neighbour] {
        add(&store, tenant, "ada", 0, ADA).await;
    }
    let other = sealing(&database, "a").await;
    let both = store.read_after(Position::START, 10).await.unwrap();
    assert_eq!(texts(&other.opened(both.clone()).await.unwrap()), [OPENED; 2]);
    eventstore::destroy(&database, tenant, &[]).await.unwrap();
    assert_eq!(claims(&database, PERSON_KEY).await, 1, "the neighbour's");
    for process in [&store, &other] {
        process.forget_tenants(&[tenant].into());
        let opened = texts(&process.opened(both.clone()).await.unwrap());
        assert!(opened[0].starts_with(r#"{"name":{"sealed":"#), "{opened:?}");
        assert_eq!(opened[1], OPENED);
    }
}

#[tokio::test]
async fn an_event_that_erases_takes_the_key_with_it_for_every_process() {
    let (database, store, tenant) = fresh().await;
    add(&store, tenant, "ada", 0, ADA).await;
    add(&store, tenant, "grace", 0, ADA).await;
    let other = sealing(&database, "a").await;
    assert_eq!(loaded(&other, tenant, "ada").await, [OPENED]);
    erase(&store, tenant, "ada", 1).await;
    assert_eq!(claims(&database, PERSON_KEY).await, 1, "grace's");
    for process in [&store, &other, &sealing(&database, "a").await] {
        let events = process.read_after(Position::START, 10).await.unwrap();
        // Immediately, although the key was cached there.
        let opened = texts(&process.opened(events).await.unwrap());
        assert!(
            !opened[0].contains("Lovelace") && opened[1].contains("Lovelace"),
            "grace is called so too: {opened:?}"
        );
        let [captured, erased] = &loaded(process, tenant, "ada").await[..] else { panic!("both events stay") };
        assert!(captured.starts_with(r#"{"name":{"sealed":"#) && captured.contains("Countess"), "{captured}");
        assert_eq!(erased, "{}");
        assert_eq!(loaded(process, tenant, "grace").await, [OPENED]);
    }
    whole_log(&database, &store).await;
}

#[tokio::test]
async fn what_was_stored_in_the_clear_is_read_as_it_is_and_what_follows_is_sealed() {
    let (database, store, tenant) = fresh().await;
    let before = open(&database, Settings::default()).await;
    add(&before, tenant, "ada", 0, OPENED).await;
    add(&store, tenant, "ada", 1, ADA).await;
    assert_eq!(loaded(&store, tenant, "ada").await, [OPENED, OPENED]);
    let stored: Vec<String> = sqlx::query_scalar("SELECT payload::text FROM log.events ORDER BY position")
        .fetch_all(&mut superuser(&database).await)
        .await
        .unwrap();
    assert!(stored[0].contains("Lovelace") && !stored[1].contains("Lovelace"), "{stored:?}");
}

#[tokio::test]
async fn nobody_opens_it_without_the_master_key_and_nothing_is_marked_in_a_log_that_is_not_sealed() {
    let (database, store, tenant) = fresh().await;
    add(&store, tenant, "ada", 0, ADA).await;
    let without = open(&database, Settings::default()).await;
    let error = without.load(tenant, "crm.lead", "ada", 0).await.unwrap_err();
    assert!(matches!(error, Error::NoMasterKey), "{error}");
    let other = sealing(&database, "b").await;
    let error = other.load(tenant, "crm.lead", "ada", 0).await.unwrap_err();
    assert!(matches!(error, Error::Key(keys::Error::OtherMaster { .. })), "{error}");
    let refused = other.append(append(tenant, vec![saying("eve", 0, "crm.lead.captured", ADA)])).await.unwrap_err();
    assert!(matches!(refused, append::Error::Keyless(keys::Error::OtherMaster { .. })), "{refused}");
    assert_eq!(count(&database, "log.events").await, 1, "and nothing was written");
    add(&without, tenant, "grace", 0, ADA).await;
    assert_eq!(loaded(&without, tenant, "grace").await, [OPENED]);
}

#[tokio::test]
async fn an_append_that_is_refused_leaves_no_key_and_none_is_remembered() {
    let (database, store, tenant) = fresh().await;
    let before = open(&database, Settings::default()).await;
    add(&before, tenant, "ada", 0, OPENED).await;
    let refused = store.append(append(tenant, vec![saying("ada", 0, "crm.lead.captured", ADA)])).await.unwrap_err();
    assert!(matches!(refused, append::Error::VersionConflict { .. }), "{refused}");
    assert_eq!(claims(&database, PERSON_KEY).await, 0);
    add(&store, tenant, "ada", 1, ADA).await;
    assert_eq!(loaded(&sealing(&database, "a").await, tenant, "ada").await, [OPENED, OPENED]);
}

#[tokio::test]
async fn processes_that_make_a_tenants_key_at_once_have_the_same() {
    let (database, _, tenant) = fresh().await;
    let stores = futures::future::join_all((0..6).map(|_| sealing(&database, "a"))).await;
    let ids: Vec<String> = (0..6).map(|n| format!("lead-{n}")).collect();
    futures::future::join_all(stores.iter().zip(&ids).map(|(store, id)| add(store, tenant, id, 0, ADA))).await;
    assert_eq!([claims(&database, PERSON_KEY).await, claims(&database, TENANT_KEY).await], [6, 1]);
    for id in &ids {
        assert_eq!(loaded(&stores[0], tenant, id).await, [OPENED]);
    }
}

#[tokio::test]
async fn the_state_of_a_stream_is_sealed_too_and_goes_with_the_key() {
    let (database, store, tenant) = fresh().await;
    add(&store, tenant, "ada", 0, ADA).await;
    let occurred_at = store.load(tenant, "crm.lead", "ada", 0).await.unwrap()[0].occurred_at;
    let kept = Snapshot { sequence: 1, occurred_at, state: ADA.into() };
    store.keep_snapshot(tenant, "crm.lead", "ada", "1-x", &kept).await.unwrap();
    assert!(!raw(&database).await.contains("Lovelace"));
    let resumed = store.resume(tenant, "crm.lead", "ada", "1-x").await.unwrap();
    assert_eq!(resumed.snapshot.unwrap().state, OPENED);
    erase(&store, tenant, "ada", 1).await;
    assert_eq!(count(&database, "log.snapshots").await, 0);
    store.keep_snapshot(tenant, "crm.lead", "ada", "1-x", &kept).await.unwrap();
    assert_eq!(count(&database, "log.snapshots").await, 0, "of whom nobody knows who they were");
}

#[tokio::test]
async fn only_what_is_marked_is_sealed_whatever_it_looks_like() {
    let (database, store, tenant) = fresh().await;
    let marked = r#"{"a":{"personal":"}\"}"},"b":{"personal":{"x":[1,{"y":"{\"personal\":"}]}},"c":{"personal":1,"d":2},"t":"{\"personal\":\"Ada\"}","n":{"personal":7},"s":{"sealed":"v1.no"},"e":{"personal":""}}"#;
    let opened = r#"{"a":"}\"}","b":{"x":[1,{"y":"{\"personal\":"}]},"c":{"personal":1,"d":2},"t":"{\"personal\":\"Ada\"}","n":7,"s":{"sealed":"v1.no"},"e":""}"#;
    add(&store, tenant, "ada", 0, marked).await;
    assert_eq!(loaded(&sealing(&database, "a").await, tenant, "ada").await, [opened]);
    let [stored] = &whole_log(&database, &store).await[..] else { panic!("one event") };
    let stored: serde_json::Value = serde_json::from_slice(&stored.payload).unwrap();
    for sealed in ["a", "b", "n", "e"] {
        assert!(stored[sealed]["sealed"].as_str().unwrap().starts_with("v1."), "{stored}");
    }
    assert_eq!(stored["c"], serde_json::json!({ "personal": 1, "d": 2 }), "with more members it is no mark");
}

#[tokio::test]
async fn a_key_that_stands_where_keys_stood_at_first_is_found_and_goes_like_any_other() {
    let (database, store, tenant) = fresh().await;
    let id = "0197a8a0-0000-7000-8000-00000000ada1";
    add(&store, tenant, id, 0, ADA).await;
    let moved = "UPDATE log.claims SET key = sha256(convert_to('crm.lead/' || $1, 'UTF8')) WHERE kind = $2";
    let moved = sqlx::query(moved).bind(id).bind(PERSON_KEY).execute(&mut superuser(&database).await).await.unwrap();
    assert_eq!(moved.rows_affected(), 1);
    let other = sealing(&database, "a").await;
    assert_eq!(loaded(&other, tenant, id).await, [OPENED]);
    add(&sealing(&database, "a").await, tenant, id, 1, ADA).await;
    assert_eq!(claims(&database, PERSON_KEY).await, 1, "the same key");
    erase(&other, tenant, id, 2).await;
    assert_eq!(claims(&database, PERSON_KEY).await, 0);
    assert!(loaded(&sealing(&database, "a").await, tenant, id).await[0].starts_with(r#"{"name":{"sealed":"#));
}

#[tokio::test]
async fn a_key_is_looked_for_by_itself_however_many_there_are_and_before_anybody_counted_them() {
    let (database, _store, tenant) = fresh().await;
    let mut connection = superuser(&database).await;
    // With the planner settings of the append connection, and without statistics, as in a log that grows faster than it is analyzed.
    for (setting, value) in
        [("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off"), ("enable_bitmapscan", "off")]
    {
        sqlx::query("SELECT set_config($1, $2, false)")
            .bind(setting)
            .bind(value)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    sqlx::query("ALTER TABLE log.claims SET (autovacuum_enabled = off)").execute(&mut connection).await.unwrap();
    sqlx::query(
        "INSERT INTO log.claims SELECT $1, $2, sha256(n::text::bytea), 'v1.' || n FROM generate_series(1, 5000) n",
    )
    .bind(tenant.uuid())
    .bind(PERSON_KEY)
    .execute(&mut connection)
    .await
    .unwrap();
    let mut asking = sqlx::Connection::begin(&mut connection).await.unwrap();
    let found: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM log.holders($1, $2, ARRAY[sha256('7'), sha256('4999'), sha256('nobody')])",
    )
    .bind(tenant.uuid())
    .bind(PERSON_KEY)
    .fetch_one(&mut *asking)
    .await
    .unwrap();
    let read: i64 = sqlx::query_scalar(
        "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = 'log.claims'::regclass",
    )
    .fetch_one(&mut *asking)
    .await
    .unwrap();
    assert_eq!((found, read), (2, 2));
}

/// The data subject whose stream is `crm.lead/ada`, in another stream.
const VISIT: &str = r#"{"from":{"personal":"192.0.2.7","of":"crm.lead/ada"},"own":{"personal":"a note"},"at":7}"#;
const VISIT_OPENED: &str = r#"{"from":"192.0.2.7","own":"a note","at":7}"#;

#[tokio::test]
async fn what_is_somebodys_in_many_streams_has_their_key_and_goes_with_it() {
    let (database, store, tenant) = fresh().await;
    // Before there is anything in their own stream, and after.
    add(&store, tenant, "first visit", 0, VISIT).await;
    add(&store, tenant, "ada", 0, r#"{"name":{"personal":"Ada Lovelace","of":"crm.lead/ada"}}"#).await;
    let other = sealing(&database, "a").await;
    add(&other, tenant, "second visit", 0, VISIT).await;
    assert_eq!(claims(&database, PERSON_KEY).await, 3, "hers, and one for what is each visit's own");
    let raw_log = raw(&database).await;
    assert!(!raw_log.contains("192.0.2.7") && raw_log.contains("@crm.lead/ada"), "{raw_log}");
    let visits = ["first visit", "second visit"];
    for id in visits {
        assert_eq!(loaded(&sealing(&database, "a").await, tenant, id).await, [VISIT_OPENED]);
    }
    let occurred_at = store.load(tenant, "crm.lead", "first visit", 0).await.unwrap()[0].occurred_at;
    let kept = Snapshot { sequence: 1, occurred_at, state: VISIT.into() };
    store.keep_snapshot(tenant, "crm.lead", "first visit", "1-x", &kept).await.unwrap();
    assert_eq!(
        store.resume(tenant, "crm.lead", "first visit", "1-x").await.unwrap().snapshot.unwrap().state,
        VISIT_OPENED
    );

    erase(&store, tenant, "ada", 1).await;
    assert_eq!([claims(&database, PERSON_KEY).await, claims(&database, PERSON_ERASED).await], [2, 1]);
    for process in [&store, &sealing(&database, "a").await] {
        for id in visits {
            let [visit] = &loaded(process, tenant, id).await[..] else { panic!("one event") };
            assert!(
                visit.starts_with(r#"{"from":{"sealed":"v1."#) && visit.ends_with(r#","own":"a note","at":7}"#),
                "{visit}"
            );
        }
    }
    let state = store.resume(tenant, "crm.lead", "first visit", "1-x").await.unwrap().snapshot.unwrap().state;
    assert!(!String::from_utf8(state.to_vec()).unwrap().contains("192.0.2.7"));
    whole_log(&database, &store).await;
}

#[tokio::test]
async fn of_who_is_erased_nothing_personal_is_written_any_more_also_if_they_never_had_a_key() {
    let (database, store, tenant) = fresh().await;
    erase(&store, tenant, "ada", 0).await;
    for (process, id) in [(&store, "a visit"), (&sealing(&database, "a").await, "another visit")] {
        add(process, tenant, id, 0, VISIT).await;
        assert_eq!(loaded(process, tenant, id).await, [r#"{"from":{"sealed":""},"own":"a note","at":7}"#]);
    }
    assert!(!raw(&database).await.contains("192.0.2.7"));
    assert_eq!(claims(&database, PERSON_KEY).await, 2, "those of what is the visits' own");
}

#[tokio::test]
async fn processes_that_need_somebodys_key_first_and_at_once_have_the_same() {
    let (database, _, tenant) = fresh().await;
    let stores = futures::future::join_all((0..6).map(|_| sealing(&database, "a"))).await;
    let ids: Vec<String> = (0..6).map(|n| format!("visit {n}")).collect();
    futures::future::join_all(stores.iter().zip(&ids).map(|(store, id)| add(store, tenant, id, 0, VISIT))).await;
    assert_eq!(claims(&database, PERSON_KEY).await, 7, "hers, and one for each visit's own");
    let fresh = sealing(&database, "a").await;
    for id in &ids {
        assert_eq!(loaded(&fresh, tenant, id).await, [VISIT_OPENED]);
    }
}

#[tokio::test]
async fn a_value_that_is_said_to_be_anothers_does_not_open() {
    let (database, store, tenant) = fresh().await;
    add(&store, tenant, "a visit", 0, VISIT).await;
    add(&store, tenant, "grace", 0, &VISIT.replace("lead/ada", "lead/eve")).await;
    let moved = "UPDATE log.events SET payload = replace(payload::text, '@crm.lead/ada', '@crm.lead/eve')::json";
    sqlx::query("ALTER TABLE log.events DISABLE TRIGGER USER").execute(&mut superuser(&database).await).await.unwrap();
    sqlx::query(moved).execute(&mut superuser(&database).await).await.unwrap();
    let [visit] = &loaded(&store, tenant, "a visit").await[..] else { panic!("one event") };
    assert!(visit.starts_with(r#"{"from":{"sealed":"v1."#), "{visit}");
    assert_eq!(loaded(&store, tenant, "grace").await, [VISIT_OPENED]);
}

#[tokio::test]
async fn a_history_is_sealed_for_another_tenant_but_for_who_is_erased() {
    let (database, store, tenant) = fresh().await;
    add(&store, tenant, "ada", 0, ADA).await;
    add(&store, tenant, "grace", 0, ADA).await;
    add(&store, tenant, &tenant.to_string(), 0, ADA).await;
    erase(&store, tenant, "grace", 1).await;
    let mut history = store.read_after(Position::START, 3).await.unwrap();
    let other = testbed::tenant();
    let mut copying = store.copying_for(other).await.unwrap().unwrap();
    copying.seal(&store, &mut history).await.unwrap();
    assert!(texts(&history).iter().all(|text| !text.contains("Lovelace")), "it stands there in clear");
    for event in history.iter_mut().filter(|event| event.aggregate_id == tenant.to_string()) {
        event.aggregate_id = other.to_string();
    }
    let mut graft = Graft::begin(&database.admin(), &database, other).await.unwrap();
    graft.append(history, Some(&mut copying), &kernel::SystemClock).await.unwrap();
    // Read models apply what was appended at once, long before the copy of a large tenant is finished.
    assert_eq!(loaded(&sealing(&database, "a").await, other, "ada").await, [OPENED]);
    assert_eq!(graft.finish(&[], Some(&copying)).await.unwrap(), 0, "erased meanwhile");
    let fresh = sealing(&database, "a").await;
    for (id, known) in [("ada", true), (&*other.to_string(), true), ("grace", false)] {
        let [event] = &loaded(&fresh, other, id).await[..] else { panic!("{id} has one event") };
        assert_eq!(event == OPENED, known, "{id}: {event}");
    }
    // Each has its own keys: one is erased and the other is not.
    erase(&fresh, other, "ada", 1).await;
    let again = sealing(&database, "a").await;
    assert!(loaded(&again, other, "ada").await[0].contains("sealed"));
    assert_eq!(loaded(&again, tenant, "ada").await, [OPENED]);
}

#[tokio::test]
async fn attack_178_who_is_erased_while_a_tenant_is_copied_is_unreadable_in_the_copy_too() {
    let (database, store, tenant) = fresh().await;
    for id in ["ada", "grace"] {
        add(&store, tenant, id, 0, ADA).await;
    }
    let mut history = store.read_after(Position::START, 2).await.unwrap();
    let other = testbed::tenant();
    let mut copying = store.copying_for(other).await.unwrap().unwrap();
    copying.seal(&store, &mut history).await.unwrap();
    let mut graft = Graft::begin(&database.admin(), &database, other).await.unwrap();
    graft.append(history, Some(&mut copying), &kernel::SystemClock).await.unwrap();
    // Another process erases her, when all that is known of her has been sealed for the copy.
    erase(&sealing(&database, "a").await, tenant, "ada", 1).await;
    assert_eq!(graft.finish(&[], Some(&copying)).await.unwrap(), 1, "erased meanwhile");
    let later = sealing(&database, "a").await;
    for tenant in [tenant, other] {
        let ada = &loaded(&later, tenant, "ada").await[0];
        assert!(ada.starts_with(r#"{"name":{"sealed":"v1."#), "{ada}");
        assert_eq!(loaded(&later, tenant, "grace").await, [OPENED]);
    }
    assert_eq!(claims(&database, PERSON_KEY).await, 2, "grace's, in each tenant");
}

#[tokio::test]
async fn attack_269_nobody_decrypts_a_copy_that_was_given_up() {
    let (database, store, tenant) = fresh().await;
    add(&store, tenant, "ada", 0, ADA).await;
    let mut history = store.read_after(Position::START, 1).await.unwrap();
    let other = testbed::tenant();
    let mut copying = store.copying_for(other).await.unwrap().unwrap();
    copying.seal(&store, &mut history).await.unwrap();
    let mut graft = Graft::begin(&database.admin(), &database, other).await.unwrap();
    graft.append(history, Some(&mut copying), &kernel::SystemClock).await.unwrap();
    // It goes no further: an error, or somebody has stopped it.
    drop(graft);
    let copy = || async {
        let later = sealing(&database, "a").await;
        texts(&later.opened(later.read_after(Position(1), 1).await.unwrap()).await.unwrap())
    };
    assert_eq!(copy().await, [OPENED]);
    for _ in 0..2 {
        assert!(Graft::give_up(&database.admin(), &database, other).await.unwrap(), "nothing was copied");
        assert!(copy().await[0].starts_with(r#"{"name":{"sealed":"v1."#));
    }
    assert_eq!(
        [claims(&database, PERSON_KEY).await, claims(&database, TENANT_KEY).await],
        [1, 1],
        "the first tenant's"
    );
    assert_eq!(store.closed().await.unwrap(), [(other, Closure::Deleted)]);
    let before = raw(&database).await;
    let refused = store.append(append(other, vec![stream("late", 0, 1)])).await.unwrap_err();
    assert!(matches!(refused, append::Error::Closed { .. }), "{refused}");
    // A tenant that is no copy is left alone.
    assert!(!Graft::give_up(&database.admin(), &database, tenant).await.unwrap());
    assert_eq!(raw(&database).await, before, "something was written");
    assert_eq!(loaded(&sealing(&database, "a").await, tenant, "ada").await, [OPENED]);
}
