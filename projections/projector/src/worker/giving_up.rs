//! A worker whose server is gone while it stores a checkpoint.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use eventstore::EventStore;
use kernel::{Position, RecordedEvent, SystemClock};
use sqlx::PgConnection;
use testbed::Silence;
use tokio::sync::{broadcast, watch};

use super::Worker;
use crate::assignment::Assignments;
use crate::held_partitions::HeldPartitions;
use crate::partition::Partition;
use crate::progress::ProgressWriter;
use crate::{ApplyError, BoxFuture, Error, Projection, Settings};

/// A projection that wants no events, so that its checkpoint is stored without rows.
struct Unmoved;

impl Projection for Unmoved {
    fn name(&self) -> &'static str {
        "unmoved"
    }

    fn version(&self) -> u32 {
        1
    }

    fn ddl(&self) -> &'static str {
        "CREATE TABLE unmoved (tenant_id uuid NOT NULL PRIMARY KEY);\n"
    }

    fn tables(&self) -> &'static [&'static str] {
        &["unmoved"]
    }

    fn wants(&self, _: &str) -> bool {
        false
    }

    fn apply<'a>(
        &'a self,
        _: &'a [&'a RecordedEvent],
        _: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(async { Ok(()) })
    }
}

/// A worker of the projection that writes by this way, and reads the log of the same database.
async fn worker(way: &eventstore::Database, projection: Arc<dyn Projection>) -> Worker {
    let store = EventStore::open(way, eventstore::Settings::default(), Arc::new(SystemClock)).await.unwrap();
    Worker {
        database: way.clone(),
        store,
        index: 0,
        partition: Partition::new(0, 1),
        held: HeldPartitions::default(),
        assignments: watch::channel(Assignments::default()).1,
        progress: ProgressWriter::new(vec![projection.name()]),
        feed: broadcast::channel(1).1,
        decided: watch::channel(()).1,
        settings: Settings::default(),
        projection,
    }
}

#[tokio::test]
async fn fault_a_checkpoint_that_a_silent_server_does_not_confirm_is_given_up() {
    let database = testbed::Database::fresh("demo").await;
    let projection: Arc<dyn Projection> = Arc::new(Unmoved);
    crate::migrate(&database.admin(), &database, std::slice::from_ref(&projection)).await.unwrap();
    let (way, silence) = Silence::on_the_way_to(&database).await;
    let worker = worker(&way, projection).await;
    let mut active = worker.acquire(true).await.unwrap();
    active.position = Position(1);
    silence.begin().await;
    // From here on nothing happens that takes time: the answer does not come. So time may jump from one timer to the next.
    tokio::time::pause();
    let stored = tokio::time::timeout(Duration::from_mins(2), worker.flush(&mut active)).await;
    let error = stored.expect("it does not wait for ever").expect_err("it was not confirmed");
    assert!(
        matches!(&error, Error::Storage(sqlx::Error::Io(error)) if error.kind() == ErrorKind::TimedOut),
        "{error:?}"
    );
    assert_eq!(active.checkpoint.position, Position::START, "it is not taken for stored");
}
