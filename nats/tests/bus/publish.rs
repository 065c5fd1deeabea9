//! The stream is always a prefix of the log, also with several publishers and failures.

use kernel::Position;
use nats::{PublishError, StreamSettings, StreamState};

use crate::events::{CRM, bus_with_stream, connect, log, take};

#[tokio::test]
async fn an_event_is_stored_at_the_sequence_that_is_its_position() {
    let (_server, bus) = bus_with_stream().await;
    let events = log(1..=3_000);
    assert_eq!(bus.publish(CRM, &events, Position::START).await.unwrap(), Position(3_000));
    assert_eq!(bus.publish(CRM, &[], Position(3_000)).await.unwrap(), Position(3_000));
    assert_eq!(bus.stream_state(CRM).await.unwrap(), Some(StreamState { first: 1, last: 3_000 }));

    let mut feed = Box::pin(bus.feed(CRM, Position(1)));
    assert_eq!(take(&mut feed, events.len()).await, events);
}

#[tokio::test]
async fn a_stream_begins_at_the_position_that_it_was_made_for() {
    let (_server, bus) = bus_with_stream().await;
    bus.delete_stream(CRM).await.unwrap();
    let state = bus.ensure_stream(CRM, StreamSettings { first_seq: 501, ..StreamSettings::default() }).await.unwrap();
    assert_eq!(state, StreamState { first: 501, last: 500 });
    assert_eq!(bus.publish(CRM, &log(501..=510), Position(500)).await.unwrap(), Position(510));
    assert_eq!(bus.stream_state(CRM).await.unwrap(), Some(StreamState { first: 501, last: 510 }));
}

#[tokio::test]
async fn a_second_publisher_is_refused_and_nothing_of_it_is_stored() {
    let (server, bus) = bus_with_stream().await;
    bus.publish(CRM, &log(1..=20), Position::START).await.unwrap();

    let zombie = connect(&server).await;
    let refused = zombie.publish(CRM, &log(11..=20), Position(10)).await.unwrap_err();
    let PublishError::WrongLastSequence { reached, expected, actual } = refused else { panic!("{refused:?}") };
    assert_eq!((reached, expected, actual), (Position(10), Position(10), Some(Position(20))));
    let ahead = zombie.publish(CRM, &log(26..=30), Position(25)).await.unwrap_err();
    assert!(matches!(ahead, PublishError::WrongLastSequence { .. }), "{ahead:?}");
    assert_eq!(bus.stream_state(CRM).await.unwrap(), Some(StreamState { first: 1, last: 20 }));
}

#[tokio::test]
async fn two_publishers_at_once_leave_one_log() {
    let (server, bus) = bus_with_stream().await;
    let other = connect(&server).await;
    let events = log(1..=2_000);
    // Each publisher continues from the stream's last sequence, as relays do.
    let run = async |bus: &nats::Bus| {
        loop {
            let last = bus.stream_state(CRM).await.unwrap().unwrap().last;
            let Some(rest) = events.get(usize::try_from(last).unwrap()..).filter(|rest| !rest.is_empty()) else {
                break;
            };
            let _ = bus.publish(CRM, &rest[..rest.len().min(100)], Position(last)).await;
        }
    };
    tokio::join!(run(&bus), run(&other));
    let mut feed = Box::pin(bus.feed(CRM, Position::START));
    assert_eq!(take(&mut feed, events.len()).await, events);
    assert_eq!(bus.stream_state(CRM).await.unwrap().unwrap().last, 2_000);
}

#[tokio::test]
async fn a_missing_stream_is_told_from_a_server_that_is_away() {
    let (mut server, bus) = bus_with_stream().await;
    bus.delete_stream(CRM).await.unwrap();
    let missing = bus.publish(CRM, &log(1..=5), Position::START).await.unwrap_err();
    assert!(matches!(missing, PublishError::NoStream { reached: Position::START }), "{missing:?}");
    assert_eq!(bus.stream_state(CRM).await.unwrap(), None);
    assert!(!bus.delete_stream(CRM).await.unwrap());

    server.kill();
    let away = bus.publish(CRM, &log(1..=5), Position::START).await.unwrap_err();
    assert!(matches!(away, PublishError::Timeout { reached: Position::START, .. }), "{away:?}");
    assert!(bus.stream_state(CRM).await.is_err());
}

#[tokio::test]
async fn what_no_message_can_hold_is_said_and_what_came_before_it_is_stored() {
    let (_server, bus) = bus_with_stream().await;
    let mut events = log(1..=10);
    events[4].event_type = "crm.lead.*".to_owned();
    let error = bus.publish(CRM, &events, Position::START).await.unwrap_err();
    let PublishError::Unpublishable { reached, position, .. } = error else { panic!("{error:?}") };
    assert_eq!((reached, position), (Position(4), Position(5)));

    let mut gap = log(5..=10);
    gap.remove(2);
    let error = bus.publish(CRM, &gap, Position(4)).await.unwrap_err();
    assert!(
        matches!(error, PublishError::Unpublishable { reached: Position(6), position: Position(8), .. }),
        "{error:?}"
    );

    let mut huge = log(7..=7);
    huge[0].payload = vec![b' '; 2 * nats::server::MAX_PAYLOAD].into();
    let error = bus.publish(CRM, &huge, Position(6)).await.unwrap_err();
    assert!(matches!(error, PublishError::Unpublishable { reached: Position(6), .. }), "{error:?}");
    assert_eq!(bus.stream_state(CRM).await.unwrap(), Some(StreamState { first: 1, last: 6 }));
}
