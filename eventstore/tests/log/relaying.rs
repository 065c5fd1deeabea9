//! The relay: stream sequence = position, whatever happens to stream, log, lock and servers.

use std::path::Path;
use std::time::Duration;

use eventstore::relay::{State, Status};
use eventstore::{EventStore, FeedError, Relay, Settings};
use futures::StreamExt;
use kernel::{Position, RecordedEvent, TenantId};
use nats::{Bus, Credentials, PublishError, StreamSettings};
use testbed::{Database, Nats, Postgres, eventually};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::support::*;

/// A relay that runs, and how to end it.
struct Running {
    status: watch::Receiver<Status>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(store: &EventStore, bus: &Bus) -> Self {
        let (relay, shutdown) = (Relay::new(store.clone(), bus.clone()), CancellationToken::new());
        Self { status: relay.status(), task: tokio::spawn(relay.run(shutdown.clone())), shutdown }
    }

    async fn end(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
        assert_eq!(self.status.borrow().state, State::Ended);
    }

    async fn is(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let mut status = self.status.clone();
        let found = tokio::time::timeout(Duration::from_secs(30), status.wait_for(&wanted)).await;
        match found {
            Ok(found) => found.unwrap().clone(),
            Err(elapsed) => panic!("{elapsed}, waiting for this: {what}; it is {:?}", self.status.borrow()),
        }
    }
}

async fn bus(nats: &Nats) -> Bus {
    let mut settings = nats::Settings::new(nats.url(), Credentials::None, "test");
    settings.timeout = Duration::from_secs(2);
    Bus::connect(&settings).await.unwrap()
}

async fn grow(store: &EventStore, tenant: TenantId, appends: usize) -> Position {
    let appends = (0..appends).map(|_| store.append(append(tenant, vec![stream(&id().to_string(), 0, 2)])));
    futures::future::join_all(appends).await.into_iter().map(|appended| appended.unwrap().last).max().unwrap()
}

async fn stream_ends(bus: &Bus, store: &EventStore, at: Position) {
    eventually(&format!("the stream ends at {at}"), async || {
        let state = bus.stream_state(store.service()).await.ok()??;
        (state.last == at.0).then_some(())
    })
    .await;
}

/// The stream is the log, event by event.
async fn verify(bus: &Bus, database: &Database, store: &EventStore) {
    let log = whole_log(database, store).await;
    let mut feed = Box::pin(bus.feed(store.service(), Position(1)));
    let mut published: Vec<RecordedEvent> = Vec::new();
    while published.len() < log.len() {
        let next = tokio::time::timeout(Duration::from_secs(30), feed.next()).await.expect("the stream has all events");
        published.extend(next.unwrap().unwrap());
    }
    assert_eq!(published, log);
}

#[tokio::test]
async fn each_event_is_published_at_its_position() {
    let ((database, store), nats) = (store().await, Nats::start().await);
    let bus = bus(&nats).await;
    let tenant = testbed::tenant();
    // More than a page before it starts, the rest while it runs.
    grow(&store, tenant, 1_500).await;
    let relay = Running::start(&store, &bus);
    let last = grow(&store, tenant, 300).await;
    let status = relay.is("all is published", |status| status.published == last).await;
    assert_eq!((status.state, status.published), (State::Active, Position(3_600)));
    verify(&bus, &database, &store).await;
    relay.end().await;
}

/// The committer's shortcut knows only what its own process wrote; the rest has to come from the log, in its place.
#[tokio::test]
async fn what_two_processes_write_in_turn_passes_on_in_order_and_reaches_the_stream() {
    let ((database, store), nats) = (store().await, Nats::start().await);
    let bus = bus(&nats).await;
    let other = open(&database, Settings::default()).await;
    let mut relayed = store.relayed();
    let relay = Running::start(&store, &bus);
    relayed.begins().await;
    let tenant = testbed::tenant();
    let mut last = Position::START;
    for _ in 0..20 {
        let (ours, theirs) = tokio::join!(grow(&store, tenant, 7), grow(&other, tenant, 5));
        last = ours.max(theirs);
        last = last.max(grow(&other, tenant, 1).await).max(grow(&store, tenant, 1).await);
    }
    stream_ends(&bus, &store, last).await;
    verify(&bus, &database, &store).await;

    let mut passed: Vec<RecordedEvent> = Vec::new();
    while passed.last().is_none_or(|event| event.position < last) {
        let page = tokio::time::timeout(Duration::from_secs(30), relayed.next()).await.expect("all pass by");
        passed.extend(page.expect("the relay is active").iter().cloned());
    }
    assert_eq!(passed, whole_log(&database, &store).await);
    relay.end().await;
    assert!(relayed.next().await.is_none(), "nothing passes by when the relay has ended");
}

