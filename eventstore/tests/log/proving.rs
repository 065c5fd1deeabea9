//! Seals: heads are signed as the log grows, and every manipulation of a history is found.

use std::sync::Arc;
use std::time::Duration;

use eventstore::seals::{AuditError, Finding, Seal, SealKey, Sealer, SealerState, Verdict, last_seal, verify};
use eventstore::transfer::Transfer;
use eventstore::{Database, EventStore, Role};
use kernel::{SystemClock, TenantId};
use sqlx::{ConnectOptions, Executor};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::support::*;

/// The time limit of all waits; reached only if something is broken.
const BOUND: Duration = Duration::from_secs(30);

pub fn key(byte: &str) -> SealKey {
    SealKey::parse(&byte.repeat(32)).unwrap()
}

pub fn seal(database: &Database, key: SealKey) -> (JoinHandle<()>, CancellationToken) {
    let shutdown = CancellationToken::new();
    let sealer = Sealer::new(database, key, Arc::new(SystemClock));
    (tokio::spawn(sealer.run(shutdown.clone())), shutdown)
}

/// Waits until this many events of a tenant are sealed; returns the seal.
pub async fn sealed(store: &EventStore, tenant: TenantId, events: u64) -> Seal {
    let began = Instant::now();
    loop {
        match last_seal(store, tenant).await.unwrap() {
            Some(seal) if seal.size >= events => return seal,
            found => assert!(began.elapsed() < BOUND, "{found:?} of {events}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn verified(store: &EventStore, tenant: TenantId) -> Result<Verdict, AuditError> {
    verify(store, tenant, vec![key("11").sealed_by()], &[], |_| {}).await
}

async fn found(store: &EventStore, tenant: TenantId) -> Finding {
    match verified(store, tenant).await {
        Err(AuditError::Found(finding)) => finding,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn heads_of_all_tenants_are_signed_as_they_grow_and_a_new_sealer_goes_on_where_the_last_one_was() {
    let (database, store) = store().await;
    let (ours, theirs) = (testbed::tenant(), testbed::tenant());
    assert_eq!(last_seal(&store, ours).await.unwrap(), None);
    let nothing = verified(&store, ours).await.unwrap();
    assert_eq!((nothing.events, nothing.seals, nothing.last.clone(), nothing.unsealed()), (0, 0, None, 0));

    let (first, stop) = seal(&database, key("11"));
    store.append(append(ours, vec![stream("l1", 0, 3)])).await.unwrap();
    let three = sealed(&store, ours, 3).await;
    assert_eq!((three.size, three.previous, three.service.as_str()), (3, [0; 32], "crm"));
    assert!(key("11").sealed_by().has_signed(&three));
    store.append(append(theirs, vec![stream("l1", 0, 2)])).await.unwrap();
    store.append(append(ours, vec![stream("l2", 0, 1)])).await.unwrap();
    let four = sealed(&store, ours, 4).await;
    assert_eq!(four.previous, three.digest());
    sealed(&store, theirs, 2).await;
    stop.cancel();
    first.await.unwrap();

    // No sealer is running for a while.
    store.append(append(ours, vec![stream("l1", 3, 5)])).await.unwrap();
    assert_eq!(verified(&store, ours).await.unwrap().unsealed(), 5);
    let (second, stop) = seal(&database, key("11"));
    let nine = sealed(&store, ours, 9).await;
    assert_eq!(nine.previous, four.digest());
    stop.cancel();
    second.await.unwrap();
    for (tenant, events) in [(ours, 9), (theirs, 2)] {
        let verdict = verified(&store, tenant).await.unwrap();
        assert_eq!((verdict.events, verdict.unsealed()), (events, 0));
        let history = eventstore::history(&database, tenant).await.unwrap();
        assert_eq!((history.root, history.events), (verdict.root, events));
    }
}

#[tokio::test]
async fn one_sealer_is_active_and_another_takes_over() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    let (first, stop_first) = seal(&database, key("11"));
    let (second, stop_second) = seal(&database, key("11"));
    for n in 0..5 {
        store.append(append(tenant, vec![stream("l1", n, 1)])).await.unwrap();
        sealed(&store, tenant, n + 1).await;
        if n == 2 {
            stop_first.cancel();
        }
    }
    first.await.unwrap();
    stop_second.cancel();
    second.await.unwrap();
    assert_eq!(verified(&store, tenant).await.unwrap().events, 5);
}

#[tokio::test]
async fn seals_go_along_to_another_cell_and_back_and_the_chain_goes_on_there() {
    let (west, here) = store().await;
    let (east, there) = store().await;
    let tenant = testbed::tenant();
    there.append(append(testbed::tenant(), vec![stream("n", 0, 3)])).await.unwrap();
    let sealers = [seal(&west, key("11")), seal(&east, key("11"))];
    here.append(append(tenant, vec![stream("a", 0, 3)])).await.unwrap();
    sealed(&here, tenant, 3).await;
    let moved = async |from: &testbed::Database, to: &testbed::Database, events: u64| {
        let mut transfer =
            Transfer::begin(kernel::Service::new("crm"), tenant, &from.superuser(), &to.superuser()).await.unwrap();
        transfer.expect("old").await.unwrap();
        transfer.round().await.unwrap();
        transfer.pause("new", Duration::from_mins(1)).await.unwrap();
        transfer.round().await.unwrap();
        assert_eq!(transfer.compare().await.unwrap().events, events);
        transfer.hold().await.unwrap();
        transfer.leave("new").await.unwrap();
        transfer.open().await.unwrap().finish().await.unwrap();
    };
    // Events that were appended a moment ago may not be sealed yet: they are sealed in the new cell.
    here.append(append(tenant, vec![stream("a", 3, 1)])).await.unwrap();
    moved(&west, &east, 4).await;
    sealed(&there, tenant, 4).await;
    let appended = testbed::eventually("the tenant is let in", async || {
        there.append(append(tenant, vec![stream("a", 4, 2)])).await.ok()
    });
    appended.await;
    let six = sealed(&there, tenant, 6).await;
    assert_eq!(verified(&there, tenant).await.unwrap().last, Some(six.clone()));
    moved(&east, &west, 6).await;
    let appended = testbed::eventually("the tenant is let in", async || {
        here.append(append(tenant, vec![stream("a", 6, 1)])).await.ok()
    });
    appended.await;
    let seven = sealed(&here, tenant, 7).await;
    assert_eq!(seven.previous, six.digest());
    let verdict = verified(&here, tenant).await.unwrap();
    assert_eq!((verdict.events, verdict.unsealed()), (7, 0));
    for (task, stop) in sealers {
        stop.cancel();
        task.await.unwrap();
    }
}

#[tokio::test]
async fn who_seals_sees_no_payload_and_changes_no_seal() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    store.append(append(tenant, vec![stream("l1", 0, 3)])).await.unwrap();
    let (task, stop) = seal(&database, key("11"));
    sealed(&store, tenant, 3).await;
    stop.cancel();
    task.await.unwrap();
    let mut connection = database.options(Role::Seal).connect().await.unwrap();
    for statement in [
        "SELECT payload FROM log.events",
        "SELECT metadata FROM log.events",
        "SELECT aggregate_id FROM log.events",
        "UPDATE log.events SET leaf_hash = leaf_hash",
        "DELETE FROM log.events",
        "SELECT FROM log.claims",
        "SELECT FROM log.commands",
        "UPDATE log.seals SET size = 1",
        "DELETE FROM log.seals",
        "DELETE FROM log.trees",
    ] {
        let error = connection.execute(statement).await.expect_err(statement);
        let code = error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned));
        assert_eq!(code.as_deref(), Some("42501"), "{statement}");
    }
    let mut others = database.options(Role::Read).connect().await.unwrap();
    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM log.seals").fetch_one(&mut others).await.unwrap();
    assert_eq!(seen, 0, "no tenant set, no rows");
    assert_eq!(verified(&store, tenant).await.unwrap().events, 3);
}

/// A history of two streams and eight events, sealed at four and at eight, which is then manipulated.
async fn tampered(with: &str) -> Finding {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    let (task, stop) = seal(&database, key("11"));
    for (name, expected) in [("l1", 0), ("l2", 0), ("l1", 2), ("l2", 2)] {
        store.append(append(tenant, vec![stream(name, expected, 2)])).await.unwrap();
        if expected == 0 && name == "l2" {
            sealed(&store, tenant, 4).await;
        }
    }
    sealed(&store, tenant, 8).await;
    stop.cancel();
    task.await.unwrap();
    let verdict = verified(&store, tenant).await.unwrap();
    assert_eq!((verdict.events, verdict.unsealed()), (8, 0));
    sqlx::raw_sql(with).execute(&mut superuser(&database).await).await.unwrap();
    found(&store, tenant).await
}

#[tokio::test]
async fn a_byte_that_was_changed_is_named() {
    let finding = tampered(r#"UPDATE log.events SET payload = '{"n":7}' WHERE position = 3"#).await;
    let stream = "crm.lead l2".to_owned();
    assert_eq!(finding, Finding::Altered { number: 3, position: kernel::Position(3), stream, sequence: 1 });
}

#[tokio::test]
async fn an_event_that_was_deleted_is_named() {
    let finding = tampered("DELETE FROM log.events WHERE position = 5").await;
    let (stream, position) = ("crm.lead l1".to_owned(), kernel::Position(6));
    assert_eq!(finding, Finding::OutOfStream { number: 5, position, stream, expected: 3, found: 4 });
}

#[tokio::test]
async fn the_last_event_of_a_stream_that_was_deleted_shows_in_the_seal() {
    let finding = tampered("DELETE FROM log.events WHERE position = 8").await;
    assert_eq!(finding, Finding::CutOff { events: 7, size: 8 });
}

#[tokio::test]
async fn events_that_changed_places_show_in_the_first_seal_that_is_of_them() {
    let swap = "UPDATE log.events SET position = CASE position WHEN 6 THEN 1006 ELSE 1007 END WHERE position IN (6, 7);
                UPDATE log.events SET position = CASE position WHEN 1006 THEN 7 ELSE 6 END WHERE position > 1000";
    assert_eq!(tampered(swap).await, Finding::Replaced { intact: 4, size: 8 });
}

#[tokio::test]
async fn a_seal_that_was_taken_away_is_missed() {
    assert_eq!(tampered("DELETE FROM log.seals WHERE size = 4").await, Finding::NotNext { size: 8 });
}

#[tokio::test]
async fn an_event_that_was_replaced_together_with_its_hash_shows_in_the_first_seal_that_is_of_it() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    let (task, stop) = seal(&database, key("11"));
    store.append(append(tenant, vec![stream("l1", 0, 4)])).await.unwrap();
    sealed(&store, tenant, 4).await;
    stop.cancel();
    task.await.unwrap();
    // An attacker who can write to the tables can also compute hashes.
    let mut event = store.read_after(kernel::Position(1), 1).await.unwrap().remove(0);
    event.payload = br#"{"n":7}"#.to_vec().into();
    sqlx::query("UPDATE log.events SET payload = $1::json, leaf_hash = $2 WHERE position = 2")
        .bind(r#"{"n":7}"#)
        .bind(kernel::Leaf::from(&event).hash().as_slice())
        .execute(&mut superuser(&database).await)
        .await
        .unwrap();
    assert_eq!(found(&store, tenant).await, Finding::Replaced { intact: 0, size: 4 });
}

/// A history of four events that was altered and sealed anew under the same key: the seal from before, and the new one.
async fn sealed_anew(database: &testbed::Database, store: &EventStore, tenant: TenantId) -> [Seal; 2] {
    let (task, stop) = seal(database, key("11"));
    store.append(append(tenant, vec![stream("l1", 0, 4)])).await.unwrap();
    let kept = sealed(store, tenant, 4).await;
    stop.cancel();
    task.await.unwrap();
    let mut event = store.read_after(kernel::Position(1), 1).await.unwrap().remove(0);
    event.payload = br#"{"n":7}"#.to_vec().into();
    let mut superuser = superuser(database).await;
    sqlx::query("UPDATE log.events SET payload = $1::json, leaf_hash = $2 WHERE position = 2")
        .bind(r#"{"n":7}"#)
        .bind(kernel::Leaf::from(&event).hash().as_slice())
        .execute(&mut superuser)
        .await
        .unwrap();
    let forget = "DELETE FROM log.seals; DELETE FROM log.trees; UPDATE log.sealer SET position = 0";
    sqlx::raw_sql(forget).execute(&mut superuser).await.unwrap();
    let (task, stop) = seal(database, key("11"));
    let anew = sealed(store, tenant, 4).await;
    stop.cancel();
    task.await.unwrap();
    assert_eq!(verified(store, tenant).await.unwrap().events, 4, "else these tests show nothing");
    [kept, anew]
}

/// What is found in a history that is held against these seals.
async fn held_against(store: &EventStore, tenant: TenantId, kept: &[Seal]) -> Option<Finding> {
    match verify(store, tenant, vec![key("11").sealed_by()], kept, |_| {}).await {
        Ok(_) => None,
        Err(AuditError::Found(finding)) => Some(finding),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_history_that_was_written_and_sealed_anew_under_the_same_key_is_not_that_of_a_seal_that_was_kept() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    let [kept, _] = sealed_anew(&database, &store, tenant).await;
    assert_eq!(held_against(&store, tenant, &[kept]).await, Some(Finding::Replaced { intact: 0, size: 4 }));
}

#[tokio::test]
async fn attack_176_a_seal_of_a_history_that_was_written_anew_takes_no_other_ones_place() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    let [kept, anew] = sealed_anew(&database, &store, tenant).await;
    // The auditor was given both, one after the other, and holds the history against both, in whatever order.
    for both in [[kept.clone(), anew.clone()], [anew.clone(), kept]] {
        assert_eq!(held_against(&store, tenant, &both).await, Some(Finding::TwoHistories { size: 4 }));
    }
    assert_eq!(held_against(&store, tenant, &[anew.clone(), anew]).await, None, "the same seal in two files");
}

#[tokio::test]
async fn seals_that_were_made_anew_are_not_ours() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    store.append(append(tenant, vec![stream("l1", 0, 4)])).await.unwrap();
    // An attacker with access to the tables, but not to the key.
    let (task, stop) = seal(&database, key("22"));
    sealed(&store, tenant, 4).await;
    stop.cancel();
    task.await.unwrap();
    let finding = found(&store, tenant).await;
    let [ours, theirs] = ["11", "22"].map(|seed| key(seed).sealed_by().id());
    assert_eq!(finding, Finding::NotSigned { size: 4, key: theirs, trusted: vec![ours] });
    let both = vec![key("11").sealed_by(), key("22").sealed_by()];
    assert_eq!(
        verify(&store, tenant, both, &[], |_| {}).await.unwrap().events,
        4,
        "a key that signed before may be trusted, too"
    );
}

#[tokio::test]
async fn a_log_with_a_gap_or_without_its_end_is_not_sealed_and_says_why() {
    for missing in [2, 4] {
        is_not_sealed(missing).await;
    }
}

async fn is_not_sealed(missing: u64) {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    store.append(append(tenant, vec![stream("l1", 0, 4)])).await.unwrap();
    let delete = format!("DELETE FROM log.events WHERE position = {missing}");
    sqlx::raw_sql(&delete).execute(&mut superuser(&database).await).await.unwrap();
    let sealer = Sealer::new(&database, key("11"), Arc::new(SystemClock));
    let (mut state, stop) = (sealer.state(), CancellationToken::new());
    let task = tokio::spawn(sealer.run(stop.clone()));
    let waiting = state.wait_for(|state| *state != SealerState::Fine);
    let state = tokio::time::timeout(BOUND, waiting).await.unwrap().unwrap().clone();
    assert!(
        matches!(&state, SealerState::Waiting { reason } if reason.contains(&format!("position {missing}"))),
        "{state:?}"
    );
    stop.cancel();
    task.await.unwrap();
    assert_eq!(last_seal(&store, tenant).await.unwrap(), None);
}
