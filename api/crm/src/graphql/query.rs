//! The queries in the GraphQL namespace `crm`.

use chrono::{DateTime, Utc};
use crm_projections::AsOf;
use face::graphql::{Context, Node, window};
use juniper::{FieldResult, graphql_object};
use uuid::Uuid;

use super::account::{self, Account, AccountChange, AccountConnection, AccountFilter, AccountOrder};
use super::board::{self, PipelineBoard};
use super::contact::{self, Contact, ContactChange, ContactConnection, ContactFilter, ContactOrder};
use super::funnel::{self, FunnelOfSource};
use super::lead::{self, Lead, LeadChange, LeadConnection, LeadFilter, LeadOrder};
use super::movement::{self, PipelineMovement};
use super::opportunity::{self, Opportunity, OpportunityConnection, OpportunityFilter, OpportunityOrder};
use super::pipeline::{self, Pipeline};

/// Leads, contacts, accounts, opportunities and pipelines: their current state, and reports as of any point in time.
#[derive(Clone, Copy, Debug, Default)]
pub struct CrmQuery;

/// Leads, contacts, accounts, opportunities and pipelines: their current state, and reports as of any point in time.
#[graphql_object(context = Context)]
impl CrmQuery {
    /// A lead by its id; `null` if it does not exist.
    async fn lead(context: &Context, id: Uuid) -> FieldResult<Option<Lead>> {
        Lead::of(context, Some(id)).await
    }

    /// A page of leads. Default order: most recently captured first.
    async fn leads(
        context: &Context,
        filter: Option<LeadFilter>,
        order_by: Option<LeadOrder>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<LeadConnection>> {
        lead::list(context, filter, order_by, first, after).await.map(Some)
    }

    /// The history of a lead, oldest change first. Returns 50 changes unless `first` is given, and none if the lead does not
    /// exist.
    async fn lead_history(
        context: &Context,
        id: Uuid,
        #[graphql(default = 50)] first: Option<i32>,
        after_version: Option<i32>,
    ) -> FieldResult<Option<Vec<LeadChange>>> {
        lead::history(context, id, window(first, after_version)?).await.map(Some)
    }

    /// The state of a lead at `asOf` (default: now), considering only events that were recorded until `knownAt` (default: all).
    /// `null` if the lead did not exist then or was not yet recorded.
    async fn lead_standing(
        context: &Context,
        id: Uuid,
        as_of: Option<DateTime<Utc>>,
        known_at: Option<DateTime<Utc>>,
    ) -> FieldResult<Option<LeadChange>> {
        lead::standing(context, id, AsOf { at: as_of, known: known_at }).await
    }

    /// How far the leads captured from `from` (inclusive) to `to` (exclusive) had progressed by `asOf` (default: now), by
    /// source, considering only events that were recorded until `knownAt` (default: all). Leads that were withdrawn with
    /// their import by then do not count.
    async fn funnel(
        context: &Context,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        as_of: Option<DateTime<Utc>>,
        known_at: Option<DateTime<Utc>>,
    ) -> FieldResult<Option<Vec<FunnelOfSource>>> {
        funnel::funnel(context, from, to, AsOf { at: as_of, known: known_at }).await.map(Some)
    }

    /// A contact by its id; `null` if it does not exist.
    async fn contact(context: &Context, id: Uuid) -> FieldResult<Option<Contact>> {
        Contact::of(context, Some(id)).await
    }

    /// A page of contacts. Default order: by name.
    async fn contacts(
        context: &Context,
        filter: Option<ContactFilter>,
        order_by: Option<ContactOrder>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<ContactConnection>> {
        contact::list(context, filter, order_by, first, after).await.map(Some)
    }

    /// The history of a contact, oldest change first. Returns 50 changes unless `first` is given, and none if the contact does
    /// not exist.
    async fn contact_history(
        context: &Context,
        id: Uuid,
        #[graphql(default = 50)] first: Option<i32>,
        after_version: Option<i32>,
    ) -> FieldResult<Option<Vec<ContactChange>>> {
        contact::history(context, id, window(first, after_version)?).await.map(Some)
    }

    /// An account by its id; `null` if it does not exist.
    async fn account(context: &Context, id: Uuid) -> FieldResult<Option<Account>> {
        Account::of(context, Some(id)).await
    }

    /// A page of accounts. Default order: by name.
    async fn accounts(
        context: &Context,
        filter: Option<AccountFilter>,
        order_by: Option<AccountOrder>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<AccountConnection>> {
        account::list(context, filter, order_by, first, after).await.map(Some)
    }

    /// The history of an account, oldest change first. Returns 50 changes unless `first` is given, and none if the account does
    /// not exist.
    async fn account_history(
        context: &Context,
        id: Uuid,
        #[graphql(default = 50)] first: Option<i32>,
        after_version: Option<i32>,
    ) -> FieldResult<Option<Vec<AccountChange>>> {
        account::history(context, id, window(first, after_version)?).await.map(Some)
    }

    /// An opportunity by its id; `null` if it does not exist.
    async fn opportunity(context: &Context, id: Uuid) -> FieldResult<Option<Opportunity>> {
        Opportunity::of(context, Some(id)).await
    }

    /// A page of opportunities. Default order: earliest expected close date first.
    async fn opportunities(
        context: &Context,
        filter: Option<OpportunityFilter>,
        order_by: Option<OpportunityOrder>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<OpportunityConnection>> {
        opportunity::list(context, filter, order_by, first, after).await.map(Some)
    }

    /// A pipeline by its id; `null` if it does not exist.
    async fn pipeline(context: &Context, id: Uuid) -> FieldResult<Option<Pipeline>> {
        Pipeline::of(context, Some(id)).await
    }

    /// All pipelines, by name.
    async fn pipelines(context: &Context) -> FieldResult<Option<Vec<Pipeline>>> {
        pipeline::list(context).await.map(Some)
    }

    /// A pipeline's open deals by stage at `asOf` (default: now), considering only events that were recorded until `knownAt`
    /// (default: all). Stages, probabilities and exchange rates are those at `asOf`. `null` if the pipeline does not exist.
    async fn pipeline_board(
        context: &Context,
        pipeline_id: Uuid,
        as_of: Option<DateTime<Utc>>,
        known_at: Option<DateTime<Utc>>,
    ) -> FieldResult<Option<PipelineBoard>> {
        board::board(context, pipeline_id, AsOf { at: as_of, known: known_at }).await
    }

    /// Changes in a pipeline after `from` and up to `to` (default: now), considering only events that were recorded until
    /// `knownAt` (default: all). `null` if the pipeline does not exist.
    async fn pipeline_movement(
        context: &Context,
        pipeline_id: Uuid,
        from: DateTime<Utc>,
        to: Option<DateTime<Utc>>,
        known_at: Option<DateTime<Utc>>,
    ) -> FieldResult<Option<PipelineMovement>> {
        movement::movement(context, pipeline_id, from, AsOf { at: to, known: known_at }).await
    }
}
