//! Applies opportunity events to rows and history.

use crm_aggregates::{AccountId, ContactId, LeadId, OpportunityEvent, OpportunityStatus, StageId};
use kernel::Money;
use projector::ApplyError;
use sqlx::types::Json;

use super::row::{OpportunityHistoryRow, OpportunityRow};
use folding::as_of::End;
use folding::change::Change;
use folding::fold::Current;
use folding::history::Kept;
use folding::named::Named;
use folding::table::Key;

impl Current for OpportunityRow {
    type Event = OpportunityEvent;

    fn key(&self) -> Key {
        (self.tenant_id, self.opportunity_id)
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn begin(change: &Change<'_, OpportunityEvent>) -> Option<Self> {
        let OpportunityEvent::OpportunityOpened(opened) = &change.event else { return None };
        let (tenant_id, opportunity_id) = change.key;
        Some(Self {
            tenant_id,
            opportunity_id,
            version: change.version,
            name: opened.name.clone(),
            account_id: opened.account.map(AccountId::uuid),
            contact_id: opened.contact.map(ContactId::uuid),
            pipeline_id: opened.pipeline.uuid(),
            stage_id: opened.stage.uuid(),
            status: Named(OpportunityStatus::Open),
            amount_minor: opened.amount.minor,
            currency: Named(opened.amount.currency),
            close_date: opened.close_date,
            owner: opened.owner.clone(),
            lead_id: opened.lead.map(LeadId::uuid),
            lost_reason: None,
            line_items: Json(opened.line_items.clone()),
            opened_at: change.occurred_at,
            stage_since: change.occurred_at,
            closed_at: None,
            changed_at: change.occurred_at,
        })
    }

    fn evolve(&mut self, change: &Change<'_, OpportunityEvent>) {
        self.version = change.version;
        self.changed_at = change.occurred_at;
        match &change.event {
            // Occurs only at the beginning of a stream, where `begin` applies it.
            OpportunityEvent::OpportunityOpened(_) => {}
            OpportunityEvent::OpportunityRenamed(e) => self.name.clone_from(&e.name),
            OpportunityEvent::OpportunityStageChanged(e) => self.enter(e.to, change),
            OpportunityEvent::OpportunityAmountChanged(e) => {
                let Money { minor, currency } = e.amount;
                (self.amount_minor, self.currency) = (minor, Named(currency));
                self.line_items.0.clone_from(&e.line_items);
            }
            OpportunityEvent::OpportunityCloseDateChanged(e) => self.close_date = e.close_date,
            OpportunityEvent::OpportunityReassigned(e) => self.owner = Some(e.owner.clone()),
            OpportunityEvent::OpportunityAccountChanged(e) => self.account_id = e.account.map(AccountId::uuid),
            OpportunityEvent::OpportunityContactChanged(e) => self.contact_id = e.contact.map(ContactId::uuid),
            OpportunityEvent::OpportunityWon(e) => self.close(OpportunityStatus::Won, None, e.last_stage, change),
            OpportunityEvent::OpportunityLost(e) => {
                self.close(OpportunityStatus::Lost, Some(e.reason.clone()), e.last_stage, change);
            }
            OpportunityEvent::OpportunityReopened(e) => {
                self.status = Named(OpportunityStatus::Open);
                (self.closed_at, self.lost_reason) = (None, None);
                self.enter(e.stage, change);
            }
        }
    }
}

impl Kept for OpportunityRow {
    type Version = OpportunityHistoryRow;

    fn kept(&self, change: &Change<'_, OpportunityEvent>) -> Result<OpportunityHistoryRow, ApplyError> {
        Ok(OpportunityHistoryRow {
            tenant_id: self.tenant_id,
            opportunity_id: self.opportunity_id,
            version: change.version,
            change: change.name(),
            pipeline_id: self.pipeline_id,
            stage_id: self.stage_id,
            status: self.status,
            amount_minor: self.amount_minor,
            currency: self.currency,
            close_date: self.close_date,
            owner: self.owner.clone(),
            valid_from: change.occurred_at,
            valid_to: End(None),
            known_from: change.recorded_at,
            known_to: End(None),
        })
    }
}

impl OpportunityRow {
    fn enter(&mut self, stage: StageId, change: &Change<'_, OpportunityEvent>) {
        self.stage_id = stage.uuid();
        self.stage_since = change.occurred_at;
    }

    fn close(
        &mut self,
        status: OpportunityStatus,
        reason: Option<String>,
        last_stage: StageId,
        change: &Change<'_, OpportunityEvent>,
    ) {
        self.status = Named(status);
        self.lost_reason = reason;
        self.stage_id = last_stage.uuid();
        self.closed_at = Some(change.occurred_at);
    }
}
