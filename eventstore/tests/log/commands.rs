//! Commands are executed only once.

use eventstore::ClaimAct;
use eventstore::append::Error;
use futures::future::join_all;
use kernel::Position;

use super::support::*;

#[tokio::test]
async fn a_command_asked_again_gets_the_first_answer_and_nothing_is_written() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    let mut first = append(tenant, vec![stream("l1", 0, 2)]);
    first.command = command("key");
    let done = store.append(first.clone()).await.unwrap();
    // Decided again, so with other event ids and another answer.
    let mut again = append(tenant, vec![stream("l2", 0, 2)]);
    again.command = command("key");
    again.command.answer = r#"{"ok":"again"}"#.to_owned();
    let repeated = store.append(again).await.unwrap();
    assert_eq!(repeated.answer.as_deref(), Some(first.command.answer.as_str()));
    assert_eq!((repeated.first, repeated.last, repeated.recorded_at), (done.first, done.last, done.recorded_at));
    assert_eq!(contents(&database).await, [2, 1, 0]);

    let stored = store.command(tenant, "key").await.unwrap().unwrap();
    assert_eq!((stored.request_hash, stored.answer, stored.last), ([1; 32], first.command.answer, Position(2)));
    assert_eq!(store.command(tenant, "other").await.unwrap(), None);
    assert_eq!(store.command(testbed::tenant(), "key").await.unwrap(), None, "keys are a tenant's own");
}

#[tokio::test]
async fn a_command_id_used_for_another_request_is_refused_and_nothing_is_written() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    let mut first = append(tenant, vec![stream("l1", 0, 1)]);
    first.command = command("key");
    store.append(first).await.unwrap();
    let mut other = append(tenant, vec![stream("l2", 0, 1)]);
    other.command = command("key");
    other.command.request_hash = [2; 32];
    let refused = store.append(other).await.unwrap_err();
    assert!(matches!(&refused, Error::CommandReused { id } if id == "key"), "{refused}");
    assert_eq!(contents(&database).await, [1, 1, 0]);
    // Another tenant may use the same key.
    let mut elsewhere = append(testbed::tenant(), vec![stream("l1", 0, 1)]);
    elsewhere.command = command("key");
    assert_eq!(store.append(elsewhere).await.unwrap().answer, None);
}

#[tokio::test]
async fn the_same_command_sent_many_times_at_once_is_done_once() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    let results = join_all((0..50).map(|n| {
        let mut append = append(tenant, vec![stream(&format!("lead {n}"), 0, 1)]);
        append.command = command("key");
        store.append(append)
    }))
    .await;
    assert_eq!(results.iter().filter(|result| result.as_ref().unwrap().answer.is_none()).count(), 1);
    assert_eq!(contents(&database).await, [1, 1, 0]);
}

#[tokio::test]
async fn of_appends_that_are_decided_together_each_gets_its_own_verdict() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    let named = |id: &str, aggregate: &str| {
        let mut append = append(tenant, vec![stream(aggregate, 0, 1)]);
        append.command = command(id);
        append
    };
    let (mut holder, mut reused, mut taken) = (named("h", "holder"), named("r", "elsewhere"), named("t", "taken"));
    holder.claims = vec![claim(ClaimAct::Take, 1, "holder")];
    taken.claims = vec![claim(ClaimAct::Take, 1, "taken")];
    reused.command.request_hash = [2; 32];
    for before in [named("a", "again"), named("r", "first"), holder] {
        store.append(before).await.unwrap();
    }
    let before = contents(&database).await;
    assert_eq!(before, [3, 3, 1]);

    // The stream's version has changed as well: the repetition of the command is detected first.
    let together = [named("a", "again"), named("n", "new"), named("s", "first"), taken, reused, named("m", "more")];
    let verdicts = join_all(together.map(|append| store.append(append))).await;
    let [again, new, stale, taken, reused, more] = verdicts.try_into().unwrap();
    assert_eq!(again.unwrap().answer.as_deref(), Some(r#"{"ok":true}"#));
    assert!(matches!(stale.unwrap_err(), Error::VersionConflict { expected: 0, actual: 1, .. }));
    assert!(matches!(taken.unwrap_err(), Error::ClaimTaken { holder, .. } if holder == "holder"));
    assert!(matches!(reused.unwrap_err(), Error::CommandReused { id } if id == "r"));
    assert_eq!((new.unwrap().last, more.unwrap().last), (Position(4), Position(5)));
    assert_eq!(contents(&database).await, [5, 5, 1]);
    whole_log(&database, &store).await;
}
