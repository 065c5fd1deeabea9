//! Postgres becomes unavailable and comes back, or is overloaded.

use std::time::Duration;

use futures::future::join_all;
use kernel::{Kind, Role};
use sqlx::{ConnectOptions, Executor as _};
use uuid::Uuid;

use super::lamp::{Buy, Dim, Dust, Lamp, Light};
use super::support::{World, keyed};

#[tokio::test]
async fn a_log_that_does_not_answer_is_said_and_the_same_key_goes_on_later() {
    let mut postgres = testbed::Postgres::private();
    let database = testbed::Database::fresh_on(&postgres, "crm").await;
    let settings = eventstore::Settings { append_timeout: Duration::from_secs(2), ..eventstore::Settings::default() };
    let world = World::over(&database, settings).await;
    let lamp = world.lamp("desk").await;
    postgres.kill();
    let request = keyed(&world.request(), "hall");
    let refusal = world.executor.execute(&request, &Buy { label: "hall".to_owned() }).await.unwrap_err();
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Unavailable, "log_unavailable"));
    postgres.restart();
    let done = testbed::eventually("the log answers again", || async {
        world.executor.execute(&request, &Buy { label: "hall".to_owned() }).await.ok()
    })
    .await;
    assert_eq!(world.events(lamp).await.len(), 1);
    assert_eq!(world.events(done.answer).await.len(), 1);
    assert_eq!(world.head().await.0, 2);
}

#[tokio::test]
async fn a_log_with_too_much_to_write_refuses_at_once_and_the_same_key_goes_on_later() {
    let database = testbed::Database::fresh("crm").await;
    let settings = eventstore::Settings { queue: 1, batch_appends: 1, ..eventstore::Settings::default() };
    let world = World::over(&database, settings).await;
    let lamp = |n: usize| (keyed(&world.request(), &format!("buy {n}")), Buy { label: format!("lamp {n}") });
    let lamps: Vec<_> = (0..100).map(lamp).collect();
    let results = join_all(lamps.iter().map(|(request, buy)| world.executor.execute(request, buy))).await;
    let refused: Vec<_> = (0..100).filter(|n| results[*n].is_err()).collect();
    assert!((1..100).contains(&refused.len()), "{}", refused.len());
    for n in &refused {
        let refusal = results[*n].as_ref().unwrap_err();
        assert_eq!((refusal.kind(), refusal.code()), (Kind::Unavailable, "log_busy"));
    }
    assert_eq!(world.head().await.0 as usize, 100 - refused.len(), "what was refused is not written");
    for n in refused {
        let (request, buy) = &lamps[n];
        assert!(!world.done(request, buy).await.repeated);
    }
    assert_eq!(world.head().await.0, 100);
}

#[tokio::test]
async fn when_a_stream_is_found_set_back_the_states_of_the_others_are_read_again_too() {
    let database = testbed::Database::fresh("crm").await;
    let world = World::over(&database, eventstore::Settings::default()).await;
    let (desk, hall) = (world.lamp("desk").await, world.lamp("hall").await);
    for lamp in [desk, hall] {
        world.done(&world.request(), &Light(lamp)).await;
    }
    // As when the log is restored under a running process, or a server takes over that was behind.
    let mut superuser = database.superuser().connect().await.unwrap();
    let set_back = "DELETE FROM log.events WHERE position > 2; UPDATE log.head SET position = 2";
    superuser.execute(set_back).await.unwrap();
    world.done(&world.request(), &Dust(hall)).await;
    world.done(&world.request(), &Light(desk)).await;
    assert_eq!((world.events(desk).await.len(), world.events(hall).await.len()), (2, 2));
    assert_eq!(world.head().await.0, 4);
}

#[tokio::test]
async fn when_a_follower_finds_the_log_set_back_no_state_from_before_is_read_any_more() {
    let database = testbed::Database::fresh("crm").await;
    let world = World::over(&database, eventstore::Settings::default()).await;
    let desk = world.lamp("desk").await;
    world.done(&world.request(), &Light(desk)).await;
    let place = world.store.end().await.unwrap();
    let mut superuser = database.superuser().connect().await.unwrap();
    let set_back = "DELETE FROM log.events WHERE position > 1; UPDATE log.head SET position = 1";
    superuser.execute(set_back).await.unwrap();
    // Another process writes another event where the lost one stood: what follows the state that is cached here is nothing.
    let other = World::over(&database, eventstore::Settings::default()).await;
    other.executor.execute(&world.request(), &Dust(desk)).await.unwrap();
    assert_eq!(world.store.slice_from(place, 10).await.unwrap(), None);
    let caller = world.caller(Role::Admin);
    let (lamp, version) = world.executor.load::<Lamp>(&caller, &desk.to_string()).await.unwrap().unwrap();
    assert_eq!((lamp.lit, lamp.dusted, version), (false, 1, 2));
    // It is decided on, too.
    world.done(&world.request(), &Light(desk)).await;
    assert_eq!(world.events(desk).await.len(), 3);
}

/// As if a server had taken over that has only the first event: all connections end. Another process then dusts the lamp, so its stream has
/// the version again that it had.
async fn dust_where_a_server_without_the_end_took_over(database: &testbed::Database, world: &World, lamp: Uuid) {
    let mut superuser = database.superuser().connect().await.unwrap();
    let set_back = "DELETE FROM log.events WHERE position > 1;
        DELETE FROM log.commands;
        UPDATE log.head SET position = 1;
        SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    superuser.execute(set_back).await.unwrap();
    let other = World::over(database, eventstore::Settings::default()).await;
    other.executor.execute(&world.request(), &Dust(lamp)).await.unwrap();
}

#[tokio::test]
async fn what_was_decided_on_an_event_that_the_log_has_lost_is_decided_again() {
    let database = testbed::Database::fresh("crm").await;
    let world = World::over(&database, eventstore::Settings::default()).await;
    let desk = world.lamp("desk").await;
    world.done(&world.request(), &Light(desk)).await;
    dust_where_a_server_without_the_end_took_over(&database, &world, desk).await;
    // It is lit in the cache, and its connection is not known to be lost.
    world.done(&world.request(), &Dim(desk)).await;
    let events = world.events(desk).await;
    let types: Vec<&str> = events.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(types, ["demo.lamp.bought", "demo.lamp.dusted"], "there was nothing to dim");
    world.done(&keyed(&world.request(), "light"), &Light(desk)).await;
    assert_eq!(world.head().await.0, 3);
}

#[tokio::test]
async fn when_another_server_answers_a_read_no_state_from_before_is_used() {
    let mut postgres = testbed::Postgres::private();
    let database = testbed::Database::fresh_on(&postgres, "crm").await;
    let world = World::over(&database, eventstore::Settings::default()).await;
    let desk = world.lamp("desk").await;
    world.done(&world.request(), &Light(desk)).await;
    postgres.kill();
    postgres.restart();
    dust_where_a_server_without_the_end_took_over(&database, &world, desk).await;
    let caller = world.caller(Role::Admin);
    let (lamp, version) = world.executor.load::<Lamp>(&caller, &desk.to_string()).await.unwrap().unwrap();
    assert_eq!((lamp.lit, lamp.dusted, version), (false, 1, 2));
    // A lamp that is lit would refuse it.
    world.done(&world.request(), &Light(desk)).await;
    assert_eq!(world.events(desk).await.len(), 3);
}
