//! The board as of any day, with what was known on any other day.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use crm_aggregates::{
    BaseCurrencyChosen, CurrenciesEvent, ExchangeRateSet, OpportunityAmountChanged, OpportunityEvent, OpportunityLost,
    OpportunityReopened, OpportunityWon, PipelineEvent, PipelineRenamed, PipelineStageAdded, PipelineStageChanged,
    PipelineStageReactivated, PipelineStageRetired, PipelineStagesReordered, Stage as PipelineStage, StageId,
};
use crm_projections::AsOf;
use crm_projections::opportunities::{self, Board, OpportunityFilter, board};
use kernel::{Currency, Money, RecordedEvent};
use proptest::prelude::*;
use uuid::Uuid;

use crate::deals::{date, money, moved, opened, pipeline};
use crate::stage::Stage;
use crate::story::{Story, day, id};

fn known(at: i64, known: i64) -> AsOf {
    AsOf { at: Some(day(at)), known: Some(day(known)) }
}

/// For each stage: its name, the number of deals, their value in the base currency, and the weighted value.
fn columns(board: &Board) -> Vec<(&str, i64, i128, i128)> {
    board.stages.iter().map(|s| (s.stage.stage.name.as_str(), s.count, s.base_minor, s.weighted_minor)).collect()
}

