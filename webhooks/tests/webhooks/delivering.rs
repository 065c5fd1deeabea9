//! Delivery: which events arrive, in which order, and with which signatures.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use eventstore::LockKey;
use kernel::Position;
use sqlx::{Connection, Executor, PgConnection};
use testbed::eventually;
use testbed::receiver::{Received, Receiver, Reply};
use tokio::sync::Notify;
use webhooks::{EndpointCommand, EndpointFields, Secret, sign};

use crate::world::{World, fields, quick};

/// Whether one of a message's signatures is by this secret.
fn signed(message: &Received, secret: &str) -> bool {
    let secret = Secret::from_bytes(STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap());
    let at = DateTime::from_timestamp(message.headers["webhook-timestamp"].parse().unwrap(), 0).unwrap();
    let expected = sign([&secret], message.id(), at, message.body.as_bytes());
    message.headers["webhook-signature"].split(' ').any(|signature| signature == expected)
}

#[tokio::test]
async fn a_tenants_events_arrive_signed_and_in_order_from_the_log_and_as_they_happen() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.append(5).await;
    world.append_as(testbed::tenant(), "demo.lamp.lit", 3).await;
    let created = world.endpoint(&receiver.url).await;
    eventually("what was there arrives", async || (receiver.got().len() == 5).then_some(())).await;
    for _ in 0..3 {
        world.append(1).await;
        world.append_as(testbed::tenant(), "demo.lamp.lit", 1).await;
    }
    eventually("what happens arrives", async || (receiver.got().len() == 8).then_some(())).await;
    assert_eq!(receiver.positions(), [1, 2, 3, 4, 5, 9, 11, 13]);
    let secret = created.secret.unwrap();
    for message in receiver.got() {
        let event = message.json();
        assert!(signed(&message, &secret), "{message:?}");
        assert_eq!((message.path.as_str(), message.id()), ("/hooks", event["id"].as_str().unwrap()));
        assert_eq!((&event["type"], &event["tenant"]), (&"demo.lamp.lit".into(), &world.tenant.to_string().into()));
        assert_eq!(event["data"]["event"], "demo.lamp.lit");
        assert_eq!(message.headers["content-type"], "application/json");
    }
    let endpoint = eventually("the last delivery is noted", async || {
        Some(world.find(created.id).await).filter(|endpoint| endpoint.delivered == 8)
    })
    .await;
    assert_eq!((endpoint.attempts, endpoint.state.as_str()), (0, "enabled"));
    let deliveries = world.webhooks.deliveries(world.tenant, created.id, None, 100).await.unwrap();
    let positions: Vec<_> = deliveries.iter().map(|delivery| delivery.position.unwrap().0).collect();
    assert_eq!(positions, [13, 11, 9, 5, 4, 3, 2, 1], "the last first");
    let page = world.webhooks.deliveries(world.tenant, created.id, Some(deliveries[2].id), 2).await.unwrap();
    assert_eq!(page, deliveries[3..5]);
}

#[tokio::test]
async fn only_the_types_that_are_wanted_arrive_and_the_rest_is_no_lag() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    let wanted = EndpointFields { types: vec!["demo.lamp.dimmed".to_owned()], ..fields(&receiver.url) };
    let created = world.act(EndpointCommand::Create { fields: wanted, after: None }).await;
    world.append(10).await;
    world.append_as(world.tenant, "demo.lamp.dimmed", 1).await;
    let head = world.append(10).await;
    eventually("the cursor passes over what is not wanted", async || {
        (world.find(created.id).await.position == Position(head)).then_some(())
    })
    .await;
    assert_eq!(receiver.positions(), [11]);
    let counts = world.webhooks.counts(|_| false).await.unwrap();
    assert_eq!((counts.enabled, counts.failing, counts.disabled, counts.lag), (1, 0, 0, 0));
    // The selection of events can be changed.
    world.act(EndpointCommand::Change { id: created.id, fields: fields(&receiver.url) }).await;
    world.append(1).await;
    eventually("every type arrives now", async || (receiver.positions() == [11, 22]).then_some(())).await;
}

