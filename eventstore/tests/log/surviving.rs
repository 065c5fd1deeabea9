//! The log survives the loss of connections and crashes of its server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use eventstore::append::Error;
use eventstore::{Appended, EventStore, Patience, Settings};
use kernel::{Clock, Position, TenantId};
use sqlx::{ConnectOptions, Executor};
use testbed::{Database, Postgres, Silence, eventually};
use tokio::task::JoinHandle;

use super::support::*;

/// The results that clients under load got, by command id.
type Seen = Vec<(String, Result<Appended, Error>)>;

/// Clients that each append one event to a new lead at a time, until told to stop.
fn load(store: &EventStore, tenant: TenantId, clients: usize, stop: &Arc<AtomicBool>) -> Vec<JoinHandle<Seen>> {
    (0..clients)
        .map(|_| {
            let (store, stop) = (store.clone(), Arc::clone(stop));
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let lead = id().to_string();
                    let mut append = append(tenant, vec![stream(&lead, 0, 1)]);
                    append.command.id.clone_from(&lead);
                    seen.push((lead, store.append(append).await));
                }
                seen
            })
        })
        .collect()
}

async fn grows(store: &EventStore) {
    let before = *store.appended().borrow();
    eventually("the log grows", async || (store.appended().borrow().0 > before.0 + 100).then_some(())).await;
}

/// Checks that every acknowledged append is in the log exactly once, at the position in its answer, and that nothing else is there except
/// appends with an unknown result.
async fn verify(database: &Database, store: &EventStore, clients: Vec<Seen>) {
    let log = whole_log(database, store).await;
    let mut by_lead = std::collections::HashMap::new();
    for event in &log {
        assert!(by_lead.insert(event.aggregate_id.clone(), event.position).is_none(), "{} twice", event.aggregate_id);
    }
    let mut acknowledged = 0;
    for client in clients {
        for (lead, told) in client {
            match told {
                Ok(appended) => {
                    acknowledged += 1;
                    assert_eq!(by_lead.remove(&lead), Some(appended.last), "{lead} where it was told to be");
                }
                // Unknown: it may be there.
                Err(Error::Unavailable(_)) => drop(by_lead.remove(&lead)),
                Err(other) => panic!("{lead}: {other}"),
            }
        }
    }
    assert!(by_lead.is_empty(), "{} events that nobody sent", by_lead.len());
    assert!(acknowledged > 100, "{acknowledged}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminated_backend_loses_nothing_and_doubles_nothing() {
    let (database, store) = store().await;
    let stop = Arc::new(AtomicBool::new(false));
    let clients = load(&store, testbed::tenant(), 32, &stop);
    let mut superuser = superuser(&database).await;
    for _ in 0..10 {
        grows(&store).await;
        let killed: i64 = sqlx::query_scalar(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .fetch_one(&mut superuser)
        .await
        .unwrap();
        assert!(killed > 0);
    }
    grows(&store).await;
    stop.store(true, Ordering::Relaxed);
    let clients = join(clients).await;
    for client in &clients {
        assert!(client.iter().all(|(_, told)| told.is_ok()), "a reconnection takes less than the append's time limit");
    }
    verify(&database, &store, clients).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_nothing_and_doubles_nothing() {
    let mut postgres = Postgres::unsynced();
    let database = Database::fresh_on(&postgres, "crm").await;
    let store = open(&database, Settings { append_timeout: Duration::from_mins(1), ..Settings::default() }).await;
    let stop = Arc::new(AtomicBool::new(false));
    let clients = load(&store, testbed::tenant(), 32, &stop);
    for _ in 0..3 {
        grows(&store).await;
        postgres.kill();
        postgres.restart();
    }
    grows(&store).await;
    stop.store(true, Ordering::Relaxed);
    let clients = join(clients).await;
    verify(&database, &store, clients).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_server_is_away_appends_are_refused_in_time_and_afterwards_all_is_well() {
    let mut postgres = Postgres::unsynced();
    let database = Database::fresh_on(&postgres, "crm").await;
    let store = open(&database, Settings { append_timeout: Duration::from_secs(2), ..Settings::default() }).await;
    let tenant = testbed::tenant();
    store.append(append(tenant, vec![stream("before", 0, 1)])).await.unwrap();
    postgres.kill();
    let refused = store.append(append(tenant, vec![stream("during", 0, 1)])).await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable(_)), "{refused}");
    postgres.restart();
    let appended = eventually("appends are taken again", async || {
        store.append(append(tenant, vec![stream("after", 0, 1)])).await.ok()
    })
    .await;
    assert_eq!(appended.last, Position(2), "what was refused while the server was away was not written");
    whole_log(&database, &store).await;
}

#[tokio::test]
async fn an_append_that_waits_behind_a_stuck_writer_times_out_unwritten() {
    let database = Database::fresh("crm").await;
    let store = open(&database, Settings { append_timeout: Duration::from_secs(2), ..Settings::default() }).await;
    let tenant = testbed::tenant();
    store.append(append(tenant, vec![stream("before", 0, 1)])).await.unwrap();
    // A writer that hangs inside its transaction holds the log's lock.
    let mut stuck = database.superuser().connect().await.unwrap();
    sqlx::query("SELECT pg_advisory_lock(7164702801)").execute(&mut stuck).await.unwrap();
    let refused = store.append(append(tenant, vec![stream("during", 0, 1)])).await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable(_)), "{refused}");
    // At about the same time, the server ends the transaction by itself.
    eventually("the server gave up", async || {
        let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
        (!sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut superuser(&database).await).await.unwrap()).then_some(())
    })
    .await;
    sqlx::query("SELECT pg_advisory_unlock(7164702801)").execute(&mut stuck).await.unwrap();
    eventually("appends are taken again", async || {
        store.append(append(tenant, vec![stream("after", 0, 1)])).await.ok()
    })
    .await;
    assert!(store.load(tenant, "crm.lead", "during", 0).await.unwrap().is_empty());
    whole_log(&database, &store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_process_of_a_lost_connection_does_not_end_nothing_is_written_over_another() {
    let postgres = Postgres::unsynced();
    let database = Database::fresh_on(&postgres, "crm").await;
    let store = open(&database, Settings { append_timeout: Duration::from_secs(2), ..Settings::default() }).await;
    let tenant = testbed::tenant();
    store.append(append(tenant, vec![stream("before", 0, 1)])).await.unwrap();
    let appender: i32 = sqlx::query_scalar(
        "SELECT pid FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%log.append(%'",
    )
    .fetch_one(&mut superuser(&database).await)
    .await
    .unwrap();
    // It has received the statement, and would execute it whenever it continues: the result is unknown.
    postgres.signal(appender.cast_unsigned(), "STOP");
    let unknown = store.append(append(tenant, vec![stream("during", 0, 1)])).await.unwrap_err();
    assert!(matches!(unknown, Error::Unavailable(_)), "{unknown}");
    let refused = store.append(append(tenant, vec![stream("beside", 0, 1)])).await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable(_)), "{refused}");
    assert_eq!(count(&database, "log.events").await, 1, "nothing is written meanwhile");
    postgres.signal(appender.cast_unsigned(), "CONT");
    eventually("appends are taken again", async || {
        store.append(append(tenant, vec![stream("after", 0, 1)])).await.ok()
    })
    .await;
    assert!(store.load(tenant, "crm.lead", "beside", 0).await.unwrap().is_empty());
    whole_log(&database, &store).await;
}

