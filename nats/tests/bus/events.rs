//! Events to publish, and a bus to publish them on.

use chrono::DateTime;
use futures::{Stream, StreamExt};
use kernel::{Position, RecordedEvent, Service};
use nats::{Bus, Credentials, Error, Settings, StreamSettings};
use testbed::Nats;
use uuid::Uuid;

pub(crate) const CRM: Service = Service::new("crm");

/// A bus on a private server, with an empty stream.
pub(crate) async fn bus_with_stream() -> (Nats, Bus) {
    let server = Nats::start().await;
    let bus = connect(&server).await;
    bus.ensure_stream(CRM, StreamSettings::default()).await.unwrap();
    (server, bus)
}

/// A connection with a short timeout, for tests in which the server is down.
pub(crate) async fn connect(server: &Nats) -> Bus {
    let mut settings = Settings::new(server.url(), Credentials::None, "test");
    settings.timeout = std::time::Duration::from_secs(2);
    Bus::connect(&settings).await.unwrap()
}

/// The events at these positions of a log that is the same for every call.
pub(crate) fn log(positions: std::ops::RangeInclusive<u64>) -> Vec<RecordedEvent> {
    positions.map(event).collect()
}

#[expect(clippy::disallowed_methods, reason = "a test vouches for its tenants")]
fn event(position: u64) -> RecordedEvent {
    let time = DateTime::from_timestamp_micros(1_790_000_000_000_000 + position.cast_signed()).unwrap();
    RecordedEvent {
        tenant: kernel::TenantId::vouched(Uuid::from_u128(u128::from(position % 7))),
        position: Position(position),
        event_id: Uuid::from_u128(1_000_000 + u128::from(position)),
        aggregate_type: "crm.lead".to_owned(),
        aggregate_id: Uuid::from_u128(u128::from(position % 50)).to_string(),
        sequence: position / 50 + 1,
        event_type: "crm.lead.captured".to_owned(),
        event_version: 1,
        payload: format!(r#"{{"event":"crm.lead.captured","details":{{"name":"Ada {position}"}},"text":"{:200}"}}"#, "").into(),
        metadata: format!(
            r#"{{"actor":"zoë","command_id":"c-{position}","correlation_id":"{id}","causation_id":"{id}","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}"#,
            id = Uuid::from_u128(u128::from(position))
        )
        .into(),
        occurred_at: time,
        recorded_at: time,
    }
}

/// The next `count` events of a feed.
pub(crate) async fn take(
    feed: &mut (impl Stream<Item = Result<Vec<RecordedEvent>, Error>> + Unpin),
    count: usize,
) -> Vec<RecordedEvent> {
    let mut events = Vec::new();
    while events.len() < count {
        let batch = tokio::time::timeout(std::time::Duration::from_secs(30), feed.next());
        events.extend(batch.await.expect("the feed goes on").expect("the feed does not end").expect("no error"));
    }
    events
}
