//! Loading streams, following positions, replaying a tenant.

use std::collections::HashMap;

use cqrs_es::persist::PersistedEventRepository;
use eventstore::{
    EventSlice, EventStore, NewEvent, PAGE_BYTES, Place, ReplayFilter, Role, Settings, StreamAppend, partition_of,
};
use futures::TryStreamExt;
use kernel::{Position, RecordedEvent, TenantId};
use postgres_es::PostgresEventRepository;

use super::proving::verified;
use super::support::*;

#[tokio::test]
async fn a_stream_is_loaded_after_a_version_and_only_for_its_tenant() {
    let (_database, store) = store().await;
    let tenant = testbed::tenant();
    store.append(append(tenant, vec![stream("l1", 0, 5), stream("l2", 0, 1)])).await.unwrap();
    let sequences = async |after| {
        let events = store.load(tenant, "crm.lead", "l1", after).await.unwrap();
        events.iter().map(|event| event.sequence).collect::<Vec<_>>()
    };
    assert_eq!(sequences(0).await, [1, 2, 3, 4, 5]);
    assert_eq!(sequences(3).await, [4, 5]);
    assert_eq!(sequences(5).await, [0; 0]);
    assert_eq!(sequences(u64::MAX).await, [0; 0]);
    assert!(store.load(testbed::tenant(), "crm.lead", "l1", 0).await.unwrap().is_empty());
    assert!(store.load(tenant, "crm.contact", "l1", 0).await.unwrap().is_empty());
}

#[tokio::test]
async fn followers_read_all_tenants_by_position() {
    let (_database, store) = store().await;
    for n in 0..4 {
        store.append(append(testbed::tenant(), vec![stream(&format!("l{n}"), 0, 5)])).await.unwrap();
    }
    let page = store.read_after(Position(3), 10).await.unwrap();
    assert!(page.iter().map(|event| event.position.0).eq(4..=13));
    assert!(store.read_after(Position(20), 10).await.unwrap().is_empty());
    assert_eq!(*store.appended().borrow(), Position(20));
}

