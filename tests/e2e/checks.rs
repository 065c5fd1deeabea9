//! Tests of the checks: each detects the damage that it is meant for.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use serde_json::json;

use crate::world::World;
use crate::{log, read_models};

/// The message with which a check panics, or "nothing".
async fn complaint<T>(check: impl Future<Output = T>) -> String {
    let Err(panic) = AssertUnwindSafe(check).catch_unwind().await else { return "nothing".to_owned() };
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_see_an_altered_event_a_gap_another_stream_and_another_row() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    for name in ["Ada", "Grace", "Katherine"] {
        client.done("/v1/crm/leads", json!({ "name": name })).await;
    }
    world.verify(&client).await;
    let before = read_models::content(&mut world.sql().await).await;

    let change = async |statement: &str| {
        sqlx::query(statement).execute(&mut world.sql().await).await.unwrap();
    };
    change("UPDATE crm.lead SET name = 'Eve' WHERE name = 'Ada'").await;
    let after = read_models::content(&mut world.sql().await).await;
    assert!(complaint(async { read_models::assert_equal(&before, &after) }).await.contains("of lead is not"));
    change("DELETE FROM crm.lead WHERE name = 'Eve'").await;
    let after = read_models::content(&mut world.sql().await).await;
    let said = complaint(async { read_models::assert_equal(&before, &after) }).await;
    assert!(said.contains("lead"), "{said}");

    let mut connection = world.sql().await;
    let mut events = log::verified(&mut connection).await;
    events[1].payload = "{}".into();
    let bus = world.bus().await;
    let said = complaint(crate::stream::assert_is(&bus, &events)).await;
    assert!(said.contains("sequence 2"), "{said}");

    change("UPDATE log.events SET metadata = '{}' WHERE position = 2").await;
    let said = complaint(log::verified(&mut connection)).await;
    assert!(said.contains("altered"), "{said}");
    change("DELETE FROM log.events WHERE position = 2").await;
    let mut connection = world.sql().await;
    let said = complaint(log::verified(&mut connection)).await;
    assert!(said.contains("positions are not dense"), "{said}");
}
