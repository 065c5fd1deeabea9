//! Accounts in GraphQL.

use chrono::{DateTime, Utc};
use crm_projections::accounts::{self, AccountHistoryRow, AccountRow};
use face::graphql::{Context, Node, int, page, page_size};
use face::{change_object, connection};
use juniper::{FieldResult, GraphQLEnum, GraphQLInputObject, graphql_object};
use kernel::Service;
use uuid::Uuid;

use super::contact::Contact;
use super::country;
use super::history;
use super::lead::Lead;
use super::opportunity::Opportunity;
use crate::SERVICE;

/// The permission to read accounts.
pub(crate) const READ: &str = "crm:account:read";

/// An organization to which you sell.
#[derive(Clone, Debug)]
pub struct Account(AccountRow);

/// An organization to which you sell.
#[graphql_object(context = Context)]
impl Account {
    /// The account's id.
    fn id(&self) -> Uuid {
        self.0.account_id
    }

    /// The account's version, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// Legal or trading name.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Web address.
    fn website(&self) -> Option<&str> {
        self.0.website.as_deref()
    }

    /// Industry.
    fn industry(&self) -> Option<&str> {
        self.0.industry.as_deref()
    }

    /// ISO 3166-1 alpha-2 country code.
    fn country(&self) -> Option<&str> {
        self.0.country.as_deref()
    }

    /// Number of employees.
    fn employees(&self) -> Option<i32> {
        self.0.employees.map(int)
    }

    /// The responsible user, as the subject of their token.
    fn owner(&self) -> Option<&str> {
        self.0.owner.as_deref()
    }

    /// When it was created.
    fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it last changed.
    fn changed_at(&self) -> DateTime<Utc> {
        self.0.changed_at
    }

    /// The account's first contacts, at most 100, without those that were erased. To list all of them, page through
    /// `contacts(filter: {accountId: …})`.
    async fn contacts(
        &self,
        context: &Context,
        #[graphql(default = 20)] first: Option<i32>,
    ) -> FieldResult<Vec<Contact>> {
        Contact::at(context, self.0.account_id, page_size(first, 20, 100)?).await
    }

    /// The account's first opportunities, at most 100. To list all of them, page through `opportunities(filter: {accountId:
    /// …})`.
    async fn opportunities(
        &self,
        context: &Context,
        #[graphql(default = 20)] first: Option<i32>,
    ) -> FieldResult<Vec<Opportunity>> {
        Opportunity::with(context, self.0.account_id, page_size(first, 20, 100)?).await
    }

    /// The lead that was converted into it.
    async fn lead(&self, context: &Context) -> FieldResult<Option<Lead>> {
        Lead::of(context, self.0.lead_id).await
    }
}

change_object! {
    /// A change of an account, and what was true of the account from this change until the next one.
    pub struct AccountChange(AccountHistoryRow) {
        /// On whose behalf the change was made: the subject of a token.
        fn actor(&self) -> &str {
            &self.0.actor
        }

        /// The responsible user after the change.
        fn owner(&self) -> Option<&str> {
            self.0.owner.as_deref()
        }
    }
}

/// Filters accounts. Omitted fields do not restrict the result.
#[derive(Clone, Debug, Default, GraphQLInputObject)]
pub struct AccountFilter {
    /// Search words, case-insensitive. Each of them must be the beginning of a word in the name or web address.
    search: Option<String>,
    /// Only with this industry, as an exact match.
    industry: Option<String>,
    /// Only in this country: ISO 3166-1 alpha-2 code, case-insensitive.
    country: Option<String>,
    /// Only those of this responsible user, given as the subject of their token.
    owner: Option<String>,
}

impl AccountFilter {
    /// The read model's filter. An unknown country is refused.
    fn read(self) -> FieldResult<accounts::AccountFilter> {
        let Self { search, industry, country, owner } = self;
        Ok(accounts::AccountFilter { search, industry, country: country::known(country)?, owner })
    }
}

/// The order in which accounts are listed.
#[derive(Clone, Copy, Debug, GraphQLEnum)]
pub enum AccountOrder {
    /// By name, in the order of Unicode code points.
    Name,
    /// Most recently added first.
    Newest,
}

impl AccountOrder {
    const fn key(self) -> (accounts::AccountOrder, &'static str) {
        match self {
            Self::Name => (accounts::AccountOrder::Name, "ACCOUNTS_NAME"),
            Self::Newest => (accounts::AccountOrder::Newest, "ACCOUNTS_NEWEST"),
        }
    }
}

connection! {
    /// A page of accounts.
    pub struct AccountConnection of Account by AccountEdge in SERVICE, counted by accounts::count where accounts::AccountFilter
}

pub(crate) async fn list(
    context: &Context,
    filter: Option<AccountFilter>,
    order: Option<AccountOrder>,
    first: Option<i32>,
    after: Option<String>,
) -> FieldResult<AccountConnection> {
    context.require(READ)?;
    let filter = filter.unwrap_or_default().read()?;
    let rows = page(context, SERVICE, &filter, order.unwrap_or(AccountOrder::Name).key(), first, after).await?;
    Ok(AccountConnection::new(rows.map(Account), filter))
}

pub(crate) async fn history(context: &Context, account: Uuid, window: (i64, i64)) -> FieldResult<Vec<AccountChange>> {
    let rows = history::changes::<AccountHistoryRow>(context, READ, account, window).await?;
    Ok(rows.into_iter().map(AccountChange).collect())
}

impl Node for Account {
    type Row = AccountRow;

    const SERVICE: Service = SERVICE;
    const READ: &'static str = READ;

    fn new(row: AccountRow) -> Self {
        Self(row)
    }
}