/// Events of these types in the stream of the tenant itself, after a version.
fn own(tenant: TenantId, expected: u64, types: &[&'static str]) -> StreamAppend {
    let events = types.iter().map(|event_type| NewEvent { event_type, ..event("{}") }).collect();
    StreamAppend { aggregate_id: tenant.to_string(), expected, events, ..stream("", 0, 0) }
}

#[tokio::test]
async fn the_last_event_of_each_tenants_own_stream_is_found_however_much_came_after_it() {
    let (_database, store) = store().await;
    let [first, second, third] = [testbed::tenant(), testbed::tenant(), testbed::tenant()];
    store
        .append(append(first, vec![own(first, 0, &["lit", "put_out", "cleaned"]), stream("l1", 0, 20)]))
        .await
        .unwrap();
    store.append(append(second, vec![stream("l1", 0, 20), own(second, 0, &["lit"])])).await.unwrap();
    // A stream with another id than the tenant's.
    store
        .append(append(third, vec![StreamAppend { aggregate_id: first.to_string(), ..own(third, 0, &["lit"]) }]))
        .await
        .unwrap();
    let last = async |types: &[&str], upto: Position| {
        let found = store.last_of_tenants("crm.lead", types, upto).await.unwrap();
        found.into_iter().map(|event| (event.tenant, event.event_type)).collect::<Vec<_>>()
    };
    let head = store.head().await.unwrap();
    assert_eq!(last(&["lit", "put_out"], head).await, [(first, "put_out".to_owned()), (second, "lit".to_owned())]);
    assert_eq!(last(&["lit"], head).await, [(first, "lit".to_owned()), (second, "lit".to_owned())]);
    assert_eq!(last(&["lit", "put_out"], Position(1)).await, [(first, "lit".to_owned())]);
    assert_eq!(last(&["never"], head).await, []);
    assert!(store.last_of_tenants("crm.contact", &["lit"], head).await.unwrap().is_empty());
}

/// Two tenants, each with leads of four events, which is more than a page.
async fn history(store: &eventstore::EventStore) -> (TenantId, TenantId) {
    let (ours, theirs) = (testbed::tenant(), testbed::tenant());
    for n in 0..15 {
        let mut streams: Vec<_> = (0..100).map(|m| stream(&format!("lead {n} {m}"), 0, 4)).collect();
        for (at, event) in streams.iter_mut().flat_map(|stream| &mut stream.events).enumerate() {
            event.occurred_at = time("2026-01-01T00:00:00Z") + chrono::Duration::days(at as i64 % 4);
            event.event_type = if at % 4 == 3 { "crm.lead.qualified" } else { "crm.lead.captured" };
        }
        store.append(append(ours, streams)).await.unwrap();
        store.append(append(theirs, vec![stream(&format!("lead {n}"), 0, 2)])).await.unwrap();
    }
    (ours, theirs)
}

#[tokio::test]
async fn a_replay_gives_what_it_counted_in_order_and_no_other_tenants_events() {
    let (_database, store) = store().await;
    let (ours, theirs) = history(&store).await;
    let to = store.head().await.unwrap();
    let whole = ReplayFilter { to: Some(to), ..ReplayFilter::default() };
    let filters = [
        (whole.clone(), 6_000),
        (ReplayFilter { aggregate_id: Some("lead 3 4".into()), ..whole.clone() }, 4),
        (ReplayFilter { aggregate_type: Some("crm.deal".into()), ..whole.clone() }, 0),
        (ReplayFilter { event_type: Some("crm.lead.qualified".into()), ..whole.clone() }, 1_500),
        (ReplayFilter { occurred_from: Some(time("2026-01-03T00:00:00Z")), ..whole.clone() }, 3_000),
        (ReplayFilter { occurred_until: Some(time("2026-01-02T00:00:00Z")), ..whole.clone() }, 1_500),
        (ReplayFilter { recorded_until: Some(time("2020-01-01T00:00:00Z")), ..whole.clone() }, 0),
        (ReplayFilter { recorded_from: Some(time("2020-01-01T00:00:00Z")), ..whole.clone() }, 6_000),
        (ReplayFilter { after: Position(402), to: Some(Position(804)), ..ReplayFilter::default() }, 400),
    ];
    for (filter, expected) in filters {
        assert_eq!(store.count(ours, &filter).await.unwrap(), expected, "{filter:?}");
        let events: Vec<_> = store.replay(ours, filter.clone()).try_collect().await.unwrap();
        assert_eq!(events.len() as u64, expected, "{filter:?}");
        assert!(events.is_sorted_by_key(|event| event.position));
        assert!(events.iter().all(|event| event.tenant == ours));
    }
    assert_eq!(store.replay(theirs, whole).try_collect::<Vec<_>>().await.unwrap().len(), 30);
}

#[tokio::test]
async fn a_replay_ends_where_the_log_ended_when_it_began() {
    let (_database, store) = store().await;
    let (ours, _) = history(&store).await;
    let mut replay = Box::pin(store.replay(ours, ReplayFilter::default()));
    replay.try_next().await.unwrap().unwrap();
    store.append(append(ours, vec![stream("later", 0, 7)])).await.unwrap();
    assert_eq!(replay.try_collect::<Vec<_>>().await.unwrap().len(), 5_999);
}

#[tokio::test]
async fn a_replay_of_a_server_that_is_gone_fails_instead_of_ending() {
    let mut postgres = testbed::Postgres::unsynced();
    let database = testbed::Database::fresh_on(&postgres, "crm").await;
    let store = open(&database, eventstore::Settings::default()).await;
    let ours = testbed::tenant();
    for n in 0..5 {
        let streams = (0..100).map(|m| stream(&format!("lead {n} {m}"), 0, 50)).collect();
        store.append(append(ours, streams)).await.unwrap();
    }
    let mut replay = Box::pin(store.replay(ours, ReplayFilter::default()));
    replay.try_next().await.unwrap().unwrap();
    postgres.kill();
    // At most three of five pages were read ahead; then the stream ends with the error.
    assert!(replay.try_collect::<Vec<_>>().await.is_err());
}

/// Two tenants, in turns of ten events: a hundred small ones, 160 of 200 KiB, which are four pages, and again small ones.
async fn albums(store: &EventStore) -> [TenantId; 2] {
    let tenants = [testbed::tenant(), testbed::tenant()];
    for turn in 0..20 {
        for tenant in tenants {
            let name = format!("album {turn}");
            let album = if (5..13).contains(&turn) { album(&name, 10) } else { stream(&name, 0, 10) };
            store.append(append(tenant, vec![album])).await.unwrap();
        }
    }
    tenants
}

/// The contents of consecutive slices until there are no more: no slice exceeds the budget by two events, or is empty.
async fn sliced<F>(mut read: impl FnMut(Position) -> F) -> (Vec<RecordedEvent>, usize)
where
    F: Future<Output = Result<EventSlice, eventstore::Error>>,
{
    let (mut events, mut after, mut slices) = (Vec::new(), Position::START, 0);
    loop {
        let slice = read(after).await.unwrap();
        if let Some((_, others)) = slice.events.split_last() {
            assert!(
                others.iter().map(RecordedEvent::bytes).sum::<usize>() < PAGE_BYTES,
                "{} events",
                slice.events.len()
            );
        }
        assert!(slice.last > after, "a slice leads on");
        events.extend(slice.events);
        (after, slices) = (slice.last, slices + 1);
        if !slice.more {
            return (events, slices);
        }
    }
}

fn positions<'e>(events: impl IntoIterator<Item = &'e RecordedEvent>) -> Vec<u64> {
    events.into_iter().map(|event| event.position.0).collect()
}

