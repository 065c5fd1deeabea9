//! Erasure of a person: the lead, its contact and further leads of the same person, atomically.

use crm_aggregates::{
    Contact, ContactDetails, ContactId, ErasureReason, Lead, LeadCommand, LeadConverted, LeadDetails, LeadId,
    LeadStatus,
};
use crm_commands::{
    CaptureLead, ChangeContactDetails, ChangeLeadDetails, ContactFields, ConvertLead, EraseContact, EraseLead, Erasing,
    OpenOpportunity, RecycleLead, StartLeadWork,
};
use executor::{AskedJob, Command, Request, Work};
use kernel::{Aggregate, IdSource, Kind, Position, Refusal, Role, SystemIds, Versions};
use uuid::Uuid;

use super::support::{World, contact, lead_fields, opportunity};

const REASON: ErasureReason = ErasureReason::Requested;

fn erasing(reason: ErasureReason) -> Erasing {
    let forget = AskedJob {
        id: SystemIds.next(),
        kind: "forget_exports".to_owned(),
        queue: "default".to_owned(),
        unique_key: None,
        period_key: None,
        arguments: "{}".to_owned(),
        actor: "ada".to_owned(),
        run_at: None,
        max_attempts: 1,
    };
    Erasing { reason, perhaps: vec![], forget }
}

fn the_lead(lead: LeadId) -> EraseLead {
    EraseLead { lead, contact: None, erasing: erasing(REASON) }
}

fn the_converted(lead: LeadId, contact: ContactId) -> EraseLead {
    EraseLead { lead, contact: Some(contact), erasing: erasing(REASON) }
}

pub fn the_contact(contact: ContactId) -> EraseContact {
    EraseContact { contact, erasing: erasing(REASON) }
}

/// A conversion from before contacts recorded their leads.
struct ConvertAsBefore(LeadId, ContactId);

impl Command for ConvertAsBefore {
    const PERMISSION: &'static str = "crm:lead:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let converted = LeadConverted { account: work.new_id(), contact: self.1, opportunity: None };
        work.update::<Lead>(self.0, LeadCommand::Convert(converted)).await
    }
}

fn convert(lead: LeadId, contact: Option<ContactId>) -> ConvertLead {
    ConvertLead { lead, account: None, account_name: None, contact, opportunity: None, allow_duplicate: true }
}

/// Two leads of the same person, converted into one contact, and the contact.
async fn people(world: &World) -> (LeadId, LeadId, ContactId) {
    let (first, second) = (world.qualified_lead().await, world.qualified_lead().await);
    let contact = world.done(&convert(first, None)).await.answer.contact;
    assert_eq!(world.done(&convert(second, Some(contact))).await.answer.contact, contact);
    (first, second, contact)
}

/// Whether the readable events of a stream identify the person.
async fn identifies_person<A: Aggregate>(world: &World, id: impl std::fmt::Display) -> bool {
    let events = world.store.load(world.request.caller.tenant(), A::TYPE, &id.to_string(), 0).await.unwrap();
    assert!(!events.is_empty());
    let text: String = events.iter().map(|event| String::from_utf8_lossy(&event.payload).into_owned()).collect();
    text.contains("Lovelace") || text.contains("ada@example.com") || text.contains("+442079460958")
}

#[tokio::test]
async fn whoever_is_erased_is_erased_wherever_they_are() {
    for begin in 0..3 {
        let world = World::with_jobs().await;
        let (first, second, contact) = people(&world).await;
        let other = world.lead().await;
        assert!(identifies_person::<Lead>(&world, first).await && identifies_person::<Lead>(&world, second).await);
        assert!(identifies_person::<Contact>(&world, contact).await);
        let before = world.head().await;
        match begin {
            0 => world.done(&the_converted(first, contact)).await,
            1 => world.done(&the_converted(second, contact)).await,
            _ => world.done(&the_contact(contact)).await,
        };
        assert_eq!(world.head().await.0, before.0 + 3, "each once, in one append");
        for lead in [first, second] {
            assert!(!identifies_person::<Lead>(&world, lead).await, "{begin}");
            for state in [world.state::<Lead>(lead).await, fresh(&world, lead).await] {
                assert_eq!((state.status, &state.details), (LeadStatus::Erased, &LeadDetails::default()));
            }
        }
        assert!(!identifies_person::<Contact>(&world, contact).await);
        for state in [world.state::<Contact>(contact).await, fresh(&world, contact).await] {
            assert_eq!((state.erased, &state.details), (true, &ContactDetails::default()));
        }
        assert!(identifies_person::<Lead>(&world, other).await, "who only has the same name is somebody else");
        // The address is free, and a repeated erasure changes nothing.
        world.contact("ada@example.com").await;
        let head = world.head().await;
        world.done(&the_converted(first, contact)).await;
        world.done(&EraseContact { contact, erasing: erasing(ErasureReason::Objected) }).await;
        assert_eq!(world.head().await, head);
    }
}

