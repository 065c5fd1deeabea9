//! Erasure of the personal data of leads and contacts, and verification of what the log still reveals about an erased person.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crm_aggregates::{Contact, ContactId, ErasureReason, Lead, LeadId};
use crm_commands::{EraseContact, EraseLead, Erasing, LEAD_CONVERTED_MEANWHILE};
use crm_jobs::FORGET_EXPORTS;
use crm_projections::{contacts, leads};
use executor::{AskedJob, Command as _, Request};
use face::operation::{self, ChangeResult, Target, id};
use face::{Authenticated, Changed, Command, Erasure, Plain, Problem, Runtime};
use kernel::{Aggregate, Caller, Refusal};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use projector::{BeginError, read_models_behind};
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use super::Tag;

/// How long an erasure waits until the read models have caught up with the log.
const READ_MODEL_TIMEOUT: Duration = Duration::from_secs(5);

/// The operations that erase people.
pub struct Erasures {
    runtime: Runtime,
}

impl Erasures {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }

    /// Erases a contact or a lead with all records of the same person, and requests the job that removes the files that contain them.
    async fn erase<C: executor::Command<Answer = ()>>(
        &self,
        request: &Request,
        id: Uuid,
        contact: Option<ContactId>,
        erase: impl FnOnce(Vec<LeadId>, AskedJob) -> C,
    ) -> Result<Changed<Target>, Refusal> {
        let caller = &request.caller;
        // A repeated request gets its first answer, even if the read models are behind.
        if let Some(done) = self.runtime.executor.repeated::<C>(request).await? {
            return Ok(Changed::new(self.runtime.service, done, |()| Target { id }));
        }
        let perhaps = match contact {
            Some(contact) => self.converted_into(caller, contact).await?,
            None => Vec::new(),
        };
        operation::erase(&self.runtime, request, id, FORGET_EXPORTS, |forget| erase(perhaps, forget)).await
    }

    /// Erases a lead, and the contact into which it was converted according to its current state.
    async fn erase_as_known(
        &self,
        request: &Request,
        lead: Uuid,
        reason: ErasureReason,
    ) -> Result<Changed<Target>, Refusal> {
        let contact = self.same_as(&request.caller, lead).await?;
        let erase = |perhaps, forget| EraseLead {
            lead: LeadId::new(lead),
            contact,
            erasing: Erasing { reason, perhaps, forget },
        };
        self.erase(request, lead, contact, erase).await
    }

    /// The contact that is the same person as a lead: the one into which the lead was converted.
    async fn same_as(&self, caller: &Caller, lead: Uuid) -> Result<Option<ContactId>, Refusal> {
        let found = self.load_lossy::<Lead>(caller, lead).await?;
        let (state, whole) = found.ok_or_else(|| executor::not_found::<Lead>(&lead.to_string()))?;
        let converted = state.conversion.as_ref().map(|conversion| conversion.contact);
        if whole || converted.is_some() {
            return Ok(converted);
        }
        // The event of a conversion may be among those that can't be read, so ask the read model of contacts.
        let mut tables = self.current_tables(caller).await?;
        let made = contacts::made_of(&mut tables, caller.tenant(), lead).await;
        Ok(made.map_err(|error| unreadable("the read models", &error))?.map(ContactId::new))
    }

    /// The leads that were converted into a contact according to their own events, even if the contact has no event that says so.
    async fn converted_into(&self, caller: &Caller, contact: ContactId) -> Result<Vec<LeadId>, Refusal> {
        let mut tables = self.current_tables(caller).await?;
        let found = leads::converted_into(&mut tables, caller.tenant(), contact.uuid()).await;
        let found = found.map_err(|error| unreadable("the read models", &error))?;
        drop(tables);
        // Load the leads from the log: their states in this process's cache, on which the command would be based, may be older.
        for lead in &found {
            self.load_lossy::<Lead>(caller, *lead).await?;
        }
        Ok(found.into_iter().map(LeadId::new).collect())
    }

    /// Opens the read models, to search for records of the same person. Waits until they have caught up with the log, because the search
    /// is not repeated later.
    ///
    /// # Errors
    /// `read_model_behind` if they don't catch up in time; `erasure_unavailable`.
    async fn current_tables(&self, caller: &Caller) -> Result<Transaction<'static, Postgres>, Refusal> {
        let (runtime, tenant) = (&self.runtime, caller.tenant());
        let head = runtime.store.head().await.map_err(|error| unreadable("the log", &error))?;
        let begun = runtime.read_models.begin_at(tenant, head, READ_MODEL_TIMEOUT).await;
        begun.map_err(|error| match error {
            BeginError::Behind(behind) => {
                let detail = format!(
                    "it can't be determined yet which other records are the same person, and nothing was changed: the read models are at position {}, the log is at {}; try again",
                    behind.reached, behind.wanted
                );
                read_models_behind(behind, detail)
            }
            BeginError::Unreadable(error) => unreadable("the read models", &error),
        })
    }

    /// Loads an aggregate from those of its events that can be read, and tells whether all could be. Unreadable events do not prevent an
    /// erasure.
    async fn load_lossy<A: Aggregate>(&self, caller: &Caller, id: Uuid) -> Result<Option<(Arc<A>, bool)>, Refusal> {
        self.runtime.executor.load_lossy::<A>(caller, &id.to_string()).await
    }

    /// The event streams of a contact and of all leads that are the same person; none if the contact does not exist.
    async fn contact(&self, caller: &Caller, id: Uuid) -> Result<Option<Vec<(&'static str, Uuid)>>, Refusal> {
        let Some((contact, _)) = self.load_lossy::<Contact>(caller, id).await? else { return Ok(None) };
        let leads: BTreeSet<_> = contact.same().chain(self.converted_into(caller, ContactId::new(id)).await?).collect();
        let leads = leads.into_iter().map(|lead| (Lead::TYPE, LeadId::uuid(lead)));
        Ok(Some(std::iter::once((Contact::TYPE, id)).chain(leads).collect()))
    }

    async fn verification(&self, caller: &Caller, streams: &[(&'static str, Uuid)]) -> Result<Plain<Erasure>, Problem> {
        Ok(Plain(Erasure::of(&self.runtime.store, caller.tenant(), streams, true).await?))
    }
}

/// The reason for an erasure.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"reason": "requested"}))]
struct ErasureBody {
    /// The reason. It is stored permanently, so it is one of these values and never free text.
    reason: ErasureReason,
}

fn unreadable(what: &str, error: &dyn std::fmt::Display) -> Refusal {
    tracing::warn!(%error, "the records of the same person can't be searched");
    Refusal::unavailable("erasure_unavailable", format!("{what} does not answer, and nothing was changed; try again"))
}

#[OpenApi]
impl Erasures {
    /// Erase a lead's personal data
    ///
    /// Also erases the contact into which the lead was converted and all leads that were converted into that contact, because
    /// they are the same person. The history remains under an id that does not identify the person. Files of leads that were
    /// exported or uploaded for import before are removed. This cannot be undone.
    #[oai(path = "/v1/crm/leads/:lead/erase", method = "post", operation_id = "eraseLead", tag = "Tag::Leads")]
    async fn erase_lead(&self, command: Command<ErasureBody>, lead: Path<Uuid>) -> ChangeResult {
        let Command { request, body: ErasureBody { reason } } = command;
        request.caller.require(EraseLead::PERMISSION)?;
        match self.erase_as_known(&request, lead.0, reason).await {
            // The lead was converted meanwhile. It stays converted, so a second attempt is enough.
            Err(refusal) if refusal.code() == LEAD_CONVERTED_MEANWHILE => {
                Ok(self.erase_as_known(&request, lead.0, reason).await?)
            }
            done => Ok(done?),
        }
    }

    /// Erase a contact's personal data
    ///
    /// Also erases all leads that were converted into the contact, because they are the same person. The history remains under
    /// an id that does not identify the person. Files of leads that were exported or uploaded for import before are removed.
    /// This cannot be undone.
    #[oai(
        path = "/v1/crm/contacts/:contact/erase",
        method = "post",
        operation_id = "eraseContact",
        tag = "Tag::Contacts"
    )]
    async fn erase_contact(&self, command: Command<ErasureBody>, contact: Path<Uuid>) -> ChangeResult {
        let Command { request, body: ErasureBody { reason } } = command;
        request.caller.require(EraseContact::PERMISSION)?;
        let erase =
            |perhaps, forget| EraseContact { contact: id(&contact), erasing: Erasing { reason, perhaps, forget } };
        Ok(self.erase(&request, contact.0, Some(id(&contact)), erase).await?)
    }

    /// Verify the erasure of a lead
    ///
    /// Reads every event about the person again, and counts the events with encrypted values that can and that cannot be
    /// decrypted. After an erasure, all that the log holds of the person is an id and values that cannot be decrypted.
    #[oai(path = "/v1/crm/leads/:lead/erasure", method = "get", operation_id = "getLeadErasure", tag = "Tag::Leads")]
    async fn lead(&self, Authenticated(caller): Authenticated, lead: Path<Uuid>) -> Result<Plain<Erasure>, Problem> {
        caller.require(EraseLead::PERMISSION)?;
        let mut streams = vec![(Lead::TYPE, lead.0)];
        if let Some(contact) = self.same_as(&caller, lead.0).await? {
            let same = self.contact(&caller, contact.uuid()).await?.unwrap_or_default();
            streams.extend(same.into_iter().filter(|stream| *stream != (Lead::TYPE, lead.0)));
        }
        self.verification(&caller, &streams).await
    }

    /// Verify the erasure of a contact
    ///
    /// Reads every event about the person again, and counts the events with encrypted values that can and that cannot be
    /// decrypted. After an erasure, all that the log holds of the person is an id and values that cannot be decrypted.
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
        let streams = self
            .contact(&caller, contact.0)
            .await?
            .ok_or_else(|| executor::not_found::<Contact>(&contact.0.to_string()))?;
        self.verification(&caller, &streams).await
    }
}
