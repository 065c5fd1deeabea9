//! Measures the append path: `cargo run --release -p eventstore --example append_rate [seconds]`.
//!
//! Each client appends one event to a new stream at a time, so a batch has about as many events as there are clients. Afterwards it
//! measures the rates of reading by position and of replaying one tenant.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement may fail loudly")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use eventstore::{Append, CommandRecord, EventStore, NewEvent, ReplayFilter, Settings, StreamAppend};
use futures::TryStreamExt;
use kernel::{Clock, IdSource, Position, SystemClock, SystemIds};

#[tokio::main]
async fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(3);
    let postgres = testbed::Postgres::private();
    let database = testbed::Database::fresh_on(&postgres, "crm").await;
    let store = EventStore::open(&database, Settings::default(), Arc::new(SystemClock)).await.unwrap();
    let tenants: Arc<Vec<_>> = Arc::new((0..50).map(|_| testbed::tenant()).collect());
    for clients in [1, 16, 64, 128, 256] {
        let (done, end) = (Arc::new(AtomicU64::new(0)), Instant::now() + Duration::from_secs(seconds));
        let tasks: Vec<_> = (0..clients)
            .map(|client| {
                let (store, tenants, done) = (store.clone(), Arc::clone(&tenants), Arc::clone(&done));
                tokio::spawn(async move {
                    while Instant::now() < end {
                        store.append(append(tenants[client % tenants.len()])).await.unwrap();
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        futures::future::join_all(tasks).await;
        println!("{clients:>4} clients: {:>7} events/s", done.load(Ordering::Relaxed) / seconds);
    }
    let (begin, mut position) = (Instant::now(), Position::START);
    while let Some(last) = store.read_after(position, 5_000).await.unwrap().last() {
        position = last.position;
    }
    println!("follow: {:.0} events/s of {position}", position.0 as f64 / begin.elapsed().as_secs_f64());
    let (begin, tenant) = (Instant::now(), tenants[0]);
    let count = store.replay(tenant, ReplayFilter::default()).try_fold(0_u64, async |n, _| Ok(n + 1)).await.unwrap();
    println!("replay: {:.0} events/s of {count}", count as f64 / begin.elapsed().as_secs_f64());
}

fn append(tenant: kernel::TenantId) -> Append {
    let id = SystemIds.next();
    let event = NewEvent {
        event_id: id,
        event_type: "crm.lead.captured",
        event_version: 1,
        payload: format!(r#"{{"event":"crm.lead.captured","name":"Ada Lovelace","company":"{}"}}"#, "x".repeat(200)),
        metadata: Arc::from(format!(
            r#"{{"actor":"a","command_id":"{id}","correlation_id":"{id}","causation_id":"{id}"}}"#
        )),
        occurred_at: SystemClock.now(),
    };
    Append {
        tenant,
        command: CommandRecord { id: id.to_string(), request_hash: [7; 32], answer: format!(r#"{{"id":"{id}"}}"#) },
        streams: vec![StreamAppend {
            aggregate_type: "crm.lead",
            aggregate_id: id.to_string(),
            expected: 0,
            events: vec![event],
        }],
        claims: Vec::new(),
    }
}
