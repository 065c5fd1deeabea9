//! Conversion of leads into account, contact and opportunity: atomic, and only once.

use crm_aggregates::{Account, Contact, ContactId, Lead, LeadId, LeadStatus, Opportunity, PipelineId, StageId};
use crm_commands::{
    AssignLead, CaptureLead, ConvertLead, LeadFields, NewOpportunity, PipelineIds, QualifyLead, RetireStage,
    StartLeadWork,
};
use executor::Request;
use futures::future::join_all;
use kernel::{Kind, Versions};
use uuid::Uuid;

use super::support::{World, day, euros, field, lead_fields, text};

fn convert(lead: LeadId) -> ConvertLead {
    ConvertLead { lead, account: None, account_name: None, contact: None, opportunity: None, allow_duplicate: false }
}

fn with_opportunity(lead: LeadId, ids: &PipelineIds) -> ConvertLead {
    let opportunity = NewOpportunity {
        name: "An engine".to_owned(),
        pipeline: ids.pipeline,
        stage: None,
        amount: euros(5_000),
        close_date: day("2026-12-24"),
    };
    ConvertLead { opportunity: Some(opportunity), ..convert(lead) }
}

#[tokio::test]
async fn a_lead_becomes_account_contact_and_opportunity() {
    let world = World::new().await;
    let ids = world.pipeline().await;
    let lead = world.qualified_lead().await;
    let before = world.head().await;
    let done = world.done(&with_opportunity(lead, &ids)).await;
    let to = done.answer;
    assert_eq!((done.version, done.position.0), (5, before.0 + 4), "the lead's version; four events in one append");

    let converted = world.state::<Lead>(lead).await;
    assert_eq!(converted.status, LeadStatus::Converted);
    let account = world.state::<Account>(to.account).await;
    assert_eq!((account.details.name.as_str(), account.lead), ("Analytical Engines Ltd", Some(lead)));
    let contact = world.state::<Contact>(to.contact).await;
    assert_eq!((&contact.details.email, contact.account), (&converted.details.email, Some(to.account)));
    assert_eq!(
        (&contact.details.phone, &contact.details.address),
        (&converted.details.phone, &converted.details.address)
    );
    assert!(contact.details.address.is_some());
    let opportunity = world.state::<Opportunity>(to.opportunity.unwrap()).await;
    assert_eq!((opportunity.account, opportunity.contact), (Some(to.account), Some(to.contact)));
    assert_eq!((opportunity.stage, opportunity.amount.minor), (ids.stages[0], 5_000));
    assert_eq!(opportunity.owner.as_deref(), Some("grace"));
}

