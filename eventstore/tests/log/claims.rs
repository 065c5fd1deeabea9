//! Claims: unique keys that are taken with the events.

use eventstore::append::Error;
use eventstore::{Append, Claim, ClaimAct, Settings};
use futures::future::join_all;
use kernel::TenantId;
use testbed::Database;

use super::support::*;

fn with(tenant: TenantId, aggregate: &str, claims: Vec<Claim>) -> Append {
    Append { claims, ..append(tenant, vec![stream(aggregate, 0, 1)]) }
}

#[tokio::test]
async fn a_taken_claim_conflicts_and_names_its_holder_and_nothing_is_written() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    store.append(with(tenant, "a", vec![claim(ClaimAct::Take, 1, "a")])).await.unwrap();
    for act in [ClaimAct::Take, ClaimAct::Absent] {
        let refused = store.append(with(tenant, "b", vec![claim(act, 1, "b")])).await.unwrap_err();
        assert!(matches!(&refused, Error::ClaimTaken { holder, .. } if holder == "a"), "{refused}");
    }
    assert_eq!(contents(&database).await, [1, 1, 1]);
    // Another value, another tenant: no conflict.
    store.append(with(tenant, "b", vec![claim(ClaimAct::Take, 2, "b")])).await.unwrap();
    store.append(with(testbed::tenant(), "a", vec![claim(ClaimAct::Take, 1, "a")])).await.unwrap();
}

#[tokio::test]
async fn a_claim_is_free_after_its_holder_released_it() {
    let (_database, store) = store().await;
    let tenant = testbed::tenant();
    store.append(with(tenant, "a", vec![claim(ClaimAct::Take, 1, "a")])).await.unwrap();
    // A release by another holder has no effect.
    store.append(with(tenant, "b", vec![claim(ClaimAct::Release, 1, "b")])).await.unwrap();
    store.append(with(tenant, "c", vec![claim(ClaimAct::Take, 1, "c")])).await.unwrap_err();
    store.append(with(tenant, "d", vec![claim(ClaimAct::Release, 1, "a")])).await.unwrap();
    store.append(with(tenant, "c", vec![claim(ClaimAct::Take, 1, "c")])).await.unwrap();
}

#[tokio::test]
async fn a_claim_moves_within_one_append_and_may_be_taken_again_by_its_holder() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    store.append(with(tenant, "a", vec![claim(ClaimAct::Take, 1, "a")])).await.unwrap();
    store.append(with(tenant, "again", vec![claim(ClaimAct::Take, 1, "a")])).await.unwrap();
    let moved = vec![claim(ClaimAct::Release, 1, "a"), claim(ClaimAct::Take, 1, "b")];
    store.append(with(tenant, "b", moved)).await.unwrap();
    let refused = store.append(with(tenant, "c", vec![claim(ClaimAct::Take, 1, "c")])).await.unwrap_err();
    assert!(matches!(&refused, Error::ClaimTaken { holder, .. } if holder == "b"), "{refused}");
    let twice = vec![claim(ClaimAct::Take, 9, "x"), claim(ClaimAct::Take, 9, "y")];
    let refused = store.append(with(tenant, "d", twice)).await.unwrap_err();
    assert!(matches!(&refused, Error::ClaimTaken { holder, .. } if holder == "x"), "{refused}");
    assert_eq!(contents(&database).await, [3, 3, 1]);
}

#[tokio::test]
async fn a_mark_never_conflicts_and_is_seen_by_who_requires_absence() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    store.append(with(tenant, "before", vec![claim(ClaimAct::Absent, 1, "pipeline")])).await.unwrap();
    let marks = (0..20).map(|n| store.append(with(tenant, &format!("o{n}"), vec![claim(ClaimAct::Mark, 1, "stage")])));
    assert!(join_all(marks).await.iter().all(Result::is_ok));
    assert_eq!(contents(&database).await, [21, 21, 1]);
    let refused = store.append(with(tenant, "after", vec![claim(ClaimAct::Absent, 1, "pipeline")])).await.unwrap_err();
    assert!(matches!(&refused, Error::ClaimTaken { holder, .. } if holder == "stage"), "{refused}");
    assert_eq!(contents(&database).await, [21, 21, 1]);
}

#[tokio::test]
async fn of_many_who_take_one_claim_at_once_one_gets_it() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    let results = join_all(
        (0..50).map(|n| store.append(with(tenant, &format!("c{n}"), vec![claim(ClaimAct::Take, 1, &format!("c{n}"))]))),
    )
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(contents(&database).await, [1, 1, 1]);
}

