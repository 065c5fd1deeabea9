//! Backup and restore of webhooks: each continues from its cursor.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use eventstore::backup::{Restore, freeze};
use futures::TryStreamExt;
use kernel::{Position, Role};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use testbed::eventually;
use testbed::receiver::{Receiver, Reply};
use webhooks::{EndpointCommand, State};

use crate::world::{World, fields, quick, request};

/// An address without a server.
const NOWHERE: &str = "http://127.0.0.1:9/hooks";

/// Restores a backup into a new environment with an empty log and without a deliverer.
async fn restored(from: &World) -> World {
    let mut to = World::idle(quick()).await;
    to.tenant = from.tenant;
    let mut snapshot = freeze(&[(*from.database).clone()]).await.unwrap().remove(0);
    let head = snapshot.head();
    let events: Vec<_> = snapshot.events().try_collect().await.unwrap();
    let mut restore = Restore::begin(&to.database.admin(), &to.database).await.unwrap();
    restore.events(&events).await.unwrap();
    for of in webhooks::backup::TABLES {
        let mut rows = snapshot.side_table(of).await.unwrap();
        for row in &mut rows {
            (of.restored)(&mut row.columns);
        }
        restore.side_table(of, &rows).await.unwrap();
    }
    let letters = webhooks::backup::waiting(&mut snapshot).await.unwrap();
    deadletters::backup::park_again(&mut restore, &letters).await.unwrap();
    restore.finish(head, head.position).await.unwrap();
    to
}

/// All rows of a table, as text.
async fn rows(world: &World, table: &str) -> Vec<String> {
    let mut connection = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    let select = format!("SELECT t::text FROM webhooks.{table} t ORDER BY 1");
    sqlx::query_scalar(&select).fetch_all(&mut connection).await.unwrap()
}

#[tokio::test]
async fn a_restored_webhook_goes_on_from_where_it_was_and_skips_nothing() {
    let world = World::start().await;
    let (away, mended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let taken: Arc<Mutex<Vec<u64>>> = Arc::default();
    let (is_away, is_mended, takes) = (away.clone(), mended.clone(), taken.clone());
    let receiver = Receiver::answering(move |message, _| {
        if is_away.load(Ordering::SeqCst) {
            return Reply::Status("503 Service Unavailable");
        }
        if message.json()["data"]["n"] == 2 && !is_mended.load(Ordering::SeqCst) {
            return Reply::Status("422 Unprocessable Content");
        }
        takes.lock().unwrap().push(message.position());
        Reply::Status("200 OK")
    })
    .await;
    let endpoint = world.endpoint(&receiver.url).await;
    let silent = world.act(EndpointCommand::Create { fields: fields(&receiver.url), after: None }).await;
    world.act(EndpointCommand::Disable { id: silent.id, reason: "not yet".to_owned() }).await;
    // The third event is refused and parked: the cursor is past it.
    world.append(3).await;
    eventually("the third is parked", async || {
        let counts = world.webhooks.counts(|_| false).await.unwrap();
        (counts.parked == 1 && world.find(endpoint.id).await.position == Position(3)).then_some(())
    })
    .await;
    away.store(true, Ordering::SeqCst);
    world.append(2).await;
    eventually("the fourth fails", async || (world.find(endpoint.id).await.state == State::Failing).then_some(()))
        .await;
    world.halt().await;

    let other = restored(&world).await;
    for table in ["endpoints", "changes"] {
        let before = rows(&world, table).await;
        assert!(!before.is_empty(), "{table}");
        assert_eq!(rows(&other, table).await, before, "{table}");
    }
    let there = other.find(endpoint.id).await;
    assert_eq!((there.position, there.attempts, there.failing_since), (Position(3), 0, None), "with all its patience");
    assert_eq!(there.delivered, 2);

    away.store(false, Ordering::SeqCst);
    mended.store(true, Ordering::SeqCst);
    other.deliver();
    eventually("what was not delivered arrives", async || (taken.lock().unwrap().len() >= 5).then_some(())).await;
    let mut all = taken.lock().unwrap().clone();
    assert_eq!(all[..2], [1, 2]);
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3, 4, 5], "each once: to the one that is not disabled");
    assert!(matches!(&other.find(silent.id).await.state, State::Disabled { reason } if reason == "not yet"));
}

#[tokio::test]
async fn a_backup_has_no_webhooks_of_who_lives_elsewhere_and_who_takes_it_changes_none() {
    let world = World::idle(quick()).await;
    world.endpoint(NOWHERE).await;
    let gone = testbed::tenant();
    let create = EndpointCommand::Create { fields: fields(NOWHERE), after: None };
    world.webhooks.carry_out(&request(gone, Role::Admin), create).await.unwrap();
    let left = format!("INSERT INTO log.closed (tenant_id, state, cell) VALUES ('{gone}', 'left', 'east')");
    let mut superuser = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    superuser.execute(left.as_str()).await.unwrap();
    let mut snapshot = freeze(&[(*world.database).clone()]).await.unwrap().remove(0);
    for of in webhooks::backup::TABLES {
        let found: Vec<_> = snapshot.side_table(of).await.unwrap().iter().map(|row| row.tenant).collect();
        assert_eq!(found, [world.tenant], "{}", of.table);
    }
    drop(snapshot);

    let before = [rows(&world, "endpoints").await, rows(&world, "cursors").await];
    let mut connection = world.database.options(eventstore::Role::Backup).connect().await.unwrap();
    for statement in [
        "UPDATE webhooks.endpoints SET url = 'http://elsewhere.example'",
        "DELETE FROM webhooks.cursors",
        "SELECT answer FROM webhooks.commands",
        "SELECT response FROM webhooks.deliveries",
    ] {
        let error = connection.execute(statement).await.expect_err(statement);
        assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("42501"), "{statement}");
    }
    assert_eq!([rows(&world, "endpoints").await, rows(&world, "cursors").await], before);
}