#[tokio::test]
async fn large_events_are_read_a_few_at_a_time_and_all_of_them_in_order() {
    let (_database, store) = store().await;
    let tenants = albums(&store).await;
    let head = store.head().await.unwrap();
    let (all, slices) = sliced(|after| store.slice_after(after, 10_000)).await;
    assert_eq!(positions(&all), (1..=400).collect::<Vec<_>>());
    assert!((5..12).contains(&slices), "of 32 MB, in {slices} slices");

    for tenant in tenants {
        let whose = |event: &&RecordedEvent| event.tenant == tenant;
        let theirs = positions(all.iter().filter(whose));
        assert_eq!(theirs.len(), 200);
        let (read, slices) = sliced(|after| store.tenant_after(tenant, after, head, 10_000)).await;
        assert_eq!(positions(&read), theirs);
        assert!((3..8).contains(&slices), "of 16 MB, in {slices} slices");
        let replayed: Vec<_> = store.replay(tenant, ReplayFilter::default()).try_collect().await.unwrap();
        assert_eq!(positions(&replayed), theirs);
        assert_eq!(verified(&store, tenant).await.unwrap().events, 200);
    }
    for number in 0..4 {
        let (read, _) = sliced(|after| store.read_partition(after, 10_000, number, 4)).await;
        let ours = |event: &&RecordedEvent| partition_of(event.tenant.uuid(), 4) == number;
        assert_eq!(positions(&read), positions(all.iter().filter(ours)));
    }
}

#[tokio::test]
async fn an_event_that_is_larger_than_a_page_may_be_is_read_all_the_same() {
    let database = testbed::Database::fresh("crm").await;
    let settings = Settings { event_bytes: 2 * PAGE_BYTES, ..Settings::default() };
    let store = open(&database, settings).await;
    let tenant = testbed::tenant();
    let mut huge = stream("l1", 0, 3);
    huge.events[1].payload = picture(PAGE_BYTES);
    store.append(append(tenant, vec![huge])).await.unwrap();
    for (after, read, more) in [(0, vec![1, 2], true), (1, vec![2], true), (2, vec![3], false)] {
        let slice = store.slice_after(Position(after), 10).await.unwrap();
        assert_eq!((positions(&slice.events), slice.more), (read, more), "after {after}");
    }
    assert_eq!(positions(&store.load(tenant, "crm.lead", "l1", 0).await.unwrap()), [1, 2, 3]);
}

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct StockLead;

