//! Derives the claims of CRM from its events. To add a kind of claim, handle its events in the function of its aggregate; a test compares
//! the result with every claim that commands take.

use std::collections::HashMap;

use crm_aggregates::{
    Contact, ContactDetails, ContactEvent, Opportunity, OpportunityEvent, Pipeline, PipelineEvent, StageId,
};
use executor::{ClaimHistory, HeldClaims};
use kernel::{Aggregate, DecodeError, Personal, RecordedEvent};

use crate::contact::EMAIL;
use crate::pipeline::NAME;
use crate::stage::{CLOSED, USE};

/// The claims of one tenant, and the state needed to derive them.
#[derive(Debug, Default)]
pub struct Claims {
    held: HeldClaims,
    /// The e-mail address of each contact.
    emails: HashMap<String, String>,
    /// The name of each pipeline, lower case.
    names: HashMap<String, String>,
}

impl ClaimHistory for Claims {
    fn observe(&mut self, event: &RecordedEvent) -> Result<(), DecodeError> {
        let id = &event.aggregate_id;
        match event.aggregate_type.as_str() {
            Contact::TYPE => event.decode()?.into_iter().for_each(|event| self.contact(id, event)),
            Pipeline::TYPE => event.decode()?.into_iter().for_each(|event| self.pipeline(id, event)),
            Opportunity::TYPE => event.decode()?.into_iter().for_each(|event| self.opportunity(id, event)),
            _ => {}
        }
        Ok(())
    }

    fn held(&self) -> &HeldClaims {
        &self.held
    }
}

impl Claims {
    fn contact(&mut self, id: &str, event: ContactEvent) {
        match event {
            ContactEvent::ContactCreated(e) => self.reach(id, &e.details),
            ContactEvent::ContactDetailsChanged(e) => self.reach(id, &e.details),
            ContactEvent::ContactErased(_) => self.reach(id, &ContactDetails::default()),
            ContactEvent::ContactAccountChanged(_)
            | ContactEvent::ContactReassigned(_)
            | ContactEvent::ContactLeadJoined(_) => {}
        }
    }

    fn pipeline(&mut self, id: &str, event: PipelineEvent) {
        match event {
            PipelineEvent::PipelineCreated(e) => self.name(id, &e.name),
            PipelineEvent::PipelineRenamed(e) => self.name(id, &e.name),
            PipelineEvent::PipelineStageRetired(e) => self.held.claim(&CLOSED, e.stage.to_string(), id),
            PipelineEvent::PipelineStageReactivated(e) => self.held.release(&CLOSED, e.stage.to_string(), id),
            PipelineEvent::PipelineStageRemoved(e) => self.held.claim(&CLOSED, e.stage.to_string(), id),
            PipelineEvent::PipelineStageAdded(_)
            | PipelineEvent::PipelineStageChanged(_)
            | PipelineEvent::PipelineStagesReordered(_) => {}
        }
    }

    fn opportunity(&mut self, id: &str, event: OpportunityEvent) {
        match event {
            OpportunityEvent::OpportunityOpened(e) => self.enter(id, e.stage),
            OpportunityEvent::OpportunityStageChanged(e) => self.enter(id, e.to),
            OpportunityEvent::OpportunityReopened(e) => self.enter(id, e.stage),
            OpportunityEvent::OpportunityRenamed(_)
            | OpportunityEvent::OpportunityAmountChanged(_)
            | OpportunityEvent::OpportunityCloseDateChanged(_)
            | OpportunityEvent::OpportunityReassigned(_)
            | OpportunityEvent::OpportunityAccountChanged(_)
            | OpportunityEvent::OpportunityContactChanged(_)
            | OpportunityEvent::OpportunityWon(_)
            | OpportunityEvent::OpportunityLost(_) => {}
        }
    }

    fn reach(&mut self, contact: &str, details: &ContactDetails) {
        let email = details.email.as_ref().and_then(Personal::known).cloned();
        if details.email.is_some() && email.is_none() {
            self.held.forget(&EMAIL);
        }
        let before = match &email {
            Some(email) => self.emails.insert(contact.to_owned(), email.clone()),
            None => self.emails.remove(contact),
        };
        if before == email {
            return;
        }
        if let Some(before) = before {
            self.held.release(&EMAIL, before, contact);
        }
        if let Some(email) = email {
            self.held.claim(&EMAIL, email, contact);
        }
    }

    fn name(&mut self, pipeline: &str, name: &str) {
        let name = name.to_lowercase();
        if let Some(before) = self.names.insert(pipeline.to_owned(), name.clone()) {
            self.held.release(&NAME, before, pipeline);
        }
        self.held.claim(&NAME, name, pipeline);
    }

    fn enter(&mut self, opportunity: &str, stage: StageId) {
        self.held.claim(&USE, stage.to_string(), opportunity);
    }
}
