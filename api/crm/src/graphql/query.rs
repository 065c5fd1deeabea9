//! CRM's questions.

use chrono::{DateTime, Utc};
use crm_projections::AsOf;
use face::graphql::{Context, Node, window};
use juniper::{FieldResult, graphql_object};
use uuid::Uuid;

use super::account::{self, Account, AccountConnection, AccountFilter, AccountOrder};
use super::board::{self, PipelineBoard};
use super::contact::{self, Contact, ContactConnection, ContactFilter, ContactOrder};
use super::funnel::{self, FunnelOfSource};
use super::lead::{self, Lead, LeadChange, LeadConnection, LeadFilter, LeadOrder};
use super::movement::{self, PipelineMovement};
use super::opportunity::{self, Opportunity, OpportunityConnection, OpportunityFilter, OpportunityOrder};
use super::pipeline::{self, Pipeline};

/// Leads, contacts, accounts, opportunities and pipelines: today, and as of any day.
#[derive(Clone, Copy, Debug, Default)]
pub struct CrmQuery;

/// Leads, contacts, accounts, opportunities and pipelines: today, and as of any day.
#[graphql_object(context = Context)]
impl CrmQuery {
    /// A lead; `null`: unknown.
    async fn lead(context: &Context, id: Uuid) -> FieldResult<Option<Lead>> {
        Lead::of(context, Some(id)).await
    }

    /// Leads, last captured first unless ordered otherwise.
    async fn leads(
        context: &Context,
        filter: Option<LeadFilter>,
        order_by: Option<LeadOrder>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<LeadConnection>> {
        lead::list(context, filter, order_by, first, after).await.map(Some)
    }

    /// What happened to a lead, first to last, 50 changes unless `first` says otherwise; an unknown lead has none.
    async fn lead_history(
        context: &Context,
        id: Uuid,
        #[graphql(default = 50)] first: Option<i32>,
        after_version: Option<i32>,
    ) -> FieldResult<Option<Vec<LeadChange>>> {
        let (after, first) = window(first, after_version)?;
        lead::history(context, id, after, first).await.map(Some)
    }

    /// How a lead stood at `asOf`, as far as was known at `knownAt`; `null`: it was not there, or not known.
    async fn lead_standing(
        context: &Context,
        id: Uuid,
        as_of: Option<DateTime<Utc>>,
        known_at: Option<DateTime<Utc>>,
    ) -> FieldResult<Option<LeadChange>> {
        lead::standing(context, id, AsOf { at: as_of, known: known_at }).await
    }

    /// How far the leads captured from `from` until before `to` came by `asOf` (today, if left out), by source.
    async fn funnel(
        context: &Context,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        as_of: Option<DateTime<Utc>>,
    ) -> FieldResult<Option<Vec<FunnelOfSource>>> {
        funnel::funnel(context, from, to, as_of).await.map(Some)
    }

    /// A contact; `null`: unknown.
    async fn contact(context: &Context, id: Uuid) -> FieldResult<Option<Contact>> {
        Contact::of(context, Some(id)).await
    }

    /// Contacts, by name unless ordered otherwise.
    async fn contacts(
        context: &Context,
        filter: Option<ContactFilter>,
        order_by: Option<ContactOrder>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<ContactConnection>> {
        contact::list(context, filter, order_by, first, after).await.map(Some)
    }

    /// An account; `null`: unknown.
    async fn account(context: &Context, id: Uuid) -> FieldResult<Option<Account>> {
        Account::of(context, Some(id)).await
    }

    /// Accounts, by name unless ordered otherwise.
    async fn accounts(
        context: &Context,
        filter: Option<AccountFilter>,
        order_by: Option<AccountOrder>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<AccountConnection>> {
        account::list(context, filter, order_by, first, after).await.map(Some)
    }

    /// An opportunity; `null`: unknown.
    async fn opportunity(context: &Context, id: Uuid) -> FieldResult<Option<Opportunity>> {
        Opportunity::of(context, Some(id)).await
    }

    /// Opportunities, next to close first unless ordered otherwise.
    async fn opportunities(
        context: &Context,
        filter: Option<OpportunityFilter>,
        order_by: Option<OpportunityOrder>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<OpportunityConnection>> {
        opportunity::list(context, filter, order_by, first, after).await.map(Some)
    }

    /// A pipeline; `null`: unknown.
    async fn pipeline(context: &Context, id: Uuid) -> FieldResult<Option<Pipeline>> {
        Pipeline::of(context, Some(id)).await
    }

    /// All pipelines, by name.
    async fn pipelines(context: &Context) -> FieldResult<Option<Vec<Pipeline>>> {
        pipeline::list(context).await.map(Some)
    }

    /// A pipeline's open deals by stage at `asOf` (today, if left out), as far as was known at `knownAt` (as known today,
    /// if left out). Stages, probabilities and exchange rates are those of `asOf`. `null`: unknown pipeline.
    async fn pipeline_board(
        context: &Context,
        pipeline_id: Uuid,
        as_of: Option<DateTime<Utc>>,
        known_at: Option<DateTime<Utc>>,
    ) -> FieldResult<Option<PipelineBoard>> {
        board::board(context, pipeline_id, AsOf { at: as_of, known: known_at }).await
    }

    /// What moved in a pipeline after `from` and until `to` (until now, if left out). `null`: unknown pipeline.
    async fn pipeline_movement(
        context: &Context,
        pipeline_id: Uuid,
        from: DateTime<Utc>,
        to: Option<DateTime<Utc>>,
    ) -> FieldResult<Option<PipelineMovement>> {
        movement::movement(context, pipeline_id, from, to).await
    }
}
