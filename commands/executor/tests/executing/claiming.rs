//! Claims: values that must be unique in a tenant.

use futures::future::join_all;
use kernel::Kind;

use super::lamp::{Buy, DustUnused, LightForUse, Replace};
use super::support::World;

#[tokio::test]
async fn a_claim_that_is_taken_is_refused_with_its_holder() {
    let world = World::new().await;
    let lamp = world.lamp("desk").await;
    let refusal = world.refused(&world.request(), &Buy { label: "desk".to_owned() }).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "label_taken"));
    assert_eq!(refusal.extra()["holder"], lamp.to_string());
}

#[tokio::test]
async fn a_claim_moves_from_one_holder_to_another_in_one_append() {
    let world = World::new().await;
    let old = world.lamp("desk").await;
    let new = world.done(&world.request(), &Replace(old)).await.answer;
    let refusal = world.refused(&world.request(), &Buy { label: "desk".to_owned() }).await;
    assert_eq!(refusal.extra()["holder"], new.to_string());
}

#[tokio::test]
async fn a_mark_stands_in_the_way_of_whoever_needs_its_absence() {
    let world = World::new().await;
    let lamp = world.lamp("desk").await;
    world.done(&world.request(), &DustUnused(lamp)).await;
    world.done(&world.request(), &LightForUse(lamp)).await;
    let refusal = world.refused(&world.request(), &DustUnused(lamp)).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "lamp_in_use"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_want_a_claim_one_gets_it() {
    let world = World::new().await;
    let tasks = (0..64).map(|_| {
        let (executor, request) = (world.executor.clone(), world.request());
        tokio::spawn(async move { executor.execute(&request, &Buy { label: "desk".to_owned() }).await })
    });
    let outcomes: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    let winners: Vec<_> = outcomes.iter().flatten().map(|done| done.answer.to_string()).collect();
    let [winner] = &winners[..] else { panic!("{} winners", winners.len()) };
    for refusal in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!((refusal.code(), &refusal.extra()["holder"]), ("label_taken", &winner.as_str().into()));
    }
    assert_eq!(world.head().await.0, 1);
}
