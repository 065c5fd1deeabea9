use crm_aggregates::{
    OpportunityAmountChanged, OpportunityCloseDateChanged, OpportunityEvent, OpportunityLost, OpportunityReassigned,
    OpportunityReopened, OpportunityWon, StageId,
};
use crm_projections::opportunities::Movement::{
    CurrencyChanged, Grown, Lost, Opened, PulledIn, Reassigned, Reopened, Shrunk, Slipped, StageChanged, Won,
};
use crm_projections::opportunities::{Movement, MovementSum, Span, count_moved, moved as moved_deals, movement_sums};
use kernel::{Currency, Money};
use uuid::Uuid;

use crate::deals::{date, money, moved, opened, pipeline};
use crate::stage::Stage;
use crate::story::{Story, day, id};

/// Deals of which some moved between day 10 and day 20.
struct Deals {
    story: Story,
    stage: Stage,
    pipeline: Uuid,
    stages: Vec<Uuid>,
    still: Uuid,
    slips: Uuid,
    wins: Uuid,
    again: Uuid,
    new: Uuid,
    later: Uuid,
}

impl Deals {
    async fn new() -> Self {
        let mut story = Story::new();
        let (pipeline, stages) = pipeline(&mut story, &[("First", 10), ("Second", 50)]);
        let last_stage = StageId::new(stages[0]);
        let open = |story: &mut Story, on: i64| {
            let deal = id();
            story.add::<OpportunityEvent>(deal, day(on), opened(pipeline, stages[0], money(100)));
            deal
        };
        let (still, slips, wins, again, there_and_back, later) = (
            open(&mut story, 1),
            open(&mut story, 1),
            open(&mut story, 1),
            open(&mut story, 1),
            open(&mut story, 1),
            open(&mut story, 40),
        );
        story.add::<OpportunityEvent>(again, day(2), OpportunityLost { reason: "price".to_owned(), last_stage });
        let new = open(&mut story, 11);
        story.add::<OpportunityEvent>(new, day(12), OpportunityLost { reason: "need".to_owned(), last_stage });
        story.add::<OpportunityEvent>(slips, day(11), OpportunityCloseDateChanged { close_date: date(200) });
        let cheaper = OpportunityAmountChanged { amount: money(50), line_items: Vec::new() };
        story.add::<OpportunityEvent>(slips, day(12), cheaper);
        story.add::<OpportunityEvent>(slips, day(13), moved(stages[0], stages[1]));
        story.add::<OpportunityEvent>(wins, day(20), OpportunityWon { last_stage });
        story.add::<OpportunityEvent>(again, day(20), OpportunityReopened { stage: last_stage });
        story.add::<OpportunityEvent>(there_and_back, day(12), moved(stages[0], stages[1]));
        story.add::<OpportunityEvent>(there_and_back, day(13), moved(stages[1], stages[0]));
        let stage = Stage::fresh().await;
        stage.apply(&story.events, 3).await.unwrap();
        Self { story, stage, pipeline, stages, still, slips, wins, again, new, later }
    }

    fn span(&self, from: i64, to: i64) -> Span {
        Span { pipeline: self.pipeline, from: day(from), to: Some(day(to)), known: None }
    }

    /// Those that moved between day 10 and day 20, and in which ways.
    fn that_moved(&self) -> Vec<(Uuid, Vec<Movement>)> {
        let mut deals = vec![
            (self.slips, vec![StageChanged, Shrunk, Slipped]),
            (self.wins, vec![Won]),
            (self.again, vec![Reopened]),
            (self.new, vec![Opened, Lost]),
        ];
        deals.sort();
        deals
    }
}

