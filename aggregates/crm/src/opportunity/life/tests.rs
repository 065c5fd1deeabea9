use cqrs_es::test::TestFramework;

use super::*;

fn stage(number: u128) -> StageId {
    StageId::new(Uuid::from_u128(number))
}

fn euros(minor: i64) -> Money {
    Money { minor, currency: Currency::EUR }
}

fn item(quantity: u32, unit_price_minor: i64) -> LineItem {
    LineItem { name: "Licence".to_owned(), quantity, unit_price_minor }
}

fn day(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 12, day).unwrap()
}

fn opened(amount: Money, line_items: Vec<LineItem>) -> OpportunityOpened {
    OpportunityOpened {
        name: "Engine for Ada".to_owned(),
        account: None,
        contact: None,
        pipeline: PipelineId::new(Uuid::from_u128(1)),
        stage: stage(1),
        amount,
        close_date: day(24),
        owner: Some("ada".to_owned()),
        line_items,
        lead: None,
    }
}

fn open() -> Vec<OpportunityEvent> {
    vec![opened(euros(10_000), vec![]).into()]
}

fn won() -> Vec<OpportunityEvent> {
    [open(), vec![OpportunityWon { last_stage: stage(1) }.into()]].concat()
}

fn lost() -> Vec<OpportunityEvent> {
    [open(), vec![OpportunityLost { reason: "price".to_owned(), last_stage: stage(1) }.into()]].concat()
}

fn when(
    history: Vec<OpportunityEvent>,
    command: OpportunityCommand,
) -> Result<Vec<OpportunityEvent>, OpportunityError> {
    TestFramework::<Opportunity>::with(()).given(history).when(command).inspect_result()
}

fn every_step() -> Vec<(OpportunityStep, OpportunityCommand, OpportunityEvent)> {
    let (name, owner, reason) = ("Renamed".to_owned(), "grace".to_owned(), "no budget".to_owned());
    let (amount, line_items) = (euros(6_000), vec![item(2, 2_500), item(1, 1_000)]);
    let (account, contact) = (Some(AccountId::new(Uuid::from_u128(5))), Some(ContactId::new(Uuid::from_u128(6))));
    vec![
        (
            OpportunityStep::Rename,
            OpportunityCommand::Rename { name: name.clone() },
            OpportunityRenamed { name }.into(),
        ),
        (
            OpportunityStep::Reassign,
            OpportunityCommand::Reassign { owner: owner.clone() },
            OpportunityReassigned { owner }.into(),
        ),
        (
            OpportunityStep::ChangeAccount,
            OpportunityCommand::ChangeAccount { account },
            OpportunityAccountChanged { account }.into(),
        ),
        (
            OpportunityStep::ChangeContact,
            OpportunityCommand::ChangeContact { contact },
            OpportunityContactChanged { contact }.into(),
        ),
        (
            OpportunityStep::Move,
            OpportunityCommand::Move { to: stage(2) },
            OpportunityStageChanged { from: stage(1), to: stage(2) }.into(),
        ),
        (
            OpportunityStep::ChangeAmount,
            OpportunityCommand::ChangeAmount { amount, line_items: line_items.clone() },
            OpportunityAmountChanged { amount, line_items }.into(),
        ),
        (
            OpportunityStep::ChangeCloseDate,
            OpportunityCommand::ChangeCloseDate { close_date: day(31) },
            OpportunityCloseDateChanged { close_date: day(31) }.into(),
        ),
        (OpportunityStep::Win, OpportunityCommand::Win, OpportunityWon { last_stage: stage(1) }.into()),
        (
            OpportunityStep::Lose,
            OpportunityCommand::Lose { reason: reason.clone() },
            OpportunityLost { reason, last_stage: stage(1) }.into(),
        ),
        (
            OpportunityStep::Reopen,
            OpportunityCommand::Reopen { stage: stage(2) },
            OpportunityReopened { stage: stage(2) }.into(),
        ),
    ]
}

#[test]
fn each_status_allows_exactly_its_steps() {
    use OpportunityStep::{
        ChangeAccount, ChangeAmount, ChangeCloseDate, ChangeContact, Lose, Move, Reassign, Rename, Reopen, Win,
    };
    let always = [Rename, Reassign, ChangeAccount, ChangeContact];
    for (status, history, besides) in [
        (OpportunityStatus::Open, open(), vec![Move, ChangeAmount, ChangeCloseDate, Win, Lose]),
        (OpportunityStatus::Won, won(), vec![Reopen]),
        (OpportunityStatus::Lost, lost(), vec![Reopen]),
    ] {
        let allowed = [always.to_vec(), besides].concat();
        for (step, command, event) in every_step() {
            let expected = if allowed.contains(&step) {
                Ok(vec![event])
            } else {
                Err(OpportunityError::StepNotAllowed { step, status })
            };
            assert_eq!(when(history.clone(), command), expected, "{status:?} {step:?}");
        }
    }
}

