//! A feed has no gap, whatever happens to server and stream.

use std::time::{Duration, Instant};

use futures::StreamExt;
use kernel::{Position, RecordedEvent};
use nats::{Error, StreamSettings};

use crate::events::{CRM, bus_with_stream, log, take};

#[tokio::test]
async fn a_feed_begins_where_it_was_asked_to_and_goes_on_with_what_comes() {
    let (_server, bus) = bus_with_stream().await;
    bus.publish(CRM, &log(1..=1_200), Position::START).await.unwrap();
    let mut feed = Box::pin(bus.feed(CRM, Position(101)));
    assert_eq!(take(&mut feed, 1_100).await, log(101..=1_200));
    bus.publish(CRM, &log(1_201..=1_250), Position(1_200)).await.unwrap();
    assert_eq!(take(&mut feed, 50).await, log(1_201..=1_250));
}

#[tokio::test]
async fn large_events_come_few_at_a_time_and_all_of_them() {
    let (_server, bus) = bus_with_stream().await;
    let mut events = log(1..=200);
    // 15 MB of them: more than is asked for at once.
    for event in &mut events[70..130] {
        event.payload = format!(r#"{{"photo":"{}"}}"#, "x".repeat(250_000)).into();
    }
    bus.publish(CRM, &events, Position::START).await.unwrap();
    let mut feed = Box::pin(bus.feed(CRM, Position(1)));
    let mut read = Vec::new();
    while read.len() < events.len() {
        let batch = take(&mut feed, 1).await;
        let bytes: usize = batch.iter().rev().skip(1).map(RecordedEvent::bytes).sum();
        assert!(bytes < 1 << 20, "{} events have {bytes} bytes and the last one's", batch.len());
        read.extend(batch);
    }
    assert_eq!(read, events);
}

#[tokio::test]
async fn a_feed_waits_for_a_stream_that_does_not_exist_yet() {
    let (_server, bus) = bus_with_stream().await;
    bus.delete_stream(CRM).await.unwrap();
    let mut feed = Box::pin(bus.feed(CRM, Position(1)));
    let filled = async {
        bus.ensure_stream(CRM, StreamSettings::default()).await.unwrap();
        bus.publish(CRM, &log(1..=10), Position::START).await.unwrap();
    };
    let (events, ()) = tokio::join!(take(&mut feed, 10), filled);
    assert_eq!(events, log(1..=10));
}

#[tokio::test]
async fn a_feed_goes_on_after_the_server_was_killed() {
    let (mut server, bus) = bus_with_stream().await;
    bus.publish(CRM, &log(1..=300), Position::START).await.unwrap();
    let mut feed = Box::pin(bus.feed(CRM, Position(1)));
    let mut events = take(&mut feed, 100).await;

    server.kill();
    server.restart().await;
    // Both the reader and the writer come back by themselves; a refusal while they do is not the end.
    let last =
        testbed::eventually("the stream is back", async || bus.stream_state(CRM).await.ok().flatten()).await.last;
    bus.publish(CRM, &log(last + 1..=600), Position(last)).await.unwrap();
    let more = take(&mut feed, 600 - events.len()).await;
    events.extend(more);
    assert_eq!(events, log(1..=600));
}

#[tokio::test]
async fn a_stream_that_was_deleted_and_filled_again_delivers_nothing_twice() {
    let (_server, bus) = bus_with_stream().await;
    bus.publish(CRM, &log(1..=100), Position::START).await.unwrap();
    let mut feed = Box::pin(bus.feed(CRM, Position(1)));
    let mut events = take(&mut feed, 100).await;

    let refill = async {
        bus.delete_stream(CRM).await.unwrap();
        bus.ensure_stream(CRM, StreamSettings::default()).await.unwrap();
        bus.publish(CRM, &log(1..=150), Position::START).await.unwrap();
    };
    let (more, ()) = tokio::join!(take(&mut feed, 50), refill);
    events.extend(more);
    assert_eq!(events, log(1..=150));
}

#[tokio::test]
async fn a_stream_that_lost_its_tail_delivers_the_tail_once() {
    let (_server, bus) = bus_with_stream().await;
    bus.publish(CRM, &log(1..=100), Position::START).await.unwrap();
    let mut feed = Box::pin(bus.feed(CRM, Position(1)));
    let mut events = take(&mut feed, 100).await;

    // The reader is at 100; the stream is back at 60, then filled from there, as a relay does it.
    let refill = async {
        bus.delete_stream(CRM).await.unwrap();
        bus.ensure_stream(CRM, StreamSettings { first_seq: 41, ..StreamSettings::default() }).await.unwrap();
        bus.publish(CRM, &log(41..=60), Position(40)).await.unwrap();
        bus.publish(CRM, &log(61..=130), Position(60)).await.unwrap();
    };
    let (more, ()) = tokio::join!(take(&mut feed, 30), refill);
    events.extend(more);
    assert_eq!(events, log(1..=130));
}

#[tokio::test]
async fn a_stream_that_begins_later_is_a_gap_and_not_a_silence() {
    let (_server, bus) = bus_with_stream().await;
    bus.delete_stream(CRM).await.unwrap();
    bus.ensure_stream(CRM, StreamSettings { first_seq: 501, ..StreamSettings::default() }).await.unwrap();
    bus.publish(CRM, &log(501..=510), Position(500)).await.unwrap();

    let mut feed = Box::pin(bus.feed(CRM, Position(450)));
    let error = feed.next().await.unwrap().unwrap_err();
    let Error::Gap { wanted, first, .. } = error else { panic!("{error:?}") };
    assert_eq!((wanted, first), (Position(450), Position(501)));
    assert!(feed.next().await.is_none(), "after an error the feed ends");

    let mut feed = Box::pin(bus.feed(CRM, Position(501)));
    assert_eq!(take(&mut feed, 10).await, log(501..=510));
}

#[tokio::test]
async fn a_stranger_s_message_ends_the_feed_after_what_came_before_it() {
    let (server, bus) = bus_with_stream().await;
    bus.publish(CRM, &log(1..=5), Position::START).await.unwrap();
    let stranger = async_nats::connect(server.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(stranger);
    jetstream.publish("evt.crm.x.lead.captured", "not ours".into()).await.unwrap().await.unwrap();

    let mut feed = Box::pin(bus.feed(CRM, Position(1)));
    assert_eq!(take(&mut feed, 5).await, log(1..=5));
    let error = feed.next().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Unreadable { position: Position(6), .. }), "{error:?}");
    assert!(feed.next().await.is_none());
}

