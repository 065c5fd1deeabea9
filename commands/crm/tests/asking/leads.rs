//! The life cycle of a lead, from capture to its end, through commands.

use crm_aggregates::{DisqualifyReason, Lead, LeadId, LeadSource, LeadStatus};
use crm_commands::{
    AssignLead, CaptureLead, ChangeLeadDetails, DisqualifyLead, LeadFields, QualifyLead, RecycleLead, StartLeadWork,
};
use kernel::{Kind, PostalAddress};
use uuid::Uuid;

use super::support::{World, address, field, kept_address, lead_fields, text, wrong_address};

#[tokio::test]
async fn a_lead_goes_its_way() {
    let world = World::new().await;
    let capture = CaptureLead { details: lead_fields(), source: LeadSource::Referral, owner: None };
    let lead = world.done(&capture).await.answer;
    let captured = world.state::<Lead>(lead).await;
    assert_eq!((captured.status, captured.source), (LeadStatus::New, LeadSource::Referral));
    assert_eq!(captured.details.email.as_ref().unwrap().reveal(), "ada@example.com");
    assert_eq!(captured.details.phone.as_ref().unwrap().reveal(), "+442079460958");
    assert_eq!(captured.details.country.as_deref(), Some("GB"));
    assert_eq!(captured.details.address.as_ref().unwrap().reveal(), &kept_address());

    world.done(&AssignLead { lead, owner: "grace".to_owned() }).await;
    world.done(&StartLeadWork { lead }).await;
    world.done(&RecycleLead { lead, reason: "next year".to_owned() }).await;
    world.done(&AssignLead { lead, owner: "ada".to_owned() }).await;
    world.done(&StartLeadWork { lead }).await;
    let qualified = world.done(&QualifyLead { lead, note: text("has a budget") }).await;
    assert_eq!(qualified.version, 7);
    let details = LeadFields { title: None, ..lead_fields() };
    world.done(&ChangeLeadDetails { lead, details }).await;
    assert_eq!(world.state::<Lead>(lead).await.details.title, None);
    let moved = LeadFields { address: Some(PostalAddress { region: text("London"), ..address() }), ..lead_fields() };
    assert_eq!(world.done(&ChangeLeadDetails { lead, details: moved.clone() }).await.version, 9);
    assert_eq!(world.done(&ChangeLeadDetails { lead, details: moved }).await.version, 9, "the same is no change");
    let nowhere = LeadFields { address: None, ..lead_fields() };
    world.done(&ChangeLeadDetails { lead, details: nowhere }).await;
    assert_eq!(world.state::<Lead>(lead).await.details.address, None, "what is left out is gone");
    world.done(&DisqualifyLead { lead, reason: DisqualifyReason::NoNeed, note: None }).await;
    assert_eq!(world.state::<Lead>(lead).await.status, LeadStatus::Disqualified);
}

#[tokio::test]
async fn an_illegal_step_is_refused_with_what_is_allowed() {
    let world = World::new().await;
    let lead = world.lead().await;
    let refusal = world.refused(&QualifyLead { lead, note: None }).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "lead_step_not_allowed"));
    assert_eq!(refusal.extra()["allowed"], serde_json::json!(["change_details", "assign", "disqualify"]));
    let refusal = world.refused(&RecycleLead { lead, reason: "why not".to_owned() }).await;
    assert_eq!(refusal.code(), "lead_step_not_allowed");
    let refusal = world.refused(&StartLeadWork { lead }).await;
    assert_eq!(refusal.code(), "lead_step_not_allowed");
    world.done(&DisqualifyLead { lead, reason: DisqualifyReason::Spam, note: None }).await;
    let refusal = world.refused(&AssignLead { lead, owner: "ada".to_owned() }).await;
    assert_eq!(refusal.extra()["allowed"], serde_json::json!([]));
    let refusal = world.refused(&ChangeLeadDetails { lead, details: LeadFields::default() }).await;
    assert_eq!(refusal.code(), "validation_failed", "form comes before state");
    let refusal =
        world.refused(&ChangeLeadDetails { lead, details: LeadFields { title: None, ..lead_fields() } }).await;
    assert_eq!(refusal.code(), "lead_step_not_allowed");
}

#[tokio::test]
async fn all_that_is_wrong_with_a_lead_is_said_at_once() {
    let world = World::new().await;
    let (address, of_address) = wrong_address();
    let details = LeadFields {
        name: " ".to_owned(),
        company: text("a\u{0}b"),
        title: text(&"x".repeat(201)),
        email: text("nobody"),
        phone: text("12"),
        country: text("Atlantis"),
        address: Some(address),
    };
    let wrong = world.wrong(&CaptureLead { details, owner: text(""), ..CaptureLead::default() }).await;
    let expected = [
        ("/name", "empty"),
        ("/company", "control_character"),
        ("/title", "length"),
        ("/email", "email"),
        ("/phone", "phone"),
        ("/country", "country"),
    ];
    let expected = expected.into_iter().chain(of_address).chain([("/owner", "empty")]);
    assert_eq!(wrong, expected.map(|(pointer, code)| (pointer.to_owned(), code)).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_address_that_says_nothing_is_none() {
    let world = World::new().await;
    let lead = world.lead().await;
    let details = LeadFields { address: Some(PostalAddress::default()), ..lead_fields() };
    let capture = CaptureLead { details: details.clone(), ..CaptureLead::default() };
    assert_eq!(world.wrong(&capture).await, field("/address", "empty"));
    assert_eq!(world.wrong(&ChangeLeadDetails { lead, details }).await, field("/address", "empty"));
}

#[tokio::test]
async fn texts_of_steps_are_checked() {
    let world = World::new().await;
    let lead = world.lead().await;
    assert_eq!(world.wrong(&AssignLead { lead, owner: String::new() }).await, field("/owner", "empty"));
    assert_eq!(world.wrong(&RecycleLead { lead, reason: " ".to_owned() }).await, field("/reason", "empty"));
    let reason = "x".repeat(501);
    assert_eq!(world.wrong(&RecycleLead { lead, reason }).await, field("/reason", "length"));
    let note = text("bell \u{7}");
    assert_eq!(world.wrong(&QualifyLead { lead, note: note.clone() }).await, field("/note", "control_character"));
    let disqualify = DisqualifyLead { lead, reason: DisqualifyReason::Other, note };
    assert_eq!(world.wrong(&disqualify).await, field("/note", "control_character"));
}

#[tokio::test]
async fn an_unknown_lead_and_another_tenants_are_not_told_apart() {
    let world = World::new().await;
    let unknown = StartLeadWork { lead: LeadId::new(Uuid::nil()) };
    let refusal = world.refused(&unknown).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::NotFound, "not_found"));
    let lead = world.lead().await;
    let stranger = world.refused_as(&world.stranger(), &StartLeadWork { lead }).await;
    assert_eq!((stranger.kind(), stranger.code(), stranger.extra()), (refusal.kind(), refusal.code(), refusal.extra()));
}
