//! Snapshots of long streams: they change how much is read, never the result.

use std::sync::Arc;

use chrono::Duration;
use eventstore::{Append, CommandRecord, NewEvent, Resumed, StreamAppend};
use executor::Executor;
use kernel::{Clock, IdSource, Role, SystemIds};
use sqlx::postgres::PgPoolOptions;
use sqlx::{ConnectOptions, Executor as _, PgPool, Row};
use uuid::Uuid;

use super::lamp::{Dust, Lamp, UNWRITABLE};
use super::support::{SNAPSHOTS, World};

/// A world and its database, also as its superuser.
async fn world() -> (World, testbed::Database, PgPool) {
    let database = testbed::Database::fresh("crm").await;
    let world = World::over(&database, eventstore::Settings::default()).await;
    let superuser = PgPoolOptions::new().max_connections(1).connect_lazy_with(database.superuser());
    (world, database, superuser)
}

/// A lamp that was dusted this many times, in one append that bypasses the executor.
async fn dusted(world: &World, times: usize) -> Uuid {
    labelled_and_dusted(world, &times.to_string(), times).await
}

async fn labelled_and_dusted(world: &World, label: &str, times: usize) -> Uuid {
    let lamp = world.lamp(label).await;
    let dusting = || NewEvent {
        event_id: SystemIds.next(),
        event_type: "demo.lamp.dusted",
        event_version: 1,
        payload: r#"{"event":"demo.lamp.dusted"}"#.to_owned(),
        metadata: r#"{"actor":"test"}"#.into(),
        occurred_at: world.clock.now(),
    };
    let stream = StreamAppend {
        aggregate_type: "demo.lamp",
        aggregate_id: lamp.to_string(),
        expected: 1,
        events: std::iter::repeat_with(dusting).take(times).collect(),
    };
    let command = CommandRecord { id: SystemIds.next().to_string(), request_hash: [0; 32], answer: "{}".to_owned() };
    let append = Append { tenant: world.tenant, command, streams: vec![stream], claims: Vec::new() };
    world.store.append(append).await.unwrap();
    lamp
}

/// The lamp and its version, as an executor without any cache loads it.
async fn loaded(world: &World, executor: &Executor, lamp: Uuid) -> (Arc<Lamp>, u64) {
    executor.load::<Lamp>(&world.caller(Role::Admin), &lamp.to_string()).await.unwrap().unwrap()
}

/// The form and version of a lamp's snapshot.
async fn kept(superuser: &PgPool, lamp: Uuid) -> Option<(String, i64)> {
    let query = sqlx::query("SELECT form, sequence FROM log.snapshots WHERE aggregate_id = $1").bind(lamp.to_string());
    query.fetch_optional(superuser).await.unwrap().map(|row| (row.get(0), row.get(1)))
}

async fn eventually_kept(superuser: &PgPool, lamp: Uuid, at_least: u64) -> String {
    testbed::eventually("the snapshot is kept", async || {
        kept(superuser, lamp).await.filter(|(_, sequence)| sequence.cast_unsigned() >= at_least)
    })
    .await
    .0
}

async fn resume(world: &World, lamp: Uuid, form: &str) -> Resumed {
    world.store.resume(world.tenant, "demo.lamp", &lamp.to_string(), form).await.unwrap()
}

#[tokio::test]
async fn a_stream_of_ten_thousand_events_is_loaded_from_a_snapshot_and_few_events() {
    let (world, _database, superuser) = world().await;
    let lamp = dusted(&world, 9_999).await;
    // A load that had to read the whole stream stores a snapshot.
    assert_eq!(loaded(&world, &world.elsewhere(), lamp).await.1, 10_000);
    let form = eventually_kept(&superuser, lamp, 10_000).await;
    assert_eq!(resume(&world, lamp, &form).await.events, []);

    // Further snapshots follow as the stream grows, so that a load never reads much.
    for _ in 0..SNAPSHOTS + 50 {
        world.done(&world.request(), &Dust(lamp)).await;
    }
    eventually_kept(&superuser, lamp, 10_000 + SNAPSHOTS).await;
    let Resumed { snapshot, events } = resume(&world, lamp, &form).await;
    assert!(events.len() as u64 <= SNAPSHOTS, "{} events are read", events.len());
    assert_eq!(snapshot.unwrap().sequence + events.len() as u64, 10_000 + SNAPSHOTS + 50);
    let (state, version) = loaded(&world, &world.elsewhere(), lamp).await;
    assert_eq!((state.dusted, version), (9_999 + 150, 10_150));
    assert_eq!(state.label, "9999");

    // A command that starts from the snapshot has the same result as one that read everything.
    let elsewhere = world.elsewhere();
    assert_eq!(elsewhere.execute(&world.request(), &Dust(lamp)).await.unwrap().version, 10_151);
    superuser.execute("DELETE FROM log.snapshots").await.unwrap();
    assert_eq!(loaded(&world, &world.elsewhere(), lamp).await.0.dusted, 9_999 + 151);
}

