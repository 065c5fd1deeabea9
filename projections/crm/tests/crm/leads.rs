use crm_aggregates::{
    AccountId, ContactId, DisqualifyReason, ErasureReason, ImportId, LeadAssigned, LeadCaptured, LeadConverted,
    LeadDetails, LeadDetailsChanged, LeadDisqualified, LeadErased, LeadEvent, LeadQualified, LeadRecycled,
    LeadRestored, LeadSource, LeadStatus, LeadWithdrawn, LeadWorkStarted,
};
use crm_projections::leads::{self, LeadFilter, LeadHistoryRow, LeadOrder, LeadRow};
use crm_projections::{AsOf, ListError, Order, Seek, SeekKey, versions};
use kernel::PostalAddress;
use uuid::Uuid;

use crate::stage::Stage;
use crate::story::{Story, day, id};

pub fn captured(name: &str, source: LeadSource, owner: Option<&str>) -> LeadCaptured {
    LeadCaptured {
        details: LeadDetails {
            name: name.to_owned().into(),
            email: Some(format!("{}@example.com", name.to_lowercase()).into()),
            ..LeadDetails::default()
        },
        source,
        owner: owner.map(str::to_owned),
        import: None,
    }
}

/// A lead that passes all steps up to conversion, on days 1 to 5.
fn whole_life(story: &mut Story) -> Uuid {
    let lead = id();
    story.add::<LeadEvent>(lead, day(1), captured("Ada", LeadSource::Website, None));
    story.add::<LeadEvent>(lead, day(2), LeadAssigned { owner: "grace".to_owned() });
    story.add::<LeadEvent>(lead, day(3), LeadWorkStarted {});
    story.add::<LeadEvent>(lead, day(4), LeadQualified { note: Some("has a budget".to_owned().into()) });
    let (account, contact) = (AccountId::new(id()), ContactId::new(id()));
    story.add::<LeadEvent>(lead, day(5), LeadConverted { account, contact, opportunity: None });
    lead
}

#[tokio::test]
async fn the_list_shows_a_lead_as_its_last_event_left_it_however_the_events_were_cut_into_batches() {
    let stage = Stage::fresh().await;
    let mut rows = Vec::new();
    for batch in [1, 2, 100] {
        let mut story = Story::new();
        let lead = whole_life(&mut story);
        stage.apply(&story.events, batch).await.unwrap();
        let mut tables = stage.read(story.tenant).await;
        let mut row = leads::find::<LeadRow>(&mut tables, story.tenant, &[lead]).await.unwrap().remove(0);
        assert_eq!(row.status.0, LeadStatus::Converted);
        assert_eq!((row.version, row.owner.as_deref()), (5, Some("grace")));
        assert_eq!((row.captured_at, row.qualified_at, row.converted_at), (day(1), Some(day(4)), Some(day(5))));
        assert!(row.account_id.is_some() && row.contact_id.is_some() && row.opportunity_id.is_none());
        let history = versions::<LeadHistoryRow>(&mut tables, story.tenant, lead, 0, 100).await.unwrap();
        let versions: Vec<_> = history.iter().map(|h| (h.valid_from, h.valid_to.0, h.known_to.0)).collect();
        let until = |n: i64| (n < 5).then(|| day(n + 1));
        assert_eq!(versions, (1..=5).map(|n| (day(n), until(n), until(n))).collect::<Vec<_>>());
        assert_eq!(history[3].note.as_deref(), Some("has a budget"));
        assert_eq!((history[3].change.as_str(), history[3].actor.as_str()), ("qualified", "ada"));
        (row.tenant_id, row.lead_id, row.account_id, row.contact_id) = (Uuid::nil(), Uuid::nil(), None, None);
        rows.push(row);
    }
    assert!(rows.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test]
async fn a_lead_has_the_address_that_its_last_details_say() {
    let (mut story, lead) = (Story::new(), id());
    let address = PostalAddress { locality: Some("London".to_owned()), ..PostalAddress::default() };
    let details =
        LeadDetails { address: Some(address.clone().into()), ..captured("Ada", LeadSource::Event, None).details };
    story.add::<LeadEvent>(lead, day(1), captured("Ada", LeadSource::Event, None));
    story.add::<LeadEvent>(lead, day(2), LeadDetailsChanged { details });
    story.add::<LeadEvent>(lead, day(3), LeadDetailsChanged { details: LeadDetails::default() });
    let stage = Stage::fresh().await;
    for (events, expected) in [(0..1, None), (1..2, Some(address)), (2..3, None)] {
        stage.apply(&story.events[events], 1).await.unwrap();
        let mut tables = stage.read(story.tenant).await;
        let row = leads::find::<LeadRow>(&mut tables, story.tenant, &[lead]).await.unwrap().remove(0);
        assert_eq!(row.address.map(|address| address.0), expected);
    }
}

#[tokio::test]
async fn the_read_model_takes_each_step_as_the_aggregate_does() {
    let steps: Vec<LeadEvent> = vec![
        captured("Ada", LeadSource::Event, None).into(),
        LeadAssigned { owner: "grace".to_owned() }.into(),
        LeadWorkStarted {}.into(),
        LeadAssigned { owner: "joan".to_owned() }.into(),
        LeadRecycled { reason: "next year".to_owned().into() }.into(),
        LeadAssigned { owner: "grace".to_owned() }.into(),
        LeadDetailsChanged { details: LeadDetails { name: "Ada L.".to_owned().into(), ..LeadDetails::default() } }
            .into(),
        LeadWorkStarted {}.into(),
        LeadQualified { note: None }.into(),
        LeadAssigned { owner: "joan".to_owned() }.into(),
        LeadDisqualified { reason: DisqualifyReason::NoBudget, note: None }.into(),
    ];
    let (mut story, lead, mut aggregate) = (Story::new(), id(), crm_aggregates::Lead::default());
    let mut expected = Vec::new();
    for (n, step) in (0..).zip(steps) {
        story.add::<LeadEvent>(lead, day(n), step.clone());
        kernel::Aggregate::evolve(&mut aggregate, step);
        expected.push((aggregate.status, aggregate.owner.clone()));
    }
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 3).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    let history = versions::<LeadHistoryRow>(&mut tables, story.tenant, lead, 0, 100).await.unwrap();
    let seen: Vec<_> = history.into_iter().map(|row| (row.status.0, row.owner)).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_lead_stands_as_of_a_day_as_it_was_known_on_another() {
    let (mut story, lead) = (Story::new(), id());
    story.add::<LeadEvent>(lead, day(1), captured("Ada", LeadSource::Website, Some("grace")));
    // Work began on day 3, but was recorded on day 10.
    story.add_late::<LeadEvent>(lead, day(3), day(10), LeadWorkStarted {});
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 1).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    let mut standing = async |at: i64, known: Option<i64>| {
        let as_of = AsOf { at: Some(day(at)), known: known.map(day) };
        leads::version_as_of(&mut tables, story.tenant, lead, as_of).await.unwrap().map(|row| row.status.0)
    };
    assert_eq!(standing(0, None).await, None, "not captured yet");
    assert_eq!(standing(1, None).await, Some(LeadStatus::Assigned));
    assert_eq!(standing(5, None).await, Some(LeadStatus::InProcess), "as we know today");
    assert_eq!(standing(5, Some(5)).await, Some(LeadStatus::Assigned), "as we knew then");
    assert_eq!(standing(5, Some(10)).await, Some(LeadStatus::InProcess));
    assert_eq!(standing(2, Some(10)).await, Some(LeadStatus::Assigned));
    assert_eq!(standing(5, Some(0)).await, None, "not known yet");
}