#[tokio::test]
async fn a_consumer_that_is_of_no_use_is_made_again_after_pauses_that_grow() {
    let (server, bus) = bus_with_stream().await;
    bus.delete_stream(CRM).await.unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client.clone());
    // A stream that lost a message in the middle: no consumer of it brings what comes next.
    let config = async_nats::jetstream::stream::Config {
        name: "EVENTS_CRM".to_owned(),
        subjects: vec!["evt.crm.>".to_owned()],
        ..async_nats::jetstream::stream::Config::default()
    };
    let damaged = jetstream.create_stream(config).await.unwrap();
    for _ in 0..3 {
        jetstream.publish("evt.crm.x.lead.captured", "lost".into()).await.unwrap().await.unwrap();
    }
    assert!(damaged.delete_message(2).await.unwrap());
    let mut made = client.subscribe("$JS.API.CONSUMER.CREATE.>").await.unwrap();
    client.flush().await.unwrap();
    let began = Instant::now();
    let mut feed = Box::pin(bus.feed(CRM, Position(2)));
    let six = async {
        for _ in 0..6 {
            made.next().await.unwrap();
        }
    };
    tokio::select! {
        batch = feed.next() => panic!("{batch:?}"),
        () = six => {}
    }
    // 50, 100, 200, 400 and 400 ms are between them at least, however busy the machine is.
    assert!(began.elapsed() >= Duration::from_secs(1), "six within {:?}", began.elapsed());
}
