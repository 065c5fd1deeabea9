//! Permission, existence, the aggregate's own rules; and what an event carries.

use kernel::{Kind, Role};
use uuid::Uuid;

use super::lamp::{Buy, BuyAs, Dim, DustChandelier, Lamp, Light, LightAll};
use super::support::{World, caller, request, start};

#[tokio::test]
async fn a_command_is_carried_out_and_can_be_seen() {
    let world = World::new().await;
    let bought = world.done(&world.request(), &Buy { label: "desk".to_owned() }).await;
    assert_eq!((bought.version, bought.position.0, bought.repeated), (1, 1, false));
    let lit = world.done(&world.request(), &Light(bought.answer)).await;
    assert_eq!((lit.version, lit.position.0), (2, 2));
    let viewer = world.caller(Role::Viewer);
    let (lamp, version) = world.executor.load::<Lamp>(&viewer, &bought.answer.to_string()).await.unwrap().unwrap();
    assert_eq!((lamp.label.as_str(), lamp.lit, version), ("desk", true, 2));
}

#[tokio::test]
async fn an_event_carries_who_why_and_when() {
    let world = World::new().await;
    let request = executor::Request {
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        command_id: Some("key".to_owned()),
        ..world.request()
    };
    let lamp = world.done(&request, &Buy { label: "desk".to_owned() }).await.answer;
    let [event] = &world.events(lamp).await[..] else { panic!("one event") };
    assert_eq!((event.event_type.as_str(), event.sequence, event.occurred_at), ("demo.lamp.bought", 1, start()));
    let metadata = event.decode_metadata().unwrap();
    assert_eq!((metadata.actor.as_str(), metadata.command_id.as_str()), ("ada", "key"));
    assert_eq!((metadata.correlation_id, metadata.causation_id), (request.correlation_id, request.causation_id));
    assert_eq!(metadata.permissions.as_deref(), Some("demo:lamp:write"), "what it needed");
    assert_eq!((metadata.occurred_at, metadata.traceparent), (start(), request.traceparent));
}

#[tokio::test]
async fn the_permission_comes_first() {
    let world = World::new().await;
    let refusal = world.refused(&request(world.caller(Role::Viewer)), &Light(Uuid::nil())).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Forbidden, "permission_missing"));
    assert_eq!(refusal.extra()["permission"], "demo:lamp:write");
}

#[tokio::test]
async fn another_tenants_aggregate_is_as_unknown_as_one_that_never_was() {
    let world = World::new().await;
    let lamp = world.lamp("desk").await;
    let stranger = request(caller(testbed::tenant(), Role::Admin));
    let theirs = world.refused(&stranger, &Light(lamp)).await;
    let nobodys = world.refused(&stranger, &Light(Uuid::nil())).await;
    assert_eq!((theirs.kind(), theirs.code()), (Kind::NotFound, "not_found"));
    assert_eq!(theirs.detail().replace(&lamp.to_string(), ""), nobodys.detail().replace(&Uuid::nil().to_string(), ""));
    assert!(world.executor.load::<Lamp>(&stranger.caller, &lamp.to_string()).await.unwrap().is_none());
}

#[tokio::test]
async fn the_aggregate_may_refuse() {
    let world = World::new().await;
    let lamp = world.lamp("desk").await;
    world.done(&world.request(), &Light(lamp)).await;
    let refusal = world.refused(&world.request(), &Light(lamp)).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "lamp_lit"));
}

#[tokio::test]
async fn what_changes_nothing_writes_nothing() {
    let world = World::new().await;
    let lamp = world.lamp("desk").await;
    let before = world.head().await;
    let done = world.done(&world.request(), &Dim(lamp)).await;
    assert_eq!((done.version, done.position, done.repeated), (1, before, false));
    assert_eq!(world.head().await, before);
}

#[tokio::test]
async fn several_aggregates_change_together_or_not_at_all() {
    let world = World::new().await;
    let (desk, hall) = (world.lamp("desk").await, world.lamp("hall").await);
    let done = world.done(&world.request(), &LightAll(vec![desk, hall])).await;
    assert_eq!((done.version, done.position.0), (2, 4));
    world.done(&world.request(), &Dim(desk)).await;
    let refusal = world.refused(&world.request(), &LightAll(vec![desk, hall])).await;
    assert_eq!(refusal.code(), "lamp_lit");
    assert_eq!(world.events(desk).await.len(), 3);
}

#[tokio::test]
async fn an_aggregate_of_which_there_is_one_begins_when_it_is_first_asked() {
    let world = World::new().await;
    for times in 1..=3 {
        let done = world.done(&world.request(), &DustChandelier).await;
        assert_eq!((done.answer, done.version), (times, u64::from(times)));
    }
}

#[tokio::test]
async fn what_is_too_large_or_cannot_be_stored_is_refused() {
    let world = World::new().await;
    let refusal = world.refused(&world.request(), &Buy { label: "x".repeat(300 << 10) }).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::TooLarge, "event_too_large"));
    let refusal = world.refused(&world.request(), &BuyAs("i".repeat(256))).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Invalid, "not_storable"));
}

#[tokio::test]
async fn what_exists_is_not_created_again() {
    let world = World::new().await;
    world.done(&world.request(), &BuyAs("one".to_owned())).await;
    let refusal = world.refused(&world.request(), &BuyAs("one".to_owned())).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "already_exists"));
}
