//! Pausing, closing and moving tenants to another cell.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eventstore::append::Error;
use eventstore::backup::Graft;
use eventstore::transfer::{self, Transfer, TransferError};
use eventstore::{Append, ClaimAct, Closure, EventStore, Settings};
use kernel::{Position, Service, SystemClock, TenantId};
use sqlx::postgres::PgRow;
use sqlx::{Connection, Executor, Row};
use testbed::Database;

use super::sealing::{ADA, add, sealed_by, sealing};
use super::support::*;

pub(super) const CRM: Service = Service::new("crm");

/// The databases of two cells, and a transfer between them.
pub(super) async fn between(tenant: TenantId, from: &Database, to: &Database) -> Transfer {
    Transfer::begin(CRM, tenant, &from.superuser(), &to.superuser()).await.unwrap()
}

async fn refused(store: &EventStore, tenant: TenantId) -> bool {
    let outcome = store.append(append(tenant, vec![stream(&id().to_string(), 0, 1)])).await;
    match outcome {
        Ok(_) => false,
        Err(Error::Closed { tenant: closed }) => closed == tenant,
        Err(error) => panic!("{error}"),
    }
}

/// All data of a tenant in a log except positions, in order.
pub(super) async fn rows(database: &Database, tenant: TenantId) -> Vec<(String, String, String)> {
    let mut superuser = superuser(database).await;
    let row = |row: PgRow| (row.get(0), row.get(1), row.get(2));
    let events = "SELECT (to_jsonb(e) - 'position')::text, payload::text, metadata::text
                  FROM log.events e WHERE tenant_id = $1 ORDER BY position";
    let mut all = sqlx::query(events).bind(tenant.uuid()).map(row).fetch_all(&mut superuser).await.unwrap();
    let commands =
        "SELECT command_id, answer, encode(request_hash, 'hex') FROM log.commands WHERE tenant_id = $1 ORDER BY 1";
    all.extend(sqlx::query(commands).bind(tenant.uuid()).map(row).fetch_all(&mut superuser).await.unwrap());
    let claims = "SELECT kind, encode(key, 'hex'), holder FROM log.claims WHERE tenant_id = $1 ORDER BY 1, 2";
    all.extend(sqlx::query(claims).bind(tenant.uuid()).map(row).fetch_all(&mut superuser).await.unwrap());
    all
}

#[tokio::test]
async fn a_closed_tenant_is_refused_with_nothing_written_while_its_neighbours_of_the_batch_go_on() {
    let (database, store) = store().await;
    let elsewhere = Database::fresh("crm").await;
    let (closed, other) = (testbed::tenant(), testbed::tenant());
    let mut transfer = between(closed, &database, &elsewhere).await;
    transfer.pause("east", Duration::from_mins(1)).await.unwrap();
    assert_eq!(store.closed().await.unwrap(), [(closed, Closure::Paused)]);
    let mixed = (0..40).map(|nth| {
        let (store, tenant) = (store.clone(), if nth % 4 == 0 { closed } else { other });
        async move { (tenant, refused(&store, tenant).await) }
    });
    for (tenant, refused) in futures::future::join_all(mixed).await {
        assert_eq!(refused, tenant == closed);
    }
    assert_eq!(rows(&database, closed).await, []);
    assert_eq!(store.head().await.unwrap(), Position(30));
    transfer::resume(transfer.old(), closed).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), async { while refused(&store, closed).await {} }).await.unwrap();
}

#[tokio::test]
async fn a_pause_ends_by_itself_and_then_can_not_be_held() {
    let (database, store) = store().await;
    let elsewhere = Database::fresh("crm").await;
    let tenant = testbed::tenant();
    let mut transfer = between(tenant, &database, &elsewhere).await;
    transfer.pause("east", Duration::from_millis(50)).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), async { while refused(&store, tenant).await {} }).await.unwrap();
    assert!(matches!(transfer.hold().await, Err(TransferError::PauseOver(CRM))));
    assert_eq!(store.closed().await.unwrap(), []);
    transfer.pause("east", Duration::from_mins(1)).await.unwrap();
    transfer.hold().await.unwrap();
    assert!(refused(&store, tenant).await);
}

