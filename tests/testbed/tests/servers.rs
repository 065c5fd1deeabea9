//! The servers of the testbed serve, die and come back.

use sqlx::{ConnectOptions, Connection};
use testbed::{Database, Nats, Postgres};

#[tokio::test]
async fn a_database_is_migrated_and_dropped_with_its_handle() {
    let database = Database::fresh("crm").await;
    let name = database.name.clone();
    let mut admin = database.admin().connect().await.unwrap();
    let exists = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)";
    assert!(sqlx::query_scalar::<_, bool>(exists).bind(&name).fetch_one(&mut admin).await.unwrap());
    drop(database);
    assert!(!sqlx::query_scalar::<_, bool>(exists).bind(&name).fetch_one(&mut admin).await.unwrap());
}

#[tokio::test]
async fn a_killed_postgres_comes_back_with_its_data() {
    let mut postgres = Postgres::unsynced();
    let mut admin = postgres.admin().connect().await.unwrap();
    sqlx::query("CREATE TABLE kept (n int)").execute(&mut admin).await.unwrap();
    postgres.kill();
    assert!(sqlx::query("SELECT FROM kept").execute(&mut admin).await.is_err());
    postgres.restart();
    let mut admin = postgres.admin().connect().await.unwrap();
    sqlx::query("SELECT FROM kept").execute(&mut admin).await.unwrap();
    admin.close().await.unwrap();
}

#[tokio::test]
async fn a_killed_nats_server_comes_back_on_its_port() {
    let mut nats = Nats::start().await;
    let port = nats.port();
    nats.kill();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    nats.restart().await;
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    assert_eq!(nats.port(), port);
}