#[test]
fn amounts_and_prices_are_not_negative() {
    let open = |amount, items| when(vec![], OpportunityCommand::Open(opened(amount, items)));
    assert_eq!(open(euros(-1), vec![]), Err(OpportunityError::AmountNegative { minor: -1 }));
    assert_eq!(open(euros(0), vec![]), Ok(vec![opened(euros(0), vec![]).into()]));
    assert_eq!(
        open(euros(5), vec![item(1, 10), item(1, -5)]),
        Err(OpportunityError::PriceNegative { index: 1, minor: -5 })
    );
    assert_eq!(open(euros(0), vec![item(0, 10)]), Err(OpportunityError::NoQuantity { index: 0 }));
}

#[test]
fn line_items_sum_up_to_the_amount() {
    let change =
        |amount, line_items| when(open(), OpportunityCommand::ChangeAmount { amount: euros(amount), line_items });
    assert_eq!(change(31, vec![item(3, 10)]), Err(OpportunityError::SumDiffers { sum: 30, amount: 31 }));
    assert!(change(30, vec![item(3, 10)]).is_ok());
    let huge = vec![item(u32::MAX, i64::MAX); 3];
    assert!(matches!(change(i64::MAX, huge), Err(OpportunityError::SumDiffers { .. })), "no overflow");
}

#[test]
fn what_changes_nothing_is_no_event() {
    for command in [
        OpportunityCommand::Rename { name: "Engine for Ada".to_owned() },
        OpportunityCommand::Reassign { owner: "ada".to_owned() },
        OpportunityCommand::ChangeAccount { account: None },
        OpportunityCommand::ChangeContact { contact: None },
        OpportunityCommand::Move { to: stage(1) },
        OpportunityCommand::ChangeAmount { amount: euros(10_000), line_items: vec![] },
        OpportunityCommand::ChangeCloseDate { close_date: day(24) },
    ] {
        assert_eq!(when(open(), command), Ok(vec![]));
    }
}

#[test]
fn winning_keeps_the_stage_and_reopening_sets_it() {
    let mut history = open();
    history.push(OpportunityStageChanged { from: stage(1), to: stage(3) }.into());
    let won = when(history.clone(), OpportunityCommand::Win).unwrap();
    assert_eq!(won, [OpportunityWon { last_stage: stage(3) }.into()]);
    history.extend(won);
    history.push(OpportunityReopened { stage: stage(2) }.into());
    let mut opportunity = Opportunity::default();
    for event in history {
        opportunity.evolve(event);
    }
    assert_eq!((opportunity.status, opportunity.stage), (OpportunityStatus::Open, stage(2)));
}

#[test]
fn why_a_deal_was_lost_is_known_as_long_as_it_is() {
    let reason = |history: Vec<OpportunityEvent>| {
        let mut opportunity = Opportunity::default();
        for event in history {
            opportunity.evolve(event);
        }
        opportunity.lost_reason
    };
    assert_eq!(reason(lost()).as_deref(), Some("price"));
    let renamed = vec![OpportunityRenamed { name: "Engine".to_owned() }.into()];
    assert_eq!(reason([lost(), renamed].concat()).as_deref(), Some("price"));
    let reopened = vec![OpportunityReopened { stage: stage(2) }.into()];
    assert_eq!(reason([lost(), reopened].concat()), None);
    assert_eq!(reason(won()), None);
}

#[test]
fn a_refusal_names_what_is_allowed_or_where_it_is_wrong() {
    let refusal = Refusal::from(when(won(), OpportunityCommand::Win).unwrap_err());
    assert_eq!(refusal.code(), "opportunity_step_not_allowed");
    let allowed = ["rename", "reassign", "change_account", "change_contact", "reopen"];
    assert_eq!(refusal.extra()["allowed"], serde_json::json!(allowed));
    let refusal = Refusal::from(OpportunityError::PriceNegative { index: 1, minor: -5 });
    assert_eq!(refusal.errors()[0].pointer, "/line_items/1/unit_price_minor");
}
