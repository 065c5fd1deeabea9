//! Events that can't be applied: the reducer says which, and nothing of the batch is written.

use crm_aggregates::{CurrenciesEvent, ExchangeRateSet, LeadAssigned, LeadEvent, LeadQualified, LeadSource};
use kernel::{Currency, Position, RecordedEvent};
use projector::ApplyError;

use crate::deals::date;
use crate::leads::captured;
use crate::stage::Stage;
use crate::story::{Story, day, id};

fn two_leads() -> Story {
    let mut story = Story::new();
    let lead = id();
    story.add::<LeadEvent>(id(), day(1), captured("Ada", LeadSource::Website, None));
    story.add::<LeadEvent>(lead, day(1), captured("Grace", LeadSource::Website, None));
    story.add::<LeadEvent>(lead, day(2), LeadQualified { note: None });
    story
}

async fn poisons(events: &[RecordedEvent], position: u64, reason: &str) {
    let stage = Stage::fresh().await;
    match stage.apply(events, 100).await {
        Err(ApplyError::Poison { position: at, reason: why }) => {
            assert_eq!(at, Position(position));
            assert!(why.contains(reason), "{why}");
        }
        other => panic!("expected a poisoned event, got {other:?}"),
    }
    assert_eq!(stage.rows().await, 0, "nothing was written");
}

#[tokio::test]
async fn a_payload_that_is_not_what_its_type_says_is_poison() {
    let mut events = two_leads().events;
    events[1].payload = br#"{"event":"crm.lead.captured"}"#.to_vec().into();
    poisons(&events, 2, "can't be read").await;
}

#[tokio::test]
async fn an_event_of_a_newer_program_is_poison() {
    let mut events = two_leads().events;
    events[2].event_version = 9;
    poisons(&events, 3, "version 9").await;
}

#[tokio::test]
async fn a_gap_in_a_stream_is_poison() {
    let mut story = two_leads();
    story.events.remove(1);
    poisons(&story.events, 3, "unknown here").await;
    let mut events = two_leads().events;
    events[2].sequence = 3;
    poisons(&events, 3, "at 1").await;
}

#[tokio::test]
async fn a_history_that_does_not_begin_at_its_beginning_is_poison() {
    let mut story = Story::new();
    story.add::<LeadEvent>(id(), day(1), LeadAssigned { owner: "grace".to_owned() });
    poisons(&story.events, 1, "begins").await;
}

#[tokio::test]
async fn a_rate_by_which_nothing_can_be_divided_is_poison() {
    let mut story = Story::new();
    let rate = ExchangeRateSet { from: Currency::USD, to: Currency::EUR, day: date(1), rate_nanos: 0 };
    story.add::<CurrenciesEvent>(id(), day(1), rate);
    poisons(&story.events, 1, "at least 1").await;
}