#[tokio::test]
async fn the_board_of_a_past_day_shows_deals_stages_and_rates_as_they_were() {
    let mut story = Story::new();
    let (pipeline, stages) = pipeline(&mut story, &[("First", 10), ("Second", 50)]);
    let tenant = story.tenant.uuid();
    let rate = |on: i64, nanos: i64| ExchangeRateSet {
        from: Currency::USD,
        to: Currency::EUR,
        day: date(on),
        rate_nanos: nanos,
    };
    story.add::<CurrenciesEvent>(tenant, day(0), BaseCurrencyChosen { base: Currency::EUR });
    story.add::<CurrenciesEvent>(tenant, day(0), rate(0, 500_000_000));
    let (euros, dollars) = (id(), id());
    story.add::<OpportunityEvent>(euros, day(1), opened(pipeline, stages[0], money(10_000)));
    let amount = Money { minor: 30_000, currency: Currency::USD };
    story.add::<OpportunityEvent>(dollars, day(2), opened(pipeline, stages[1], amount));
    story.add::<OpportunityEvent>(euros, day(5), moved(stages[0], stages[1]));
    let renamed = PipelineStage {
        id: StageId::new(stages[1]),
        name: "Offer".to_owned(),
        probability: 80,
        rotten_after_days: Some(30),
    };
    story.add::<PipelineEvent>(pipeline, day(6), PipelineStageChanged { stage: renamed });
    story.add::<PipelineEvent>(pipeline, day(6), PipelineRenamed { name: "New sales".to_owned() });
    story.add::<CurrenciesEvent>(tenant, day(7), rate(7, 900_000_000));
    let last_stage = StageId::new(stages[1]);
    story.add::<OpportunityEvent>(dollars, day(8), OpportunityWon { last_stage });

    for batch in [1, 100] {
        let stage = Stage::fresh().await;
        stage.apply(&story.events, batch).await.unwrap();
        let mut tables = stage.read(story.tenant).await;
        let mut at = async |at: i64| {
            board(&mut tables, story.tenant, pipeline, AsOf::at(day(at))).await.unwrap().expect("the pipeline is there")
        };
        assert_eq!(columns(&at(1).await), [("First", 1, 10_000, 1_000), ("Second", 0, 0, 0)]);
        assert_eq!(columns(&at(2).await), [("First", 1, 10_000, 1_000), ("Second", 1, 15_000, 7_500)]);
        assert_eq!(columns(&at(5).await), [("First", 0, 0, 0), ("Second", 2, 25_000, 12_500)]);
        assert_eq!(at(5).await.name, "Sales");
        assert_eq!(columns(&at(6).await), [("First", 0, 0, 0), ("Offer", 2, 25_000, 20_000)]);
        assert_eq!(columns(&at(7).await), [("First", 0, 0, 0), ("Offer", 2, 37_000, 29_600)]);
        assert_eq!(columns(&at(8).await), [("First", 0, 0, 0), ("Offer", 1, 10_000, 8_000)]);
        assert_eq!(at(8).await.name, "New sales");
        let by_currency: Vec<_> = at(7).await.stages[1].sums.iter().map(|s| (s.currency, s.minor)).collect();
        assert_eq!(by_currency, [(Currency::EUR, 10_000), (Currency::USD, 30_000)]);
        assert_eq!(columns(&at(0).await), [("First", 0, 0, 0), ("Second", 0, 0, 0)]);
        assert_eq!(board(&mut tables, story.tenant, id(), AsOf::at(day(8))).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_rate_out_of_the_base_currency_counts_from_its_day_on() {
    let mut story = Story::new();
    let (pipeline, stages) = pipeline(&mut story, &[("First", 100)]);
    let tenant = story.tenant.uuid();
    let (eur, usd) = (Currency::EUR, Currency::USD);
    for (on, from, to, rate_nanos) in [
        (1, usd, eur, 900_000_000),
        (3, eur, usd, 1_250_000_000),
        (5, usd, eur, 700_000_000),
        (5, eur, usd, 1_000_000_000),
    ] {
        story.add::<CurrenciesEvent>(tenant, day(0), ExchangeRateSet { from, to, day: date(on), rate_nanos });
    }
    let amount = Money { minor: 10_000, currency: usd };
    story.add::<OpportunityEvent>(id(), day(1), opened(pipeline, stages[0], amount));
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 100).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    for (at, expected) in [(1, 9_000), (2, 9_000), (3, 8_000), (4, 8_000), (5, 7_000), (6, 7_000)] {
        let board = board(&mut tables, story.tenant, pipeline, AsOf::at(day(at))).await.unwrap().unwrap();
        assert_eq!(board.stages[0].base_minor, expected, "on day {at}");
    }
}

#[tokio::test]
async fn what_was_told_late_is_on_the_board_of_its_day_and_not_on_the_board_as_it_was_known_then() {
    let mut story = Story::new();
    let (pipeline, stages) = pipeline(&mut story, &[("First", 100), ("Second", 100)]);
    let (deal, late) = (id(), id());
    story.add::<OpportunityEvent>(deal, day(1), opened(pipeline, stages[0], money(100)));
    // Opened on day 2 and moved on day 3, but recorded on days 10 and 11.
    story.add_late::<OpportunityEvent>(late, day(2), day(10), opened(pipeline, stages[0], money(1_000)));
    story.add_late::<OpportunityEvent>(deal, day(3), day(11), moved(stages[0], stages[1]));
    // On day 12 the base currency's rates do not matter; on day 13 another deal of an unknown currency comes.
    let yen = Money { minor: 5, currency: "JPY".parse().unwrap() };
    story.add::<OpportunityEvent>(id(), day(13), opened(pipeline, stages[0], yen));
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 1).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    let mut on = async |as_of: AsOf| {
        let board = board(&mut tables, story.tenant, pipeline, as_of).await.unwrap().unwrap();
        let counts = [board.stages[0].count, board.stages[1].count];
        (counts, board.stages[0].base_minor + board.stages[1].base_minor, board.unconverted.len())
    };
    assert_eq!(on(AsOf::at(day(2))).await, ([2, 0], 1_100, 0));
    assert_eq!(on(AsOf::at(day(3))).await, ([1, 1], 1_100, 0));
    assert_eq!(on(known(3, 3)).await, ([1, 0], 100, 0), "as known then");
    assert_eq!(on(known(3, 10)).await, ([2, 0], 1_100, 0), "the deal was told, its move was not");
    assert_eq!(on(known(3, 11)).await, ([1, 1], 1_100, 0));
    assert_eq!(on(known(1, 13)).await, ([1, 0], 100, 0));
    assert_eq!(on(known(13, 11)).await, ([1, 1], 1_100, 0));
    assert_eq!(on(AsOf::at(day(13))).await, ([2, 1], 1_100, 1), "counted, and said to be in no sum");
}

#[tokio::test]
async fn deals_dated_before_their_stage_was_set_up_still_stand_on_the_board() {
    let mut story = Story::new();
    let (pipeline, stages) = pipeline(&mut story, &[("First", 10)]);
    let added = PipelineStage {
        id: StageId::new(id()),
        name: "Added later".to_owned(),
        probability: 50,
        rotten_after_days: None,
    };
    story.add::<PipelineEvent>(pipeline, day(20), PipelineStageAdded { index: 0, stage: added.clone() });
    let order = vec![StageId::new(stages[0]), added.id];
    story.add::<PipelineEvent>(pipeline, day(21), PipelineStagesReordered { order });
    story.add::<PipelineEvent>(pipeline, day(22), PipelineStageRetired { stage: added.id });
    story.add::<PipelineEvent>(pipeline, day(23), PipelineStageReactivated { stage: added.id });
    story.add_late::<OpportunityEvent>(id(), day(-5), day(30), opened(pipeline, added.id.uuid(), money(100)));
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 100).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    let mut at = async |at: i64| board(&mut tables, story.tenant, pipeline, AsOf::at(day(at))).await.unwrap().unwrap();
    assert_eq!(columns(&at(-5).await), [("First", 0, 0, 0), ("Added later", 1, 100, 50)], "before the pipeline itself");
    assert_eq!(columns(&at(20).await), [("Added later", 1, 100, 50), ("First", 0, 0, 0)]);
    assert_eq!(columns(&at(21).await), [("First", 0, 0, 0), ("Added later", 1, 100, 50)]);
    assert!(!at(21).await.stages[1].stage.retired);
    assert!(at(22).await.stages[1].stage.retired);
    assert!(!at(23).await.stages[1].stage.retired);
}

