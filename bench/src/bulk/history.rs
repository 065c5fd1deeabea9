//! Fills a log with a million events: leads and their first steps, as commands would record them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use crm_aggregates::{LeadAssigned, LeadCaptured, LeadDetails, LeadEvent, LeadQualified, LeadSource, LeadWorkStarted};
use eventstore::{Append, CommandRecord, EventStore, NewEvent, StreamAppend};
use futures::{StreamExt, TryStreamExt, stream};
use kernel::{Clock, Event, EventMetadata, IdSource, SystemClock, SystemIds, TenantId};

/// Events per lead.
pub const STEPS: u64 = 4;

/// Leads per append.
const LEADS: u64 = 100;

/// Concurrent appends: enough that a batch is always waiting.
const AT_ONCE: usize = 8;

/// Events per append.
pub const APPEND: u64 = STEPS * LEADS;

/// Appends `events` events (a multiple of 400). Returns the duration.
pub async fn fill(store: &EventStore, tenant: TenantId, events: u64) -> anyhow::Result<Duration> {
    let started = Instant::now();
    stream::iter((0..events / APPEND).map(|number| {
        // Built lazily, on this task. Only the writing is to be measured, and it waits for us only at the start.
        let append = append(tenant, number);
        async move { store.append(append?).await.map_err(anyhow::Error::from) }
    }))
    .buffer_unordered(AT_ONCE)
    .try_for_each(|_| async { Ok(()) })
    .await?;
    Ok(started.elapsed())
}

fn append(tenant: TenantId, number: u64) -> anyhow::Result<Append> {
    let now = SystemClock.now();
    let command_id = format!("bulk-{number}");
    let request = SystemIds.next();
    let metadata = EventMetadata {
        actor: "bench".to_owned(),
        command_id: command_id.clone(),
        correlation_id: request,
        causation_id: request,
        occurred_at: now,
        permissions: None,
        traceparent: None,
    };
    let metadata: Arc<str> = serde_json::to_string(&metadata)?.into();
    let leads = (0..LEADS).map(|lead| stream_of(number * LEADS + lead, &metadata, now));
    Ok(Append {
        tenant,
        command: CommandRecord { id: command_id, request_hash: [0; 32], answer: "{}".to_owned() },
        streams: leads.collect::<anyhow::Result<_>>()?,
        claims: Vec::new(),
    })
}

fn stream_of(lead: u64, metadata: &Arc<str>, now: DateTime<Utc>) -> anyhow::Result<StreamAppend> {
    let events = life(lead).into_iter().map(|event| {
        Ok(NewEvent {
            event_id: SystemIds.next(),
            event_type: event.name(),
            event_version: event.version(),
            payload: serde_json::to_string(&event)?,
            metadata: metadata.clone(),
            occurred_at: now,
        })
    });
    Ok(StreamAppend {
        aggregate_type: "crm.lead",
        aggregate_id: SystemIds.next().to_string(),
        expected: 0,
        events: events.collect::<anyhow::Result<_>>()?,
    })
}

fn life(lead: u64) -> [LeadEvent; STEPS as usize] {
    let details = LeadDetails {
        name: format!("Ada Byron {lead}").into(),
        company: Some(format!("Engines {lead} Ltd")),
        title: Some("Head of Numbers".to_owned()),
        email: Some(format!("ada.{lead}@example.com").into()),
        phone: None,
        country: Some("GB".to_owned()),
        address: None,
    };
    [
        LeadCaptured { details, source: LeadSource::Website, owner: None, import: None }.into(),
        LeadAssigned { owner: format!("rep-{}", lead % 12) }.into(),
        LeadWorkStarted {}.into(),
        LeadQualified { note: Some("asked for an offer".to_owned().into()) }.into(),
    ]
}