#[tokio::test]
async fn pages_follow_each_other_and_filters_narrow() {
    let mut story = Story::new();
    for n in 0..10 {
        let source = if n % 2 == 0 { LeadSource::Website } else { LeadSource::Partner };
        // Two a day, so that the id has to break ties.
        story.add::<LeadEvent>(id(), day(n / 2), captured(&format!("Lead{n}"), source, (n < 3).then_some("grace")));
    }
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 4).await.unwrap();
    let mut tables = stage.read(story.tenant).await;

    for order in [LeadOrder::Newest, LeadOrder::Oldest] {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let filter = LeadFilter::default();
            let page = leads::list(&mut tables, story.tenant, &filter, order, after.take(), 3).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(order.seek(last));
            names.extend(page.into_iter().map(|row| row.name));
        }
        let mut expected: Vec<_> = (0..10).map(|n| format!("Lead{n}")).collect();
        if order == LeadOrder::Newest {
            expected.reverse();
        }
        assert_eq!(names, expected);
    }

    let mut count = async |filter: LeadFilter| {
        let list = leads::list(&mut tables, story.tenant, &filter, LeadOrder::Newest, None, 100).await.unwrap();
        let count = leads::count(&mut tables, story.tenant, &filter).await.unwrap();
        assert_eq!(list.len() as i64, count);
        count
    };
    assert_eq!(count(LeadFilter { source: Some(vec![LeadSource::Partner]), ..LeadFilter::default() }).await, 5);
    assert_eq!(count(LeadFilter { status: Some(vec![LeadStatus::New]), ..LeadFilter::default() }).await, 7);
    assert_eq!(count(LeadFilter { status: Some(Vec::new()), ..LeadFilter::default() }).await, 0);
    assert_eq!(count(LeadFilter { owner: Some("grace".to_owned()), ..LeadFilter::default() }).await, 3);
    assert_eq!(count(LeadFilter { unowned: true, ..LeadFilter::default() }).await, 7);
    assert_eq!(count(LeadFilter { email: Some("LEAD4@example.com".to_owned()), ..LeadFilter::default() }).await, 1);
    let (from, before) = (Some(day(1)), Some(day(3)));
    assert_eq!(count(LeadFilter { captured_from: from, captured_before: before, ..LeadFilter::default() }).await, 4);
}

