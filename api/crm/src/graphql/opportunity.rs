//! Opportunities in GraphQL.

use chrono::{DateTime, NaiveDate, Utc};
use crm_projections::opportunities::{self, OpportunityHistoryRow, OpportunityRow};
use face::connection;
use face::graphql::{
    Context, Fetch, Fetching, Node, Session, Share, Stretch, bad_argument, deal, forward, int, load, owners, page,
    window,
};
use juniper::{FieldResult, GraphQLEnum, GraphQLInputObject, GraphQLObject, graphql_object};
use kernel::{Currency, Service, TenantId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::account::Account;
use super::contact::Contact;
use super::history;
use super::lead::Lead;
use super::mirror::mirror;
use super::money::Money;
use super::pipeline::{Pipeline, Stage};
use crate::SERVICE;

/// What one needs to see opportunities and boards.
pub(crate) const READ: &str = "crm:opportunity:read";

/// A deal on its way through a pipeline.
#[derive(Clone, Debug)]
pub struct Opportunity(OpportunityRow);

mirror! {
    /// Where an opportunity stands.
    pub enum OpportunityStatus of crm_aggregates::OpportunityStatus {
        /// On its way.
        Open,
        /// The customer signed.
        Won,
        /// The customer will not sign.
        Lost,
    }
}

/// A line of what is sold.
#[derive(Clone, Debug, GraphQLObject)]
pub struct LineItem {
    /// What it is.
    name: String,
    /// How many.
    quantity: i32,
    /// Price of one.
    unit_price: Money,
}

/// A deal on its way through a pipeline.
#[graphql_object(context = Context)]
impl Opportunity {
    /// The opportunity's id.
    fn id(&self) -> Uuid {
        self.0.opportunity_id
    }

    /// The opportunity's version, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// What it is about.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Open, won or lost.
    fn status(&self) -> OpportunityStatus {
        self.0.status.0.into()
    }

    /// What it is worth.
    fn amount(&self) -> Money {
        self.0.amount().into()
    }

    /// What the amount is made of; empty: the amount stands alone.
    fn line_items(&self) -> Vec<LineItem> {
        let item = |item: &crm_aggregates::LineItem| LineItem {
            name: item.name.clone(),
            quantity: int(item.quantity.into()),
            unit_price: Money::new(item.unit_price_minor.into(), self.0.currency.0),
        };
        self.0.line_items.0.iter().map(item).collect()
    }

    /// Expected day of closing.
    fn close_date(&self) -> NaiveDate {
        self.0.close_date
    }

    /// The user responsible, by the subject of their token.
    fn owner(&self) -> Option<&str> {
        self.0.owner.as_deref()
    }

    /// Why it was lost.
    fn lost_reason(&self) -> Option<&str> {
        self.0.lost_reason.as_deref()
    }

    /// When it came into sight.
    fn opened_at(&self) -> DateTime<Utc> {
        self.0.opened_at
    }

    /// Since when it stands in its stage.
    fn stage_since(&self) -> DateTime<Utc> {
        self.0.stage_since
    }

    /// When it was won or lost.
    fn closed_at(&self) -> Option<DateTime<Utc>> {
        self.0.closed_at
    }

    /// When anything last happened to it.
    fn changed_at(&self) -> DateTime<Utc> {
        self.0.changed_at
    }

    /// Its pipeline.
    async fn pipeline(&self, context: &Context) -> FieldResult<Option<Pipeline>> {
        Pipeline::of(context, Some(self.0.pipeline_id)).await
    }

    /// The stage in which it stands, or stood when it was closed.
    async fn stage(&self, context: &Context) -> FieldResult<Option<Stage>> {
        let pipeline = Pipeline::of(context, Some(self.0.pipeline_id)).await?;
        Ok(pipeline.and_then(|pipeline| pipeline.stage(self.0.stage_id)))
    }

    /// With whom.
    async fn account(&self, context: &Context) -> FieldResult<Option<Account>> {
        Account::of(context, self.0.account_id).await
    }

    /// The person there.
    async fn contact(&self, context: &Context) -> FieldResult<Option<Contact>> {
        Contact::of(context, self.0.contact_id).await
    }

    /// The lead that it was converted from.
    async fn lead(&self, context: &Context) -> FieldResult<Option<Lead>> {
        Lead::of(context, self.0.lead_id).await
    }

    /// What happened to it, first to last, 50 changes unless `first` says otherwise.
    async fn history(
        &self,
        context: &Context,
        #[graphql(default = 50)] first: Option<i32>,
        after_version: Option<i32>,
    ) -> FieldResult<Vec<OpportunityChange>> {
        context.require(history::READ)?;
        let (after, first) = window(first, after_version)?;
        let changes = load::<Histories>(context, SERVICE, (self.0.opportunity_id, after, first)).await?;
        Ok(changes.unwrap_or_default())
    }
}

/// What happened to an opportunity, and how it stood until the next change.
#[derive(Clone, Debug)]
pub struct OpportunityChange(OpportunityHistoryRow);

/// What happened to an opportunity, and how it stood until the next change.
#[graphql_object(context = Context)]
impl OpportunityChange {
    /// The opportunity's version after it.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// What happened, such as `stage_changed`.
    fn change(&self) -> &str {
        &self.0.change
    }

    /// Open, won or lost from then on.
    fn status(&self) -> OpportunityStatus {
        self.0.status.0.into()
    }

    /// What it was worth from then on.
    fn amount(&self) -> Money {
        Money::new(self.0.amount_minor.into(), self.0.currency.0)
    }

    /// The expected day of closing from then on.
    fn close_date(&self) -> NaiveDate {
        self.0.close_date
    }

    /// The stage in which it stood from then on.
    fn stage_id(&self) -> Uuid {
        self.0.stage_id
    }

    /// Who was responsible from then on.
    fn owner(&self) -> Option<&str> {
        self.0.owner.as_deref()
    }

    /// When it happened, and until when it was so.
    fn valid(&self) -> Stretch {
        Stretch { from: self.0.valid_from, to: self.0.valid_to.0 }
    }

    /// When the log took it, and until when it knew no better.
    fn known(&self) -> Stretch {
        Stretch { from: self.0.known_from, to: self.0.known_to.0 }
    }
}

/// Which opportunities; what is left out does not matter.
#[derive(Clone, Debug, Default, GraphQLInputObject)]
pub struct OpportunityFilter {
    /// In one of these states.
    status: Option<Vec<OpportunityStatus>>,
    /// In this pipeline.
    pipeline_id: Option<Uuid>,
    /// In one of these stages, or closed from there.
    stage_ids: Option<Vec<Uuid>>,
    /// With this account.
    account_id: Option<Uuid>,
    /// The user responsible.
    owner: Option<String>,
    /// Worth something in this currency: ISO 4217, in any case.
    currency: Option<String>,
    /// `true`: open, and nothing happened to it for as many days as its stage allows (`rottenAfterDays`); `false`: all others.
    rotten: Option<bool>,
    /// Expected to close on this day or later.
    close_from: Option<NaiveDate>,
    /// Expected to close before this day.
    close_before: Option<NaiveDate>,
}

impl OpportunityFilter {
    /// The same for the read model; refused with a currency that there is not.
    fn read(self) -> FieldResult<opportunities::OpportunityFilter> {
        let currency = self.currency.map(|code| code.to_ascii_uppercase().parse::<Currency>()).transpose();
        Ok(opportunities::OpportunityFilter {
            status: self.status.map(|all| all.into_iter().map(Into::into).collect()),
            pipeline: self.pipeline_id,
            stage: self.stage_ids,
            account: self.account_id,
            owner: self.owner,
            currency: currency.map_err(|error| bad_argument("filter.currency", &error))?,
            rotten: self.rotten,
            close_from: self.close_from,
            close_before: self.close_before,
        })
    }
}

/// In which order opportunities are listed.
#[derive(Clone, Copy, Debug, GraphQLEnum)]
pub enum OpportunityOrder {
    /// Expected to close first first.
    CloseDate,
    /// Last opened first.
    Newest,
    /// Worth most first, by minor units: what is worth what is told within a currency only (`filter: {currency: …}`).
    Largest,
}

impl OpportunityOrder {
    const fn key(self) -> (opportunities::OpportunityOrder, &'static str) {
        match self {
            Self::CloseDate => (opportunities::OpportunityOrder::CloseDate, "OPPORTUNITIES_CLOSE_DATE"),
            Self::Newest => (opportunities::OpportunityOrder::Newest, "OPPORTUNITIES_NEWEST"),
            Self::Largest => (opportunities::OpportunityOrder::Largest, "OPPORTUNITIES_LARGEST"),
        }
    }
}

connection! {
    /// A page of opportunities.
    pub struct OpportunityConnection of Opportunity by OpportunityEdge in SERVICE,
        counted by opportunities::count where opportunities::OpportunityFilter
}

pub(crate) async fn list(
    context: &Context,
    filter: Option<OpportunityFilter>,
    order: Option<OpportunityOrder>,
    first: Option<i32>,
    after: Option<String>,
) -> FieldResult<OpportunityConnection> {
    context.require(READ)?;
    let filter = filter.unwrap_or_default().read()?;
    forward(("closeFrom", filter.close_from), ("closeBefore", filter.close_before))?;
    let rows =
        page(context, SERVICE, &filter, order.unwrap_or(OpportunityOrder::CloseDate).key(), first, after).await?;
    Ok(OpportunityConnection::new(rows.map(Opportunity), filter))
}

impl Node for Opportunity {
    const SERVICE: Service = SERVICE;
    const READ: &'static str = READ;

    fn find<'a>(tables: &'a mut PgConnection, tenant: TenantId, ids: &'a [Uuid]) -> Fetching<'a, Uuid, Self> {
        Box::pin(async move {
            let rows = opportunities::find::<OpportunityRow>(tables, tenant, ids).await?;
            Ok(rows.into_iter().map(|row| (row.opportunity_id, Self(row))).collect())
        })
    }
}

/// The first opportunities of accounts, so many of each.
struct OpportunitiesOfAccount;

impl Fetch for OpportunitiesOfAccount {
    type Key = Share;
    type Value = Vec<Opportunity>;

    fn fetch<'a>(
        session: &'a Session,
        tables: &'a mut PgConnection,
        keys: &'a [Self::Key],
    ) -> Fetching<'a, Self::Key, Self::Value> {
        let tenant = session.caller().tenant();
        Box::pin(async move {
            let (accounts, most) = owners(keys);
            let rows = opportunities::of_accounts(tables, tenant, &accounts, most).await?;
            Ok(deal(keys, rows.into_iter().map(|row| (row.account_id, Opportunity(row)))))
        })
    }
}

/// What happened to opportunities: of each after which version, and how much of it.
struct Histories;

impl Fetch for Histories {
    type Key = (Uuid, i64, i64);
    type Value = Vec<OpportunityChange>;

    fn fetch<'a>(
        session: &'a Session,
        tables: &'a mut PgConnection,
        keys: &'a [Self::Key],
    ) -> Fetching<'a, Self::Key, Self::Value> {
        let tenant = session.caller().tenant();
        Box::pin(async move {
            let histories = opportunities::histories(tables, tenant, keys).await?;
            let changes = histories.into_iter().map(|rows| rows.into_iter().map(OpportunityChange).collect());
            Ok(keys.iter().copied().zip(changes).collect())
        })
    }
}

impl Opportunity {
    /// An account's first opportunities.
    pub(crate) async fn with(context: &Context, account: Uuid, first: u32) -> FieldResult<Vec<Self>> {
        context.require(READ)?;
        Ok(load::<OpportunitiesOfAccount>(context, SERVICE, (account, first)).await?.unwrap_or_default())
    }
}
