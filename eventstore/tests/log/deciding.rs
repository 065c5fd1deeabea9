//! Decisions: commands reconstructed from their events.

use chrono::{DateTime, Utc};
use eventstore::decisions::{self, Decision};
use eventstore::{Append, Database, EventStore, Role};
use kernel::{Position, TenantId};

use super::support::*;

/// A command of `actor` with this many events.
fn decided(tenant: TenantId, id: &str, permissions: Option<&str>, events: usize) -> Append {
    let metadata = match permissions {
        Some(permissions) => format!(r#"{{"actor":"ada","command_id":"{id}","permissions":"{permissions}"}}"#),
        None => format!(r#"{{"actor":"ada","command_id":"{id}"}}"#),
    };
    let mut stream = stream(&format!("lead of {id}"), 0, events);
    for event in &mut stream.events {
        event.metadata = metadata.as_str().into();
    }
    if let Some(last) = stream.events.last_mut().filter(|_| events > 1) {
        last.event_type = "crm.lead.qualified";
    }
    Append { tenant, command: command(id), streams: vec![stream], claims: Vec::new() }
}

/// All decisions of a tenant in a range of the log, read page by page.
async fn all(database: &Database, tenant: TenantId, stretch: (Position, Position), limit: u32) -> Vec<Decision> {
    let pool = database.pool(Role::Read, 1);
    let mut tables = eventstore::database::begin_as(&pool, tenant).await.unwrap();
    let (mut after, until) = stretch;
    let mut found = Vec::new();
    loop {
        let page = decisions::page(&mut tables, tenant, (after, until), limit).await.unwrap();
        assert!(!page.more || page.last > after, "a page goes on");
        found.extend(page.decisions);
        after = page.last;
        if !page.more {
            return found;
        }
    }
}

#[tokio::test]
async fn a_command_is_told_once_however_many_events_it_made_and_wherever_pages_end() {
    let (database, store) = store().await;
    let (ours, theirs) = (testbed::tenant(), testbed::tenant());
    for (n, events) in [1, 3, 7, 1, 2].into_iter().enumerate() {
        store.append(decided(ours, &format!("k{n}"), Some("crm:lead:write"), events)).await.unwrap();
        store.append(decided(theirs, &format!("t{n}"), Some("crm:lead:write"), 2)).await.unwrap();
    }
    store.append(decided(ours, "old", None, 1)).await.unwrap();
    for limit in [1, 2, 3, 5, 100] {
        let found = all(&database, ours, (Position::START, Position(u64::MAX >> 1)), limit).await;
        let told: Vec<_> = found.iter().map(|decision| decision.permissions.as_deref()).collect();
        let write = Some("crm:lead:write");
        assert_eq!(told, [write, write, write, write, write, None], "in pages of {limit}");
        assert!(found.iter().all(|decision| decision.actor == "ada"));
    }
    let found = all(&database, ours, (Position::START, Position(u64::MAX >> 1)), 100).await;
    assert_eq!(found[0].events, ["crm.lead.captured"]);
    assert_eq!(
        (&found[2].events[..], found[2].position),
        (&["crm.lead.captured", "crm.lead.qualified"].map(str::to_owned)[..], Position(15))
    );
    let some = all(&database, ours, (found[0].position, found[3].position), 20).await;
    assert_eq!(some, found[1..=3], "after one and up to another");
    assert_eq!(all(&database, testbed::tenant(), (Position::START, Position(99)), 10).await, [], "another tenant's");
}

/// The recording times of a tenant's events, in order.
async fn times(store: &EventStore, tenant: TenantId) -> Vec<(Position, DateTime<Utc>)> {
    let events = store.read_after(Position::START, 1_000).await.unwrap();
    let ours = events.into_iter().filter(|event| event.tenant == tenant);
    ours.map(|event| (event.position, event.recorded_at)).collect()
}

#[tokio::test]
async fn where_a_stretch_of_time_begins_is_found() {
    let (database, store) = store().await;
    let (ours, theirs) = (testbed::tenant(), testbed::tenant());
    for n in 0..20 {
        store.append(decided(ours, &format!("k{n}"), None, 1 + n % 3)).await.unwrap();
        store.append(decided(theirs, &format!("t{n}"), None, 3)).await.unwrap();
    }
    let pool = database.pool(Role::Read, 1);
    let mut tables = eventstore::database::begin_as(&pool, ours).await.unwrap();
    let times = times(&store, ours).await;
    for (_, at) in &times {
        let expected = times.iter().filter(|(_, recorded_at)| recorded_at < at).map(|(position, _)| *position).max();
        let found = decisions::before(&mut tables, ours, *at).await.unwrap();
        assert_eq!(found, expected.unwrap_or(Position::START), "before {at}");
    }
    let (last, _) = *times.last().unwrap();
    assert_eq!(decisions::before(&mut tables, ours, time("2999-01-01T00:00:00Z")).await.unwrap(), last);
    assert_eq!(decisions::before(&mut tables, ours, time("1999-01-01T00:00:00Z")).await.unwrap(), Position::START);
}