#[tokio::test]
async fn a_deal_is_rotten_when_nothing_happened_to_it_for_as_long_as_its_stage_allows() {
    let mut story = Story::new();
    let (pipeline, stages) = pipeline(&mut story, &[("First", 10), ("Second", 50)]);
    let patient = |number: usize, days| PipelineStageChanged {
        stage: PipelineStage {
            id: StageId::new(stages[number]),
            name: "Another".to_owned(),
            probability: 10,
            rotten_after_days: Some(days),
        },
    };
    story.add::<PipelineEvent>(pipeline, day(0), patient(0, 7));
    // With today's limit of the stage the deal is not rotten; with that of the day before it was opened it would be.
    story.add::<PipelineEvent>(pipeline, day(0), patient(1, 1));
    story.add::<PipelineEvent>(pipeline, day(1), patient(1, 3650));
    let (deal, won) = (id(), id());
    for (opportunity, stage) in [(deal, stages[0]), (won, stages[0]), (id(), stages[1])] {
        story.add::<OpportunityEvent>(opportunity, day(1), opened(pipeline, stage, money(100)));
    }
    let amount = OpportunityAmountChanged { amount: money(200), line_items: Vec::new() };
    story.add::<OpportunityEvent>(deal, day(9), amount);
    story.add::<OpportunityEvent>(won, day(10), OpportunityWon { last_stage: StageId::new(stages[0]) });
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 100).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    let mut rotten = async |as_of: AsOf| -> Vec<i64> {
        let board = board(&mut tables, story.tenant, pipeline, as_of).await.unwrap().unwrap();
        board.stages.iter().map(|stage| stage.rotten).collect()
    };
    for (at, expected) in [(7, 0), (8, 2), (9, 1), (10, 0), (15, 0), (16, 1)] {
        assert_eq!(rotten(AsOf::at(day(at))).await, [expected, 0], "on day {at}");
    }
    assert_eq!(rotten(AsOf::TODAY).await, [1, 0]);
    for (rotten, expected) in [(Some(true), 1), (Some(false), 2), (None, 3)] {
        let filter = OpportunityFilter { rotten, ..OpportunityFilter::default() };
        assert_eq!(opportunities::count(&mut tables, story.tenant, &filter).await.unwrap(), expected, "{rotten:?}");
    }
}

/// A random next change of one of a few deals, and how many days later it happens and is recorded.
#[derive(Clone, Debug)]
struct Act {
    deal: usize,
    kind: u8,
    stage: usize,
    minor: i64,
    dollars: bool,
    days: i64,
    late: i64,
}

fn act() -> impl Strategy<Value = Act> {
    (0..5_usize, 0..5_u8, 0..3_usize, 0..1_000_i64, any::<bool>(), 0..4_i64, prop_oneof![Just(0), 0..20_i64]).prop_map(
        |(deal, kind, stage, minor, dollars, days, late)| Act { deal, kind, stage, minor, dollars, days, late },
    )
}

/// Turns acts into a history as commands would: times never go back along a stream, nothing is recorded before it
/// happened, and the log's own time never goes back.
fn tell(story: &mut Story, pipeline: Uuid, stages: &[Uuid], acts: &[Act]) {
    let deals: Vec<Uuid> = (0..5).map(|_| id()).collect();
    let mut last: BTreeMap<usize, i64> = BTreeMap::new();
    let mut recorded = 0;
    for act in acts {
        let occurred = last.get(&act.deal).copied().unwrap_or(1) + act.days;
        recorded = recorded.max(occurred + act.late);
        let currency = if act.dollars { Currency::USD } else { Currency::EUR };
        let (amount, to) = (Money { minor: act.minor, currency }, StageId::new(stages[act.stage]));
        let event: OpportunityEvent = match (last.contains_key(&act.deal), act.kind) {
            (false, _) => opened(pipeline, to.uuid(), amount).into(),
            (true, 0) => moved(stages[0], to.uuid()).into(),
            (true, 1) => OpportunityAmountChanged { amount, line_items: Vec::new() }.into(),
            (true, 2) => OpportunityWon { last_stage: to }.into(),
            (true, 3) => OpportunityLost { reason: "price".to_owned(), last_stage: to }.into(),
            (true, _) => OpportunityReopened { stage: to }.into(),
        };
        last.insert(act.deal, occurred);
        story.add_late::<OpportunityEvent>(deals[act.deal], day(occurred), day(recorded), event);
    }
}