#[tokio::test]
async fn a_rotated_secret_signs_beside_the_former_one_until_that_has_gone() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    let created = world.endpoint(&receiver.url).await;
    let first = created.secret.unwrap();
    let rotated = world.act(EndpointCommand::RotateSecret { id: created.id, overlap_hours: 24 }).await;
    let second = rotated.secret.unwrap();
    assert_ne!(first, second);
    world.append(1).await;
    let both = eventually("it arrives", async || receiver.got().first().cloned()).await;
    assert!(signed(&both, &first) && signed(&both, &second));
    let third = world.act(EndpointCommand::RotateSecret { id: created.id, overlap_hours: 0 }).await.secret.unwrap();
    world.append(1).await;
    let alone = eventually("it arrives", async || receiver.got().get(1).cloned()).await;
    assert!(signed(&alone, &third) && !signed(&alone, &second) && !signed(&alone, &first));
    assert_eq!(world.find(created.id).await.former_secret_until, None);
}

#[tokio::test]
async fn a_replay_delivers_again_under_the_same_ids_and_a_ping_says_what_became_of_it() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.append(4).await;
    let created = world.endpoint(&receiver.url).await;
    eventually("all arrive", async || (receiver.got().len() == 4).then_some(())).await;
    world.act(EndpointCommand::Replay { id: created.id, after: Position(2) }).await;
    eventually("two arrive again", async || (receiver.positions() == [1, 2, 3, 4, 3, 4]).then_some(())).await;
    let got = receiver.got();
    assert_eq!((got[2].id(), got[3].id()), (got[4].id(), got[5].id()));
    let ping = world.webhooks.ping(world.tenant, created.id).await.unwrap();
    assert_eq!((ping.status, ping.delivered()), (Some(204), true));
    let got = receiver.got();
    assert_eq!(got[6].json()["type"], "inopsio.webhook.ping");
    assert!(signed(&got[6], &created.secret.unwrap()));
    let last = &world.webhooks.deliveries(world.tenant, created.id, None, 1).await.unwrap()[0];
    assert_eq!((last.position, last.message_id.to_string().as_str()), (None, got[6].id()));
}

#[tokio::test]
async fn what_is_on_its_way_while_its_endpoint_is_changed_is_sent_by_nobody_beside_it() {
    let world = World::start().await;
    let told = Arc::new(Notify::new());
    let (answer, tell) = (told.clone(), told);
    let late = Receiver::answering(move |_, before| match before {
        0 => Reply::When(answer.clone()),
        _ => Reply::Status("200 OK"),
    })
    .await;
    let created = world.endpoint(&late.url).await;
    world.append(2).await;
    eventually("the first event is on its way", async || (late.got().len() == 1).then_some(())).await;
    let changed = EndpointFields { description: "the same, in other words".to_owned(), ..fields(&late.url) };
    world.act(EndpointCommand::Change { id: created.id, fields: changed }).await;
    // When this endpoint gets an event, its deliverer has also seen the other endpoint's change, so that one's receiver is called.
    let other = Receiver::answering(move |_, _| {
        tell.notify_one();
        Reply::Status("200 OK")
    })
    .await;
    world.endpoint(&other.url).await;
    eventually("both are delivered", async || (world.find(created.id).await.delivered >= 2).then_some(())).await;
    assert_eq!(late.positions(), [1, 2]);
}

#[tokio::test]
async fn only_the_last_deliveries_are_kept() {
    let world = World::with(webhooks::Settings { kept: 10, ..quick() }).await;
    let receiver = Receiver::start().await;
    let created = world.endpoint(&receiver.url).await;
    world.append(130).await;
    eventually("all are delivered", async || (world.find(created.id).await.delivered == 130).then_some(())).await;
    // Old deliveries are deleted after the 64th and the 128th.
    let kept = world.webhooks.deliveries(world.tenant, created.id, None, 200).await.unwrap();
    assert_eq!(kept.len(), 10 + 2);
    assert_eq!(kept[0].position, Some(Position(130)));
}

#[tokio::test]
async fn pings_do_not_pile_up_where_nothing_is_delivered_nor_stay_where_nothing_is_left() {
    let world = World::with(webhooks::Settings { kept: 3, ..quick() }).await;
    let receiver = Receiver::start().await;
    let disabled = world.endpoint(&receiver.url).await.id;
    world.act(EndpointCommand::Disable { id: disabled, reason: String::new() }).await;
    for _ in 0..5 {
        world.webhooks.ping(world.tenant, disabled).await.unwrap();
    }
    assert_eq!(world.webhooks.deliveries(world.tenant, disabled, None, 10).await.unwrap().len(), 3);

    let tell = Arc::new(Notify::new());
    let answer = tell.clone();
    let late = Receiver::answering(move |_, _| Reply::When(answer.clone())).await;
    let removed = world.endpoint(&late.url).await.id;
    let (webhooks, tenant) = (world.webhooks.clone(), world.tenant);
    let ping = tokio::spawn(async move { webhooks.ping(tenant, removed).await });
    eventually("it is on its way", async || (late.got().len() == 1).then_some(())).await;
    world.act(EndpointCommand::Remove { id: removed }).await;
    tell.notify_one();
    assert!(ping.await.unwrap().unwrap().delivered());
    assert_eq!(world.count("deliveries").await, 3, "something is left of the endpoint that was removed");
}

