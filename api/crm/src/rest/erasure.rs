//! Erasure: nobody can tell any more who a lead or a contact was; and what the log can still tell of them.

use crm_aggregates::{Contact, ContactId, ErasureReason, Lead, LeadId};
use crm_commands::{EraseContact, EraseLead};
use executor::Command as _;
use face::operation::{Done, change, id};
use face::{Authenticated, Command, Erasure, Plain, Problem, Runtime};
use kernel::{Aggregate, Caller, Refusal};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use super::Tag;

/// The operations that erase people.
pub struct Erasures {
    runtime: Runtime,
}

impl Erasures {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }

    async fn load<A: Aggregate>(&self, caller: &Caller, id: Uuid) -> Result<Option<std::sync::Arc<A>>, Refusal> {
        Ok(self.runtime.executor.load::<A>(caller, &id.to_string()).await?.map(|(state, _)| state))
    }

    async fn contact(&self, caller: &Caller, id: Uuid) -> Result<Option<Vec<(&'static str, Uuid)>>, Refusal> {
        let Some(contact) = self.load::<Contact>(caller, id).await? else { return Ok(None) };
        let leads = contact.same().map(|lead| (Lead::TYPE, LeadId::uuid(lead)));
        Ok(Some(std::iter::once((Contact::TYPE, id)).chain(leads).collect()))
    }

    async fn told(&self, caller: &Caller, streams: &[(&'static str, Uuid)]) -> Result<Plain<Erasure>, Problem> {
        Ok(Plain(Erasure::of(&self.runtime, caller.tenant(), streams).await?))
    }
}

/// Why somebody is erased.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ErasureBody {
    /// The reason: it is kept, so it is one of these words and no text.
    reason: ErasureReason,
}

fn unknown(aggregate_type: &'static str, id: Uuid) -> Refusal {
    Refusal::not_found("not_found", format!("there is no {aggregate_type} {id}")).with("resource", aggregate_type)
}

#[OpenApi]
impl Erasures {
    /// Erase a lead: nobody can tell any more who it was
    ///
    /// With it goes the contact that it was converted into, and every lead that was converted into that one: they are the same
    /// person. What happened stays, to an id that tells nobody who it was. This can't be undone.
    #[oai(path = "/v1/crm/leads/:lead/erase", method = "post", operation_id = "eraseLead", tag = "Tag::Leads")]
    async fn erase_lead(&self, command: Command<ErasureBody>, lead: Path<Uuid>) -> Done {
        let erase = EraseLead { lead: id(&lead), reason: command.body.reason };
        change(&self.runtime, &command.request, lead.0, erase).await
    }

    /// Erase a contact: nobody can tell any more who they were
    ///
    /// With them go the leads that were converted into them: they are the same person. What happened stays, to an id that tells
    /// nobody who it was. This can't be undone.
    #[oai(
        path = "/v1/crm/contacts/:contact/erase",
        method = "post",
        operation_id = "eraseContact",
        tag = "Tag::Contacts"
    )]
    async fn erase_contact(&self, command: Command<ErasureBody>, contact: Path<Uuid>) -> Done {
        let erase = EraseContact { contact: id(&contact), reason: command.body.reason };
        change(&self.runtime, &command.request, contact.0, erase).await
    }

    /// What the log can still tell of a lead
    ///
    /// Who was erased is in it by an id, and by what cannot be opened: this looks at every event anew.
    #[oai(path = "/v1/crm/leads/:lead/erasure", method = "get", operation_id = "getLeadErasure", tag = "Tag::Leads")]
    async fn lead(&self, Authenticated(caller): Authenticated, lead: Path<Uuid>) -> Result<Plain<Erasure>, Problem> {
        caller.require(EraseLead::PERMISSION)?;
        let state = self.load::<Lead>(&caller, lead.0).await?.ok_or_else(|| unknown(Lead::TYPE, lead.0))?;
        let mut streams = vec![(Lead::TYPE, lead.0)];
        if let Some(conversion) = &state.conversion {
            let same = self.contact(&caller, ContactId::uuid(conversion.contact)).await?.unwrap_or_default();
            streams.extend(same.into_iter().filter(|stream| *stream != (Lead::TYPE, lead.0)));
        }
        self.told(&caller, &streams).await
    }

    /// What the log can still tell of a contact
    ///
    /// Who was erased is in it by an id, and by what cannot be opened: this looks at every event anew.
    #[oai(
        path = "/v1/crm/contacts/:contact/erasure",
        method = "get",
        operation_id = "getContactErasure",
        tag = "Tag::Contacts"
    )]
    async fn of_contact(
        &self,
        Authenticated(caller): Authenticated,
        contact: Path<Uuid>,
    ) -> Result<Plain<Erasure>, Problem> {
        caller.require(EraseContact::PERMISSION)?;
        let streams = self.contact(&caller, contact.0).await?.ok_or_else(|| unknown(Contact::TYPE, contact.0))?;
        self.told(&caller, &streams).await
    }
}
