//! Changes of dead letters are published on the bus, once and in order, also after an outage.

use std::collections::BTreeSet;

use deadletters::Publisher;
use kernel::Role;
use tokio_util::sync::CancellationToken;

use crate::lamps::Lamps;
use crate::parking::parked;
use crate::road::{Road, request};

/// All messages of the stream: id, type, and state in the body.
async fn told(road: &Road) -> Vec<(String, String, serde_json::Value)> {
    let client = async_nats::connect(road.nats.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let Ok(mut stream) = jetstream.get_stream(nats::DEAD_LETTERS).await else { return Vec::new() };
    let state = stream.info().await.unwrap().state.clone();
    let mut told = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        let header = |name: &str| message.headers.get(name).unwrap().to_string();
        assert!(message.subject.starts_with("dlq.demo."), "{}", message.subject);
        told.push((header("ce-id"), header("ce-type"), serde_json::from_slice(&message.payload).unwrap()));
    }
    told
}

#[tokio::test]
async fn each_letter_that_is_parked_and_each_change_of_one_is_told_once() {
    let road = Road::new(Lamps::new()).await;
    let first = road.append(0, "bad", "demo.lamp.lit", r#"{"broken":"poison"}"#).await;
    road.append(0, "bad", "demo.lamp.dimmed", "{}").await;
    let second = road.append(1, "bad", "demo.lamp.lit", r#"{"broken":"poison"}"#).await;
    let running = road.start();
    road.visible(&running.models).await;
    // Nothing is published yet. Of two publishers only one publishes.
    assert_eq!(told(&road).await, []);
    let stop = CancellationToken::new();
    let publishers: Vec<_> =
        (0..2).map(|_| tokio::spawn(Publisher::new(&road.database, road.bus.clone(), 1).run(stop.clone()))).collect();
    testbed::eventually("both are told", async || (told(&road).await.len() == 2).then_some(())).await;
    let dead_letters = road.dead_letters();
    let id = format!("projection.lamps.{first}").parse().unwrap();
    dead_letters.discard(&request(road.tenants[0], Role::Admin, None), &id, "why").await.unwrap();
    testbed::eventually("nothing of it is parked", async || (parked(&road).await.len() == 1).then_some(())).await;
    testbed::eventually("that is told too", async || (told(&road).await.len() == 3).then_some(())).await;
    stop.cancel();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    let told = told(&road).await;
    let seen: Vec<_> = told.iter().map(|(_, kind, body)| (kind.as_str(), body["position"].as_u64().unwrap())).collect();
    assert_eq!(
        seen,
        [
            ("inopsio.dead_letter.parked", first.0),
            ("inopsio.dead_letter.parked", second.0),
            ("inopsio.dead_letter.discarded", first.0)
        ]
    );
    let ids: BTreeSet<_> = told.iter().map(|(id, ..)| id).collect();
    assert_eq!(ids.len(), 3, "each has an id of its own");
    assert!(told.iter().all(|(_, _, body)| body["consumer"] == "projection.lamps" && body.get("errors").is_none()));
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM dead.changes").fetch_one(&mut road.superuser().await).await.unwrap();
    assert_eq!(left, 0);
    running.stop().await;
}

#[tokio::test]
async fn requests_of_long_ago_are_forgotten() {
    let road = Road::new(Lamps::new()).await;
    let mut superuser = road.superuser().await;
    for (id, days) in [("lately", 29), ("long ago", 31)] {
        sqlx::query(
            "INSERT INTO dead.commands (tenant_id, command_id, request_hash, answer, recorded_at)
             VALUES ($1, $2, '', 1, now() - make_interval(days => $3))",
        )
        .bind(road.tenants[0].uuid())
        .bind(id)
        .bind(days)
        .execute(&mut superuser)
        .await
        .unwrap();
    }
    let stop = CancellationToken::new();
    let publisher = tokio::spawn(Publisher::new(&road.database, road.bus.clone(), 1).run(stop.clone()));
    testbed::eventually("one is forgotten, and not the other", async || {
        let ids = sqlx::query_scalar("SELECT command_id FROM dead.commands");
        let ids: Vec<String> = ids.fetch_all(&mut road.superuser().await).await.unwrap();
        (ids == ["lately"]).then_some(())
    })
    .await;
    stop.cancel();
    publisher.await.unwrap();
}

#[tokio::test]
async fn letters_that_are_over_for_long_are_forgotten_whoever_parked_them() {
    let road = Road::new(Lamps::new()).await;
    let mut superuser = road.superuser().await;
    let webhook = "webhook.0192f0c4-0000-7000-8000-000000000000";
    let letters = [
        ("projection.lamps", "applied", 31),
        ("saga.light_lamp", "discarded", 31),
        (webhook, "applied", 31),
        (webhook, "applied", 29),
        (webhook, "parked", 31),
    ];
    for (position, (consumer, state, days)) in (1_i64..).zip(letters) {
        sqlx::query(
            "WITH letter AS (
                 INSERT INTO dead.letters (tenant_id, consumer, position, aggregate_type, aggregate_id, event_type, state, changed_at)
                 VALUES ($1, $2, $3, 'demo.lamp', 'lamp', 'demo.lamp.lit', $4, now() - make_interval(days => $5)))
             INSERT INTO dead.attempts (tenant_id, consumer, position, attempt, errors) VALUES ($1, $2, $3, 1, '{no}')",
        )
        .bind(road.tenants[0].uuid())
        .bind(consumer)
        .bind(position)
        .bind(state)
        .bind(days)
        .execute(&mut superuser)
        .await
        .unwrap();
    }
    let stop = CancellationToken::new();
    let publisher = tokio::spawn(Publisher::new(&road.database, road.bus.clone(), 1).run(stop.clone()));
    for table in ["letters", "attempts"] {
        testbed::eventually("what is over for a month is forgotten, and nothing else", async || {
            let left = format!("SELECT position FROM dead.{table} ORDER BY position");
            let left: Vec<i64> = sqlx::query_scalar(&left).fetch_all(&mut road.superuser().await).await.unwrap();
            (left == [4, 5]).then_some(())
        })
        .await;
    }
    stop.cancel();
    publisher.await.unwrap();
}
