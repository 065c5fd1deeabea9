//! Seals in backups: they are exported with the events that they cover, and are valid in the restored log.

use eventstore::Settings;
use eventstore::backup::{Restore, SealedEvent, freeze};
use eventstore::seals::{Seal, last_seal};
use eventstore::{Error, EventStore};
use futures::TryStreamExt;
use kernel::{Position, TenantId};
use sqlx::Executor;
use testbed::Database;

use super::proving::{key, seal, sealed, verified};
use super::support::*;

/// The whole log with its seals, as a backup reads it.
async fn taken(database: &Database) -> Result<Vec<SealedEvent>, Error> {
    let mut snapshot = freeze(&[(**database).clone()]).await.unwrap().remove(0);
    let seals = snapshot.seals().await?;
    snapshot.sealed_events(Some(seals)).try_collect().await
}

/// All seals, as Postgres prints them.
async fn seals(database: &Database) -> Vec<String> {
    let rows = "SELECT s::text FROM log.seals s ORDER BY tenant_id, size";
    sqlx::query_scalar(rows).fetch_all(&mut superuser(database).await).await.unwrap()
}

/// A log of two tenants: one with five events in two seals, the other with three events in one, interleaved.
async fn filled(database: &Database, store: &EventStore) -> (TenantId, TenantId) {
    let (ours, theirs) = (testbed::tenant(), testbed::tenant());
    let (task, stop) = seal(database, key("11"));
    store.append(append(ours, vec![stream("l1", 0, 2)])).await.unwrap();
    sealed(store, ours, 2).await;
    store.append(append(theirs, vec![stream("l1", 0, 3)])).await.unwrap();
    sealed(store, theirs, 3).await;
    store.append(append(ours, vec![stream("l2", 0, 3)])).await.unwrap();
    sealed(store, ours, 5).await;
    stop.cancel();
    task.await.unwrap();
    (ours, theirs)
}

#[tokio::test]
async fn a_seal_comes_with_the_last_event_that_it_is_of_and_the_chain_goes_on_in_the_restored_log() {
    let (database, store) = store().await;
    let (ours, theirs) = filled(&database, &store).await;
    // Events that are appended later are in no seal, and a tenant without seals is not queried.
    store.append(append(ours, vec![stream("l3", 0, 1)])).await.unwrap();
    store.append(append(testbed::tenant(), vec![stream("l1", 0, 1)])).await.unwrap();
    let log = taken(&database).await.unwrap();
    let places: Vec<_> = log
        .iter()
        .filter_map(|(event, seal)| Some((event.event.position.0, event.event.tenant, seal.as_ref()?.size)))
        .collect();
    assert_eq!(places, [(2, ours, 2), (5, theirs, 3), (8, ours, 5)]);
    assert!(log.iter().all(|(event, seal)| seal.as_ref().is_none_or(|seal| seal.tenant == event.event.tenant.uuid())));

    let fresh = Database::fresh("crm").await;
    let mut restore = Restore::begin(&fresh.admin(), &fresh).await.unwrap();
    let (events, with): (Vec<_>, Vec<Option<Seal>>) = log.into_iter().unzip();
    restore.events(&events).await.unwrap();
    restore.seals(&with.into_iter().flatten().collect::<Vec<_>>()).await.unwrap();
    let mut moment = freeze(&[(*database).clone()]).await.unwrap();
    let head = moment.remove(0).head();
    restore.finish(head, head.position).await.unwrap();
    let before = seals(&database).await;
    assert_eq!((seals(&fresh).await, before.len()), (before, 3));

    // Verified before the sealer runs; then only events without a seal are signed, after the last seal.
    let restored = open(&fresh, Settings::default()).await;
    let verdict = verified(&restored, ours).await.unwrap();
    assert_eq!((verdict.events, verdict.seals, verdict.unsealed()), (6, 2, 1));
    let last = last_seal(&restored, ours).await.unwrap().unwrap();
    let (task, stop) = seal(&fresh, key("11"));
    let six = sealed(&restored, ours, 6).await;
    assert_eq!((six.size, six.previous), (6, last.digest()));
    stop.cancel();
    task.await.unwrap();
    assert_eq!(seals(&fresh).await.len(), 5, "of the third tenant, too, and no second one of what was sealed");
    assert_eq!(verified(&restored, theirs).await.unwrap().seals, 1);
}

#[tokio::test]
async fn more_seals_than_a_page_come_each_in_its_place() {
    let (database, store) = store().await;
    let (ours, theirs) = (testbed::tenant(), testbed::tenant());
    for n in 0..45 {
        store.append(append(ours, vec![stream("l1", n, 1)])).await.unwrap();
        store.append(append(theirs, vec![stream("l1", n, 1)])).await.unwrap();
    }
    // As if each event had been sealed separately; roots and signatures are not checked here.
    let each = "INSERT INTO log.seals (tenant_id, size, root, sealed_at, key, previous, signature)
                SELECT tenant_id, sequence, decode(repeat('07', 32), 'hex'), now(), 'k', decode(repeat('00', 32), 'hex'),
                       decode(repeat('00', 64), 'hex')
                FROM log.events WHERE tenant_id = $1 OR sequence % 3 = 0";
    sqlx::query(each).bind(ours.uuid()).execute(&mut superuser(&database).await).await.unwrap();
    for (event, seal) in taken(&database).await.unwrap() {
        let number = event.event.sequence;
        let expected = (event.event.tenant == ours || number % 3 == 0).then_some(number);
        assert_eq!(seal.map(|seal| seal.size), expected, "{number}");
    }
}

#[tokio::test]
async fn a_log_whose_end_is_missing_is_not_taken_unless_it_is_still_to_come_from_another_cell() {
    let (database, store) = store().await;
    let (ours, _) = filled(&database, &store).await;
    let cut = "DELETE FROM log.events WHERE position = 8; UPDATE log.head SET position = 7";
    superuser(&database).await.execute(cut).await.unwrap();
    let refused = taken(&database).await.unwrap_err();
    assert!(
        matches!(refused, Error::CutOff { tenant, events: 4, sealed: 5, .. } if tenant == ours),
        "a backup of it would not show that something is missing: {refused}"
    );
    assert!(refused.to_string().contains(&ours.to_string()), "{refused}");

    let arriving = "INSERT INTO log.closed (tenant_id, state, cell) VALUES ($1, 'arriving', 'old')";
    sqlx::query(arriving).bind(ours.uuid()).execute(&mut superuser(&database).await).await.unwrap();
    let log = taken(&database).await.unwrap();
    let sizes: Vec<_> = log.iter().filter_map(|(_, seal)| seal.as_ref()).map(|seal| seal.size).collect();
    assert_eq!((sizes, log.last().unwrap().0.event.position), (vec![2, 3], Position(7)));
}