#[tokio::test]
async fn a_pause_opens_nobody_again_who_has_left_or_is_deleted() {
    let (database, store) = store().await;
    let elsewhere = Database::fresh("crm").await;
    let tenant = testbed::tenant();
    // Two movers of one move: the first one has lost its lock in the directory without noticing.
    let mut first = between(tenant, &database, &elsewhere).await;
    let mut second = between(tenant, &database, &elsewhere).await;
    first.pause("east", Duration::from_mins(1)).await.unwrap();
    first.hold().await.unwrap();
    first.leave("east").await.unwrap();
    let mut alter = superuser(&database).await;
    for (state, closure) in [("left", Closure::Left), ("arriving", Closure::Arriving), ("deleted", Closure::Deleted)] {
        sqlx::query("UPDATE log.closed SET state = $1").bind(state).execute(&mut alter).await.unwrap();
        let error = second.pause("east", Duration::ZERO).await.unwrap_err();
        assert!(matches!(error, TransferError::Gone(CRM)), "{error}");
        assert_eq!(store.closed().await.unwrap(), [(tenant, closure)]);
        assert!(refused(&store, tenant).await);
    }
    assert_eq!(rows(&database, tenant).await, []);
}

#[tokio::test]
async fn a_history_moves_as_it_is_in_rounds_and_goes_on_in_the_other_cell() {
    let (from, here) = store().await;
    let (to, there) = store().await;
    let (tenant, other, neighbour) = (testbed::tenant(), testbed::tenant(), testbed::tenant());
    there.append(append(neighbour, vec![stream("n", 0, 3)])).await.unwrap();
    let mut first = append(tenant, vec![stream("a", 0, 3), stream("b", 0, 1)]);
    first.claims = vec![claim(ClaimAct::Take, 1, "a contact"), claim(ClaimAct::Take, 2, "a contact")];
    here.append(first).await.unwrap();
    here.append(append(other, vec![stream("o", 0, 2)])).await.unwrap();

    let mut transfer = between(tenant, &from, &to).await;
    transfer.expect("west").await.unwrap();
    assert!(refused(&there, tenant).await, "it is not whole there");
    assert_eq!(transfer.round().await.unwrap(), 4);
    drop(transfer);

    // The tenant continues to write, releases a claim, and sends a command that changes nothing; the move starts again.
    let repeated = id().to_string();
    let mut second = append(tenant, vec![stream("a", 3, 2)]);
    second.claims = vec![claim(ClaimAct::Release, 1, "a contact"), claim(ClaimAct::Take, 3, "a contact")];
    second.command = command(&repeated);
    here.append(second).await.unwrap();
    here.append(append(tenant, Vec::new())).await.unwrap();
    let mut transfer = between(tenant, &from, &to).await;
    transfer.pause("east", Duration::from_mins(1)).await.unwrap();
    assert_eq!(transfer.round().await.unwrap(), 2);
    let compared = transfer.compare().await.unwrap();
    assert_eq!((compared.events, compared.streams, compared.last), (6, 2, Position(9)));
    assert_eq!(rows(&from, tenant).await, rows(&to, tenant).await);
    assert!(refused(&here, tenant).await && refused(&there, tenant).await, "it writes nowhere");

    transfer.hold().await.unwrap();
    transfer.leave("east").await.unwrap();
    transfer.open().await.unwrap().finish().await.unwrap();
    assert!(refused(&here, tenant).await);
    let mut again = append(tenant, vec![stream("a", 3, 2)]);
    again.command = command(&repeated);
    // A tenant that was refused a moment ago may be refused for another moment.
    let done = testbed::eventually("the tenant is let in", async || match there.append(again.clone()).await {
        Err(Error::Closed { .. }) => None,
        done => Some(done.unwrap()),
    });
    let done = done.await;
    assert_eq!((done.first, done.last), (Position(8), Position(9)), "done before, at its place here");
    there.append(append(tenant, vec![stream("a", 5, 1)])).await.unwrap();
    assert_eq!(there.load(tenant, "crm.lead", "a", 0).await.unwrap().len(), 6);
    assert_eq!(there.read_after(Position(0), 100).await.unwrap().len(), 10);

    // The old copy is deleted as far as possible; live data can't be purged.
    let mut old = superuser(&from).await;
    let mut alive = superuser(&to).await;
    assert!(transfer::purge(&mut alive, CRM, tenant).await.is_err());
    transfer::purge(&mut old, CRM, tenant).await.unwrap();
    assert_eq!(rows(&from, tenant).await.len(), 6);
    assert_eq!(here.read_after(Position(0), 100).await.unwrap().len(), 8);
    here.close().await;
    there.close().await;
}

