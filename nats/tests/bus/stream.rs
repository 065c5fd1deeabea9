//! Streams are made once, by whoever is first.

use std::pin::pin;
use std::time::{Duration, Instant};

use kernel::Position;
use nats::{Bus, Credentials, Error, Settings, StreamSettings, StreamState};

use testbed::Nats;

use crate::events::{CRM, bus_with_stream, log, take};

#[tokio::test]
async fn an_existing_stream_is_left_as_it_is() {
    let (_server, bus) = bus_with_stream().await;
    bus.publish(CRM, &log(1..=5), Position::START).await.unwrap();
    let state = bus.ensure_stream(CRM, StreamSettings { first_seq: 100, ..StreamSettings::default() }).await.unwrap();
    assert_eq!(state, StreamState { first: 1, last: 5 });
}

#[tokio::test]
async fn many_who_make_it_at_once_find_one_stream() {
    let (_server, bus) = bus_with_stream().await;
    bus.delete_stream(CRM).await.unwrap();
    let made = (0..8).map(|_| bus.ensure_stream(CRM, StreamSettings::default()));
    for state in futures::future::join_all(made).await {
        assert_eq!(state.unwrap(), StreamState { first: 1, last: 0 });
    }
}

#[tokio::test]
async fn more_copies_than_servers_are_refused() {
    let (_server, bus) = bus_with_stream().await;
    let refused = bus.ensure_stream(CRM, StreamSettings { replicas: 3, first_seq: 1 }).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)), "{refused:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_connected_to_when_it_comes() {
    let (mut server, bus) = bus_with_stream().await;
    bus.close().await.unwrap();
    server.kill();
    let mut settings = Settings::new(server.url(), Credentials::None, "early");
    let refused = Bus::connect(&settings).await.err();
    assert!(matches!(refused, Some(Error::Unavailable(_))), "{refused:?}");

    settings.connect_later = true;
    let bus = Bus::connect(&settings).await.unwrap();
    assert!(!bus.connected());
    server.restart().await;
    testbed::eventually("the bus connects", async || bus.connected().then_some(())).await;
    assert!(bus.ping().await.is_ok());
    assert!(bus.stream_state(CRM).await.unwrap().is_some());
}

#[tokio::test]
async fn a_url_that_is_none_is_said_to_be_so() {
    let error = Bus::connect(&Settings::new("nats://[", Credentials::None, "test")).await.err();
    assert!(matches!(error, Some(Error::Settings(_))), "{error:?}");
}

#[tokio::test]
async fn a_stream_has_as_many_copies_as_are_wanted_and_outlives_the_loss_of_a_server() {
    let mut cluster = Nats::cluster(3).await;
    let urls: Vec<_> = cluster.iter().map(Nats::url).collect();
    let bus = Bus::connect(&Settings::new(urls.join(", "), Credentials::None, "test")).await.unwrap();
    let settings = |replicas| StreamSettings { replicas, first_seq: 1 };
    let made = testbed::eventually("the cluster has a leader", async || {
        bus.ensure_stream(CRM, settings(1)).await.ok().map(drop)
    });
    made.await;
    bus.publish(CRM, &log(1..=1_000), Position::START).await.unwrap();
    bus.ensure_stream(CRM, settings(3)).await.unwrap();
    let copies = testbed::eventually("three servers have all of it", async || {
        bus.stream_copies(CRM).await.ok().flatten().filter(|copies| copies.current == 3)
    });
    let copies = copies.await;
    assert_eq!(copies.wanted, 3);

    let leader: usize = copies.leader.unwrap().trim_start_matches("node-").parse().unwrap();
    cluster[leader].kill();
    let all = log(1..=1_500);
    let (mut reached, begun) = (Position(1_000), Instant::now());
    while reached < Position(1_500) {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing was taken after {reached}");
        match bus.publish(CRM, &all[reached.0 as usize..], reached).await {
            Ok(published) => reached = published,
            // As the relay does: the stream says where to go on.
            Err(_) => {
                reached = bus.stream_state(CRM).await.ok().flatten().map_or(reached, |state| Position(state.last));
            }
        }
    }
    // The new leader counts who has told it how far they are.
    let copies = testbed::eventually("two servers have all of it", async || {
        bus.stream_copies(CRM).await.ok().flatten().filter(|copies| copies.current == 2)
    });
    assert_eq!(copies.await.wanted, 3);
    assert_eq!(take(&mut pin!(bus.feed(CRM, Position(1))), all.len()).await, all);
}

#[tokio::test]
async fn the_event_at_a_position_is_the_one_that_was_published_and_none_beyond_the_end() {
    let (_server, bus) = bus_with_stream().await;
    let events = log(1..=3);
    bus.publish(CRM, &events, Position::START).await.unwrap();
    assert_eq!(bus.event_at(CRM, Position(2)).await.unwrap().as_ref(), Some(&events[1]));
    assert_eq!(bus.event_at(CRM, Position(4)).await.unwrap(), None);
}
