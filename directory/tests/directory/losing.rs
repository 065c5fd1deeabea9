//! The machine of the directory's Postgres is gone without closing the connections, and another one takes its place.

use std::time::Duration;

use directory::{Directory, Waits};
use eventstore::Patience;
use sqlx::{ConnectOptions, Executor};
use testbed::{Silence, eventually};

use crate::test_directory::TestDirectory;

#[tokio::test]
async fn fault_connections_that_nobody_closes_and_nobody_answers_are_replaced() {
    let test = TestDirectory::new().await;
    let (way, silence) = Silence::on_the_way_to(&test.database).await;
    let mut config = test.config.clone();
    (config.postgres.host, config.postgres.port, config.postgres.socket) = (way.host.clone(), way.port, None);
    let (answer, given_back) = (Duration::from_millis(500), Duration::from_millis(500));
    let connections = Patience { given_back, ..Patience::default() };
    let directory = Directory::open_with(&config, Waits { answer, connections });
    // Both connections are in use, and whoever waits gives up by itself.
    let mut locks = test.database.superuser().connect().await.unwrap();
    locks.execute("BEGIN; LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let (one, two) = tokio::join!(directory.suspended(), directory.suspended());
    assert!(one.is_err() && two.is_err(), "the table is locked");
    silence.begin().await;
    locks.execute("COMMIT").await.unwrap();
    eventually("their places are free again", async || directory.list().await.ok()).await;
}
