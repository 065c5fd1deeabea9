//! Measures how fast each read model of CRM applies a history: `cargo run --release -p crm-projections --example catch_up [events]`.
//!
//! Events are made in memory and applied in batches of 5,000, each in one transaction under row level security, as the
//! projector does when it catches up. What is measured is decoding, folding and writing, not the reading of the log.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "the tests read and count, too")]
#[path = "../tests/crm/stage.rs"]
mod stage;
#[path = "../tests/crm/story.rs"]
mod story;

use std::time::Instant;

use crm_aggregates::{
    ContactCreated, ContactDetails, ContactDetailsChanged, ContactEvent, LeadAssigned, LeadCaptured, LeadDetails,
    LeadEvent, LeadQualified, LeadSource, LeadWorkStarted, OpportunityAmountChanged, OpportunityEvent,
    OpportunityOpened, OpportunityStageChanged, OpportunityWon, PipelineId, StageId,
};
use kernel::{Currency, Money};

use crate::stage::Stage;
use crate::story::{Story, day, id};

/// The projector's batch when it reads the log.
const BATCH: usize = 5_000;
/// The number of aggregates whose events are interleaved, so that most events of an aggregate are in different batches.
const ALIVE: usize = 4_000;

#[tokio::main]
async fn main() {
    let events = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(200_000);
    for (name, story) in
        [("leads", leads(events)), ("opportunities", opportunities(events)), ("contacts", contacts(events))]
    {
        let stage = Stage::of("crm", crm_projections::projections()).await;
        let started = Instant::now();
        stage.apply(&story.events, BATCH).await.unwrap();
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "{name:>14}: {:>8} events in {seconds:>6.2} s = {:>8.0} events/s",
            events,
            f64::from(events) / seconds
        );
    }
}

/// Runs `steps` steps of each of a set of aggregates: the first step of all, then the second, and so on.
fn crowd(events: u32, steps: usize, mut step: impl FnMut(&mut Story, uuid::Uuid, usize)) -> Story {
    let mut story = Story::new();
    while story.events.len() < events as usize {
        let ids: Vec<_> = (0..ALIVE).map(|_| id()).collect();
        for n in 0..steps {
            for id in &ids {
                step(&mut story, *id, n);
            }
        }
    }
    story.events.truncate(events as usize);
    story
}

fn leads(events: u32) -> Story {
    crowd(events, 4, |story, lead, step| {
        let event: LeadEvent = match step {
            0 => LeadCaptured {
                details: LeadDetails {
                    name: "Ada Lovelace".to_owned().into(),
                    company: Some("Analytical Engines".to_owned()),
                    email: Some(format!("{lead}@example.com").into()),
                    phone: Some("+4930123456".to_owned().into()),
                    ..LeadDetails::default()
                },
                source: LeadSource::Website,
                owner: None,
                import: None,
            }
            .into(),
            1 => LeadAssigned { owner: "grace".to_owned() }.into(),
            2 => LeadWorkStarted {}.into(),
            _ => LeadQualified { note: None }.into(),
        };
        story.add::<LeadEvent>(lead, day(step.try_into().unwrap()), event);
    })
}

fn opportunities(events: u32) -> Story {
    let (pipeline, stages) = (PipelineId::new(id()), [(); 3].map(|()| StageId::new(id())));
    crowd(events, 5, |story, deal, step| {
        let amount = Money { minor: 1_000_000, currency: Currency::EUR };
        let event: OpportunityEvent = match step {
            0 => OpportunityOpened {
                name: "A deal".to_owned(),
                account: None,
                contact: None,
                pipeline,
                stage: stages[0],
                amount,
                close_date: day(100).date_naive(),
                owner: Some("grace".to_owned()),
                line_items: Vec::new(),
                lead: None,
            }
            .into(),
            1 => OpportunityStageChanged { from: stages[0], to: stages[1] }.into(),
            2 => OpportunityAmountChanged { amount, line_items: Vec::new() }.into(),
            3 => OpportunityStageChanged { from: stages[1], to: stages[2] }.into(),
            _ => OpportunityWon { last_stage: stages[2] }.into(),
        };
        story.add::<OpportunityEvent>(deal, day(step.try_into().unwrap()), event);
    })
}

fn contacts(events: u32) -> Story {
    crowd(events, 2, |story, contact, step| {
        let details = ContactDetails {
            name: "Ada Lovelace".to_owned().into(),
            email: Some(format!("ada@{}.example.com", contact.simple()).into()),
            ..ContactDetails::default()
        };
        let event: ContactEvent = match step {
            0 => ContactCreated { details, account: None, owner: None, lead: None }.into(),
            _ => ContactDetailsChanged { details }.into(),
        };
        story.add::<ContactEvent>(contact, day(step.try_into().unwrap()), event);
    })
}