#[tokio::test]
async fn a_history_of_large_events_moves_a_few_at_a_time() {
    let (from, here) = store().await;
    let to = Database::fresh("crm").await;
    let tenant = testbed::tenant();
    for nth in 0..6 {
        let streams = vec![album(&format!("album {nth}"), 10), stream(&format!("l{nth}"), 0, 30)];
        here.append(append(tenant, streams)).await.unwrap();
    }
    let mut transfer = between(tenant, &from, &to).await;
    assert_eq!(transfer.round().await.unwrap(), 240);
    drop(transfer);
    // A new transfer compares the existing data.
    let mut transfer = between(tenant, &from, &to).await;
    assert_eq!(transfer.round().await.unwrap(), 0);
    assert_eq!(transfer.compare().await.unwrap().events, 240);
    assert_eq!(rows(&from, tenant).await, rows(&to, tenant).await);
}

/// The numbers of rows that all sessions have read from the log's tables and indexes, by Postgres's statistics.
async fn rows_read(database: &Database) -> i64 {
    let read = "SELECT (SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables WHERE schemaname = 'log')::bigint
                     + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = 'log')::bigint";
    sqlx::query_scalar(read).fetch_one(&mut superuser(database).await).await.unwrap()
}

/// Makes Postgres flush the statistics of the transfer's session.
async fn counted(transfer: &mut Transfer) {
    for flush in ["SELECT pg_stat_force_next_flush()", "SELECT 1"] {
        transfer.old().execute(flush).await.unwrap();
        transfer.new_cell().execute(flush).await.unwrap();
    }
}

#[tokio::test]
async fn a_pause_reads_what_was_touched_since_the_last_round_however_much_there_is() {
    let mut read = Vec::new();
    for there_is in [40_u16, 1_200] {
        let (from, here) = store().await;
        let to = Database::fresh("crm").await;
        let tenant = testbed::tenant();
        for nth in 0..there_is {
            let mut new = append(tenant, vec![stream(&format!("s{nth}"), 0, 1)]);
            new.claims = vec![StoredKey(nth).claim(ClaimAct::Take)];
            here.append(new).await.unwrap();
        }
        let mut transfer = between(tenant, &from, &to).await;
        assert_eq!(transfer.round().await.unwrap(), u64::from(there_is));
        for nth in 0..3 {
            let mut new = append(tenant, vec![stream(&format!("s{nth}"), 1, 1)]);
            new.claims = vec![StoredKey(nth).claim(ClaimAct::Release), StoredKey(10_000 + nth).claim(ClaimAct::Take)];
            here.append(new).await.unwrap();
        }
        here.append(append(tenant, Vec::new())).await.unwrap();
        // The writing sessions have ended, and their statistics were flushed.
        here.close().await;
        testbed::eventually("only the mover is connected", async || {
            let others =
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
            let others: i64 = sqlx::query_scalar(others).fetch_one(&mut superuser(&from).await).await.unwrap();
            (others == 1).then_some(())
        })
        .await;
        counted(&mut transfer).await;
        let before = rows_read(&from).await + rows_read(&to).await;
        transfer.pause("east", Duration::from_mins(1)).await.unwrap();
        assert_eq!(transfer.round().await.unwrap(), 3);
        let compared = transfer.compare().await.unwrap();
        counted(&mut transfer).await;
        read.push(rows_read(&from).await + rows_read(&to).await - before);
        assert_eq!(compared.events, u64::from(there_is) + 3);
        assert_eq!(rows(&from, tenant).await, rows(&to, tenant).await);
    }
    println!("rows read in the pause: {read:?}");
    assert!(read[0] > 10 && read[1] < read[0] + 40, "the pause grows with what there is: {read:?}");
}

