//! Receivers that fail.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use kernel::{Backoff, Clock, ManualClock, Position, Role, SystemClock};
use sqlx::{Connection, Executor, PgConnection};
use testbed::eventually;
use testbed::receiver::{Receiver, Reply};
use webhooks::{EndpointCommand, Guard, Message, Sender, Settings, State};

use crate::world::{World, fields, quick, request};

#[tokio::test]
async fn what_fails_is_sent_again_in_order_and_holds_nobody_else_up() {
    let world = World::start().await;
    // Fails twice for every event.
    let failing = Receiver::answering(|message, before| match before % 3 {
        2 => Reply::Status("200 OK"),
        _ if message.path == "/hooks" => Reply::Status("500 Internal Server Error"),
        _ => Reply::Silence,
    })
    .await;
    let healthy = Receiver::start().await;
    let silent = Receiver::answering(|_, _| Reply::Silence).await;
    let endpoint = world.endpoint(&failing.url).await;
    world.endpoint(&silent.url).await;
    world.endpoint(&healthy.url).await;
    world.append(3).await;
    eventually("the healthy one has all", async || (healthy.got().len() == 3).then_some(())).await;
    eventually("the failing one has all", async || (failing.got().len() == 9).then_some(())).await;
    assert_eq!(failing.positions(), [1, 1, 1, 2, 2, 2, 3, 3, 3]);
    let got = failing.got();
    assert!(got.chunks(3).all(|tries| tries.iter().all(|one| one.id() == tries[0].id())));
    let endpoint = eventually("the last delivery is noted", async || {
        Some(world.find(endpoint.id).await).filter(|endpoint| endpoint.delivered == 3)
    })
    .await;
    assert_eq!((endpoint.state.clone(), endpoint.attempts, endpoint.failing_since), (State::Enabled, 0, None));
    let deliveries = world.webhooks.deliveries(world.tenant, endpoint.id, None, 3).await.unwrap();
    let attempts: Vec<_> = deliveries.iter().map(|one| (one.attempt, one.status, one.error.is_none())).collect();
    assert_eq!(attempts, [(3, Some(200), true), (2, Some(500), false), (1, Some(500), false)]);
    assert_eq!(deliveries[0].response, "ok");
}

#[tokio::test]
async fn receivers_of_one_tenant_that_say_nothing_leave_room_for_those_of_another() {
    // Longer than the test: a receiver that does not answer keeps its slot until the end.
    let settings = Settings { sending: 2, sending_of_tenant: 1, timeout: Duration::from_mins(10), ..quick() };
    let world = World::with(settings).await;
    let silent = Receiver::answering(|_, _| Reply::Silence).await;
    for _ in 0..3 {
        world.endpoint(&silent.url).await;
    }
    world.append(2).await;
    eventually("one of the silent ones has its place", async || (silent.got().len() == 1).then_some(())).await;
    let (other, healthy) = (testbed::tenant(), Receiver::start().await);
    let act = EndpointCommand::Create { fields: fields(&healthy.url), after: Some(Position::START) };
    world.webhooks.carry_out(&request(other, Role::Admin), act).await.unwrap();
    world.append_as(other, "demo.lamp.lit", 3).await;
    eventually("the other tenant has all", async || (healthy.got().len() == 3).then_some(())).await;
    assert_eq!(silent.got().len(), 1, "a tenant has its share, and no more");
}

