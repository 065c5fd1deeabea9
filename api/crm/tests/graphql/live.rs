use std::time::Duration;

use crm_aggregates::LeadSource;
use crm_api::graphql::subscribe;
use crm_commands::{AssignLead, CaptureLead, LeadFields};
use executor::Request;
use futures::StreamExt;
use kernel::{Caller, Role};
use serde_json::json;
use uuid::Uuid;

use crate::world::World;

async fn capture_in_another_tenant(world: &World) {
    let caller = Caller::new(testbed::tenant(), "eve", &[Role::Admin], crm_commands::GRANTS);
    let request = Request {
        caller,
        command_id: None,
        request_hash: [0; 32],
        if_match: None,
        occurred_at: None,
        correlation_id: Uuid::nil(),
        causation_id: Uuid::nil(),
        traceparent: None,
    };
    let details = LeadFields { name: "Somebody else's".to_owned(), ..LeadFields::default() };
    let capture = CaptureLead { details, source: LeadSource::Other, owner: None };
    world.runtime.executor.execute(&request, &capture).await.unwrap();
}

#[tokio::test]
async fn changes_of_the_tenants_leads_come_as_they_happen_and_show_the_lead_with_that_change() {
    let world = World::start().await;
    let lead = world.lead("ada").await;
    let viewer = || world.session(world.caller(&[Role::Viewer]));
    let mut changes = subscribe(viewer(), vec!["leadChanged".to_owned()]);
    // What happens before the subscription has begun does not come: so things happen until one comes.
    let mut comes = None;
    for n in 0..300 {
        capture_in_another_tenant(&world).await;
        world.command(None, AssignLead { lead, owner: format!("owner {n}") }).await.unwrap();
        if let Ok(change) = tokio::time::timeout(Duration::from_millis(100), changes.next()).await {
            comes = change;
            break;
        }
    }
    let change = comes.expect("a change comes").unwrap();
    let fields = "leadChanged { leadId change version lead { name version } }";
    let seen = &world.turn(change, viewer(), fields).await["leadChanged"];
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
