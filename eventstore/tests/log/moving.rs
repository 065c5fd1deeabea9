//! A tenant is closed for a while, or for good, and its history goes to another cell.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eventstore::append::Error;
use eventstore::transfer::{self, Transfer, TransferError};
use eventstore::{ClaimAct, Closure, EventStore, Settings};
use kernel::{Position, Service, TenantId};
use sqlx::Row;
use sqlx::postgres::PgRow;
use testbed::Database;

use super::support::*;

const CRM: Service = Service::new("crm");

/// Two cells' databases, and what is between them.
async fn between(tenant: TenantId, from: &Database, to: &Database) -> Transfer {
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

/// All that a log has of a tenant but positions, in order.
async fn rows(database: &Database, tenant: TenantId) -> Vec<(String, String, String)> {
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

    // It writes on, gives a claim back, and does something that changes nothing; whoever moves it begins anew.
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
    // Who was refused just now may be so for another moment.
    let done = testbed::eventually("the tenant is let in", async || match there.append(again.clone()).await {
        Err(Error::Closed { .. }) => None,
        done => Some(done.unwrap()),
    });
    let done = done.await;
    assert_eq!((done.first, done.last), (Position(8), Position(9)), "done before, at its place here");
    there.append(append(tenant, vec![stream("a", 5, 1)])).await.unwrap();
    assert_eq!(there.load(tenant, "crm.lead", "a", 0).await.unwrap().len(), 6);
    assert_eq!(there.read_after(Position(0), 100).await.unwrap().len(), 10);

    // What can be deleted of the old copy is; what is alive can't be.
    let mut old = superuser(&from).await;
    let mut alive = superuser(&to).await;
    assert!(transfer::purge(&mut alive, CRM, tenant).await.is_err());
    transfer::purge(&mut old, CRM, tenant).await.unwrap();
    assert_eq!(rows(&from, tenant).await.len(), 6);
    assert_eq!(here.read_after(Position(0), 100).await.unwrap().len(), 8);
    here.close().await;
    there.close().await;
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
    // Only a pause is taken back so.
    transfer::resume(transfer.old(), tenant).await.unwrap();
    assert_eq!(store.closed().await.unwrap(), [(tenant, Closure::Left)]);
    assert!(open(&elsewhere, Settings::default()).await.closed().await.unwrap().is_empty());
}
