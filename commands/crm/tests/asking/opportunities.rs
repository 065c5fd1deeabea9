//! The life cycle of an opportunity in a pipeline, through commands.

use crm_aggregates::{LineItem, Opportunity, OpportunityId, OpportunityStatus, PipelineId, StageId};
use crm_commands::{
    AccountFields, ChangeOpportunityAccount, ChangeOpportunityAmount, ChangeOpportunityCloseDate,
    ChangeOpportunityContact, CreateAccount, LoseOpportunity, MoveOpportunity, OpenOpportunity, ReassignOpportunity,
    RenameOpportunity, ReopenOpportunity, RetireStage, WinOpportunity,
};
use kernel::Kind;
use uuid::Uuid;

use super::erasing::the_contact;
use super::support::{World, day, euros, field, opportunity};

fn item(name: &str, quantity: u32, unit_price_minor: i64) -> LineItem {
    LineItem { name: name.to_owned(), quantity, unit_price_minor }
}

#[tokio::test]
async fn an_opportunity_goes_its_way() {
    let world = World::new().await;
    let ids = world.pipeline().await;
    let id = world.done(&opportunity(ids.pipeline, None)).await.answer;
    assert_eq!(world.state::<Opportunity>(id).await.stage, ids.stages[0], "the first stage");
    world.done(&MoveOpportunity { opportunity: id, stage: ids.stages[1] }).await;
    world.done(&RenameOpportunity { opportunity: id, name: "Two engines".to_owned() }).await;
    world.done(&ReassignOpportunity { opportunity: id, owner: "grace".to_owned() }).await;
    world.done(&ChangeOpportunityCloseDate { opportunity: id, close_date: day("2027-01-31") }).await;
    let amount = ChangeOpportunityAmount {
        opportunity: id,
        amount: euros(2_100),
        line_items: vec![item("Engine", 2, 1_000), item("Oil", 1, 100)],
    };
    world.done(&amount).await;
    world.done(&LoseOpportunity { opportunity: id, reason: "too dear".to_owned() }).await;
    world.done(&ReopenOpportunity { opportunity: id, stage: None }).await;
    world.done(&MoveOpportunity { opportunity: id, stage: ids.stages[2] }).await;
    let done = world.done(&WinOpportunity { opportunity: id }).await;
    assert_eq!(done.version, 10);
    let won = world.state::<Opportunity>(id).await;
    assert_eq!((won.status, won.stage, won.amount.minor), (OpportunityStatus::Won, ids.stages[2], 2_100));
    assert_eq!((won.name.as_str(), won.owner.as_deref()), ("Two engines", Some("grace")));
}

#[tokio::test]
async fn a_closed_deal_is_only_put_right_or_reopened() {
    let world = World::new().await;
    let ids = world.pipeline().await;
    let id = world.opportunity(ids.pipeline, ids.stages[0]).await;
    world.done(&WinOpportunity { opportunity: id }).await;
    let allowed = serde_json::json!(["rename", "reassign", "change_account", "change_contact", "reopen"]);
    for refusal in [
        world.refused(&WinOpportunity { opportunity: id }).await,
        world.refused(&LoseOpportunity { opportunity: id, reason: "no".to_owned() }).await,
        world.refused(&MoveOpportunity { opportunity: id, stage: ids.stages[1] }).await,
        world.refused(&ChangeOpportunityCloseDate { opportunity: id, close_date: day("2027-01-31") }).await,
        world.refused(&ChangeOpportunityAmount { opportunity: id, amount: euros(1), line_items: vec![] }).await,
    ] {
        assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "opportunity_step_not_allowed"));
        assert_eq!(refusal.extra()["allowed"], allowed);
    }
    world.done(&ReopenOpportunity { opportunity: id, stage: Some(ids.stages[2]) }).await;
    let refusal = world.refused(&ReopenOpportunity { opportunity: id, stage: None }).await;
    assert_eq!(refusal.code(), "opportunity_step_not_allowed");
}

#[tokio::test]
async fn a_deal_gets_another_account_and_another_contact_or_none() {
    let world = World::with_jobs().await;
    let ids = world.pipeline().await;
    let opportunity = world.opportunity(ids.pipeline, ids.stages[0]).await;
    let navy = AccountFields { name: "Navy".to_owned(), ..AccountFields::default() };
    let account = Some(world.done(&CreateAccount { details: navy, owner: None }).await.answer);
    let contact = Some(world.contact("grace@example.com").await);
    let with = |account| ChangeOpportunityAccount { opportunity, account };
    let through = |contact| ChangeOpportunityContact { opportunity, contact };
    world.done(&with(account)).await;
    world.done(&through(contact)).await;
    let deal = world.state::<Opportunity>(opportunity).await;
    assert_eq!((deal.account, deal.contact), (account, contact));
    let nowhere = Uuid::nil();
    assert_eq!(world.wrong(&with(Some(nowhere.into()))).await, field("/account", "not_found"));
    assert_eq!(world.wrong(&through(Some(nowhere.into()))).await, field("/contact", "not_found"));
    let gone = world.contact("joan@example.com").await;
    world.done(&the_contact(gone)).await;
    assert_eq!(world.refused(&through(Some(gone))).await.code(), "contact_erased");
    // An opportunity may have been assigned to the wrong account or contact.
    world.done(&WinOpportunity { opportunity }).await;
    world.done(&with(None)).await;
    world.done(&through(None)).await;
    let deal = world.state::<Opportunity>(opportunity).await;
    assert_eq!((deal.status, deal.account, deal.contact), (OpportunityStatus::Won, None, None));
    assert_eq!(world.refused_as(&world.stranger(), &with(None)).await.kind(), Kind::NotFound);
}

