//! The claims that commands took equal those derived from the events. Otherwise a history that is copied into another tenant would lose its
//! unique values.

use std::collections::BTreeSet;

use crm_commands::{
    ChangeContactDetails, Claims, ContactFields, ConvertLead, CreateContact, MoveOpportunity, NewOpportunity,
    OpenOpportunity, ReactivateStage, RemoveStage, RenamePipeline, RetireStage,
};
use eventstore::ReplayFilter;
use eventstore::backup::{StoredClaim, freeze};
use eventstore::sealing::KINDS;
use executor::ClaimHistory;
use futures::TryStreamExt;

use super::erasing::the_contact;
use super::support::*;

/// The claims in the log, and those derived from its events.
async fn both(world: &World) -> (Vec<StoredClaim>, Vec<StoredClaim>) {
    let mut snapshot = freeze(&[world.store.database().clone()]).await.unwrap().remove(0);
    let mut stored: Vec<_> = snapshot.claims().try_collect().await.unwrap();
    // Keys are no claim of a history.
    stored.retain(|claim| !KINDS.contains(&claim.kind.as_str()));
    stored.sort_unstable();
    let tenant = world.request.caller.tenant();
    let mut claims = Claims::default();
    let events: Vec<_> = world.store.replay(tenant, ReplayFilter::default()).try_collect().await.unwrap();
    for event in world.store.opened(events).await.unwrap() {
        claims.observe(&event).unwrap();
    }
    let mut told = claims.held().stored(&[7; 32], tenant);
    // The claims of an erased contact are unknown: a contact that was admitted as a duplicate may appear to hold its address.
    told.retain(|claim| stored.contains(claim) || !claims.held().has_forgotten(&claim.kind));
    (stored, told)
}

#[tokio::test]
async fn every_claim_that_commands_take_is_told_by_the_events() {
    let world = World::with_jobs().await;
    let pipeline = world.pipeline().await;
    let (id, stages) = (pipeline.pipeline, &pipeline.stages);
    assert!(stages.len() >= 3, "else there is nothing to retire, remove and move to");

    // E-mail addresses: taken, given up, taken by another, shared, given up by the one that had it.
    let ada = world.contact("ada@example.com").await;
    let shared = CreateContact {
        details: ContactFields { email: Some("ada@example.com".to_owned()), ..contact("x@example.com").details },
        allow_duplicate: true,
        ..CreateContact::default()
    };
    world.done(&shared).await;
    let (stored, told) = both(&world).await;
    assert_eq!(told, stored);
    let change = |contact, email: Option<&str>| ChangeContactDetails {
        contact,
        details: ContactFields { email: email.map(str::to_owned), ..super::support::contact("x@example.com").details },
        allow_duplicate: false,
    };
    world.done(&change(ada, Some("countess@example.com"))).await;
    let grace = world.contact("grace@example.com").await;
    world.done(&change(grace, None)).await;
    world.contact("grace@example.com").await;
    world.done(&shared).await;

    // An erased contact holds no address any more.
    let joan = world.contact("joan@example.com").await;
    world.done(&the_contact(joan)).await;
    world.contact("joan@example.com").await;

    // A lead that is converted, with and without an opportunity.
    let deal = NewOpportunity {
        name: "An engine".to_owned(),
        pipeline: id,
        stage: None,
        amount: euros(5_000),
        close_date: day("2026-12-24"),
    };
    for opportunity in [None, Some(deal)] {
        let lead = world.qualified_lead().await;
        let convert =
            ConvertLead { lead, account: None, account_name: None, contact: None, opportunity, allow_duplicate: true };
        world.done(&convert).await;
    }

    // Stages: in use, retired, reactivated, removed; a name that changes, also only in its case.
    let deal = world.opportunity(id, stages[0]).await;
    world.done(&MoveOpportunity { opportunity: deal, stage: stages[1] }).await;
    world.done(&OpenOpportunity { stage: Some(stages[1]), ..opportunity(id, None) }).await;
    world.done(&RetireStage { pipeline: id, stage: stages[0] }).await;
    world.done(&ReactivateStage { pipeline: id, stage: stages[0] }).await;
    world.done(&RetireStage { pipeline: id, stage: stages[1] }).await;
    world.done(&RemoveStage { pipeline: id, stage: stages[2] }).await;
    world.done(&RenamePipeline { pipeline: id, name: "NEW BUSINESS".to_owned() }).await;
    world.done(&RenamePipeline { pipeline: id, name: "Old business".to_owned() }).await;

    let (stored, told) = both(&world).await;
    assert_eq!(told, stored);
    let kinds: BTreeSet<_> = stored.iter().map(|claim| claim.kind.as_str()).collect();
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        ["crm.contact.email", "crm.pipeline.name", "crm.stage.closed", "crm.stage.use"],
        "a kind of claim that nothing here takes: add it, and what its events say in claims.rs"
    );
}
