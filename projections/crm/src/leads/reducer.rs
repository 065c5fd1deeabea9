//! Applies lead events to rows.

use crm_aggregates::{LeadDetails, LeadEvent, LeadStatus};
use kernel::{Personal, RecordedEvent};
use projector::ApplyError;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::row::{LeadHistoryRow, LeadRow};
use folding::as_of::End;
use folding::change::{Change, decode};
use folding::fold::{self, Current, Erasable, fold};
use folding::history::History;
use folding::named::{Named, name};
use folding::table::{self, Key};

/// Applies a batch of lead events.
pub(super) async fn apply(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError> {
    let changes = decode::<LeadEvent>(events)?;
    let mut history = History::with_capacity(changes.len());
    let folded = fold::<LeadRow>(&changes, tables, |change, row| {
        history.add(change, version(change, row, change.actor()?));
        Ok(())
    })
    .await?;
    table::upsert(&folded.after, tables).await?;
    history.write(tables).await?;
    let erased = changes.iter().filter(|change| matches!(change.event, LeadEvent::LeadErased(_)));
    clear_notes(&erased.map(|change| change.key).collect::<Vec<_>>(), NO_NOTE, tables).await
}

/// Removes the personal data of the lead that an event erases, while the event is parked.
pub(super) async fn forget(event: &RecordedEvent, tables: &mut PgConnection) -> Result<(), ApplyError> {
    let folded = fold::forgotten::<LeadRow>(event, tables).await?;
    clear_notes(&folded.after.iter().map(Current::key).collect::<Vec<_>>(), REASON_CODE, tables).await
}

/// SQL for the new note after an erasure: none.
const NO_NOTE: &str = "NULL";

/// SQL for the new note while the erasing event is parked, as a rebuild without the keys would give it: of a disqualification, the reason
/// code remains and the text that a person wrote is removed.
const REASON_CODE: &str = "CASE WHEN h.change = 'disqualified' THEN split_part(h.note, ': ', 1) END";

/// Replaces the notes in the history of erased leads by `left`. The note of an escalation is kept: it is the user to whom the lead was
/// escalated, and no data about the lead.
async fn clear_notes(erased: &[Key], left: &str, tables: &mut PgConnection) -> Result<(), ApplyError> {
    if erased.is_empty() {
        return Ok(());
    }
    let (tenants, leads): (Vec<_>, Vec<_>) = erased.iter().copied().unzip();
    let forget = format!(
        "UPDATE lead_history h SET note = {left}
         FROM UNNEST($1::uuid[], $2::uuid[]) AS erased (tenant_id, lead_id)
         WHERE h.tenant_id = erased.tenant_id AND h.lead_id = erased.lead_id
           AND h.note IS NOT NULL AND h.change <> 'escalated'"
    );
    sqlx::query(&forget).bind(tenants).bind(leads).execute(tables).await?;
    Ok(())
}

fn version(change: &Change<'_, LeadEvent>, row: &LeadRow, actor: String) -> LeadHistoryRow {
    LeadHistoryRow {
        tenant_id: row.tenant_id,
        lead_id: row.lead_id,
        version: change.version,
        change: change.name(),
        actor,
        status: row.status,
        owner: row.owner.clone(),
        note: note(&change.event),
        valid_from: change.occurred_at,
        valid_to: End(None),
        known_from: change.recorded_at,
        known_to: End(None),
    }
}

fn note(event: &LeadEvent) -> Option<String> {
    match event {
        LeadEvent::LeadQualified(e) => e.note.as_ref().and_then(Personal::known).cloned(),
        LeadEvent::LeadRecycled(e) => e.reason.known().cloned(),
        LeadEvent::LeadDisqualified(e) => Some(match e.note.as_ref().and_then(Personal::known) {
            Some(note) => format!("{}: {note}", name(&e.reason)),
            None => name(&e.reason),
        }),
        LeadEvent::LeadEscalated(e) => Some(e.to.clone()),
        LeadEvent::LeadCaptured(_)
        | LeadEvent::LeadDetailsChanged(_)
        | LeadEvent::LeadAssigned(_)
        | LeadEvent::LeadWorkStarted(_)
        | LeadEvent::LeadConverted(_)
        | LeadEvent::LeadEscalationWithdrawn(_)
        | LeadEvent::LeadWithdrawn(_)
        | LeadEvent::LeadRestored(_)
        | LeadEvent::LeadErased(_) => None,
    }
}

impl Current for LeadRow {
    type Event = LeadEvent;

    fn key(&self) -> Key {
        (self.tenant_id, self.lead_id)
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn begin(change: &Change<'_, LeadEvent>) -> Option<Self> {
        let LeadEvent::LeadCaptured(captured) = &change.event else { return None };
        let (tenant_id, lead_id) = change.key;
        let mut row = Self {
            tenant_id,
            lead_id,
            version: change.version,
            name: String::new(),
            company: None,
            title: None,
            email: None,
            phone: None,
            country: None,
            address: None,
            source: Named(captured.source),
            status: Named(LeadStatus::New),
            owner: captured.owner.clone(),
            import_id: captured.import.map(crm_aggregates::ImportId::uuid),
            account_id: None,
            contact_id: None,
            opportunity_id: None,
            reason: None,
            captured_at: change.occurred_at,
            assigned_at: None,
            started_at: None,
            qualified_at: None,
            converted_at: None,
            disqualified_at: None,
            withdrawn_at: None,
            changed_at: change.occurred_at,
        };
        row.describe(&captured.details);
        if captured.owner.is_some() {
            row.reach(LeadStatus::Assigned, change);
        }
        Some(row)
    }

    fn evolve(&mut self, change: &Change<'_, LeadEvent>) {
        self.version = change.version;
        self.changed_at = change.occurred_at;
        match &change.event {
            LeadEvent::LeadCaptured(e) => self.describe(&e.details),
            LeadEvent::LeadDetailsChanged(e) => self.describe(&e.details),
            LeadEvent::LeadAssigned(e) => {
                self.owner = Some(e.owner.clone());
                // A new responsible user does not move a lead back to an earlier step.
                if matches!(self.status.0, LeadStatus::New | LeadStatus::Recycled) {
                    self.reach(LeadStatus::Assigned, change);
                }
            }
            LeadEvent::LeadWorkStarted(_) => self.reach(LeadStatus::InProcess, change),
            LeadEvent::LeadQualified(_) => self.reach(LeadStatus::Qualified, change),
            LeadEvent::LeadConverted(e) => {
                self.reach(LeadStatus::Converted, change);
                self.account_id = Some(e.account.uuid());
                self.contact_id = Some(e.contact.uuid());
                self.opportunity_id = e.opportunity.map(crm_aggregates::OpportunityId::uuid);
            }
            LeadEvent::LeadRecycled(e) => {
                self.reach(LeadStatus::Recycled, change);
                self.reason = e.reason.known().cloned();
            }
            LeadEvent::LeadDisqualified(e) => {
                self.reach(LeadStatus::Disqualified, change);
                self.reason = Some(name(&e.reason));
            }
            LeadEvent::LeadWithdrawn(_) => {
                self.reach(LeadStatus::Withdrawn, change);
                self.withdrawn_at = Some(change.occurred_at);
            }
            LeadEvent::LeadRestored(_) => {
                self.reach(LeadStatus::untouched(self.owner.is_some()), change);
                self.withdrawn_at = None;
            }
            LeadEvent::LeadErased(_) => {
                self.reach(LeadStatus::Erased, change);
                self.describe(&LeadDetails::default());
            }
            // An escalation is recorded in the history only; it does not change the status.
            LeadEvent::LeadEscalated(_) | LeadEvent::LeadEscalationWithdrawn(_) => {}
        }
    }
}

impl Erasable for LeadRow {
    fn forget(&mut self) {
        (self.name, self.email, self.phone, self.address) = (String::new(), None, None, None);
        // The reason of a disqualification is a code; that of a recycling is free text.
        if self.status.0 == LeadStatus::Recycled {
            self.reason = None;
        }
    }
}

impl LeadRow {
    fn describe(&mut self, details: &LeadDetails) {
        let LeadDetails { name, company, title, email, phone, country, address } = details;
        self.name.clone_from(name.reveal());
        self.company.clone_from(company);
        self.title.clone_from(title);
        // Folded again: events from before addresses were stored in Unicode's composed form are found like the others.
        self.email = email.as_ref().and_then(Personal::known).map(|email| kernel::folded(email));
        self.phone = phone.as_ref().and_then(Personal::known).cloned();
        self.country.clone_from(country);
        self.address = address.as_ref().and_then(Personal::known).cloned().map(Json);
    }

    /// Sets the status, and records when the lead first reached this step of the funnel. Skipped steps get the same time, so that each step
    /// of the funnel has at least as many leads as the next one.
    fn reach(&mut self, status: LeadStatus, change: &Change<'_, LeadEvent>) {
        self.status = Named(status);
        self.reason = None;
        let reached = match status {
            LeadStatus::New | LeadStatus::Recycled | LeadStatus::Withdrawn | LeadStatus::Erased => 0,
            LeadStatus::Assigned => 1,
            LeadStatus::InProcess => 2,
            LeadStatus::Qualified => 3,
            LeadStatus::Converted => 4,
            LeadStatus::Disqualified => {
                self.disqualified_at.get_or_insert(change.occurred_at);
                0
            }
        };
        let steps = [&mut self.assigned_at, &mut self.started_at, &mut self.qualified_at, &mut self.converted_at];
        for step in steps.into_iter().take(reached) {
            step.get_or_insert(change.occurred_at);
        }
    }
}