/// Stage and currency to count and sum, by folding the events that had happened and were known.
fn folded(
    events: &[RecordedEvent],
    at: DateTime<Utc>,
    known: DateTime<Utc>,
) -> BTreeMap<(Uuid, Currency), (i64, i128)> {
    let mut deals: BTreeMap<&str, Option<(Uuid, Money)>> = BTreeMap::new();
    let mut amounts: BTreeMap<&str, Money> = BTreeMap::new();
    for event in events.iter().filter(|event| event.occurred_at <= at && event.recorded_at <= known) {
        let Some(change) = event.decode::<OpportunityEvent>().ok().and_then(|today| today.into_iter().last()) else {
            continue;
        };
        let id = event.aggregate_id.as_str();
        let open = deals.get(id).copied().flatten();
        let amount = amounts.get(id).copied().unwrap_or(money(0));
        let now = match change {
            OpportunityEvent::OpportunityOpened(e) => {
                amounts.insert(id, e.amount);
                Some((e.stage.uuid(), e.amount))
            }
            OpportunityEvent::OpportunityStageChanged(e) => open.map(|(_, amount)| (e.to.uuid(), amount)),
            OpportunityEvent::OpportunityAmountChanged(e) => {
                amounts.insert(id, e.amount);
                open.map(|(stage, _)| (stage, e.amount))
            }
            OpportunityEvent::OpportunityWon(_) | OpportunityEvent::OpportunityLost(_) => None,
            OpportunityEvent::OpportunityReopened(e) => Some((e.stage.uuid(), amount)),
            _ => open,
        };
        deals.insert(id, now);
    }
    let mut sums = BTreeMap::new();
    for (stage, amount) in deals.into_values().flatten() {
        let (count, minor) = sums.entry((stage, amount.currency)).or_insert((0, 0));
        *count += 1;
        *minor += i128::from(amount.minor);
    }
    sums
}

#[tokio::test]
async fn a_board_of_before_its_pipeline_shows_its_first_stages_also_when_the_next_change_was_discarded() {
    let mut story = Story::new();
    let (pipeline, _) = pipeline(&mut story, &[("First", 10)]);
    for (on, name) in [(3, "Discarded"), (5, "New sales")] {
        story.add::<PipelineEvent>(pipeline, day(on), PipelineRenamed { name: name.to_owned() });
    }
    let stage = Stage::fresh().await;
    stage.apply(&story.events[..1], 1).await.unwrap();
    stage.skip(&story.events[1]).await.unwrap();
    stage.apply(&story.events[2..], 1).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    for (at, name) in [(-1, "Sales"), (4, "Sales"), (5, "New sales")] {
        let shown = board(&mut tables, story.tenant, pipeline, AsOf::at(day(at))).await.unwrap().unwrap();
        assert_eq!(shown.name, name, "on day {at}");
    }
}

#[test]
fn the_board_from_history_rows_is_the_board_from_folding_the_events_up_to_that_time() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stage = runtime.block_on(Stage::fresh());
    let acts = prop::collection::vec(act(), 1..40);
    let config = ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(acts in acts, batch in 1..20_usize, at in 0..60_i64, since in 0..60_i64)| {
        let mut story = Story::new();
        let (pipeline, stages) = pipeline(&mut story, &[("First", 10), ("Second", 50), ("Third", 90)]);
        tell(&mut story, pipeline, &stages, &acts);
        runtime.block_on(async {
            stage.apply(&story.events, batch).await.unwrap();
            let mut tables = stage.read(story.tenant).await;
            let everything = day(10_000);
            for (as_of, until) in [
                (AsOf::at(day(at)), everything),
                (known(at, since), day(since)),
                (AsOf::at(everything), everything),
                (AsOf::TODAY, everything),
                (AsOf { at: None, known: Some(day(since)) }, day(since)),
            ] {
                let board = board(&mut tables, story.tenant, pipeline, as_of).await.unwrap().unwrap();
                let seen: BTreeMap<_, _> = board
                    .stages
                    .iter()
                    .flat_map(|stage| &stage.sums)
                    .map(|sum| ((sum.stage, sum.currency), (sum.count, sum.minor)))
                    .collect();
                assert_eq!(seen, folded(&story.events, as_of.at.unwrap_or(everything), until));
            }
        });
    });
}