#[tokio::test]
async fn amounts_add_up() {
    let world = World::new().await;
    let ids = world.pipeline().await;
    let open =
        |minor, line_items| OpenOpportunity { amount: euros(minor), line_items, ..opportunity(ids.pipeline, None) };
    for (command, pointer, code) in [
        (open(-1, vec![]), "/amount/minor", "amount_negative"),
        (open(11, vec![item("Engine", 1, 10)]), "/amount/minor", "sum_differs"),
        (open(10, vec![item("Engine", 0, 10)]), "/line_items/0/quantity", "no_quantity"),
        (open(10, vec![item("Engine", 1, -10)]), "/line_items/0/unit_price_minor", "price_negative"),
        (open(10, vec![item(" ", 1, 10)]), "/line_items/0/name", "empty"),
        (open(10, vec![item("Engine", 1, 10); 201]), "/line_items", "too_many"),
    ] {
        assert_eq!(world.wrong(&command).await, field(pointer, code));
        let id = world.opportunity(ids.pipeline, ids.stages[0]).await;
        let change =
            ChangeOpportunityAmount { opportunity: id, amount: command.amount, line_items: command.line_items };
        assert_eq!(world.wrong(&change).await, field(pointer, code));
    }
    assert!(world.done(&open(0, vec![])).await.version == 1);
}

#[tokio::test]
async fn an_opportunity_is_checked_before_it_opens() {
    let world = World::new().await;
    let ids = world.pipeline().await;
    let good = opportunity(ids.pipeline, None);
    for (command, pointer, code) in [
        (OpenOpportunity { name: String::new(), ..good.clone() }, "/name", "empty"),
        (OpenOpportunity { owner: Some(String::new()), ..good.clone() }, "/owner", "empty"),
        (OpenOpportunity { close_date: day("2300-01-01"), ..good.clone() }, "/close_date", "day_out_of_range"),
        (OpenOpportunity { account: Some(Uuid::nil().into()), ..good.clone() }, "/account", "not_found"),
        (OpenOpportunity { contact: Some(Uuid::nil().into()), ..good.clone() }, "/contact", "not_found"),
        (OpenOpportunity { pipeline: PipelineId::new(Uuid::nil()), ..good.clone() }, "/pipeline", "not_found"),
        (OpenOpportunity { stage: Some(StageId::new(Uuid::nil())), ..good.clone() }, "/stage", "stage_not_found"),
    ] {
        assert_eq!(world.wrong(&command).await, field(pointer, code));
    }
    let mut unknown_money = good;
    unknown_money.amount.currency = "eur".to_owned();
    assert_eq!(world.wrong(&unknown_money).await, field("/amount/currency", "currency"));
}

#[tokio::test]
async fn texts_and_days_of_steps_are_checked() {
    let world = World::new().await;
    let ids = world.pipeline().await;
    let id = world.opportunity(ids.pipeline, ids.stages[0]).await;
    let none = String::new;
    assert_eq!(world.wrong(&RenameOpportunity { opportunity: id, name: none() }).await, field("/name", "empty"));
    assert_eq!(world.wrong(&ReassignOpportunity { opportunity: id, owner: none() }).await, field("/owner", "empty"));
    assert_eq!(world.wrong(&LoseOpportunity { opportunity: id, reason: none() }).await, field("/reason", "empty"));
    let never = ChangeOpportunityCloseDate { opportunity: id, close_date: day("1969-12-31") };
    assert_eq!(world.wrong(&never).await, field("/close_date", "day_out_of_range"));
}

#[tokio::test]
async fn nothing_moves_into_a_stage_that_is_retired_or_another_pipelines() {
    let world = World::new().await;
    let ids = world.pipeline().await;
    let id = world.opportunity(ids.pipeline, ids.stages[0]).await;
    world.done(&RetireStage { pipeline: ids.pipeline, stage: ids.stages[1] }).await;
    let to = |stage| MoveOpportunity { opportunity: id, stage };
    let refusal = world.refused(&to(ids.stages[1])).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "stage_retired"));
    assert_eq!(refusal.extra()["allowed"], serde_json::json!([ids.stages[0], ids.stages[2]]));
    assert_eq!(world.refused(&opportunity(ids.pipeline, Some(ids.stages[1]))).await.code(), "stage_retired");
    assert_eq!(world.wrong(&to(StageId::new(Uuid::nil()))).await, field("/stage", "stage_not_found"));
    // What was closed in a stage that is retired since then reopens in another one.
    world.done(&LoseOpportunity { opportunity: id, reason: "no".to_owned() }).await;
    world.done(&RetireStage { pipeline: ids.pipeline, stage: ids.stages[0] }).await;
    assert_eq!(world.refused(&ReopenOpportunity { opportunity: id, stage: None }).await.code(), "stage_retired");
    world.done(&ReopenOpportunity { opportunity: id, stage: Some(ids.stages[2]) }).await;
}

#[tokio::test]
async fn an_unknown_opportunity_is_not_found() {
    let world = World::new().await;
    let opportunity = OpportunityId::new(Uuid::nil());
    assert_eq!(world.refused(&WinOpportunity { opportunity }).await.kind(), Kind::NotFound);
    let refusal = world.refused(&MoveOpportunity { opportunity, stage: StageId::new(Uuid::nil()) }).await;
    assert_eq!(refusal.kind(), Kind::NotFound);
    let ids = world.pipeline().await;
    let ours = world.opportunity(ids.pipeline, ids.stages[0]).await;
    let theirs = world.refused_as(&world.stranger(), &WinOpportunity { opportunity: ours }).await;
    assert_eq!(theirs.kind(), Kind::NotFound);
}