#[tokio::test]
async fn what_moved_between_two_days_is_the_difference_of_how_deals_stood() {
    let deals = Deals::new().await;
    let mut tables = deals.stage.read(deals.story.tenant).await;
    let mut between = async |from: i64, to: i64| {
        let span = deals.span(from, to);
        let moved = moved_deals(&mut tables, deals.story.tenant, span, None, None, 100).await.unwrap();
        moved.into_iter().map(|d| (d.opportunity, d.movements)).collect::<Vec<(Uuid, Vec<Movement>)>>()
    };
    assert_eq!(between(10, 20).await, deals.that_moved());
    assert_eq!(between(20, 30).await, [], "until and with day 20; nothing after");
    assert_eq!(between(12, 12).await, []);
    assert_eq!(between(30, 60).await, [(deals.later, vec![Opened])]);
    let all: Vec<_> = between(0, 60).await.into_iter().map(|(deal, _)| deal).collect();
    assert!(all.contains(&deals.still) && all.len() == 7);

    let moved = moved_deals(&mut tables, deals.story.tenant, deals.span(10, 20), None, None, 100).await.unwrap();
    let deal = moved.iter().find(|deal| deal.opportunity == deals.slips).unwrap();
    let before = deal.before.as_ref().unwrap();
    assert_eq!((before.amount, deal.after.amount), (money(100), money(50)));
    assert_eq!((before.stage, deal.after.stage), (deals.stages[0], deals.stages[1]));
    assert_eq!((before.close_date, deal.after.close_date), (date(100), date(200)));
}

#[tokio::test]
async fn what_moved_is_listed_a_page_at_a_time_and_counted_by_the_ways_that_one_asks_for() {
    let deals = Deals::new().await;
    let (tenant, span) = (deals.story.tenant, deals.span(10, 20));
    let mut tables = deals.stage.read(tenant).await;
    let mut paged = Vec::new();
    while let [deal] = moved_deals(&mut tables, tenant, span, None, paged.last().copied(), 1).await.unwrap().as_slice()
    {
        paged.push(deal.opportunity);
    }
    assert_eq!(paged, deals.that_moved().iter().map(|(deal, _)| *deal).collect::<Vec<_>>());
    let closed: &[Movement] = &[Won, Lost];
    let closed_deals = moved_deals(&mut tables, tenant, span, Some(closed), None, 100).await.unwrap();
    let mut wanted = [deals.wins, deals.new];
    wanted.sort();
    assert_eq!(closed_deals.iter().map(|deal| deal.opportunity).collect::<Vec<_>>(), wanted);
    assert_eq!(count_moved(&mut tables, tenant, span, Some(closed)).await.unwrap(), 2);
    assert_eq!(count_moved(&mut tables, tenant, span, None).await.unwrap(), 4);
    assert_eq!(count_moved(&mut tables, tenant, span, Some(&[])).await.unwrap(), 0);
}

#[tokio::test]
async fn what_moved_is_summed_up_by_ways() {
    let deals = Deals::new().await;
    let mut tables = deals.stage.read(deals.story.tenant).await;
    let mut sums = movement_sums(&mut tables, deals.story.tenant, deals.span(10, 20)).await.unwrap();
    sums.sort_by_key(|sum| sum.movement);
    let eur = money(0).currency;
    let sum = |movement, before: Option<i128>, after| MovementSum {
        movement,
        count: 1,
        after: (eur, after),
        before: before.map(|minor| (eur, minor)),
    };
    let mut expected = [
        sum(Opened, None, 100),
        sum(Lost, None, 100),
        sum(Won, Some(100), 100),
        sum(Reopened, Some(100), 100),
        sum(StageChanged, Some(100), 50),
        sum(Shrunk, Some(100), 50),
        sum(Slipped, Some(100), 50),
    ];
    expected.sort_by_key(|sum| sum.movement);
    assert_eq!(sums, expected);
}