#[tokio::test]
async fn a_cursor_of_another_order_is_refused() {
    let (stage, story) = (Stage::fresh().await, Story::new());
    let mut tables = stage.read(story.tenant).await;
    let after = Some(Seek { key: SeekKey::Text("a name".to_owned()), id: id() });
    let listed = leads::list(&mut tables, story.tenant, &LeadFilter::default(), LeadOrder::Newest, after, 3).await;
    assert!(matches!(listed, Err(ListError::Cursor)));
}

#[tokio::test]
async fn the_funnel_counts_who_came_how_far_by_a_day() {
    let mut story = Story::new();
    whole_life(&mut story);
    let skipped = id();
    story.add::<LeadEvent>(skipped, day(2), captured("Skips steps", LeadSource::Website, None));
    story.add::<LeadEvent>(skipped, day(6), LeadQualified { note: None });
    let lost = id();
    story.add::<LeadEvent>(lost, day(2), captured("Lost", LeadSource::Partner, None));
    story.add::<LeadEvent>(lost, day(3), LeadDisqualified { reason: DisqualifyReason::Spam, note: None });
    story.add::<LeadEvent>(id(), day(20), captured("Too late", LeadSource::Partner, None));
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 2).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    let mut funnel = async |at: i64| {
        let sources = leads::funnel(&mut tables, story.tenant, day(0), day(20), AsOf::at(day(at))).await.unwrap();
        let steps = |f: &leads::FunnelOfSource| [f.captured, f.assigned, f.in_process, f.qualified, f.converted];
        sources.iter().map(|f| (f.source, steps(f), f.disqualified)).collect::<Vec<_>>()
    };
    assert_eq!(funnel(4).await, [(LeadSource::Website, [2, 1, 1, 1, 0], 0), (LeadSource::Partner, [1, 0, 0, 0, 0], 1)]);
    assert_eq!(
        funnel(30).await,
        [(LeadSource::Website, [2, 2, 2, 2, 1], 0), (LeadSource::Partner, [1, 0, 0, 0, 0], 1)]
    );
    assert_eq!(funnel(0).await, []);
    let sources = leads::funnel(&mut tables, story.tenant, day(0), day(20), AsOf::TODAY).await.unwrap();
    let days = 86_400.0;
    assert_eq!(sources[0].seconds_to_qualify, Some(3.5 * days), "three days and four");
    assert_eq!(sources[1].seconds_to_qualify, None);
}

#[tokio::test]
async fn a_funnel_of_a_past_day_counts_what_was_known_and_not_withdrawn_then() {
    let (mut story, import) = (Story::new(), ImportId::new(id()));
    let (late, returned, gone) = (id(), id(), id());
    for lead in [returned, gone] {
        let captured = captured("Imported", LeadSource::Partner, Some("grace"));
        story.add::<LeadEvent>(lead, day(2), LeadCaptured { import: Some(import), ..captured });
    }
    for lead in [returned, gone] {
        story.add::<LeadEvent>(lead, day(6), LeadWithdrawn { import });
    }
    story.add_late::<LeadEvent>(late, day(1), day(8), captured("Late", LeadSource::Website, None));
    story.add::<LeadEvent>(returned, day(9), LeadRestored {});
    story.add::<LeadEvent>(gone, day(9), LeadErased { reason: ErasureReason::Requested });
    story.add_late::<LeadEvent>(late, day(3), day(10), LeadQualified { note: None });
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 2).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    let mut funnel = async |at: Option<i64>, known: Option<i64>| {
        let as_of = AsOf { at: at.map(day), known: known.map(day) };
        leads::funnel(&mut tables, story.tenant, day(0), day(20), as_of).await.unwrap()
    };
    let (website, partner) = (LeadSource::Website, LeadSource::Partner);
    for (at, known, expected) in [
        (Some(5), None, vec![(partner, [2, 2, 0]), (website, [1, 1, 1])]),
        (Some(5), Some(5), vec![(partner, [2, 2, 0])]),
        (Some(5), Some(8), vec![(partner, [2, 2, 0]), (website, [1, 0, 0])]),
        (Some(2), Some(20), vec![(partner, [2, 2, 0]), (website, [1, 0, 0])]),
        // The imported ones were withdrawn, and one of them came back on the day on which the other was erased.
        (Some(8), None, vec![(website, [1, 1, 1])]),
        (None, Some(8), vec![(website, [1, 0, 0])]),
        (Some(9), None, vec![(partner, [1, 1, 0]), (website, [1, 1, 1])]),
    ] {
        let counts = funnel(at, known).await;
        let counts: Vec<_> = counts.iter().map(|f| (f.source, [f.captured, f.assigned, f.qualified])).collect();
        assert_eq!(counts, expected, "as of {at:?}, known at {known:?}");
    }
    // Without a day on which it was known it is read from other tables, and is the same.
    for at in 0..12 {
        assert_eq!(funnel(Some(at), None).await, funnel(Some(at), Some(100)).await, "as of {at}");
    }
    let today = funnel(None, None).await;
    assert_eq!(today, funnel(Some(100), None).await);
    assert_eq!(today, funnel(None, Some(100)).await);
}
