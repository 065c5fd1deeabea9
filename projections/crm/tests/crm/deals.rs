use chrono::{DateTime, Duration, NaiveDate, Utc};
use crm_aggregates::{
    AccountId, ContactId, LineItem, OpportunityAccountChanged, OpportunityAmountChanged, OpportunityContactChanged,
    OpportunityEvent, OpportunityLost, OpportunityOpened, OpportunityRenamed, OpportunityReopened,
    OpportunityStageChanged, OpportunityStatus, PipelineCreated, PipelineEvent, PipelineId, Stage as PipelineStage,
    StageId,
};
use crm_projections::Order;
use crm_projections::opportunities::{self, OpportunityFilter, OpportunityOrder, OpportunityRow};
use kernel::{Currency, Money};
use uuid::Uuid;

use crate::stage::Stage;
use crate::story::{Story, day, id};

pub fn money(minor: i64) -> Money {
    Money { minor, currency: Currency::EUR }
}

pub fn date(at: i64) -> NaiveDate {
    day(at).date_naive()
}

/// A pipeline with stages of these names and probabilities, set up on day 0.
pub fn pipeline(story: &mut Story, stages: &[(&str, u8)]) -> (Uuid, Vec<Uuid>) {
    let pipeline = id();
    let stages: Vec<_> = stages
        .iter()
        .map(|(name, probability)| PipelineStage {
            id: StageId::new(id()),
            name: (*name).to_owned(),
            probability: *probability,
            rotten_after_days: None,
        })
        .collect();
    let ids = stages.iter().map(|stage| stage.id.uuid()).collect();
    story.add::<PipelineEvent>(pipeline, day(0), PipelineCreated { name: "Sales".to_owned(), stages });
    (pipeline, ids)
}

pub fn opened(pipeline: Uuid, stage: Uuid, amount: Money) -> OpportunityOpened {
    OpportunityOpened {
        name: "A deal".to_owned(),
        account: None,
        contact: None,
        pipeline: PipelineId::new(pipeline),
        stage: StageId::new(stage),
        amount,
        close_date: date(100),
        owner: None,
        line_items: Vec::new(),
        lead: None,
    }
}

pub fn moved(from: Uuid, to: Uuid) -> OpportunityStageChanged {
    OpportunityStageChanged { from: StageId::new(from), to: StageId::new(to) }
}

#[tokio::test]
async fn a_deal_is_listed_as_its_last_event_left_it() {
    let mut story = Story::new();
    let (pipeline, stages) = pipeline(&mut story, &[("First", 10), ("Second", 50)]);
    let (deal, account) = (id(), id());
    let begin = OpportunityOpened { account: Some(AccountId::new(account)), ..opened(pipeline, stages[0], money(100)) };
    story.add::<OpportunityEvent>(deal, day(1), begin);
    story.add::<OpportunityEvent>(deal, day(2), moved(stages[0], stages[1]));
    let line_items = vec![LineItem { name: "Licence".to_owned(), quantity: 2, unit_price_minor: 250 }];
    story.add::<OpportunityEvent>(deal, day(3), OpportunityAmountChanged { amount: money(500), line_items });
    story.add::<OpportunityEvent>(deal, day(4), OpportunityRenamed { name: "The deal".to_owned() });
    let last_stage = StageId::new(stages[1]);
    story.add::<OpportunityEvent>(deal, day(5), OpportunityLost { reason: "price".to_owned(), last_stage });

    let stage = Stage::fresh().await;
    stage.apply(&story.events, 3).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    let row = opportunities::of_accounts(&mut tables, story.tenant, &[account], 10).await.unwrap().remove(0);
    assert_eq!((row.name.as_str(), row.version, row.status.0), ("The deal", 5, OpportunityStatus::Lost));
    assert_eq!((row.stage_id, row.stage_since), (stages[1], day(2)));
    assert_eq!((row.amount(), row.line_items.0.len()), (money(500), 1));
    assert_eq!((row.lost_reason.as_deref(), row.closed_at), (Some("price"), Some(day(5))));
    drop(tables);

    let mut more = story.events.len();
    story.add::<OpportunityEvent>(deal, day(6), OpportunityReopened { stage: StageId::new(stages[0]) });
    stage.apply(&story.events[more..], 1).await.unwrap();
    more += 1;
    assert_eq!(more, story.events.len());
    let mut tables = stage.read(story.tenant).await;
    let row = opportunities::find::<OpportunityRow>(&mut tables, story.tenant, &[deal]).await.unwrap().remove(0);
    assert_eq!((row.status.0, row.stage_id, row.stage_since), (OpportunityStatus::Open, stages[0], day(6)));
    assert_eq!((row.lost_reason, row.closed_at), (None, None));
}