/// A clock that jumps after every sixteen reads, by up to a day, forwards or backwards.
#[derive(Default)]
struct Jumping(AtomicU64);

impl Clock for Jumping {
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        const DAY: u64 = 86_400;
        let looks = self.0.fetch_add(1, Ordering::Relaxed);
        let somewhere = (looks / 16).wrapping_mul(2_654_435_761) % (2 * DAY);
        kernel::SystemClock.now() + chrono::TimeDelta::seconds(somewhere.cast_signed() - DAY.cast_signed())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_clock_jumps_under_load_lose_double_and_reorder_nothing_and_the_logs_time_does_not_go_back() {
    let database = Database::fresh("crm").await;
    let store = EventStore::open(&database, Settings::default(), Arc::new(Jumping::default())).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let clients = load(&store, testbed::tenant(), 16, &stop);
    for _ in 0..3 {
        grows(&store).await;
    }
    stop.store(true, Ordering::Relaxed);
    let clients = join(clients).await;
    for client in &clients {
        assert!(client.iter().all(|(_, told)| told.is_ok()), "what time it is decides about no append");
    }
    verify(&database, &store, clients).await;
}

/// A clock that panics once when it is told to, as a mistake in the committer would.
#[derive(Default)]
struct Faulty(AtomicBool);

impl Clock for Faulty {
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        assert!(!self.0.swap(false, Ordering::SeqCst), "as the test wants it");
        kernel::SystemClock.now()
    }
}