#[tokio::test]
async fn a_lead_that_was_converted_before_contacts_knew_of_it_is_found_by_whoever_asks_and_says_so_itself() {
    for begin in 0..3 {
        let world = World::with_jobs().await;
        let (first, second, contact) = people(&world).await;
        let (old, other) = (world.qualified_lead().await, world.qualified_lead().await);
        world.done(&ConvertAsBefore(old, contact)).await;
        let elsewhere = world.contact("grace@example.com").await;
        world.done(&ConvertAsBefore(other, elsewhere)).await;
        // Leads that the contact lists may be named, too. Other people are not erased, even if they are named.
        let erasing = Erasing { perhaps: vec![first, old, other], ..erasing(REASON) };
        let before = world.head().await;
        match begin {
            0 => world.done(&EraseLead { lead: old, contact: Some(contact), erasing }).await,
            1 => world.done(&EraseLead { lead: second, contact: Some(contact), erasing }).await,
            _ => world.done(&EraseContact { contact, erasing }).await,
        };
        assert_eq!(world.head().await.0, before.0 + 4, "each once, in one append");
        for lead in [first, second, old] {
            assert!(!identifies_person::<Lead>(&world, lead).await, "{begin}");
        }
        assert!(!identifies_person::<Contact>(&world, contact).await);
        assert!(identifies_person::<Lead>(&world, other).await && !world.state::<Contact>(elsewhere).await.erased);
    }
}

#[tokio::test]
async fn a_lead_that_was_converted_while_it_was_looked_for_who_else_it_is_erases_nobody() {
    let world = World::with_jobs().await;
    let (first, _, contact) = people(&world).await;
    let elsewhere = world.contact("grace@example.com").await;
    let before = world.head().await;
    for erase in [the_lead(first), the_converted(first, elsewhere)] {
        let refusal = world.refused(&erase).await;
        assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "lead_converted_meanwhile"));
    }
    assert_eq!((world.head().await, world.jobs().await), (before, vec![]));
    assert!(identifies_person::<Lead>(&world, first).await && identifies_person::<Contact>(&world, contact).await);
    world.done(&the_converted(first, contact)).await;
    assert!(!identifies_person::<Lead>(&world, first).await && !identifies_person::<Contact>(&world, contact).await);
}

#[tokio::test]
async fn files_are_forgotten_by_a_job_of_the_append_that_erases_and_of_no_other() {
    let world = World::with_jobs().await;
    let (first, _, contact) = people(&world).await;
    assert_eq!(world.jobs().await, [""; 0]);
    // Refused: nothing was written, and no job was enqueued.
    let seen = Request { if_match: Some(Versions::from(1)), ..world.request.clone() };
    world.refused_as(&seen, &the_converted(first, contact)).await;
    assert_eq!(world.jobs().await, [""; 0]);
    world.done(&the_converted(first, contact)).await;
    assert_eq!(world.jobs().await, ["forget_exports"]);
    // A repeated erasure, by lead or contact: all are erased already.
    world.done(&the_contact(contact)).await;
    world.done(&the_converted(first, contact)).await;
    assert_eq!(world.jobs().await, ["forget_exports"]);
    world.done(&the_lead(world.lead().await)).await;
    assert_eq!(world.jobs().await, ["forget_exports", "forget_exports"]);
}

/// The state as another process loads it from the log.
async fn fresh<A: Aggregate>(world: &World, id: impl std::fmt::Display) -> std::sync::Arc<A> {
    world.elsewhere().load::<A>(&world.request.caller, &id.to_string()).await.unwrap().unwrap().0
}