#[tokio::test]
async fn what_was_told_late_has_not_moved_as_far_as_was_known_before() {
    let mut story = Story::new();
    let (pipeline, stages) = pipeline(&mut story, &[("First", 10), ("Second", 50)]);
    let (early, late) = (id(), id());
    story.add::<OpportunityEvent>(early, day(1), opened(pipeline, stages[0], money(100)));
    // It moved on day 11, shrank on day 12 and slipped on day 13; this was recorded on days 11, 21 and 22.
    story.add::<OpportunityEvent>(early, day(11), moved(stages[0], stages[1]));
    let cheaper = OpportunityAmountChanged { amount: money(50), line_items: Vec::new() };
    story.add_late::<OpportunityEvent>(early, day(12), day(21), cheaper);
    let slips = OpportunityCloseDateChanged { close_date: date(200) };
    story.add_late::<OpportunityEvent>(early, day(13), day(22), slips);
    // It was opened on day 5, which was recorded on day 23.
    story.add_late::<OpportunityEvent>(late, day(5), day(23), opened(pipeline, stages[0], money(100)));
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 3).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    let mut between = async |from: i64, to: i64, known: i64| {
        let span = Span { pipeline, from: day(from), to: Some(day(to)), known: Some(day(known)) };
        let listed = moved_deals(&mut tables, story.tenant, span, None, None, 100).await.unwrap();
        assert_eq!(count_moved(&mut tables, story.tenant, span, None).await.unwrap(), listed.len() as i64);
        let summed = movement_sums(&mut tables, story.tenant, span).await.unwrap();
        assert_eq!(summed.len(), listed.iter().map(|deal| deal.movements.len()).sum::<usize>(), "each is another one");
        listed.into_iter().map(|deal| (deal.opportunity, deal.movements)).collect::<Vec<(Uuid, Vec<Movement>)>>()
    };
    assert_eq!(between(10, 20, 10).await, []);
    assert_eq!(between(10, 20, 20).await, [(early, vec![StageChanged])], "as known on the last day");
    assert_eq!(between(10, 20, 21).await, [(early, vec![StageChanged, Shrunk])]);
    assert_eq!(between(10, 20, 23).await, [(early, vec![StageChanged, Shrunk, Slipped])]);
    assert_eq!(between(12, 20, 22).await, [(early, vec![Slipped])], "the beginning is known as the end is");
    assert_eq!(between(2, 10, 22).await, []);
    assert_eq!(between(2, 10, 23).await, [(late, vec![Opened])]);
    assert_eq!(between(0, 10, 0).await, []);
}

#[tokio::test]
async fn every_way_of_moving_is_seen() {
    let mut story = Story::new();
    let (pipeline, stages) = pipeline(&mut story, &[("First", 10), ("Second", 50)]);
    let last_stage = StageId::new(stages[0]);
    let dollars = Money { minor: 100, currency: Currency::USD };
    let amount = |amount| OpportunityEvent::from(OpportunityAmountChanged { amount, line_items: Vec::new() });
    let won = || OpportunityEvent::from(OpportunityWon { last_stage });
    let lost = || OpportunityEvent::from(OpportunityLost { reason: "price".to_owned(), last_stage });
    let closes = |on| OpportunityEvent::from(OpportunityCloseDateChanged { close_date: date(on) });
    let reassigned = || OpportunityEvent::from(OpportunityReassigned { owner: "cyd".to_owned() });
    let reopened = || OpportunityEvent::from(OpportunityReopened { stage: last_stage });
    // What happened before, what happened within the time, and how the two differ.
    let cases: Vec<(Vec<OpportunityEvent>, Vec<OpportunityEvent>, Vec<Movement>)> = vec![
        (vec![], vec![amount(money(150))], vec![Grown]),
        (vec![], vec![amount(money(50))], vec![Shrunk]),
        (vec![], vec![amount(dollars)], vec![CurrencyChanged]),
        (vec![], vec![closes(200)], vec![Slipped]),
        (vec![], vec![closes(50)], vec![PulledIn]),
        (vec![], vec![reassigned()], vec![Reassigned]),
        (vec![], vec![moved(stages[0], stages[1]).into()], vec![StageChanged]),
        (vec![], vec![won()], vec![Won]),
        (vec![], vec![lost()], vec![Lost]),
        (vec![won()], vec![reopened()], vec![Reopened]),
        (vec![won()], vec![reopened(), lost()], vec![Lost]),
        (vec![lost()], vec![reopened(), won()], vec![Won]),
        (vec![lost()], vec![reopened(), lost()], vec![]),
        (vec![], vec![amount(money(150)), amount(money(100))], vec![]),
        (vec![reassigned()], vec![reassigned()], vec![]),
    ];
    let mut expected = Vec::new();
    for (before, within, movements) in cases {
        let deal = id();
        story.add::<OpportunityEvent>(deal, day(1), opened(pipeline, stages[0], money(100)));
        let before = before.into_iter().map(|event| (2, event));
        for (on, event) in before.chain(within.into_iter().map(|event| (11, event))) {
            story.add::<OpportunityEvent>(deal, day(on), event);
        }
        expected.extend((!movements.is_empty()).then_some((deal, movements)));
    }
    expected.sort();
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 3).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    let span = Span { pipeline, from: day(10), to: None, known: None };
    let deals = moved_deals(&mut tables, story.tenant, span, None, None, 100).await.unwrap();
    let seen: Vec<_> = deals.into_iter().map(|deal| (deal.opportunity, deal.movements)).collect();
    assert_eq!(seen, expected);
}