#[tokio::test]
async fn a_receiver_that_is_gone_or_fails_for_too_long_is_disabled_and_loses_nothing() {
    let settings = Settings { disable_after: Duration::from_millis(300), ..quick() };
    let world = World::with(settings).await;
    let gone = Receiver::answering(|_, _| Reply::Status("410 Gone")).await;
    let broken = Receiver::answering(|_, before| match before {
        0 => Reply::Status("200 OK"),
        _ => Reply::Status("503 Service Unavailable"),
    })
    .await;
    let first = world.endpoint(&gone.url).await;
    let second = world.endpoint(&broken.url).await;
    world.append(3).await;
    let disabled = async |id| {
        eventually("it is disabled", async || {
            let endpoint = world.find(id).await;
            matches!(endpoint.state, State::Disabled { .. }).then_some(endpoint)
        })
        .await
    };
    let endpoint = disabled(first.id).await;
    assert_eq!((endpoint.position, endpoint.next_attempt_at), (Position::START, None));
    assert!(matches!(&endpoint.state, State::Disabled { reason } if reason.contains("410")), "{endpoint:?}");
    assert_eq!(gone.got().len(), 1);
    let endpoint = disabled(second.id).await;
    assert_eq!((endpoint.position, endpoint.version), (Position(1), second.version + 1));
    assert!(endpoint.attempts > 1 && broken.positions().iter().skip(1).all(|position| *position == 2));

    // When it is enabled again, it continues from its cursor, perhaps with another URL.
    let mended = Receiver::start().await;
    world.act(EndpointCommand::Change { id: second.id, fields: fields(&mended.url) }).await;
    world.act(EndpointCommand::Enable { id: second.id }).await;
    eventually("the rest arrives", async || (mended.positions() == [2, 3]).then_some(())).await;
    assert_eq!(world.find(second.id).await.failing_since, None);
}

#[tokio::test]
async fn time_in_which_nobody_was_there_to_try_is_no_failure_of_the_receivers() {
    let world = World::idle(quick()).await;
    let receiver = Receiver::answering(|_, before| match before {
        0 => Reply::Status("503 Service Unavailable"),
        _ => Reply::Status("200 OK"),
    })
    .await;
    let created = world.endpoint(&receiver.url).await;
    world.append(1).await;
    // It failed once, and then no deliverer ran for longer than a receiver may fail.
    let mut tables = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    let failed_once = "UPDATE webhooks.cursors
        SET attempts = 1, failing_since = now() - interval '6 days', next_attempt_at = now() - interval '6 days'";
    assert_eq!(tables.execute(failed_once).await.unwrap().rows_affected(), 1);
    world.deliver();
    eventually("it arrives", async || (world.find(created.id).await.delivered == 1).then_some(())).await;
    assert_eq!(receiver.got().len(), 2);
}

#[tokio::test]
async fn what_is_disabled_gets_nothing_until_it_is_enabled() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    let created = world.endpoint(&receiver.url).await;
    world.act(EndpointCommand::Disable { id: created.id, reason: "maintenance".to_owned() }).await;
    let other = Receiver::start().await;
    world.endpoint(&other.url).await;
    world.append(2).await;
    eventually("the other one has all", async || (other.got().len() == 2).then_some(())).await;
    assert_eq!(receiver.got().len(), 0);
    world.act(EndpointCommand::Enable { id: created.id }).await;
    eventually("it goes on where it was", async || (receiver.positions() == [1, 2]).then_some(())).await;
    world.act(EndpointCommand::Remove { id: created.id }).await;
    world.append(1).await;
    eventually("the other one has it", async || (other.got().len() == 3).then_some(())).await;
    assert_eq!((receiver.got().len(), world.count("endpoints").await), (2, 1));
    assert_eq!(world.count("changes").await, 5, "who did what is kept");
}