#[tokio::test]
async fn what_is_said_of_somebody_in_passing_goes_with_them() {
    let world = World::with_jobs().await;
    let lead = world.qualified_lead().await;
    world.done(&RecycleLead { lead, reason: "Mrs Lovelace is on leave".to_owned() }).await;
    assert!(identifies_person::<Lead>(&world, lead).await);
    let stored = world.store.read_after(Position::START, 100).await.unwrap();
    let stored: String = stored.iter().map(|event| String::from_utf8_lossy(&event.payload).into_owned()).collect();
    assert!(!stored.contains("Lovelace") && stored.contains("Analytical Engines"), "{stored}");
    world.done(&EraseLead { lead, contact: None, erasing: erasing(ErasureReason::NoLongerNeeded) }).await;
    assert!(!identifies_person::<Lead>(&world, lead).await);
    let text = format!("{:?}", world.store.load(world.request.caller.tenant(), Lead::TYPE, &lead.to_string(), 0).await);
    assert!(text.contains("no_longer_needed"), "why, is kept: {text}");
}

#[tokio::test]
async fn of_whom_nothing_is_kept_nothing_can_be_changed() {
    let world = World::with_jobs().await;
    let (first, _, erased) = people(&world).await;
    let third = world.qualified_lead().await;
    world.done(&the_contact(erased)).await;
    let details = ContactFields { name: "Ada".to_owned(), ..ContactFields::default() };
    let change = ChangeContactDetails { contact: erased, details, allow_duplicate: false };
    let refusal = world.refused(&change).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "contact_erased"));
    assert_eq!(world.refused(&convert(third, Some(erased))).await.code(), "contact_erased");
    for refusal in [
        world.refused(&ChangeLeadDetails { lead: first, details: lead_fields() }).await,
        world.refused(&StartLeadWork { lead: first }).await,
    ] {
        assert_eq!((refusal.code(), &refusal.extra()["state"]), ("lead_step_not_allowed", &"erased".into()));
    }
}

#[tokio::test]
async fn only_who_may_erase_erases_and_nobody_anothers() {
    let world = World::with_jobs().await;
    let lead = world.lead().await;
    let contact = world.done(&contact("grace@example.com")).await.answer;
    for role in [Role::Manager, Role::Member, Role::Viewer, Role::Auditor] {
        let request = world.role(role);
        for refusal in
            [world.refused_as(&request, &the_lead(lead)).await, world.refused_as(&request, &the_contact(contact)).await]
        {
            assert_eq!(refusal.extra()["permission"], "crm:contact:erase");
        }
    }
    let request = world.stranger();
    let known = world.refused_as(&request, &the_lead(lead)).await;
    let unknown = the_lead(LeadId::new(Uuid::nil()));
    assert_eq!((known.code(), world.refused_as(&request, &unknown).await.code()), ("not_found", "not_found"));
    assert!(identifies_person::<Lead>(&world, lead).await);
}

#[tokio::test]
async fn a_version_that_is_not_the_one_that_was_seen_erases_nobody() {
    let world = World::with_jobs().await;
    let (first, _, contact) = people(&world).await;
    let seen = |version: u64| Request { if_match: Some(Versions::from(version)), ..world.request.clone() };
    let refusal = world.refused_as(&seen(1), &the_converted(first, contact)).await;
    assert_eq!(refusal.code(), "version_differs");
    let refusal = world.refused_as(&seen(1), &the_contact(contact)).await;
    assert_eq!((refusal.code(), &refusal.extra()["version"]), ("version_differs", &2.into()));
    let done = world.executor.execute(&seen(2), &the_contact(contact)).await.unwrap();
    assert_eq!(done.version, 3, "the contact's");
}

#[tokio::test]
async fn who_comes_again_after_an_erasure_is_somebody_new() {
    let world = World::with_jobs().await;
    let lead = world.lead().await;
    world.done(&the_lead(lead)).await;
    let again = world.done(&CaptureLead { details: lead_fields(), ..CaptureLead::default() }).await.answer;
    assert!(identifies_person::<Lead>(&world, again).await && !identifies_person::<Lead>(&world, lead).await);
}

#[tokio::test]
async fn a_deal_stays_with_a_contact_whom_nobody_knows_and_none_is_opened_with_them() {
    let world = World::with_jobs().await;
    let ids = world.pipeline().await;
    let erased = world.contact("grace@example.com").await;
    let open = OpenOpportunity { contact: Some(erased), ..opportunity(ids.pipeline, None) };
    let deal = world.done(&open).await.answer;
    world.done(&the_contact(erased)).await;
    assert_eq!(world.state::<crm_aggregates::Opportunity>(deal).await.contact, Some(erased));
    assert_eq!(world.refused(&open).await.code(), "contact_erased");
}
