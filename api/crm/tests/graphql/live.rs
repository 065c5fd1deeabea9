use std::time::Duration;

use crm_aggregates::LeadSource;
use crm_api::graphql::subscribe;
use crm_commands::{AssignLead, CaptureLead, LeadFields};
use futures::StreamExt;
use kernel::{Caller, Role};
use serde_json::json;

use crate::world::World;

async fn capture_in_another_tenant(world: &World) {
    let caller = Caller::new(testbed::tenant(), "eve", &[Role::Admin], crm_commands::GRANTS);
    let details = LeadFields { name: "Somebody else's".to_owned(), ..LeadFields::default() };
    let capture = CaptureLead { details, source: LeadSource::Other, owner: None };
    world.runtime.executor.run(&caller, &capture).await.unwrap();
}

#[tokio::test]
async fn changes_of_the_tenants_leads_come_as_they_happen_and_show_the_lead_with_that_change() {
    let world = World::start().await;
    let lead = world.lead("ada").await;
    let viewer = || world.session(world.caller(&[Role::Viewer]));
    let mut changes = subscribe(viewer(), vec!["leadChanged".to_owned()]);
    // Events before the subscription has started are not delivered, so make changes until one is received.
    let mut received = None;
    for n in 0..300 {
        capture_in_another_tenant(&world).await;
        world.command(None, AssignLead { lead, owner: format!("owner {n}") }).await.unwrap();
        if let Ok(change) = tokio::time::timeout(Duration::from_millis(100), changes.next()).await {
            received = change;
            break;
        }
    }
    let change = received.expect("a change is received").unwrap();
    let fields = "leadChanged { leadId change version lead { name version } }";
    let seen = &world.item(change, viewer(), fields).await["leadChanged"];
    let happened = if seen["version"] == 1 { "captured" } else { "assigned" };
    assert_eq!((&seen["leadId"], &seen["change"]), (&json!(lead.to_string()), &json!(happened)));
    assert_eq!(seen["lead"]["name"], "ada");
    assert!(seen["lead"]["version"].as_i64() >= seen["version"].as_i64(), "{seen}");
}

#[tokio::test]
async fn who_may_not_see_leads_may_not_follow_them() {
    let world = World::start().await;
    let session = world.session(world.caller(&[]));
    let mut changes = subscribe(session, vec!["leadChanged".to_owned()]);
    let refused = changes.next().await.unwrap().unwrap_err();
    assert!(refused.message().contains("crm:lead:read"), "{}", refused.message());
    assert!(changes.next().await.is_none());
}

#[tokio::test]
async fn a_subscriber_that_is_too_slow_is_told_how_much_it_missed_and_goes_on() {
    let world = World::start().await;
    let wanted = || vec!["leadChanged".to_owned()];
    let viewer = || world.session(world.caller(&[Role::Viewer]));
    let mut slow = subscribe(viewer(), wanted());
    // Events before the subscription has started are not delivered, so make changes until the latest one is received.
    let (hall, mut seen) = (world.lead("hall").await, json!(null));
    for last in 2..300 {
        world.command(None, AssignLead { lead: hall, owner: format!("owner {last}") }).await.unwrap();
        while seen != json!(last)
            && let Ok(change) = tokio::time::timeout(Duration::from_millis(100), slow.next()).await
        {
            let change = change.unwrap().unwrap();
            seen = world.item(change, viewer(), "leadChanged { version }").await["leadChanged"]["version"].clone();
        }
        if seen == json!(last) {
            break;
        }
    }
    assert_ne!(seen, json!(null), "it does not begin");
    let before = world.runtime.store.head().await.unwrap();
    let mut quick = world.runtime.live.subscribe(world.tenant).await.unwrap().boxed();
    // More events than are buffered for a slow subscriber, of a type that no read model handles.
    let event = || eventstore::NewEvent {
        event_id: kernel::IdSource::next(&kernel::SystemIds),
        event_type: "crm.lamp.lit",
        event_version: 1,
        payload: "{}".to_owned(),
        metadata: "{}".into(),
        occurred_at: kernel::Clock::now(&kernel::SystemClock),
    };
    let many = eventstore::StreamAppend {
        aggregate_type: "crm.lamp",
        aggregate_id: "hall".to_owned(),
        expected: 0,
        events: (0..6_000).map(|_| event()).collect(),
    };
    let command =
        eventstore::CommandRecord { id: "light".to_owned(), request_hash: [0; 32], answer: "null".to_owned() };
    let append = eventstore::Append { tenant: world.tenant, command, streams: vec![many], claims: Vec::new() };
    world.runtime.store.append(append).await.unwrap();
    let lead = world.lead("ada").await;
    // Wait until another subscriber has received them all: then they were delivered to the buffer of the slow one, too.
    let all = async {
        loop {
            match quick.next().await.expect("the feed goes on") {
                Ok(event) if event.position.0 > before.0 + 6_000 => return,
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all).await.expect("all events within 30 s");
    let missed = slow.next().await.unwrap().unwrap_err();
    let code = missed.extensions().as_object_value().unwrap().get_field_value("code").unwrap().to_string();
    assert_eq!(code, "\"events_missed\"");
    // 6,001 events were delivered; the buffer holds 4,096.
    assert!(missed.message().contains("missed 1905 events"), "{}", missed.message());
    let change = slow.next().await.unwrap().unwrap();
    let seen = &world.item(change, viewer(), "leadChanged { leadId change }").await["leadChanged"];
    assert_eq!((&seen["leadId"], &seen["change"]), (&json!(lead.to_string()), &json!("captured")));
}