#[tokio::test]
async fn a_second_relay_stands_by_and_takes_over() {
    let ((database, store), nats) = (store().await, Nats::start().await);
    let bus = bus(&nats).await;
    let second_store = open(&database, Settings::default()).await;
    let first = Running::start(&store, &bus);
    first.is("the first is active", |status| status.state == State::Active).await;
    let second = Running::start(&second_store, &bus);
    second.is("the second stands by", |status| status.state == State::Standby).await;
    // What the second one's process appends reaches the stream through the first.
    let last = grow(&second_store, testbed::tenant(), 10).await;
    stream_ends(&bus, &store, last).await;
    first.end().await;
    second.is("the second took over", |status| status.state == State::Active).await;
    let last = grow(&store, testbed::tenant(), 10).await;
    stream_ends(&bus, &store, last).await;
    verify(&bus, &database, &store).await;
    second.end().await;
}

#[tokio::test]
async fn a_relay_whose_lock_connection_died_does_not_publish_before_it_has_the_lock_again() {
    let ((database, store), nats) = (store().await, Nats::start().await);
    let bus = bus(&nats).await;
    let relay = Running::start(&store, &bus);
    relay.is("it is active", |status| status.state == State::Active).await;
    // Somebody else waits for it, who has it as soon as that connection is dead.
    let mut other = superuser(&database).await;
    let taking = tokio::spawn(async move {
        sqlx::query("SELECT pg_advisory_lock(7164702802)").execute(&mut other).await.unwrap();
        other
    });
    eventually("somebody else waits", async || {
        let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
        let waits: bool = sqlx::query_scalar(waits).fetch_one(&mut superuser(&database).await).await.unwrap();
        waits.then_some(())
    })
    .await;
    let killed: i64 = sqlx::query_scalar(
        "SELECT count(pg_terminate_backend(l.pid, 5000)) FROM pg_locks l
         WHERE l.locktype = 'advisory' AND l.granted AND l.pid <> pg_backend_pid()
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .fetch_one(&mut superuser(&database).await)
    .await
    .unwrap();
    assert_eq!(killed, 1);
    let mut other = taking.await.unwrap();
    relay.is("it stands by", |status| status.state == State::Standby).await;
    let last = grow(&store, testbed::tenant(), 5).await;
    assert_eq!(bus.stream_state(store.service()).await.unwrap().unwrap().last, 0);
    sqlx::query("SELECT pg_advisory_unlock(7164702802)").execute(&mut other).await.unwrap();
    relay.is("it goes on", |status| status.published == last).await;
    verify(&bus, &database, &store).await;
    relay.end().await;
}

#[tokio::test]
async fn a_second_publisher_is_refused_by_the_server() {
    let ((database, store), nats) = (store().await, Nats::start().await);
    let bus = bus(&nats).await;
    let relay = Running::start(&store, &bus);
    let last = grow(&store, testbed::tenant(), 20).await;
    relay.is("all is published", |status| status.published == last).await;
    // A zombie that believes that the stream ends at 10.
    let events = store.read_after(Position(10), 10).await.unwrap();
    let refused = bus.publish(store.service(), &events, Position(10)).await.unwrap_err();
    assert!(matches!(refused, PublishError::WrongLastSequence { reached: Position(10), .. }), "{refused}");
    assert_eq!(bus.stream_state(store.service()).await.unwrap().unwrap().last, last.0);
    verify(&bus, &database, &store).await;
    relay.end().await;
}

#[tokio::test]
async fn a_deleted_stream_is_made_and_filled_again_though_nothing_is_appended() {
    let ((database, store), nats) = (store().await, Nats::start().await);
    let bus = bus(&nats).await;
    let relay = Running::start(&store, &bus);
    let last = grow(&store, testbed::tenant(), 700).await;
    relay.is("all is published", |status| status.published == last).await;
    assert!(bus.delete_stream(store.service()).await.unwrap());
    stream_ends(&bus, &store, last).await;
    verify(&bus, &database, &store).await;
    relay.end().await;
}

#[tokio::test]
async fn a_stream_that_lost_its_tail_is_filled_again_though_nothing_is_appended() {
    let ((database, store), mut nats) = (store().await, Nats::start().await);
    let bus = bus(&nats).await;
    let relay = Running::start(&store, &bus);
    let early = grow(&store, testbed::tenant(), 10).await;
    relay.is("the beginning is published", |status| status.published == early).await;
    nats.kill();
    let saved = nats.store().with_extension("saved");
    copy(&nats.store(), &saved);
    nats.restart().await;
    let last = grow(&store, testbed::tenant(), 100).await;
    relay.is("all is published", |status| status.published == last).await;
    // The machine crashed, and what was not synced is gone.
    nats.kill();
    std::fs::remove_dir_all(nats.store()).unwrap();
    std::fs::rename(&saved, nats.store()).unwrap();
    nats.restart().await;
    stream_ends(&bus, &store, last).await;
    verify(&bus, &database, &store).await;
    relay.end().await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_ahead_of_the_log_is_not_touched_and_the_relay_says_so() {
    let ((database, store), nats) = (store().await, Nats::start().await);
    let bus = bus(&nats).await;
    // Another log's stream.
    let (_other, other_store) = super::support::store().await;
    grow(&other_store, testbed::tenant(), 20).await;
    bus.ensure_stream(store.service(), StreamSettings::default()).await.unwrap();
    let events = other_store.read_after(Position::START, 100).await.unwrap();
    bus.publish(store.service(), &events, Position::START).await.unwrap();

    let relay = Running::start(&store, &bus);
    let stuck = |status: &Status| matches!(status.state, State::Stuck { .. });
    relay.is("the stream is ahead of the log", stuck).await;
    // A log that has grown past the stream's end is still not the one that was published.
    let last = grow(&store, testbed::tenant(), 30).await;
    let status = relay
        .is("the histories differ", |s| matches!(&s.state, State::Stuck { reason } if reason.contains("one history")))
        .await;
    assert_eq!(status.published, Position::START);
    assert_eq!(bus.stream_state(store.service()).await.unwrap().unwrap().last, 40);
    // What the status told to do.
    bus.delete_stream(store.service()).await.unwrap();
    relay.is("the log is published", |status| status.published == last && status.state == State::Active).await;
    verify(&bus, &database, &store).await;
    relay.end().await;
}

#[tokio::test]
async fn a_feed_gives_nothing_that_is_not_in_the_log() {
    let ((_database, store), nats) = (store().await, Nats::start().await);
    let bus = bus(&nats).await;
    // What the log was before it was restored.
    let (_other, other_store) = super::support::store().await;
    grow(&other_store, testbed::tenant(), 20).await;
    bus.ensure_stream(store.service(), StreamSettings::default()).await.unwrap();
    let lost = other_store.read_after(Position::START, 100).await.unwrap();
    bus.publish(store.service(), &lost, Position::START).await.unwrap();
    for appends in [0, 30] {
        grow_by(&store, appends).await;
        let mut feed = Box::pin(store.feed(&bus, Position(1)));
        let refused = feed.next().await.unwrap();
        assert!(matches!(refused, Err(FeedError::Foreign(at)) if at <= Position(40)), "{appends} appends: {refused:?}");
        assert!(feed.next().await.is_none());
    }
    bus.delete_stream(store.service()).await.unwrap();
    let relay = Running::start(&store, &bus);
    let mut feed = Box::pin(store.feed(&bus, Position(1)));
    let heard = feed.next().await.unwrap().unwrap();
    assert_eq!(heard, store.read_after(Position::START, heard.len() as u32).await.unwrap());
    relay.end().await;
}

async fn grow_by(store: &EventStore, appends: usize) {
    if appends > 0 {
        grow(store, testbed::tenant(), appends).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_servers_under_load_leave_the_stream_equal_to_the_log() {
    let (mut postgres, mut nats) = (Postgres::unsynced(), Nats::start().await);
    let database = Database::fresh_on(&postgres, "crm").await;
    let store = open(&database, Settings { append_timeout: Duration::from_mins(1), ..Settings::default() }).await;
    let bus = bus(&nats).await;
    let relay = Running::start(&store, &bus);
    let (stop, tenant) = (CancellationToken::new(), testbed::tenant());
    let load: Vec<_> = (0..8)
        .map(|_| {
            let (store, stop) = (store.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.is_cancelled() {
                    grow(&store, tenant, 4).await;
                }
            })
        })
        .collect();
    for round in 0..4 {
        let before = relay.status.borrow().published;
        relay.is("events flow", |status| status.published.0 > before.0 + 200).await;
        if round % 2 == 0 {
            nats.kill();
            nats.restart().await;
        } else {
            postgres.kill();
            postgres.restart();
        }
    }
    let before = relay.status.borrow().published;
    relay.is("events flow", |status| status.published.0 > before.0 + 200).await;
    stop.cancel();
    futures::future::join_all(load).await.into_iter().for_each(Result::unwrap);
    let head = store.head().await.unwrap();
    relay.is("all is published", |status| status.published == head).await;
    verify(&bus, &database, &store).await;
    relay.end().await;
}

#[tokio::test]
async fn appends_go_on_while_the_bus_is_away() {
    let ((database, store), mut nats) = (store().await, Nats::start().await);
    let bus = bus(&nats).await;
    let relay = Running::start(&store, &bus);
    let last = grow(&store, testbed::tenant(), 5).await;
    relay.is("all is published", |status| status.published == last).await;
    nats.kill();
    grow(&store, testbed::tenant(), 50).await;
    relay.is("it waits", |status| matches!(status.state, State::Waiting { .. })).await;
    let published = relay.status.borrow().published;
    let last = grow(&store, testbed::tenant(), 5).await;
    let waits = relay.is("it knows how much waits", |status| status.head == last).await;
    assert_eq!(waits.lag(), last.0 - published.0);
    nats.restart().await;
    relay.is("all is published", |status| status.published == last).await;
    verify(&bus, &database, &store).await;
    relay.end().await;
}
