//! Idempotency: a request that is repeated with the same key gets the first answer again.

use executor::Request;
use futures::future::join_all;
use kernel::{Kind, Role, Versions};

use super::lamp::{Buy, Dim, Dust, Light};
use super::support::{World, caller, keyed};

#[tokio::test]
async fn the_same_key_and_request_get_the_first_answer() {
    let world = World::new().await;
    let request = keyed(&world.request(), "buy-1");
    let first = world.done(&request, &Buy { label: "desk".to_owned() }).await;
    world.done(&world.request(), &Dust(first.answer)).await;
    let head = world.head().await;
    let again = world.done(&request, &Buy { label: "desk".to_owned() }).await;
    assert!(again.repeated && !first.repeated);
    assert_eq!((again.answer, again.version, again.position), (first.answer, first.version, first.position));
    assert_eq!(world.head().await, head);
}

#[tokio::test]
async fn the_same_key_for_another_request_is_refused() {
    let world = World::new().await;
    let request = keyed(&world.request(), "key");
    world.done(&request, &Buy { label: "desk".to_owned() }).await;
    let other = Request { request_hash: [2; 32], ..request };
    let refusal = world.refused(&other, &Buy { label: "hall".to_owned() }).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Unprocessable, "idempotency_key_reused"));
}

#[tokio::test]
async fn a_key_is_its_tenants_own() {
    let world = World::new().await;
    let here = keyed(&world.request(), "key");
    let there = Request { caller: caller(testbed::tenant(), Role::Admin), ..here.clone() };
    world.done(&here, &Buy { label: "desk".to_owned() }).await;
    assert!(!world.done(&there, &Buy { label: "desk".to_owned() }).await.repeated);
}

#[tokio::test]
async fn what_the_command_itself_made_impossible_is_no_refusal() {
    let world = World::new().await;
    let lamp = world.lamp("desk").await;
    let request = Request { if_match: Some(Versions::from(1)), ..keyed(&world.request(), "light") };
    let first = world.done(&request, &Light(lamp)).await;
    let head = world.head().await;
    // The lamp is lit and has version 2 by now, both because of this very request.
    let again = world.done(&request, &Light(lamp)).await;
    assert_eq!((again.version, again.position, again.repeated), (first.version, first.position, true));
    assert_eq!(world.head().await, head);
    // Another process has nothing in its cache.
    assert!(world.elsewhere().execute(&request, &Light(lamp)).await.unwrap().repeated);
}

#[tokio::test]
async fn a_refused_command_keeps_no_key() {
    let world = World::new().await;
    let lamp = world.lamp("desk").await;
    world.done(&world.request(), &Light(lamp)).await;
    let request = keyed(&world.request(), "light");
    assert_eq!(world.refused(&request, &Light(lamp)).await.code(), "lamp_lit");
    world.done(&world.request(), &Dim(lamp)).await;
    assert!(!world.done(&request, &Light(lamp)).await.repeated);
}

#[tokio::test]
async fn nothing_to_do_is_remembered_too() {
    let world = World::new().await;
    let lamp = world.lamp("desk").await;
    let request = keyed(&world.request(), "dim");
    assert!(!world.done(&request, &Dim(lamp)).await.repeated);
    world.done(&world.request(), &Light(lamp)).await;
    let again = world.done(&request, &Dim(lamp)).await;
    assert!(again.repeated);
    assert_eq!(again.version, 1);
    assert_eq!(world.events(lamp).await.len(), 2, "the lamp stays lit");
}

#[tokio::test]
async fn a_key_is_printable_and_not_too_long() {
    let world = World::new().await;
    let long = "k".repeat(256);
    for bad in ["", "tab\t", "käse", "nul\u{0}", &long] {
        let refusal = world.refused(&keyed(&world.request(), bad), &Buy { label: "desk".to_owned() }).await;
        assert_eq!((refusal.kind(), refusal.code()), (Kind::Invalid, "idempotency_key_invalid"), "{bad:?}");
    }
    world.done(&keyed(&world.request(), &long[1..]), &Buy { label: "desk".to_owned() }).await;
}

#[tokio::test]
async fn parts_of_a_request_are_done_once_each_and_share_no_key_with_requests() {
    let world = World::new().await;
    let request = keyed(&world.request(), "key");
    let buy = |label: &str| Buy { label: label.to_owned() };
    // Keys that a client might send to imitate the ids of parts.
    for taken in ["key/1", "key 1", "key1"] {
        let other = Request { request_hash: [2; 32], ..keyed(&world.request(), taken) };
        world.done(&other, &buy(taken)).await;
    }
    let first = world.executor.execute_part(&request, 1, &buy("desk")).await.unwrap();
    let second = world.executor.execute_part(&request, 2, &buy("hall")).await.unwrap();
    assert!(!first.repeated && !second.repeated && first.answer != second.answer);
    let head = world.head().await;
    let again = world.executor.execute_part(&request, 1, &buy("desk")).await.unwrap();
    assert_eq!((again.answer, again.repeated), (first.answer, true));
    assert_eq!(world.head().await, head);
    assert!(!world.done(&request, &buy("the whole")).await.repeated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_at_once_under_one_key_are_one() {
    let world = World::new().await;
    let request = keyed(&world.request(), "once");
    let tasks = (0..100).map(|_| {
        let (executor, request) = (world.executor.clone(), request.clone());
        tokio::spawn(async move { executor.execute(&request, &Buy { label: "desk".to_owned() }).await })
    });
    let done: Vec<_> = join_all(tasks).await.into_iter().map(|task| task.unwrap().unwrap()).collect();
    assert_eq!(done.iter().filter(|done| !done.repeated).count(), 1);
    assert!(done.iter().all(|one| (one.answer, one.position) == (done[0].answer, done[0].position)));
    assert_eq!(world.head().await.0, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_at_once_on_one_aggregate_are_one() {
    let world = World::new().await;
    let lamp = world.lamp("desk").await;
    let request = keyed(&world.request(), "once");
    let tasks = (0..100).map(|number| {
        let executor = if number % 2 == 0 { world.executor.clone() } else { world.elsewhere() };
        let request = request.clone();
        tokio::spawn(async move { executor.execute(&request, &Light(lamp)).await })
    });
    let done: Vec<_> = join_all(tasks).await.into_iter().map(|task| task.unwrap().unwrap()).collect();
    assert_eq!(done.iter().filter(|done| !done.repeated).count(), 1);
    assert!(done.iter().all(|one| (one.version, one.position.0) == (2, 2)));
    assert_eq!(world.events(lamp).await.len(), 2);
}