/// One of many keys.
struct StoredKey(u16);

impl StoredKey {
    fn claim(&self, act: ClaimAct) -> eventstore::Claim {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&self.0.to_be_bytes());
        eventstore::Claim { key, ..claim(act, 0, &format!("h{}", self.0)) }
    }
}

#[tokio::test]
async fn what_is_touched_is_noted_for_the_tenant_that_moves_until_its_move_ends() {
    let (from, here) = store().await;
    let to = Database::fresh("crm").await;
    let (tenant, other) = (testbed::tenant(), testbed::tenant());
    here.append(append(tenant, vec![stream("a", 0, 1)])).await.unwrap();
    assert_eq!(count(&from, "log.touched").await, 0);
    let mut transfer = between(tenant, &from, &to).await;
    transfer.round().await.unwrap();
    here.append(append(other, vec![stream("o", 0, 1)])).await.unwrap();
    let mut taken = append(tenant, vec![stream("a", 1, 1)]);
    taken.claims = vec![claim(ClaimAct::Take, 1, "a")];
    here.append(taken).await.unwrap();
    assert_eq!(count(&from, "log.touched").await, 2, "a command and a claim of the tenant");
    transfer.round().await.unwrap();
    // Released and taken by another holder: that holder has it in the new cell, too.
    let mut given = append(tenant, vec![stream("a", 2, 1)]);
    given.claims = vec![claim(ClaimAct::Release, 1, "a")];
    here.append(given).await.unwrap();
    let mut taken = append(tenant, vec![stream("b", 0, 1)]);
    taken.claims = vec![claim(ClaimAct::Take, 1, "b")];
    here.append(taken).await.unwrap();
    // Until this was copied, the two sides differ, and the comparison finds it.
    let mut another = between(tenant, &from, &to).await;
    assert!(matches!(another.compare().await, Err(TransferError::Differs { .. })));
    transfer.round().await.unwrap();
    transfer.compare().await.unwrap();
    assert_eq!(rows(&from, tenant).await, rows(&to, tenant).await);
    transfer::ended(transfer.old(), tenant).await.unwrap();
    here.append(append(tenant, vec![stream("a", 3, 1)])).await.unwrap();
    assert_eq!(count(&from, "log.touched").await, 0);
    here.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_concurrent_writing_commands_stand_where_their_events_do_and_claims_come_before_them() {
    let (from, here) = store().await;
    let to = Database::fresh("crm").await;
    let tenant = testbed::tenant();
    let (stop, store) = (Arc::new(AtomicBool::new(false)), here.clone());
    let stopping = Arc::clone(&stop);
    let writing = tokio::spawn(async move {
        let mut written = 0_u8;
        while !stopping.load(Ordering::Relaxed) && written < 250 {
            written += 1;
            let mut new = append(tenant, vec![stream(&format!("s{written}"), 0, 2)]);
            new.claims = vec![claim(ClaimAct::Take, written, &format!("s{written}"))];
            store.append(new).await.unwrap();
        }
        i64::from(written)
    });
    let mut transfer = between(tenant, &from, &to).await;
    let unclaimed = "SELECT count(*) FROM log.events e
                     WHERE NOT EXISTS (SELECT FROM log.claims c WHERE c.holder = e.aggregate_id)";
    while count(&to, "log.events").await < 60 {
        transfer.round().await.unwrap();
        let unclaimed: i64 = sqlx::query_scalar(unclaimed).fetch_one(&mut superuser(&to).await).await.unwrap();
        assert_eq!(unclaimed, 0, "an event is there, its claim is not");
    }
    stop.store(true, Ordering::Relaxed);
    let written = writing.await.unwrap();
    transfer.round().await.unwrap();
    transfer.compare().await.unwrap();
    let misplaced = "SELECT count(*) FROM log.commands c
                     WHERE (SELECT count(*) FROM log.events e
                            WHERE e.position IN (c.first_position, c.last_position) AND c.last_position = c.first_position + 1
                              AND e.sequence = e.position - c.first_position + 1) <> 2";
    let misplaced: i64 = sqlx::query_scalar(misplaced).fetch_one(&mut superuser(&to).await).await.unwrap();
    assert_eq!((misplaced, count(&to, "log.commands").await), (0, written));
    here.close().await;
}

#[tokio::test]
async fn another_history_in_the_new_cell_is_refused_and_nothing_is_written() {
    let (from, here) = store().await;
    let (to, there) = store().await;
    let tenant = testbed::tenant();
    here.append(append(tenant, vec![stream("a", 0, 2)])).await.unwrap();
    there.append(append(tenant, vec![stream("a", 0, 1)])).await.unwrap();
    let before = (rows(&from, tenant).await, rows(&to, tenant).await);
    let refused = Transfer::begin(CRM, tenant, &from.superuser(), &to.superuser()).await;
    assert!(matches!(refused.map(|_| ()), Err(TransferError::Differs { service: CRM, .. })));
    assert_eq!((rows(&from, tenant).await, rows(&to, tenant).await), before);
}

#[tokio::test]
async fn whoever_is_bound_by_row_level_security_can_not_move_anybody() {
    let database = Database::fresh("crm").await;
    let options = database.options(eventstore::Role::Backup);
    let refused = Transfer::begin(CRM, testbed::tenant(), &options, &database.superuser()).await;
    assert!(matches!(refused.map(|_| ()), Err(TransferError::Role(role)) if role == "inopsio_crm_backup"));
}

#[tokio::test]
async fn a_closed_tenant_is_listed_only_as_long_as_it_is_closed() {
    let (database, store) = store().await;
    let elsewhere = Database::fresh("crm").await;
    let tenant = testbed::tenant();
    let mut transfer = between(tenant, &database, &elsewhere).await;
    transfer.leave("east").await.unwrap();
    assert_eq!(store.closed().await.unwrap(), [(tenant, Closure::Left)]);
    // Only a pause can be ended in this way.
    transfer::resume(transfer.old(), tenant).await.unwrap();
    assert_eq!(store.closed().await.unwrap(), [(tenant, Closure::Left)]);
    assert!(open(&elsewhere, Settings::default()).await.closed().await.unwrap().is_empty());
}

/// Whether a transaction blocks the writers.
async fn kept_from_writing(database: &Database) -> bool {
    let kept = "SELECT EXISTS (
                    SELECT FROM pg_locks
                    WHERE locktype = 'advisory' AND granted AND ((classid::bigint << 32) | objid::bigint) = $1
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
    let asked = sqlx::query_scalar(kept).bind(eventstore::LockKey::Writing.number());
    asked.fetch_one(&mut superuser(database).await).await.unwrap()
}

#[tokio::test]
async fn whoever_is_suspended_while_it_keeps_others_from_writing_loses_that_after_some_seconds() {
    let (database, store) = store().await;
    let elsewhere = Database::fresh("crm").await;
    let (moving, other) = (testbed::tenant(), testbed::tenant());
    let mut transfer = between(moving, &database, &elsewhere).await;
    // This table lock stops it at its write, however far one poll gets.
    let mut ahead = superuser(&database).await;
    let mut holding = ahead.begin().await.unwrap();
    holding.execute("LOCK TABLE log.closed IN SHARE MODE").await.unwrap();
    {
        let mut pausing = std::pin::pin!(transfer.pause("east", Duration::from_mins(1)));
        while !kept_from_writing(&database).await {
            assert!(futures::poll!(pausing.as_mut()).is_pending(), "it wrote though it could not");
        }
        // From here on it is not polled any more.
        holding.rollback().await.unwrap();
        let appended = tokio::time::timeout(Duration::from_mins(1), async { while refused(&store, other).await {} });
        appended.await.expect("others write");
        assert!(pausing.await.is_err(), "it holds nothing any more");
    }
    assert_eq!(store.closed().await.unwrap(), [], "nothing of it is written");
    assert!(!refused(&store, moving).await);
}

#[tokio::test]
async fn what_is_a_copy_of_another_tenants_history_is_one_in_the_new_cell_too() {
    let (from, here) = store().await;
    let (to, there) = store().await;
    let (first, copy, neighbour) = (testbed::tenant(), testbed::tenant(), testbed::tenant());
    there.append(append(neighbour, vec![stream("n", 0, 3)])).await.unwrap();
    here.append(append(first, vec![stream("a", 0, 3)])).await.unwrap();
    let events = here.read_after(Position::START, 10).await.unwrap();
    let mut graft = Graft::begin(&from.admin(), &from, copy).await.unwrap();
    graft.append(events, None, &SystemClock).await.unwrap();
    graft.finish(&[], None).await.unwrap();
    here.append(append(copy, vec![stream("b", 0, 2)])).await.unwrap();

    let mut transfer = between(copy, &from, &to).await;
    transfer.expect("west").await.unwrap();
    transfer.round().await.unwrap();
    // Later events are the tenant's own.
    here.append(append(copy, vec![stream("c", 0, 1)])).await.unwrap();
    transfer.round().await.unwrap();
    let copied = there.copied(&[copy.uuid()]).await.unwrap();
    let events = there.read_after(Position(3), 10).await.unwrap();
    let seen: Vec<_> = events
        .iter()
        .map(|event| (&*event.aggregate_id, copied.is_of_another(event), copied.is_restored(event)))
        .collect();
    let expected = [("a", true), ("a", true), ("a", true), ("b", false), ("b", false), ("c", false)]
        .map(|(id, of)| (id, of, true));
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn attack_239_no_tenant_moves_to_a_cell_with_another_claim_key() {
    let (from, to) = (Database::fresh("crm").await, Database::fresh("crm").await);
    let tenant = testbed::tenant();
    let taken = Append { claims: vec![claim(ClaimAct::Take, 1, "a")], ..append(tenant, vec![stream("a", 0, 1)]) };
    open(&from, keyed(7)).await.append(taken).await.unwrap();
    open(&to, keyed(8)).await.append(append(testbed::tenant(), vec![stream("b", 0, 1)])).await.unwrap();
    let before = contents(&to).await;
    let refused = Transfer::begin(CRM, tenant, &from.superuser(), &to.superuser()).await.err().unwrap();
    assert!(matches!(refused, TransferError::ClaimKey(CRM)), "{refused}");
    assert_eq!(contents(&to).await, before, "nothing was written");

    // A cell in which nobody has written yet takes the key of the tenant's cell.
    let fresh = Database::fresh("crm").await;
    between(tenant, &from, &fresh).await.round().await.unwrap();
    let before = contents(&fresh).await;
    let other = append(testbed::tenant(), vec![stream("c", 0, 1)]);
    let refused = open(&fresh, keyed(8)).await.append(other).await.unwrap_err();
    assert!(matches!(&refused, Error::Unavailable(why) if why.contains("INOPSIO_CLAIM_KEY")), "{refused}");
    assert_eq!(contents(&fresh).await, before, "nothing was written");
}

#[tokio::test]
async fn attack_243_no_tenant_moves_to_a_cell_with_another_master_key() {
    let (from, to, tenant) = (Database::fresh("crm").await, Database::fresh("crm").await, testbed::tenant());
    add(&sealing(&from, "a").await, tenant, "ada", 0, ADA).await;
    add(&sealing(&to, "b").await, testbed::tenant(), "grace", 0, ADA).await;
    let before = contents(&to).await;
    let refused = Transfer::begin(CRM, tenant, &from.superuser(), &to.superuser()).await.err().unwrap();
    assert!(matches!(&refused, TransferError::MasterKey { service: CRM, .. }), "{refused}");
    assert_eq!(contents(&to).await, before, "nothing was written");

    let fresh = Database::fresh("crm").await;
    between(tenant, &from, &fresh).await.round().await.unwrap();
    // What was begun goes on.
    between(tenant, &from, &fresh).await.round().await.unwrap();
    let before = contents(&fresh).await;
    let refused = check_keys(&fresh, sealed_by("b")).await.unwrap_err();
    assert!(matches!(refused, eventstore::Error::MasterKey { .. }), "{refused}");
    assert_eq!(contents(&fresh).await, before, "nothing was written");
}