#[tokio::test]
async fn no_ping_is_sent_while_a_tenant_moves_and_one_that_is_on_its_way_then_says_what_became_of_it() {
    let world = World::idle(quick()).await;
    let tell = Arc::new(Notify::new());
    let answer = tell.clone();
    let receiver = Receiver::answering(move |_, _| Reply::When(answer.clone())).await;
    let id = world.endpoint(&receiver.url).await.id;
    world.begin_move().await;
    assert_eq!(world.webhooks.ping(world.tenant, id).await.unwrap_err().code(), "tenant_moving");
    assert_eq!((receiver.got().len(), world.count("deliveries").await), (0, 0));

    world.cancel_move().await;
    let (webhooks, tenant) = (world.webhooks.clone(), world.tenant);
    let ping = tokio::spawn(async move { webhooks.ping(tenant, id).await });
    eventually("it is on its way", async || (receiver.got().len() == 1).then_some(())).await;
    world.begin_move().await;
    tell.notify_one();
    assert!(ping.await.unwrap().unwrap().delivered());
    assert_eq!((world.count("deliveries").await, world.store.head().await.unwrap()), (0, Position::START));
}

#[tokio::test]
async fn of_two_deliverers_one_is_active_and_the_other_takes_over() {
    let world = World::idle(quick()).await;
    let receiver = Receiver::start().await;
    world.endpoint(&receiver.url).await;
    let first = tokio_util::sync::CancellationToken::new();
    let running =
        tokio::spawn(webhooks::Deliverer::new(world.webhooks.clone(), world.store.clone()).run(first.clone()));
    world.deliver();
    world.append(20).await;
    eventually("all arrive", async || (receiver.got().len() >= 20).then_some(())).await;
    first.cancel();
    running.await.unwrap();
    world.append(5).await;
    eventually("the rest arrives", async || (receiver.got().len() >= 25).then_some(())).await;
    assert_eq!(receiver.positions(), (1..=25).collect::<Vec<_>>());
}

#[tokio::test]
async fn while_the_bus_is_away_events_arrive_from_the_log() {
    let mut world = World::start().await;
    let receiver = Receiver::start().await;
    world.endpoint(&receiver.url).await;
    world.append(1).await;
    eventually("it arrives", async || (receiver.got().len() == 1).then_some(())).await;
    world.nats.kill();
    world.append(3).await;
    eventually("they arrive all the same", async || (receiver.positions() == [1, 2, 3, 4]).then_some(())).await;
}

#[tokio::test]
async fn a_log_that_does_not_answer_costs_the_deliverer_no_lock() {
    let world = World::start().await;
    world.endpoint(&Receiver::start().await.url).await;
    let superuser = async || PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    // The session that has the lock.
    let holder = async || -> Option<i32> {
        let query = "SELECT pid FROM pg_locks
             WHERE locktype = 'advisory' AND granted AND (classid::bigint << 32) + objid::bigint = $1
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let key = LockKey::Deliverer.number();
        sqlx::query_scalar(query).bind(key).fetch_optional(&mut superuser().await).await.unwrap()
    };
    let first = eventually("a deliverer is active", async || holder().await).await;
    let (mut log, mut tables) = (superuser().await, superuser().await);
    log.execute("BEGIN; LOCK TABLE log.head IN ACCESS EXCLUSIVE MODE").await.unwrap();
    // Twice, because before the first time it may not have looked at the log yet.
    for _ in 0..2 {
        let expired = "UPDATE webhooks.endpoints SET former_secret = secret, former_until = now() - interval '1 hour'";
        tables.execute(expired).await.unwrap();
        eventually("it removes a former secret that has expired", async || {
            (world.count("endpoints WHERE former_secret IS NOT NULL").await == 0).then_some(())
        })
        .await;
    }
    assert_eq!(holder().await, Some(first));
}
