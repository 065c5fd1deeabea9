//! The times of events: now, or earlier with the permission `history:backdate`; always in order within a stream.

use chrono::{DateTime, Duration, Utc};
use executor::{Command, Request, Work};
use kernel::{Kind, Refusal, Role};
use uuid::Uuid;

use super::lamp::{Buy, Dust, Lamp, LampCommand};
use super::support::{World, request, start};

fn at(request: &Request, occurred_at: DateTime<Utc>) -> Request {
    Request { occurred_at: Some(occurred_at), ..request.clone() }
}

fn buy() -> Buy {
    Buy { label: "desk".to_owned() }
}

#[tokio::test]
async fn an_admin_may_say_when_it_happened() {
    let world = World::new().await;
    let long_ago = start() - Duration::days(400);
    let lamp = world.done(&at(&world.request(), long_ago), &buy()).await.answer;
    world.done(&at(&world.request(), long_ago), &Dust(lamp)).await;
    let events = world.events(lamp).await;
    for event in &events {
        assert_eq!((event.occurred_at, event.recorded_at), (long_ago, start()));
        let metadata = event.decode_metadata().unwrap();
        let permissions = "demo:lamp:write demo:history:backdate";
        assert_eq!((metadata.occurred_at, metadata.permissions.as_deref()), (long_ago, Some(permissions)));
    }
    assert_eq!(events.len(), 2);
    for executor in [world.executor.clone(), world.elsewhere()] {
        let current = executor.current::<Lamp>(&world.request().caller, &lamp.to_string()).await.unwrap().unwrap();
        let times = (current.created_at, current.changed_at);
        assert_eq!((current.version, times), (2, (long_ago, long_ago)), "as it happened, not as it was recorded");
    }
}

#[tokio::test]
async fn others_may_not() {
    let world = World::new().await;
    let refusal = world.refused(&at(&request(world.caller(Role::Member)), start()), &buy()).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Forbidden, "permission_missing"));
    assert_eq!(refusal.extra()["permission"], "demo:history:backdate");
}

#[tokio::test]
async fn nothing_happened_in_the_future() {
    let world = World::new().await;
    let refusal = world.refused(&at(&world.request(), start() + Duration::microseconds(1)), &buy()).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Invalid, "occurred_in_future"));
    let allowed = refusal.detail().rsplit(' ').next().unwrap();
    assert_eq!(kernel::read_time(allowed), Ok(start()), "what is allowed can be sent: {refusal:?}");
    world.done(&at(&world.request(), start()), &buy()).await;
}

#[tokio::test]
async fn nothing_happens_before_what_a_history_ends_with() {
    let world = World::new().await;
    let yesterday = start() - Duration::days(1);
    let lamp = world.done(&at(&world.request(), yesterday), &buy()).await.answer;
    for executor in [world.executor.clone(), world.elsewhere()] {
        let before = world.head().await;
        let earlier = at(&world.request(), yesterday - Duration::microseconds(1));
        let refusal = executor.execute(&earlier, &Dust(lamp)).await.unwrap_err();
        assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "occurred_before_last_change"));
        assert_eq!(refusal.extra()["last_changed_at"], kernel::write_time(yesterday));
        assert_eq!(world.head().await, before);
    }
}

#[tokio::test]
async fn a_clock_that_is_behind_does_not_turn_a_history_round() {
    let world = World::new().await;
    world.clock.advance(Duration::hours(1));
    let lamp = world.lamp("desk").await;
    // Another machine, whose clock is an hour behind.
    let behind = executor::Executor::new(
        world.store.clone(),
        std::sync::Arc::new(kernel::ManualClock::at(start())),
        std::sync::Arc::new(kernel::SystemIds),
        executor::Settings { cache_bytes: 1 << 20, snapshot_events: 0, claim_key: [7; 32] },
    );
    behind.execute(&world.request(), &Dust(lamp)).await.unwrap();
    let times: Vec<_> = world.events(lamp).await.into_iter().map(|event| event.occurred_at).collect();
    assert_eq!(times, [start() + Duration::hours(1); 2]);
}

/// Buys lamps of different ages at once.
struct BuyOld(Vec<DateTime<Utc>>);

impl Command for BuyOld {
    const PERMISSION: &'static str = "demo:lamp:write";
    type Answer = Vec<Uuid>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Vec<Uuid>, Refusal> {
        let mut lamps = Vec::new();
        for bought in &self.0 {
            let lamp: Uuid = work.new_id();
            work.create_at::<Lamp>(lamp, *bought, LampCommand::Buy { label: "old".to_owned() })?;
            lamps.push(lamp);
        }
        Ok(lamps)
    }
}

#[tokio::test]
async fn one_append_may_tell_of_several_times() {
    let world = World::new().await;
    let times = vec![start() - Duration::days(3), start() - Duration::days(9)];
    let lamps = world.done(&world.request(), &BuyOld(times.clone())).await.answer;
    for (lamp, time) in lamps.into_iter().zip(times.clone()) {
        let event = &world.events(lamp).await[0];
        let metadata = event.decode_metadata().unwrap();
        assert_eq!((event.occurred_at, metadata.occurred_at), (time, time));
        assert_eq!(metadata.permissions.as_deref(), Some("demo:lamp:write demo:history:backdate"));
    }
    let refusal = world.refused(&request(world.caller(Role::Member)), &BuyOld(times)).await;
    assert_eq!(refusal.code(), "permission_missing");
    let tomorrow = vec![start(), start() + Duration::days(1)];
    assert_eq!(world.refused(&world.request(), &BuyOld(tomorrow)).await.code(), "occurred_in_future");
}
