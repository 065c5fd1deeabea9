//! Streams are made once, by whoever is first.

use kernel::Position;
use nats::{Bus, Credentials, Error, Settings, StreamSettings, StreamState};

use crate::events::{CRM, bus_with_stream, log};

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