#[tokio::test]
async fn redirects_are_not_followed_and_no_receiver_holds_us_for_ever() {
    let elsewhere = Receiver::start().await;
    let redirect: &'static str = format!("302 Found\r\nlocation: {}", elsewhere.url).leak();
    let redirecting = Receiver::answering(move |_, _| Reply::Status(redirect)).await;
    let silent = Receiver::answering(|_, _| Reply::Silence).await;
    let endless = Receiver::answering(|_, _| Reply::Endless).await;
    let send = async |url: &str, timeout: Duration| {
        let sender = Sender::new(&Settings { timeout, ..quick() }).unwrap();
        let at = kernel::Clock::now(&kernel::SystemClock);
        sender.send(url, [], Message { id: uuid::Uuid::nil(), at, body: b"{}" }).await
    };
    let (long, short) = (Duration::from_secs(30), Duration::from_millis(500));
    let outcome = send(&redirecting.url, long).await;
    assert_eq!(
        (outcome.status, outcome.error.as_deref().map(|error| error.contains("redirects"))),
        (Some(302), Some(true))
    );
    assert_eq!(elsewhere.got().len(), 0);
    let outcome = send(&silent.url, short).await;
    assert!(outcome.status.is_none() && outcome.error.unwrap().contains("in time"));
    let outcome = send(&endless.url, long).await;
    assert_eq!((outcome.error.as_deref(), outcome.response.len()), (None, 1_024));
}

#[tokio::test]
async fn a_clock_that_is_set_ahead_disables_nobody_who_failed_just_then() {
    let world = World::idle(quick()).await;
    let broken = Receiver::answering(|_, _| Reply::Status("503 Service Unavailable")).await;
    let created = world.endpoint(&broken.url).await;
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    tokio::spawn(
        webhooks::Deliverer::new(world.with_clock(clock.clone()), world.store.clone()).run(world.stop.clone()),
    );
    world.append(1).await;
    eventually("it failed", async || (world.find(created.id).await.attempts >= 1).then_some(())).await;
    clock.advance(TimeDelta::days(6));
    let ahead = world.find(created.id).await.attempts;
    let endpoint = eventually("it is tried again and again", async || {
        Some(world.find(created.id).await).filter(|endpoint| endpoint.attempts >= ahead + 3)
    })
    .await;
    assert_eq!(endpoint.state, State::Failing);
}

#[tokio::test]
async fn attack_67_a_webhooks_address_inside_our_network_is_not_knocked_at() {
    let world = World::idle(quick()).await;
    let receiver = Receiver::start().await;
    // The URL was accepted while it was allowed; the delivering process does not allow it.
    let created = world.endpoint(&receiver.url).await;
    let strict = world.elsewhere(Settings { guard: Guard::default(), ..quick() });
    tokio::spawn(webhooks::Deliverer::new(strict.clone(), world.store.clone()).run(world.stop.clone()));
    world.append(1).await;
    let delivery = eventually("an attempt is noted", async || {
        world.webhooks.deliveries(world.tenant, created.id, None, 1).await.unwrap().into_iter().next()
    })
    .await;
    assert!(delivery.error.unwrap().contains("https"), "{:?}", delivery.status);
    let ping = strict.ping(world.tenant, created.id).await.unwrap();
    assert!(!ping.delivered());
    assert_eq!(receiver.got().len(), 0);
}

#[tokio::test]
async fn a_receiver_that_asks_for_a_pause_gets_it() {
    let world = World::start().await;
    let busy = Receiver::answering(|_, _| Reply::Status("429 Too Many Requests\r\nretry-after: 100")).await;
    let backoff = Backoff { longest: Duration::from_hours(1), ..quick().backoff };
    let settings = Settings { backoff, ..quick() };
    let patient = world.elsewhere(settings);
    let created = world.endpoint(&busy.url).await;
    world.halt().await;
    let stop = tokio_util::sync::CancellationToken::new();
    tokio::spawn(webhooks::Deliverer::new(patient, world.store.clone()).run(stop.clone()));
    world.append(1).await;
    let endpoint = eventually("it waits", async || {
        Some(world.find(created.id).await).filter(|endpoint| endpoint.next_attempt_at.is_some())
    })
    .await;
    let asked = endpoint.next_attempt_at.unwrap() - endpoint.failing_since.unwrap();
    assert!(asked.num_seconds() >= 100, "{asked}");
    // Enabling it makes the next attempt due at once.
    world.act(EndpointCommand::Enable { id: created.id }).await;
    eventually("it is tried at once", async || (busy.got().len() == 2).then_some(())).await;
    stop.cancel();
}