#[tokio::test]
async fn a_state_from_a_snapshot_tells_when_its_stream_began() {
    let (world, _database, superuser) = world().await;
    let (began, hour) = (world.clock.now(), Duration::hours(1));
    let lamp = dusted(&world, usize::try_from(SNAPSHOTS).unwrap() - 1).await;
    world.clock.advance(hour);
    world.done(&world.request(), &Dust(lamp)).await;
    let (_, version) = loaded(&world, &world.elsewhere(), lamp).await;
    let form = eventually_kept(&superuser, lamp, version).await;
    assert_eq!(resume(&world, lamp, &form).await.events, [], "it is read from the snapshot alone");
    for executor in [world.executor.clone(), world.elsewhere()] {
        let current = executor.current::<Lamp>(&world.caller(Role::Admin), &lamp.to_string()).await.unwrap().unwrap();
        assert_eq!((current.created_at, current.changed_at), (began, began + hour));
    }
    let strangers = world.store.began_at(testbed::tenant(), "demo.lamp", &lamp.to_string()).await;
    assert_eq!(strangers.unwrap(), None, "another tenant's");
}

#[tokio::test]
async fn a_short_stream_has_no_snapshot() {
    let (world, _database, superuser) = world().await;
    let lamp = dusted(&world, 50).await;
    loaded(&world, &world.elsewhere(), lamp).await;
    // The snapshot behind it in the queue was stored, so this one would have been, too.
    let long = dusted(&world, 500).await;
    loaded(&world, &world.elsewhere(), long).await;
    eventually_kept(&superuser, long, 501).await;
    assert_eq!(kept(&superuser, lamp).await, None);
}

#[tokio::test]
async fn a_snapshot_that_is_of_another_form_or_unreadable_or_ahead_of_its_stream_is_passed_over() {
    let (world, _database, superuser) = world().await;
    let lamp = dusted(&world, 300).await;
    loaded(&world, &world.elsewhere(), lamp).await;
    eventually_kept(&superuser, lamp, 301).await;
    for spoil in [
        r#"UPDATE log.snapshots SET state = '{"label":"another","lit":true,"dusted":7}', form = '0-00000000'"#,
        r#"UPDATE log.snapshots SET state = '{"label":7}'"#,
        r#"UPDATE log.snapshots SET state = '{"label":"another","lit":true,"dusted":7}', sequence = 302"#,
    ] {
        superuser.execute(spoil).await.unwrap();
        let (state, version) = loaded(&world, &world.elsewhere(), lamp).await;
        assert_eq!((&*state.label, state.dusted, version), ("300", 300, 301), "{spoil}");
        testbed::eventually("one of ours takes its place", async || {
            let query = "SELECT coalesce(state ->> 'dusted' = '300' AND sequence = 301, false) FROM log.snapshots";
            sqlx::query_scalar::<_, bool>(query).fetch_one(&superuser).await.unwrap().then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn snapshots_are_their_tenants_own() {
    let (world, database, superuser) = world().await;
    let lamp = dusted(&world, 300).await;
    loaded(&world, &world.elsewhere(), lamp).await;
    let form = eventually_kept(&superuser, lamp, 301).await;
    let other = testbed::tenant();
    let theirs = world.store.resume(other, "demo.lamp", &lamp.to_string(), &form).await.unwrap();
    assert_eq!(theirs, Resumed::default());
    // Whatever the query: without a tenant, with another one, and in roles without access.
    for (role, set) in [("read", String::new()), ("read", format!("SET app.tenant_id = '{other}'; "))] {
        let mut connection = database.superuser().connect().await.unwrap();
        connection.execute(format!("SET ROLE inopsio_crm_{role}; {set}").as_str()).await.unwrap();
        let seen: i64 =
            sqlx::query_scalar("SELECT count(*) FROM log.snapshots").fetch_one(&mut connection).await.unwrap();
        assert_eq!(seen, 0, "{role} {set}");
    }
    for role in ["append", "follow", "project", "queue", "work", "deliver", "configure", "backup"] {
        let mut connection = database.superuser().connect().await.unwrap();
        connection.execute(format!("SET ROLE inopsio_crm_{role}").as_str()).await.unwrap();
        let refused = connection.execute("SELECT * FROM log.snapshots").await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{role}: {refused}");
    }
}

#[tokio::test]
async fn fault_a_state_that_panics_when_it_is_written_costs_no_other_stream_its_snapshot() {
    let (world, _database, superuser) = world().await;
    let executor = world.elsewhere();
    let unwritable = labelled_and_dusted(&world, UNWRITABLE, 200).await;
    loaded(&world, &executor, unwritable).await;
    let other = dusted(&world, 300).await;
    loaded(&world, &executor, other).await;
    eventually_kept(&superuser, other, 301).await;
    assert_eq!(kept(&superuser, unwritable).await, None);
}

#[tokio::test]
async fn commands_go_on_when_no_snapshot_can_be_kept() {
    let (world, _database, superuser) = world().await;
    let lamp = dusted(&world, 300).await;
    superuser.execute("ALTER TABLE log.snapshots RENAME COLUMN state TO hidden").await.unwrap();
    // Loads read this column, too, so they get an empty one; snapshots still can't be written.
    superuser.execute("ALTER TABLE log.snapshots ADD COLUMN state json").await.unwrap();
    for _ in 0..SNAPSHOTS {
        world.done(&world.request(), &Dust(lamp)).await;
    }
    assert_eq!(loaded(&world, &world.elsewhere(), lamp).await.0.dusted, 300 + 100);
    assert_eq!(kept(&superuser, lamp).await, None);
}