#[tokio::test]
async fn attack_237_who_has_another_claim_key_takes_nothing_that_is_taken() {
    let database = Database::fresh("crm").await;
    let tenant = testbed::tenant();
    // A mistake that is found before anything is written costs nothing.
    check_keys(&database, keyed(8)).await.unwrap();
    let right = open(&database, keyed(7)).await;
    check_keys(&database, keyed(7)).await.unwrap();
    right.append(with(tenant, "a", vec![claim(ClaimAct::Take, 1, "a")])).await.unwrap();

    // Under the other key the same value is another one, and would be free.
    let before = contents(&database).await;
    let wrong = open(&database, keyed(8)).await;
    let refused = check_keys(&database, keyed(8)).await.unwrap_err();
    assert!(matches!(refused, eventstore::Error::ClaimKey), "{refused}");
    for answer in
        join_all((2..6).map(|value| wrong.append(with(tenant, "b", vec![claim(ClaimAct::Take, value, "b")])))).await
    {
        let refused = answer.unwrap_err();
        assert!(matches!(&refused, Error::Unavailable(why) if why.contains("INOPSIO_CLAIM_KEY")), "{refused}");
    }
    assert_eq!(contents(&database).await, before, "nothing was written");

    // It is still that of the first one.
    let again = open(&database, keyed(7)).await;
    again.append(with(tenant, "b", vec![claim(ClaimAct::Take, 2, "b")])).await.unwrap();
    right.append(with(tenant, "c", vec![claim(ClaimAct::Take, 3, "c")])).await.unwrap();
}

#[tokio::test]
async fn attack_261_who_has_another_claim_key_than_one_of_the_logs_leaves_its_mark_in_none() {
    // Logs that were written before they had marks. One of them has got its mark since.
    let [crm, erp, auth] = [Database::fresh("crm").await, Database::fresh("erp").await, Database::fresh("auth").await];
    for log in [&crm, &erp, &auth] {
        let store = open(log, Settings::default()).await;
        store.append(append(testbed::tenant(), vec![stream("a", 0, 1)])).await.unwrap();
    }
    check_keys(&erp, keyed(7)).await.unwrap();
    let logs = [(*crm).clone(), (*erp).clone(), (*auth).clone()];
    let (service, refused) = eventstore::check_keys(&logs, &keyed(8)).await.unwrap_err();
    assert!(service == erp.service && matches!(refused, eventstore::Error::ClaimKey), "{service}: {refused}");
    for log in [&crm, &auth] {
        assert_eq!(count(log, "log.claim_key").await, 0, "the right key is not refused there");
        assert_eq!(contents(log).await, [1, 1, 0], "nothing was written");
    }
    eventstore::check_keys(&logs, &keyed(7)).await.unwrap();
    for log in &logs {
        let refused = eventstore::check_keys(std::slice::from_ref(log), &keyed(8)).await.unwrap_err().1;
        assert!(matches!(refused, eventstore::Error::ClaimKey), "{refused}");
    }
}

#[tokio::test]
async fn attack_230_no_claim_key_is_replaced_by_another_while_somebody_is_about_to_write_under_it() {
    let database = Database::fresh("crm").await;
    let tenant = testbed::tenant();
    let right = open(&database, keyed(7)).await;
    // It is connected, but nothing was written.
    let early = right.append(append(tenant, vec![stream("a", 5, 1)])).await.unwrap_err();
    assert!(matches!(early, Error::VersionConflict { .. }), "{early}");
    assert_eq!(contents(&database).await, [0, 0, 0]);
    let wrong = open(&database, keyed(8)).await;
    let refused = check_keys(&database, keyed(8)).await.unwrap_err();
    assert!(matches!(refused, eventstore::Error::ClaimKey), "{refused}");
    let refused = wrong.append(with(tenant, "b", vec![claim(ClaimAct::Take, 2, "b")])).await.unwrap_err();
    assert!(matches!(&refused, Error::Unavailable(why) if why.contains("INOPSIO_CLAIM_KEY")), "{refused}");
    assert_eq!(contents(&database).await, [0, 0, 0], "nothing was written");

    // Both would have written otherwise, each under a key of its own.
    right.append(with(tenant, "a", vec![claim(ClaimAct::Take, 1, "a")])).await.unwrap();
    assert_eq!(contents(&database).await, [1, 1, 1]);
}
