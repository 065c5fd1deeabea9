//! Opportunities in GraphQL.

use chrono::{DateTime, NaiveDate, Utc};
use crm_projections::opportunities::{self, OpportunityHistoryRow, OpportunityRow};
use face::graphql::{
    Context, Fetch, Fetching, Node, Session, Share, bad_argument, distribute, forward, int, keyed, load, owners, page,
    window,
};
use face::{change_object, connection, mirror};
use juniper::{FieldResult, GraphQLEnum, GraphQLInputObject, GraphQLObject, graphql_object};
use kernel::{Currency, Service};
use sqlx::PgConnection;
use uuid::Uuid;

use super::account::Account;
use super::contact::Contact;
use super::history;
use super::lead::Lead;
use super::money::Money;
use super::pipeline::{Pipeline, Stage};
use crate::SERVICE;

/// The permission to read opportunities and boards.
pub(crate) const READ: &str = "crm:opportunity:read";

/// An opportunity: a deal that moves through a pipeline.
#[derive(Clone, Debug)]
pub struct Opportunity(OpportunityRow);

mirror! {
    /// The status of an opportunity.
    pub enum OpportunityStatus of crm_aggregates::OpportunityStatus {
        /// Open.
        Open,
        /// Closed as won.
        Won,
        /// Closed as lost.
        Lost,
    }
}

/// A line item: something that is sold.
#[derive(Clone, Debug, GraphQLObject)]
pub struct LineItem {
    /// The name of the product or service.
    name: String,
    /// Quantity.
    quantity: i32,
    /// Unit price.
    unit_price: Money,
}

/// An opportunity: a deal that moves through a pipeline.
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

    /// Its name.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Its status.
    fn status(&self) -> OpportunityStatus {
        self.0.status.0.into()
    }

    /// Its amount.
    fn amount(&self) -> Money {
        self.0.amount().into()
    }

    /// The line items that make up the amount. Empty if the amount was set without line items.
    fn line_items(&self) -> Vec<LineItem> {
        let item = |item: &crm_aggregates::LineItem| LineItem {
            name: item.name.clone(),
            quantity: int(item.quantity.into()),
            unit_price: Money::new(item.unit_price_minor.into(), self.0.currency.0),
        };
        self.0.line_items.0.iter().map(item).collect()
    }

    /// Expected close date.
    fn close_date(&self) -> NaiveDate {
        self.0.close_date
    }

    /// The responsible user, as the subject of their token.
    fn owner(&self) -> Option<&str> {
        self.0.owner.as_deref()
    }

    /// Why it was lost.
    fn lost_reason(&self) -> Option<&str> {
        self.0.lost_reason.as_deref()
    }

    /// When it was opened.
    fn opened_at(&self) -> DateTime<Utc> {
        self.0.opened_at
    }

    /// When it entered its current stage.
    fn stage_since(&self) -> DateTime<Utc> {
        self.0.stage_since
    }

    /// When it was won or lost.
    fn closed_at(&self) -> Option<DateTime<Utc>> {
        self.0.closed_at
    }

    /// When it last changed.
    fn changed_at(&self) -> DateTime<Utc> {
        self.0.changed_at
    }

    /// Its pipeline.
    async fn pipeline(&self, context: &Context) -> FieldResult<Option<Pipeline>> {
        Pipeline::of(context, Some(self.0.pipeline_id)).await
    }

    /// Its current stage or, if it is closed, its last stage.
    async fn stage(&self, context: &Context) -> FieldResult<Option<Stage>> {
        let pipeline = Pipeline::of(context, Some(self.0.pipeline_id)).await?;
        Ok(pipeline.and_then(|pipeline| pipeline.stage(self.0.stage_id)))
    }

    /// The account that buys.
    async fn account(&self, context: &Context) -> FieldResult<Option<Account>> {
        Account::of(context, self.0.account_id).await
    }

    /// The contact person.
    async fn contact(&self, context: &Context) -> FieldResult<Option<Contact>> {
        Contact::of(context, self.0.contact_id).await
    }

    /// The lead that was converted into it.
    async fn lead(&self, context: &Context) -> FieldResult<Option<Lead>> {
        Lead::of(context, self.0.lead_id).await
    }

    /// Its history, oldest change first. Returns 50 changes unless `first` is given.
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

change_object! {
    /// A change of an opportunity, and the opportunity's state from this change until the next one.
    pub struct OpportunityChange(OpportunityHistoryRow) {
        /// The opportunity's status after the change.
        fn status(&self) -> OpportunityStatus {
            self.0.status.0.into()
        }

        /// The amount after the change.
        fn amount(&self) -> Money {
            Money::new(self.0.amount_minor.into(), self.0.currency.0)
        }

        /// The expected close date after the change.
        fn close_date(&self) -> NaiveDate {
            self.0.close_date
        }

        /// The stage after the change.
        fn stage_id(&self) -> Uuid {
            self.0.stage_id
        }

        /// The responsible user after the change.
        fn owner(&self) -> Option<&str> {
            self.0.owner.as_deref()
        }
    }
}

/// Filters opportunities. Omitted fields do not restrict the result.
#[derive(Clone, Debug, Default, GraphQLInputObject)]
pub struct OpportunityFilter {
    /// Only with one of these statuses.
    status: Option<Vec<OpportunityStatus>>,
    /// Only in this pipeline.
    pipeline_id: Option<Uuid>,
    /// Only in one of these stages; of closed opportunities, the last stage counts.
    stage_ids: Option<Vec<Uuid>>,
    /// Only with this account.
    account_id: Option<Uuid>,
    /// Only those of this responsible user, given as the subject of their token.
    owner: Option<String>,
    /// Only with an amount in this currency: ISO 4217 code, case-insensitive.
    currency: Option<String>,
    /// `true`: only rotten opportunities, that is, open ones that have not changed for the number of days that their stage
    /// allows (`rottenAfterDays`). `false`: all others.
    rotten: Option<bool>,
    /// Only with an expected close date on or after this day.
    close_from: Option<NaiveDate>,
    /// Only with an expected close date before this day.
    close_before: Option<NaiveDate>,
}

impl OpportunityFilter {
    /// The read model's filter. An unknown currency is refused.
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

/// The order in which opportunities are listed.
#[derive(Clone, Copy, Debug, GraphQLEnum)]
pub enum OpportunityOrder {
    /// Earliest expected close date first.
    CloseDate,
    /// Most recently opened first.
    Newest,
    /// Largest amount first, compared in minor units. Amounts are only comparable within one currency, so filter by currency
    /// (`filter: {currency: …}`).
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
    type Row = OpportunityRow;

    const SERVICE: Service = SERVICE;
    const READ: &'static str = READ;

    fn new(row: OpportunityRow) -> Self {
        Self(row)
    }
}

/// Loads the first opportunities of several accounts, up to a number for each.
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
            Ok(distribute(keys, rows.into_iter().map(|row| (row.account_id, Opportunity(row)))))
        })
    }
}

/// Loads the histories of several opportunities: for each, the changes after a version, up to a number.
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
            Ok(keyed(keys, histories, OpportunityChange))
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
