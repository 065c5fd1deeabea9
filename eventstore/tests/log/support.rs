//! Helpers of these tests.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use eventstore::{
    Append, Claim, ClaimAct, CommandRecord, EventStore, NewEvent, Settings, StreamAppend, claim_key_mark,
};
use kernel::{IdSource, RecordedEvent, SystemClock, SystemIds, TenantId};
use sqlx::{ConnectOptions, PgConnection};
use testbed::Database;
use uuid::Uuid;

/// An open store on a fresh database.
pub async fn store() -> (Database, EventStore) {
    let database = Database::fresh("crm").await;
    let store = open(&database, Settings::default()).await;
    (database, store)
}

pub async fn open(database: &Database, settings: Settings) -> EventStore {
    EventStore::open(database, settings, Arc::new(SystemClock)).await.unwrap()
}

/// The settings of a process whose claim key consists of this byte.
pub fn keyed(byte: u8) -> Settings {
    Settings { claim_key_mark: Some(claim_key_mark(&[byte; 32])), ..Settings::default() }
}

/// Checks the keys of a process with these settings in one log.
pub async fn check_keys(database: &Database, settings: Settings) -> Result<(), eventstore::Error> {
    eventstore::check_keys(&[(**database).clone()], &settings).await.map_err(|(_, error)| error)
}

pub fn id() -> Uuid {
    SystemIds.next()
}

pub fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub fn event(payload: &str) -> NewEvent {
    NewEvent {
        event_id: id(),
        event_type: "crm.lead.captured",
        event_version: 1,
        payload: payload.to_owned(),
        metadata: Arc::from(r#"{"actor":"test"}"#),
        occurred_at: time("2026-01-02T03:04:05.678901Z"),
    }
}

pub fn stream(aggregate_id: &str, expected: u64, events: usize) -> StreamAppend {
    StreamAppend {
        aggregate_type: "crm.lead",
        aggregate_id: aggregate_id.to_owned(),
        expected,
        events: (0..events).map(|n| event(&format!(r#"{{"n":{n}}}"#))).collect(),
    }
}

/// A payload of about this many bytes.
pub fn picture(bytes: usize) -> String {
    format!(r#"{{"picture":"{}"}}"#, "x".repeat(bytes))
}

/// A new stream of events of 200 KiB.
pub fn album(aggregate_id: &str, events: usize) -> StreamAppend {
    let events = (0..events).map(|_| event(&picture(200 << 10))).collect();
    StreamAppend { events, ..stream(aggregate_id, 0, 0) }
}

/// An append with a fresh command id to these streams.
pub fn append(tenant: TenantId, streams: Vec<StreamAppend>) -> Append {
    Append { tenant, command: command(&id().to_string()), streams, claims: Vec::new() }
}

pub fn command(id: &str) -> CommandRecord {
    CommandRecord { id: id.to_owned(), request_hash: [1; 32], answer: r#"{"ok":true}"#.to_owned() }
}

pub fn claim(act: ClaimAct, value: u8, holder: &str) -> Claim {
    Claim { kind: "crm.contact.email", key: [value; 32], holder: holder.to_owned(), act }
}

pub async fn superuser(database: &Database) -> PgConnection {
    database.superuser().connect().await.unwrap()
}

/// The number of rows in a table, of all tenants.
pub async fn count(database: &Database, table: &str) -> i64 {
    sqlx::query_scalar(&format!("SELECT count(*) FROM {table}"))
        .fetch_one(&mut superuser(database).await)
        .await
        .unwrap()
}

/// The numbers of events, commands and claims in the log.
pub async fn contents(database: &Database) -> [i64; 3] {
    [count(database, "log.events").await, count(database, "log.commands").await, count(database, "log.claims").await]
}

/// All events, after checking that positions have no gaps from 1, times never decrease, and each leaf hash is that of its event.
pub async fn whole_log(database: &Database, store: &EventStore) -> Vec<RecordedEvent> {
    let events = store.read_after(kernel::Position::START, u32::MAX).await.unwrap();
    let leaves: Vec<Vec<u8>> = sqlx::query_scalar("SELECT leaf_hash FROM log.events ORDER BY position")
        .fetch_all(&mut superuser(database).await)
        .await
        .unwrap();
    for ((position, event), leaf) in (1..).zip(&events).zip(&leaves) {
        assert_eq!(event.position.0, position, "positions are dense");
        assert_eq!(kernel::Leaf::from(event).hash().as_slice(), leaf, "the leaf hash of {position}");
    }
    assert!(events.is_sorted_by_key(|event| event.recorded_at), "recorded_at goes back");
    assert_eq!(events.len(), leaves.len());
    assert_eq!(store.head().await.unwrap().0, events.len() as u64);
    events
}