impl cqrs_es::Aggregate for StockLead {
    const TYPE: &'static str = "crm.lead";
    type Command = ();
    type Event = StockEvent;
    type Error = std::convert::Infallible;
    type Services = ();

    async fn handle(&mut self, (): (), (): &(), _: &cqrs_es::event_sink::EventSink<Self>) -> Result<(), Self::Error> {
        Ok(())
    }

    fn apply(&mut self, _: Self::Event) {}
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct StockEvent {
    n: u32,
}

impl cqrs_es::DomainEvent for StockEvent {
    fn event_type(&self) -> String {
        "crm.lead.captured".to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

#[tokio::test]
async fn the_stock_postgres_es_repository_reads_a_tenants_log() {
    let (database, store) = store().await;
    let (ours, theirs) = (testbed::tenant(), testbed::tenant());
    store.append(append(theirs, vec![stream("l1", 0, 7)])).await.unwrap();
    store.append(append(ours, vec![stream("l1", 0, 3)])).await.unwrap();
    let tenant = ours.to_string();
    let options = database.options(Role::Read).options([("search_path", "log"), ("app.tenant_id", tenant.as_str())]);
    let stock = PostgresEventRepository::new(sqlx::PgPool::connect_lazy_with(options));
    let events = stock.get_events::<StockLead>("l1").await.unwrap();
    let read: Vec<_> = events.iter().map(|e| (e.sequence, e.event_type.as_str(), e.event_version.as_str())).collect();
    assert_eq!(read, [1, 2, 3].map(|n| (n, "crm.lead.captured", "1")));
    assert_eq!(events[2].payload, serde_json::json!({ "n": 2 }));
    let metadata: HashMap<String, String> = serde_json::from_value(events[0].metadata.clone()).unwrap();
    assert_eq!(metadata["actor"], "test");
}

#[tokio::test]
async fn who_follows_a_log_is_told_that_it_has_lost_its_end() {
    let (database, store) = store().await;
    let tenant = testbed::tenant();
    let start = store.end().await.unwrap();
    assert_eq!(start.position(), Position::START);
    store.append(append(tenant, vec![stream("l1", 0, 3)])).await.unwrap();
    let seen = store.slice_from(start, 10).await.unwrap().unwrap().events;
    let [kept, place] = [0, 2].map(|nth| Place::after(&seen[nth]));
    assert_eq!((seen.len(), store.end().await.unwrap()), (3, place));
    assert!(store.slice_from(place, 10).await.unwrap().unwrap().events.is_empty());

    let lose = "DELETE FROM log.events WHERE position > 1; DELETE FROM log.commands; UPDATE log.head SET position = 1";
    sqlx::raw_sql(lose).execute(&mut superuser(&database).await).await.unwrap();
    let epoch = store.epoch();
    assert_eq!(store.slice_from(place, 10).await.unwrap(), None);
    assert!(store.epoch() > epoch, "what was read before is not relied on any more");
    store.append(append(tenant, vec![stream("l2", 0, 4)])).await.unwrap();
    assert_eq!(store.slice_from(place, 10).await.unwrap(), None, "another event stands there now");
    assert_eq!(store.slice_from(kept, 10).await.unwrap().unwrap().events.len(), 4);
}

#[tokio::test]
async fn a_log_whose_last_event_is_not_there_has_no_place_to_follow_it_from() {
    let (database, store) = store().await;
    store.append(append(testbed::tenant(), vec![stream("l1", 0, 3)])).await.unwrap();
    sqlx::raw_sql("DELETE FROM log.events WHERE position > 1").execute(&mut superuser(&database).await).await.unwrap();
    let refused = store.end().await.unwrap_err();
    assert!(matches!(refused, eventstore::Error::Unavailable(_)), "{refused}");
}
