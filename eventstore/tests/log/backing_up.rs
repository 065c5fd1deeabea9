//! Snapshots while appends continue; restoring into an empty log; grafting a history for another tenant.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use eventstore::backup::{
    Graft, Head, Restore, SideTable, Snapshot, StoredAnswer, StoredClaim, StoredEvent, StoredRow, freeze, grafted_id,
    is_empty, is_filled,
};
use eventstore::{ClaimAct, Closure, Error, EventStore, Role, Settings, claim_key_mark};
use futures::TryStreamExt;
use kernel::{Position, SystemClock, TenantId};
use sqlx::{ConnectOptions, Executor};
use testbed::{Database, eventually};
use tokio::task::JoinHandle;

use super::support::*;

/// The whole contents of a snapshot.
struct Taken {
    head: Head,
    events: Vec<StoredEvent>,
    commands: Vec<StoredAnswer>,
    claims: Vec<StoredClaim>,
}

async fn read(mut snapshot: Snapshot) -> Taken {
    Taken {
        head: snapshot.head(),
        events: snapshot.events().try_collect().await.unwrap(),
        commands: snapshot.commands().try_collect().await.unwrap(),
        claims: snapshot.claims().try_collect().await.unwrap(),
    }
}

async fn take(database: &Database) -> Taken {
    read(freeze(&[(**database).clone()]).await.unwrap().remove(0)).await
}

