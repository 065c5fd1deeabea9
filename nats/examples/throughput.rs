//! How many events a second go onto the bus and come off it, on a private nats-server:
//! `cargo run --release -p nats --example throughput`.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::Instant;

use chrono::DateTime;
use futures::StreamExt;
use kernel::{Position, RecordedEvent, Service, TenantId};
use nats::{Bus, Credentials, Settings, StreamSettings};
use uuid::Uuid;

const CRM: Service = Service::new("crm");
const EVENTS: u64 = 300_000;

#[tokio::main]
async fn main() {
    let server = testbed::Nats::start().await;
    let bus = Bus::connect(&Settings::new(server.url(), Credentials::None, "throughput")).await.unwrap();
    bus.ensure_stream(CRM, StreamSettings::default()).await.unwrap();
    let tenants: Vec<_> = (0..50).map(|_| testbed::tenant()).collect();
    let events: Vec<_> =
        (1..=EVENTS).zip(tenants.into_iter().cycle()).map(|(nth, tenant)| event(nth, tenant)).collect();

    let report = |what: &str, began: Instant| {
        let seconds = began.elapsed().as_secs_f64();
        println!("{what}: {:.0} events/s", EVENTS as f64 / seconds);
    };
    let began = Instant::now();
    for event in &events {
        std::hint::black_box(nats::cloudevent::encode(CRM, event).unwrap());
    }
    report("encode alone", began);
    bare(&server.url(), &events).await;
    let began = Instant::now();
    let mut after = Position::START;
    for chunk in events.chunks(1_000) {
        after = bus.publish(CRM, chunk, after).await.unwrap();
    }
    report("publish in 1,000s", began);
    let began = Instant::now();
    let mut feed = Box::pin(bus.feed(CRM, Position::START));
    let mut seen = 0;
    while seen < EVENTS {
        seen += feed.next().await.unwrap().unwrap().len() as u64;
    }
    report("feed", began);
}

/// The limit to compare with: the same bodies, pipelined by the client library, without headers, conditions and checks.
async fn bare(url: &str, events: &[RecordedEvent]) {
    let jetstream = async_nats::jetstream::new(async_nats::connect(url).await.unwrap());
    let stream = async_nats::jetstream::stream::Config {
        name: "BARE".to_owned(),
        subjects: vec!["bare.>".to_owned()],
        ..Default::default()
    };
    jetstream.create_stream(stream).await.unwrap();
    let began = Instant::now();
    for chunk in events.chunks(1_000) {
        let mut acks = Vec::with_capacity(chunk.len());
        for event in chunk {
            acks.push(jetstream.publish("bare.x", event.payload.clone()).await.unwrap());
        }
        for ack in acks {
            ack.await.unwrap();
        }
    }
    println!("bare publish in 1,000s: {:.0} messages/s", EVENTS as f64 / began.elapsed().as_secs_f64());
}

fn event(position: u64, tenant: TenantId) -> RecordedEvent {
    let time = DateTime::from_timestamp_micros(1_790_000_000_123_456).unwrap();
    RecordedEvent {
        tenant,
        position: Position(position),
        event_id: Uuid::from_u128(u128::from(position)),
        aggregate_type: "crm.lead".to_owned(),
        aggregate_id: Uuid::from_u128(u128::from(position)).to_string(),
        sequence: 1,
        event_type: "crm.lead.captured".to_owned(),
        event_version: 1,
        payload: format!(r#"{{"event":"crm.lead.captured","details":{{"name":"Ada"}},"note":"{:150}"}}"#, "").into(),
        metadata: format!(
            r#"{{"actor":"ada","command_id":"{id}","correlation_id":"{id}","causation_id":"{id}","occurred_at":"2026-11-23T07:00:00Z"}}"#,
            id = Uuid::nil()
        )
        .into(),
        occurred_at: time,
        recorded_at: time,
    }
}