#[tokio::test]
async fn fault_a_committer_that_panics_writes_nothing_of_what_it_had_and_takes_appends_again() {
    let (database, clock) = (Database::fresh("crm").await, Arc::new(Faulty::default()));
    let store = EventStore::open(&database, Settings::default(), clock.clone()).await.unwrap();
    store.append(append(testbed::tenant(), vec![stream("one", 0, 1)])).await.unwrap();
    let before = contents(&database).await;
    clock.0.store(true, Ordering::SeqCst);
    let refused = store.append(append(testbed::tenant(), vec![stream("two", 0, 1)])).await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable(_)), "{refused:?}");
    assert_eq!(contents(&database).await, before, "nothing of it was written");
    eventually("appends are taken again", async || {
        store.append(append(testbed::tenant(), vec![stream("three", 0, 1)])).await.ok()
    })
    .await;
    assert_eq!(whole_log(&database, &store).await.len(), 2);
    store.close().await;
    assert!(!store.is_open(), "who closes it waits for the committer");
}

/// An append of another process whose clock is a month ahead of ours. It takes long enough that the next one waits for the lock meanwhile.
const APPEND_ELSEWHERE: &str = "SELECT pg_advisory_xact_lock(7164702801);
     UPDATE log.head SET recorded_at = greatest(recorded_at, '2026-06-01T00:00:00Z') + interval '1 ms';
     SELECT pg_sleep(0.005)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_a_slow_clock_stops_no_append_while_others_write_without_a_pause() {
    let database = Database::fresh("crm").await;
    let slow = Arc::new(kernel::ManualClock::at(time("2026-05-01T00:00:00Z")));
    let store = EventStore::open(&database, Settings::default(), slow).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut others = Vec::new();
    for _ in 0..2 {
        let (mut other, stop) = (superuser(&database).await, Arc::clone(&stop));
        other.execute(APPEND_ELSEWHERE).await.unwrap();
        others.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                other.execute(APPEND_ELSEWHERE).await.unwrap();
            }
        }));
    }
    let appended = store.append(append(testbed::tenant(), vec![stream("lead", 0, 1)])).await.unwrap();
    assert!(appended.recorded_at > time("2026-06-01T00:00:00Z"));
    stop.store(true, Ordering::Relaxed);
    for other in others {
        other.await.unwrap();
    }
    assert_eq!(whole_log(&database, &store).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_connections_that_nobody_closes_and_nobody_answers_are_replaced() {
    let database = Database::fresh("crm").await;
    let (way, silence) = Silence::on_the_way_to(&database).await;
    let follow_patience = Patience { unused: Duration::from_millis(200), given_back: Duration::from_millis(300) };
    let settings = Settings { follow_connections: 2, follow_patience, ..Settings::default() };
    let store = EventStore::open(&way, settings, Arc::new(kernel::SystemClock)).await.unwrap();
    store.append(append(testbed::tenant(), vec![stream("lead", 0, 1)])).await.unwrap();
    // Idle connections.
    let (one, two) = tokio::join!(store.head(), store.head());
    assert_eq!((one.unwrap(), two.unwrap()), (Position(1), Position(1)));
    given_back(&store).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    silence.begin().await;
    for _ in 0..3 {
        assert_eq!(store.head().await.unwrap(), Position(1), "it is read on a new connection");
    }
    given_back(&store).await;
    // Connections in use: queries wait while somebody has locked the table, and are given up when they are not answered.
    let mut locks = superuser(&database).await;
    locks.execute("BEGIN; LOCK TABLE log.head IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let reads = [(); 2].map(|()| {
        let store = store.clone();
        tokio::spawn(async move { store.head().await })
    });
    eventually("both wait for the table", async || {
        let waits = "SELECT count(*) = 2 FROM pg_locks WHERE NOT granted AND relation = 'log.head'::regclass
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut superuser(&database).await).await.unwrap().then_some(())
    })
    .await;
    for read in reads {
        read.abort();
        assert!(read.await.unwrap_err().is_cancelled());
    }
    silence.begin().await;
    locks.execute("COMMIT").await.unwrap();
    eventually("their places are free again", async || store.head().await.ok()).await;
}

/// Waits until no connection of those who follow the log is in use, nor on its way back to its pool: SQLx pings each of them then, and waits
/// for ever for one that becomes silent meanwhile.
async fn given_back(store: &EventStore) {
    eventually("all connections are given back", async || {
        let [.., follow] = store.pools();
        (follow.busy == 0).then_some(())
    })
    .await;
}

async fn join(clients: Vec<JoinHandle<Seen>>) -> Vec<Seen> {
    futures::future::join_all(clients).await.into_iter().map(Result::unwrap).collect()
}
