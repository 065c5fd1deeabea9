//! When Postgres is gone and comes back.

use std::time::Duration;

use kernel::Kind;

use super::lamp::Buy;
use super::support::{World, keyed};

#[tokio::test]
async fn a_log_that_does_not_answer_is_said_and_the_same_key_goes_on_later() {
    let mut postgres = testbed::Postgres::private();
    let database = testbed::Database::fresh_on(&postgres, "crm").await;
    let settings =
        eventstore::Settings { append_timeout: Duration::from_millis(300), ..eventstore::Settings::default() };
    let world = World::over(&database, settings).await;
    let lamp = world.lamp("desk").await;
    postgres.kill();
    let request = keyed(&world.request(), "hall");
    let refusal = world.executor.execute(&request, &Buy { label: "hall".to_owned() }).await.unwrap_err();
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Unavailable, "log_unavailable"));
    postgres.restart();
    let done = testbed::eventually("the log answers again", || async {
        world.executor.execute(&request, &Buy { label: "hall".to_owned() }).await.ok()
    })
    .await;
    assert_eq!(world.events(lamp).await.len(), 1);
    assert_eq!(world.events(done.answer).await.len(), 1);
    assert_eq!(world.head().await.0, 2);
}
