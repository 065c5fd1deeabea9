use crm_aggregates::{
    OpportunityAmountChanged, OpportunityCloseDateChanged, OpportunityEvent, OpportunityLost, OpportunityReopened,
    OpportunityWon, StageId,
};
use crm_projections::opportunities::Movement::{Lost, Opened, Reopened, Shrunk, Slipped, StageChanged, Won};
use crm_projections::opportunities::{Movement, movement};
use uuid::Uuid;

use crate::deals::{date, money, moved, opened, pipeline};
use crate::stage::Stage;
use crate::story::{Story, day, id};

#[tokio::test]
async fn what_moved_between_two_days_is_the_difference_of_how_deals_stood() {
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
    let mut tables = stage.read(story.tenant).await;
    let mut between = async |from: i64, to: i64| {
        let deals = movement(&mut tables, story.tenant, pipeline, day(from), Some(day(to))).await.unwrap();
        let mut seen: Vec<(Uuid, Vec<Movement>)> = deals.iter().map(|d| (d.opportunity, d.movements())).collect();
        seen.sort();
        seen
    };
    let mut expected = vec![
        (slips, vec![StageChanged, Shrunk, Slipped]),
        (wins, vec![Won]),
        (again, vec![Reopened]),
        (new, vec![Opened, Lost]),
    ];
    expected.sort();
    assert_eq!(between(10, 20).await, expected);
    assert_eq!(between(20, 30).await, [], "until and with day 20; nothing after");
    assert_eq!(between(12, 12).await, []);
    assert_eq!(between(30, 60).await, [(later, vec![Opened])]);
    let all: Vec<_> = between(0, 60).await.into_iter().map(|(deal, _)| deal).collect();
    assert!(all.contains(&still) && all.len() == 7);

    let deals = movement(&mut tables, story.tenant, pipeline, day(10), Some(day(20))).await.unwrap();
    let deal = deals.iter().find(|deal| deal.opportunity == slips).unwrap();
    let before = deal.before.as_ref().unwrap();
    assert_eq!((before.amount, deal.after.amount), (money(100), money(50)));
    assert_eq!((before.stage, deal.after.stage), (stages[0], stages[1]));
    assert_eq!((before.close_date, deal.after.close_date), (date(100), date(200)));
}