/// Appends one event, one command and one claim at a time to the first log, and after each acknowledgement to the next log, until told to
/// stop.
fn write(stores: Vec<EventStore>, tenant: TenantId, stop: &Arc<AtomicBool>) -> JoinHandle<()> {
    let stop = Arc::clone(stop);
    tokio::spawn(async move {
        while !stop.load(Ordering::Relaxed) {
            let lead = id();
            for store in &stores {
                let mut append = append(tenant, vec![stream(&lead.to_string(), 0, 1)]);
                let mut claim = claim(ClaimAct::Take, 0, &lead.to_string());
                claim.key[..16].copy_from_slice(lead.as_bytes());
                append.claims.push(claim);
                store.append(append).await.unwrap();
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_concurrent_writing_a_backup_is_one_moment_of_all_logs() {
    let (first, one) = store().await;
    let second = Database::fresh("erp").await;
    let other = open(&second, Settings::default()).await;
    let tenant = testbed::tenant();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..8).map(|_| write(vec![one.clone(), other.clone()], tenant, &stop)).collect();

    let mut last = Position::START;
    for _ in 0..12 {
        eventually("the logs grow", async || (other.head().await.unwrap() > Position(last.0 + 20)).then_some(())).await;
        let databases = [(*first).clone(), (*second).clone()];
        let mut snapshots = freeze(&databases).await.unwrap();
        let (later, earlier) = (read(snapshots.pop().unwrap()).await, read(snapshots.pop().unwrap()).await);
        for taken in [&earlier, &later] {
            let positions: Vec<u64> = taken.events.iter().map(|stored| stored.event.position.0).collect();
            assert_eq!(positions, (1..=taken.head.position.0).collect::<Vec<_>>(), "a prefix, without a gap");
            // Events, commands and claims of one append are in the snapshot together.
            assert_eq!((taken.commands.len(), taken.claims.len()), (taken.events.len(), taken.events.len()));
            assert!(taken.commands.iter().all(|command| command.last <= taken.head.position));
            assert_eq!(taken.events.last().map(|stored| stored.event.recorded_at), taken.head.recorded_at);
        }
        // Events in the second log were appended after the first log acknowledged their causes.
        let leads = |taken: &Taken| taken.events.iter().map(|s| s.event.aggregate_id.clone()).collect::<HashSet<_>>();
        let (causes, effects) = (leads(&earlier), leads(&later));
        assert!(effects.is_subset(&causes), "an effect without its cause");
        assert!(causes.len() - effects.len() <= 8, "each writer is at most one ahead");
        last = later.head.position;
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn who_takes_backups_sees_everything_and_changes_nothing() {
    let (database, store) = store().await;
    store.append(append(testbed::tenant(), vec![stream("l1", 0, 2)])).await.unwrap();
    store.append(append(testbed::tenant(), vec![stream("l1", 0, 3)])).await.unwrap();
    let mut connection = database.options(Role::Backup).connect().await.unwrap();
    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM log.events").fetch_one(&mut connection).await.unwrap();
    assert_eq!(seen, 5);
    let before = contents(&database).await;
    for statement in [
        "DELETE FROM log.events",
        "UPDATE log.head SET position = 0",
        "INSERT INTO log.claims SELECT * FROM log.claims",
        "TRUNCATE log.commands",
    ] {
        let error = connection.execute(statement).await.expect_err(statement);
        assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("42501"), "{statement}");
    }
    assert_eq!(contents(&database).await, before);
}

/// A history with two tenants, claims, and a command without events.
async fn fill(store: &EventStore) -> TenantId {
    let (ours, theirs) = (testbed::tenant(), testbed::tenant());
    for lead in 0..30 {
        let mut one = append(ours, vec![stream(&format!("l{lead}"), 0, 2)]);
        one.claims.push(claim(ClaimAct::Take, lead, &format!("l{lead}")));
        store.append(one).await.unwrap();
        store.append(append(theirs, vec![stream(&format!("l{lead}"), 0, 1)])).await.unwrap();
    }
    // JSON is stored byte for byte: spaces, order, escapes.
    let mut odd = append(ours, vec![stream("odd", 0, 1)]);
    " {\"b\" : 1.50,\n\"a\":\"\\u00e9 \u{e9}\"} ".clone_into(&mut odd.streams[0].events[0].payload);
    store.append(odd).await.unwrap();
    store.append(append(ours, Vec::new())).await.unwrap();
    ours
}

/// All rows of the log's tables, as Postgres prints them.
async fn rows(database: &Database) -> Vec<String> {
    let mut all = Vec::new();
    for table in ["events", "commands", "claims", "head"] {
        let query = format!("SELECT t::text FROM log.{table} t ORDER BY 1");
        let rows: Vec<String> = sqlx::query_scalar(&query).fetch_all(&mut superuser(database).await).await.unwrap();
        assert!(!rows.is_empty(), "{table}");
        all.extend(rows);
    }
    all
}

async fn restore(database: &Database, taken: &Taken) -> Restore {
    let mut restore = Restore::begin(&database.admin(), database).await.unwrap();
    restore.events(&taken.events).await.unwrap();
    restore.commands(&taken.commands).await.unwrap();
    restore.claims(&taken.claims).await.unwrap();
    restore
}

#[tokio::test]
async fn a_restored_log_is_the_same_row_by_row_and_goes_on() {
    let (database, store) = store().await;
    let ours = fill(&store).await;
    let taken = take(&database).await;

    let fresh = Database::fresh("crm").await;
    restore(&fresh, &taken).await.finish(taken.head, taken.head.position).await.unwrap();
    assert_eq!(rows(&fresh).await, rows(&database).await);

    let restored = open(&fresh, Settings::default()).await;
    let next = restored.append(append(ours, vec![stream("l0", 2, 1)])).await.unwrap();
    assert_eq!(next.last, taken.head.position.next());
    let claimed = restored.append({
        let mut append = append(ours, vec![stream("new", 0, 1)]);
        append.claims.push(claim(ClaimAct::Take, 3, "new"));
        append
    });
    assert!(matches!(claimed.await, Err(eventstore::append::Error::ClaimTaken { .. })));
    whole_log(&fresh, &restored).await;
}

#[tokio::test]
async fn what_is_not_finished_leaves_nothing() {
    let (database, store) = store().await;
    fill(&store).await;
    let taken = take(&database).await;
    let fresh = Database::fresh("crm").await;
    drop(restore(&fresh, &taken).await);
    assert_eq!(contents(&fresh).await, [0, 0, 0]);
    // The dropped connection has released its lock.
    restore(&fresh, &taken).await.finish(taken.head, taken.head.position).await.unwrap();
    assert_eq!(rows(&fresh).await, rows(&database).await);
}

#[tokio::test]
async fn a_log_in_which_anything_was_written_is_not_restored_into() {
    let (database, store) = store().await;
    is_empty(&database.admin(), &database, &[]).await.unwrap();
    // Without events: only the command was recorded.
    store.append(append(testbed::tenant(), Vec::new())).await.unwrap();
    let before = contents(&database).await;
    let refused = [
        is_empty(&database.admin(), &database, &[]).await,
        Restore::begin(&database.admin(), &database).await.map(drop),
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::NotEmpty { head: Position::START, .. }), "{error}");
    }
    assert_eq!(contents(&database).await, before);

    let mut missing = (*database).clone();
    missing.name.push_str("_missing");
    is_empty(&database.admin(), &missing, &[&LAMPS]).await.unwrap();
}

#[tokio::test]
async fn a_log_that_was_restored_with_the_same_end_is_known_again_until_something_is_written() {
    let (database, store) = store().await;
    let ours = fill(&store).await;
    let taken = take(&database).await;
    let (head, looked) = (taken.head, Position(taken.head.position.0 - 1));
    let admin = database.admin();
    // It has this end because it was written, not because it was restored.
    assert!(!is_filled(&admin, &database, head, looked).await.unwrap());

    let fresh = Database::fresh("crm").await;
    assert!(!is_filled(&admin, &fresh, head, looked).await.unwrap());
    restore(&fresh, &taken).await.finish(head, looked).await.unwrap();
    let restored = rows(&fresh).await;
    assert!(is_filled(&admin, &fresh, head, looked).await.unwrap());
    let earlier = Head { position: looked, ..head };
    for (head, looked) in [(earlier, looked), (Head { recorded_at: None, ..head }, looked), (head, head.position)] {
        assert!(!is_filled(&admin, &fresh, head, looked).await.unwrap(), "{head:?} {looked}");
        let refused = Restore::reopen(&admin, &fresh, head, looked).await.map(drop).unwrap_err();
        assert!(matches!(refused, Error::NotEmpty { .. }), "{refused}");
    }
    Restore::reopen(&admin, &fresh, head, looked).await.unwrap().finish(head, looked).await.unwrap();
    assert_eq!(rows(&fresh).await, restored);

    // A command without events moves no position, but the time.
    open(&fresh, Settings::default()).await.append(append(ours, Vec::new())).await.unwrap();
    assert!(!is_filled(&admin, &fresh, head, looked).await.unwrap());
    let refused = Restore::reopen(&admin, &fresh, head, looked).await.map(drop).unwrap_err();
    assert!(matches!(refused, Error::NotEmpty { .. }), "{refused}");

    let mut missing = (*database).clone();
    missing.name.push_str("_missing");
    assert!(!is_filled(&admin, &missing, head, looked).await.unwrap());
}

/// A table next to the log.
const LAMPS: SideTable =
    SideTable { table: "demo.lamps", key: &["lamp_id"], only: None, secrets: &[], restored: |_| {} };

/// Creates it.
async fn lamps(database: &Database) {
    let make = "CREATE SCHEMA demo AUTHORIZATION inopsio_crm_owner;
                CREATE TABLE demo.lamps (tenant_id uuid, lamp_id int);
                ALTER TABLE demo.lamps OWNER TO inopsio_crm_owner";
    superuser(database).await.execute(make).await.unwrap();
}

#[tokio::test]
async fn a_log_beside_which_somebody_set_something_up_for_all_tenants_is_not_restored_into() {
    let (database, _store) = store().await;
    let side_tables: [&SideTable; 1] = [&LAMPS];
    is_empty(&database.admin(), &database, &side_tables).await.unwrap();
    lamps(&database).await;
    is_empty(&database.admin(), &database, &side_tables).await.unwrap();
    let set_up = "INSERT INTO demo.lamps VALUES ('00000000-0000-0000-0000-000000000000', 1)";
    superuser(&database).await.execute(set_up).await.unwrap();
    let error = is_empty(&database.admin(), &database, &side_tables).await.unwrap_err();
    assert!(matches!(error, Error::NotEmptyBeside { table: "demo.lamps", .. }), "{error}");
    is_empty(&database.admin(), &database, &[]).await.unwrap();
    assert_eq!((contents(&database).await, count(&database, "demo.lamps").await), ([0, 0, 0], 1));
}

#[tokio::test]
async fn a_deleted_tenant_is_closed_where_it_has_history_only_and_not_where_something_stands_beside_it() {
    let (database, store) = store().await;
    let ours = fill(&store).await;
    let taken = take(&database).await;
    let theirs = taken.events.iter().map(|stored| stored.event.tenant).find(|tenant| *tenant != ours).unwrap();
    let fresh = Database::fresh("crm").await;
    lamps(&fresh).await;
    let mut restore = Restore::begin(&fresh.admin(), &fresh).await.unwrap();
    restore.events(&taken.events).await.unwrap();
    let mut lamp = serde_json::Map::new();
    lamp.insert("tenant_id".to_owned(), theirs.to_string().into());
    lamp.insert("lamp_id".to_owned(), 1.into());
    restore.side_table(&LAMPS, &[StoredRow::read(lamp).unwrap()]).await.unwrap();
    restore.close_deleted(&[ours.uuid(), theirs.uuid()]).await.unwrap();
    restore.finish(taken.head, taken.head.position).await.unwrap();
    let restored = open(&fresh, Settings::default()).await;
    assert_eq!(
        restored.closed().await.unwrap(),
        [(ours, Closure::Deleted)],
        "of the other one the rest is destroyed yet"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graft_appends_a_history_for_another_tenant_while_others_write() {
    let (database, store) = store().await;
    let ours = fill(&store).await;
    let history: Vec<_> = take(&database)
        .await
        .events
        .into_iter()
        .map(|stored| stored.event)
        .filter(|event| event.tenant == ours)
        .collect();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = write(vec![store.clone()], testbed::tenant(), &stop);

    let tenant = testbed::tenant();
    let mut graft = Graft::begin(&database.admin(), &database, tenant).await.unwrap();
    for chunk in history.chunks(7) {
        graft.append(chunk.to_vec(), None, &SystemClock).await.unwrap();
    }
    let claimed = StoredClaim { tenant, kind: "crm.contact.email".to_owned(), key: [9; 32], holder: "l1".to_owned() };
    graft.finish(&[claimed], None).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();

    // Positions without gaps, times in order, every leaf hash that of its event.
    let log = whole_log(&database, &store).await;
    let grafted: Vec<_> = log.into_iter().filter(|event| event.tenant == tenant).collect();
    assert_eq!(grafted.len(), history.len());
    for (new, old) in grafted.iter().zip(&history) {
        let expected = kernel::RecordedEvent {
            tenant,
            position: new.position,
            event_id: grafted_id(tenant, old.event_id),
            recorded_at: new.recorded_at,
            ..old.clone()
        };
        assert_eq!(*new, expected);
    }
    // The new tenant is a normal one: streams continue, claims are effective.
    store.append(append(tenant, vec![stream("l1", 2, 1)])).await.unwrap();
    let mut taken = append(tenant, vec![stream("late", 0, 1)]);
    taken.claims.push(claim(ClaimAct::Take, 9, "late"));
    assert!(matches!(store.append(taken).await, Err(eventstore::append::Error::ClaimTaken { .. })));
}

#[tokio::test]
async fn a_backup_that_waits_for_one_log_lets_the_others_be_written_after_some_seconds_and_fails() {
    let (first, store) = store().await;
    let second = Database::fresh("erp").await;
    let mut holder = superuser(&second).await;
    let lock = eventstore::LockKey::Writing.number();
    sqlx::query("SELECT pg_advisory_lock($1)").bind(lock).execute(&mut holder).await.unwrap();
    let databases = [(*first).clone(), (*second).clone()];
    let freezing = tokio::spawn(async move { freeze(&databases).await.map(drop) });
    // It holds the first lock, and waits for the second one.
    eventually("the second log is waited for", async || {
        let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
        let asked = sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut superuser(&second).await).await;
        asked.unwrap().then_some(())
    })
    .await;
    store.append(append(testbed::tenant(), vec![stream("a", 0, 1)])).await.unwrap();
    assert!(!freezing.is_finished());
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(lock).execute(&mut holder).await.unwrap();
    assert!(freezing.await.unwrap().is_err(), "the first log went on meanwhile: that is no moment");
}

#[tokio::test]
async fn a_restored_log_has_the_claim_key_of_its_backup() {
    let from = Database::fresh("crm").await;
    let marked = async |database: &Database| {
        let mut snapshot = freeze(&[(**database).clone()]).await.unwrap().remove(0);
        snapshot.claim_key_mark().await.unwrap()
    };
    assert_eq!(marked(&from).await, None, "nobody had any yet");
    let store = open(&from, keyed(7)).await;
    store.append(append(testbed::tenant(), vec![stream("a", 0, 1)])).await.unwrap();
    let mark = marked(&from).await.unwrap();
    assert_eq!(mark, claim_key_mark(&[7; 32]));

    // A server with another key was started by mistake before the log was restored.
    let into = Database::fresh("crm").await;
    check_keys(&into, keyed(8)).await.unwrap();
    let taken = take(&from).await;
    let mut restore = Restore::begin(&into.admin(), &into).await.unwrap();
    restore.events(&taken.events).await.unwrap();
    restore.claim_key_mark(&mark).await.unwrap();
    restore.finish(taken.head, taken.head.position).await.unwrap();
    check_keys(&into, keyed(7)).await.unwrap();
    let refused = check_keys(&into, keyed(8)).await.unwrap_err();
    assert!(matches!(refused, Error::ClaimKey), "{refused}");
}