#[tokio::test]
async fn a_second_convert_gets_the_same_answer() {
    let world = World::new().await;
    let ids = world.pipeline().await;
    let lead = world.qualified_lead().await;
    let first = world.done(&with_opportunity(lead, &ids)).await;
    let head = world.head().await;
    for executor in [world.executor.clone(), world.elsewhere()] {
        let again = executor.execute(&world.request, &convert(lead)).await.unwrap();
        assert_eq!((again.answer, again.version, again.position), (first.answer, first.version, first.position));
    }
    assert_eq!(world.head().await, head);
    // It is a condition of that answer, too.
    let versioned = |version: u64| Request { if_match: Some(Versions::from(version)), ..world.request.clone() };
    let refusal = world.executor.execute(&versioned(1), &convert(lead)).await.unwrap_err();
    assert_eq!((refusal.kind(), refusal.code()), (Kind::PreconditionFailed, "version_differs"));
    assert_eq!(refusal.extra()["version"], first.version);
    let matching = world.executor.execute(&versioned(first.version), &convert(lead)).await.unwrap();
    assert_eq!(matching.answer, first.answer);
    let again = world.executor.execute(&world.keyed("again"), &convert(lead)).await.unwrap();
    assert_eq!((again.answer, again.version), (first.answer, first.version));
    assert_eq!(world.head().await, head);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_who_convert_at_once_all_get_the_one_answer() {
    let world = World::new().await;
    let ids = world.pipeline().await;
    let lead = world.qualified_lead().await;
    let before = world.head().await;
    let tasks = (0..64).map(|number| {
        // Some in another process, some with another idempotency key.
        let executor = if number % 2 == 0 { world.executor.clone() } else { world.elsewhere() };
        let key = (number % 3 == 0).then(|| format!("convert-{number}"));
        let request = Request { command_id: key, ..world.request.clone() };
        let command = with_opportunity(lead, &ids);
        tokio::spawn(async move { executor.execute(&request, &command).await })
    });
    let done: Vec<_> = join_all(tasks).await.into_iter().map(|task| task.unwrap().unwrap()).collect();
    assert!(done.iter().all(|one| (one.answer, one.version) == (done[0].answer, 5)));
    assert_eq!(world.head().await.0, before.0 + 4);
    let converted = world.log().await.into_iter().filter(|event| event == "crm.lead.converted").count();
    assert_eq!(converted, 1);
}

#[tokio::test]
async fn a_lead_that_is_not_qualified_is_not_converted() {
    let world = World::new().await;
    let lead = world.lead().await;
    let refusal = world.refused(&convert(lead)).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "lead_step_not_allowed"));
    let unknown = world.refused(&convert(LeadId::new(Uuid::nil()))).await;
    assert_eq!(unknown.kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_contact_with_the_leads_address_is_named_and_can_be_used_or_doubled() {
    let world = World::new().await;
    let known = world.contact("ada@example.com").await;
    let lead = world.qualified_lead().await;
    let refusal = world.refused(&convert(lead)).await;
    assert_eq!((refusal.code(), &refusal.extra()["holder"]), ("contact_email_taken", &known.to_string().into()));
    let done = world.done(&ConvertLead { contact: Some(known), ..convert(lead) }).await;
    assert_eq!(done.answer.contact, known);
    let other = world.qualified_lead().await;
    let doubled = world.done(&ConvertLead { allow_duplicate: true, ..convert(other) }).await;
    assert_ne!(doubled.answer.contact, known);
}

#[tokio::test]
async fn a_lead_can_join_an_account_that_exists_or_name_the_new_one() {
    let world = World::new().await;
    let first =
        world.done(&ConvertLead { account_name: text("Engines"), ..convert(world.qualified_lead().await) }).await;
    assert_eq!(world.state::<Account>(first.answer.account).await.details.name, "Engines");
    let command = ConvertLead {
        account: Some(first.answer.account),
        contact: Some(first.answer.contact),
        ..convert(world.qualified_lead().await)
    };
    let before = world.head().await;
    let second = world.done(&command).await;
    assert_eq!(
        (second.answer.account, second.position.0),
        (first.answer.account, before.0 + 2),
        "each hears of the other"
    );
    let contact = world.state::<Contact>(first.answer.contact).await;
    assert_eq!((contact.lead.is_some(), contact.leads.len()), (true, 1));
}

#[tokio::test]
async fn a_contact_without_an_account_gets_the_conversions_and_one_with_an_account_keeps_it() {
    let world = World::new().await;
    let known = world.contact("ada@example.com").await;
    assert_eq!(world.state::<Contact>(known).await.account, None);
    let before = world.log().await.len();
    let first = world.done(&ConvertLead { contact: Some(known), ..convert(world.qualified_lead().await) }).await.answer;
    assert_eq!(world.state::<Contact>(known).await.account, Some(first.account));
    let mut log = world.log().await.split_off(before + 4);
    log.sort();
    let together =
        ["crm.account.created", "crm.contact.account_changed", "crm.contact.lead_joined", "crm.lead.converted"];
    assert_eq!(log, together, "in one append");
    let other = ConvertLead { contact: Some(known), ..convert(world.qualified_lead().await) };
    let second = world.done(&other).await.answer;
    assert_ne!(second.account, first.account);
    assert_eq!(world.state::<Contact>(known).await.account, Some(first.account));
}

#[tokio::test]
async fn an_account_never_takes_a_persons_name_by_itself() {
    let world = World::new().await;
    let details = LeadFields { company: None, ..lead_fields() };
    let lead = world.done(&CaptureLead { details, ..CaptureLead::default() }).await.answer;
    world.done(&AssignLead { lead, owner: "grace".to_owned() }).await;
    world.done(&StartLeadWork { lead }).await;
    world.done(&QualifyLead { lead, note: None }).await;
    assert_eq!(world.wrong(&convert(lead)).await, field("/account_name", "required"));
    let done = world.done(&ConvertLead { account_name: text("Lovelace Estate"), ..convert(lead) }).await;
    assert_eq!(world.state::<Account>(done.answer.account).await.details.name, "Lovelace Estate");
}

#[tokio::test]
async fn all_that_is_wrong_with_a_conversion_is_said_at_once() {
    let world = World::new().await;
    let ids = world.pipeline().await;
    let lead = world.qualified_lead().await;
    let account = world.done(&convert(world.qualified_lead().await)).await.answer.account;
    let before = world.head().await;
    let mut wrong = ConvertLead { account_name: text(""), ..with_opportunity(lead, &ids) };
    if let Some(opportunity) = &mut wrong.opportunity {
        opportunity.name.clear();
        opportunity.amount = euros(-1);
        opportunity.close_date = day("1900-01-01");
    }
    let said = |refusal: kernel::Refusal| {
        let error = |error: &kernel::FieldError| (error.pointer.clone(), error.code);
        refusal.errors().iter().map(error).collect::<Vec<_>>()
    };
    let found = said(world.refused(&wrong).await);
    let expected = [
        ("/account_name", "empty"),
        ("/opportunity/name", "empty"),
        ("/opportunity/amount/minor", "amount_negative"),
        ("/opportunity/close_date", "day_out_of_range"),
    ];
    assert_eq!(found, expected.map(|(pointer, code)| (pointer.to_owned(), code)));
    // An account that exists has a name already.
    let both = ConvertLead { account: Some(account), account_name: text("Engines"), ..convert(lead) };
    assert_eq!(world.wrong(&both).await, field("/account_name", "not_allowed"));
    assert_eq!(world.head().await, before, "something was written");
}

#[tokio::test]
async fn what_is_wrong_with_the_parts_converts_nothing() {
    let world = World::new().await;
    let ids = world.pipeline().await;
    let lead = world.qualified_lead().await;
    let bad = |change: fn(&mut NewOpportunity)| {
        let mut command = with_opportunity(lead, &ids);
        command.opportunity.iter_mut().for_each(change);
        command
    };
    let nobody = ConvertLead { contact: Some(ContactId::new(Uuid::nil())), ..convert(lead) };
    assert_eq!(world.wrong(&nobody).await, field("/contact", "not_found"));
    let nowhere = ConvertLead { account: Some(Uuid::nil().into()), ..convert(lead) };
    assert_eq!(world.wrong(&nowhere).await, field("/account", "not_found"));
    let nameless = ConvertLead { account_name: text(""), ..convert(lead) };
    assert_eq!(world.wrong(&nameless).await, field("/account_name", "empty"));
    for (command, pointer, code) in [
        (bad(|o| o.name.clear()), "/opportunity/name", "empty"),
        (bad(|o| o.amount.currency = "XXX".to_owned()), "/opportunity/amount/currency", "currency"),
        (bad(|o| o.amount.minor = -1), "/opportunity/amount/minor", "amount_negative"),
        (bad(|o| o.close_date = day("1900-01-01")), "/opportunity/close_date", "day_out_of_range"),
        (bad(|o| o.pipeline = PipelineId::new(Uuid::nil())), "/opportunity/pipeline", "not_found"),
        (bad(|o| o.stage = Some(StageId::new(Uuid::nil()))), "/opportunity/stage", "stage_not_found"),
    ] {
        assert_eq!(world.wrong(&command).await, field(pointer, code));
    }
    world.done(&RetireStage { pipeline: ids.pipeline, stage: ids.stages[0] }).await;
    let mut retired = with_opportunity(lead, &ids);
    retired.opportunity.iter_mut().for_each(|o| o.stage = Some(ids.stages[0]));
    assert_eq!(world.refused(&retired).await.code(), "stage_retired");
    assert_eq!(world.state::<Lead>(lead).await.status, LeadStatus::Qualified);
}