#[tokio::test]
async fn a_deal_is_listed_with_the_account_and_the_contact_that_it_has_now() {
    let mut story = Story::new();
    let (pipeline, stages) = pipeline(&mut story, &[("First", 10)]);
    let (deal, first, second, contact) = (id(), id(), id(), id());
    let account = |id| Some(AccountId::new(id));
    story.add::<OpportunityEvent>(
        deal,
        day(1),
        OpportunityOpened { account: account(first), ..opened(pipeline, stages[0], money(100)) },
    );
    story.add::<OpportunityEvent>(deal, day(2), OpportunityAccountChanged { account: account(second) });
    let contact_changed = OpportunityContactChanged { contact: Some(ContactId::new(contact)) };
    story.add::<OpportunityEvent>(deal, day(3), contact_changed);
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 100).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    let found = opportunities::of_accounts(&mut tables, story.tenant, &[first, second], 10).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|row| (row.account_id, row.contact_id, row.version)).collect();
    assert_eq!(found, [(Some(second), Some(contact), 3)]);
    let asked = [(deal, 0, 10), (id(), 0, 10), (deal, 1, 1)];
    let histories = opportunities::histories(&mut tables, story.tenant, &asked).await.unwrap();
    let changes = histories.iter().map(|history| history.iter().map(|row| row.change.as_str()).collect());
    let changes: Vec<Vec<_>> = changes.collect();
    assert_eq!(changes, [vec!["opened", "account_changed", "contact_changed"], vec![], vec!["account_changed"]]);
}

#[tokio::test]
async fn deals_are_listed_by_what_they_are_worth_and_those_worth_the_same_by_their_ids() {
    let mut story = Story::new();
    let (pipeline, stages) = pipeline(&mut story, &[("First", 10)]);
    let mut worth = Vec::new();
    for minor in [500, 70, 500, 3_000] {
        let deal = id();
        story.add::<OpportunityEvent>(deal, day(1), opened(pipeline, stages[0], money(minor)));
        worth.push((minor, deal));
    }
    let line_items = Vec::new();
    story.add::<OpportunityEvent>(worth[1].1, day(2), OpportunityAmountChanged { amount: money(4_000), line_items });
    worth[1].0 = 4_000;
    worth.sort_unstable();
    worth.reverse();
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 100).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    let (filter, order) = (OpportunityFilter::default(), OpportunityOrder::Largest);
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = opportunities::list(&mut tables, story.tenant, &filter, order, after.take(), 1).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(order.seek(last));
        found.extend(page.into_iter().map(|row| (row.amount_minor, row.opportunity_id)));
    }
    assert_eq!(found, worth);
}

#[tokio::test]
async fn deals_are_filtered_and_paged_by_their_closing_date() {
    let mut story = Story::new();
    let (pipeline, stages) = pipeline(&mut story, &[("First", 10), ("Second", 50)]);
    let at = |n: i64| -> DateTime<Utc> { day(1) + Duration::hours(n) };
    for n in 0..7 {
        let begin = OpportunityOpened {
            name: format!("Deal {n}"),
            close_date: date(100 - n / 2),
            owner: (n == 3).then(|| "grace".to_owned()),
            ..opened(pipeline, stages[usize::from(n > 4)], money(n))
        };
        story.add::<OpportunityEvent>(id(), at(n), begin);
    }
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 100).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    for (order, expected) in [
        (OpportunityOrder::CloseDate, [6, 4, 5, 2, 3, 0, 1]),
        (OpportunityOrder::Newest, [6, 5, 4, 3, 2, 1, 0]),
        (OpportunityOrder::Largest, [6, 5, 4, 3, 2, 1, 0]),
    ] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let filter = OpportunityFilter::default();
            let page = opportunities::list(&mut tables, story.tenant, &filter, order, after.take(), 2).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(order.seek(last));
            found.extend(page.into_iter().map(|row| row.amount_minor));
        }
        assert_eq!(found, expected, "{order:?}");
    }
    let mut count =
        async |filter: OpportunityFilter| opportunities::count(&mut tables, story.tenant, &filter).await.unwrap();
    assert_eq!(count(OpportunityFilter { stage: Some(vec![stages[1]]), ..OpportunityFilter::default() }).await, 2);
    assert_eq!(count(OpportunityFilter { pipeline: Some(id()), ..OpportunityFilter::default() }).await, 0);
    assert_eq!(count(OpportunityFilter { owner: Some("grace".to_owned()), ..OpportunityFilter::default() }).await, 1);
    assert_eq!(count(OpportunityFilter { currency: Some(Currency::EUR), ..OpportunityFilter::default() }).await, 7);
    assert_eq!(count(OpportunityFilter { currency: Some(Currency::USD), ..OpportunityFilter::default() }).await, 0);
    let (from, before) = (Some(date(98)), Some(date(99)));
    let filter = OpportunityFilter { close_from: from, close_before: before, ..OpportunityFilter::default() };
    assert_eq!(count(filter).await, 2);
    let open = Some(vec![OpportunityStatus::Open]);
    assert_eq!(count(OpportunityFilter { status: open, ..OpportunityFilter::default() }).await, 7);
}
